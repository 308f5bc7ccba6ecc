# WResVLM under MMEngine, without MMagic: the packaged vision-language model and CLIP in the loop,
# on a laptop's CPU.   python -m wxr_plugin.mm.photos datasets/photos
#   wxr prompts learn --synthetic datasets/photos/clear --crop-size 96 -o
# datasets/photos/prompts.safetensors   python -m wxr_plugin.mm.train options/mm/tiny_supervised.py
#   python -m wxr_plugin.mm.train options/mm/tiny_wresvlm.py
custom_imports = dict(imports=["wxr_plugin.mm"], allow_failed_imports=False)
default_scope = "mmengine"
randomness = dict(seed=0)

model = dict(
    type="WxrSemiSupervised",
    generator=dict(
        type="MSBDN",
        variant="dff",
        width=8,
        bottleneck_blocks=2,
        stage_blocks=1,
        global_residual=True,
    ),
    pixel_loss=dict(type="L1Loss"),  # L_sup
    pretrained="work_dirs/tiny_supervised/iter_400.pth",
    wresvlm=dict(  # keys of the `train` block of WResVLMModel: docs/wresvlm.md
        ema_decay=0.98,
        pseudo_opt=dict(type="PseudoLabelLoss", loss_weight=0.5),
        weather_prompt_opt=dict(
            type="WeatherPromptLoss",
            loss_weight=0.05,
            prompts_path="datasets/photos/prompts.safetensors",
        ),
        feature_opt=dict(type="DepthFeatureLoss", loss_weight=0.2, model="tiny"),
        gate="rating",
        rater=dict(type="TransformersRater", model="tiny", prompt="visibility"),
        rating=dict(every=1),
        labels=None,  # WORK_DIR/labels.lmdb
    ),
)

train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="WxrSampler", ratio=100),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="WxrDataset",
        dataset=dict(
            type="SemiSupervisedDataset",
            gt_size=96,
            paired=dict(
                dataroot_gt="datasets/photos/clear",
                synthetic=dict(kinds=["rain", "haze", "snow"], severity=[0.2, 1.0]),
            ),
            real=dict(
                dataroot=dict(
                    rain="datasets/photos/real/rain",
                    haze="datasets/photos/real/haze",
                    snow="datasets/photos/real/snow",
                ),
                boxes_per_image=2,
            ),
        ),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="WxrDataset",
        phase="val",
        dataset=dict(
            type="PairedWeatherDataset",
            name="held_out",
            dataroot_gt="datasets/photos/held_out/gt",
            dataroot_lq="datasets/photos/held_out/lq",
        ),
    ),
)
val_evaluator = dict(
    type="WxrMetrics",
    measures=dict(
        psnr=dict(type="calculate_psnr", crop_border=0),
        ssim=dict(type="calculate_ssim", crop_border=0),
    ),
)

train_cfg = dict(type="IterBasedTrainLoop", max_iters=400, val_interval=200)
val_cfg = dict(type="ValLoop")
optim_wrapper = dict(
    type="OptimWrapper",
    clip_grad=dict(max_norm=1.0),
    optimizer=dict(type="AdamW", lr=2e-4, betas=(0.9, 0.99), weight_decay=0.0),
)
param_scheduler = dict(type="CosineAnnealingLR", T_max=400, eta_min=1e-5, by_epoch=False)

default_hooks = dict(
    logger=dict(type="LoggerHook", interval=20, log_metric_by_epoch=False),
    checkpoint=dict(type="CheckpointHook", interval=100, by_epoch=False, max_keep_ckpts=3),
)
custom_hooks = [
    dict(type="WxrSeedHook"),
    dict(type="WxrNanGuardHook", stop_after=10),
    dict(type="WxrLabelHook"),  # the teacher and the label store
    dict(type="WxrPicturesHook", most=4),
]
log_processor = dict(by_epoch=False, window_size=20)
