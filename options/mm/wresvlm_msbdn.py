# WResVLM under MMEngine, at full size: MSBDN, LLaVA-1.5-7B and CLIP ViT-B/32. It was not run: it
# takes a GPU. The values are those of options/train/wresvlm_msbdn.yml, which says what is published
# and what is ours.   wxr prompts learn --clear datasets/train/gt --rain datasets/real/rain --haze
# datasets/real/haze \       --snow datasets/real/snow --clip ViT-B-32:openai --iterations 8000 --lr
# 8e-5 -o datasets/prompts.safetensors   wxr label describe datasets/real -o datasets/labels.lmdb &&
# wxr label rewrite datasets/labels.lmdb   torchrun --nproc_per_node 2 -m wxr_plugin.mm.train
# options/mm/wresvlm_msbdn.py --launcher pytorch
custom_imports = dict(imports=["wxr_plugin.mm"], allow_failed_imports=False)
default_scope = "mmengine"
randomness = dict(seed=10)

model = dict(
    type="WxrSemiSupervised",
    generator=dict(type="MSBDN"),
    pixel_loss=dict(type="L1Loss"),  # L_sup
    pretrained="experiments/wxr_paired_folder/models/net_g_latest.pth",
    wresvlm=dict(  # keys of the `train` block of WResVLMModel: docs/wresvlm.md
        ema_decay=0.996,
        pseudo_opt=dict(type="PseudoLabelLoss", loss_weight=0.5),
        weather_prompt_opt=dict(
            type="WeatherPromptLoss",
            loss_weight=0.2,
            prompts_path="datasets/prompts.safetensors",
            clip="ViT-B-32:openai",
        ),
        semantic_opt=dict(type="SemanticLoss", loss_weight=0.05, clip="ViT-B-32:openai"),
        feature_opt=dict(type="DepthFeatureLoss", loss_weight=0.2, model="depth-anything-small"),
        gate="rating",
        rater=dict(
            type="TransformersRater", model="llava-1.5-7b", prompt="visibility", batch_size=8
        ),
        rating=dict(every=1),
        labels="datasets/labels.lmdb",
    ),
)

train_dataloader = dict(
    batch_size=8,  # pairs, and as many real crops, a GPU
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="WxrSampler"),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="WxrDataset",
        dataset=dict(
            type="SemiSupervisedDataset",
            gt_size=256,
            paired=dict(
                dataroot_gt="datasets/train/gt", dataroot_lq="datasets/train/lq", use_hflip=True
            ),
            real=dict(
                dataroot=dict(
                    rain="datasets/real/rain",
                    haze="datasets/real/haze",
                    snow="datasets/real/snow",
                ),
                boxes_per_image=4,
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
            name="pairs",
            dataroot_gt="datasets/val_rain/gt",
            dataroot_lq="datasets/val_rain/lq",
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

train_cfg = dict(type="IterBasedTrainLoop", max_iters=40000, val_interval=5000)
val_cfg = dict(type="ValLoop")
optim_wrapper = dict(
    type="OptimWrapper",  # AmpOptimWrapper with dtype="bfloat16" for mixed precision
    clip_grad=dict(max_norm=1.0),
    optimizer=dict(type="AdamW", lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0),
)
param_scheduler = dict(type="CosineAnnealingLR", T_max=40000, eta_min=1e-6, by_epoch=False)

default_hooks = dict(
    logger=dict(type="LoggerHook", interval=100, log_metric_by_epoch=False),
    checkpoint=dict(type="CheckpointHook", interval=5000, by_epoch=False, max_keep_ckpts=5),
)
custom_hooks = [
    dict(type="WxrSeedHook"),
    dict(type="WxrNanGuardHook", stop_after=10),
    dict(type="WxrLabelHook"),  # the teacher and the label store
    dict(type="WxrPicturesHook", most=4),
]
log_processor = dict(by_epoch=False, window_size=100)
