# MMEngine without MMagic: a small MSBDN, supervised, on packaged photos and a laptop's CPU.
#   python -m wxr_plugin.mm.photos datasets/photos
#   python -m wxr_plugin.mm.train options/mm/tiny_supervised.py
custom_imports = dict(imports=["wxr_plugin.mm"], allow_failed_imports=False)
default_scope = "mmengine"
randomness = dict(seed=0)

model = dict(
    type="WxrSupervised",
    generator=dict(
        type="MSBDN",
        variant="dff",
        width=8,
        bottleneck_blocks=2,
        stage_blocks=1,
        global_residual=True,
    ),
    pixel_loss=dict(type="L1Loss"),
    pretrained=None,  # net_g_latest.pth of BasicSR, or any other file that `wxr restore` reads
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
            type="PairedWeatherDataset",
            dataroot_gt="datasets/photos/clear",  # a folder or an .lmdb
            synthetic=dict(kinds=["rain", "haze", "snow"], severity=[0.2, 1.0]),
            gt_size=96,
            use_hflip=True,
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
        psnr_y=dict(type="calculate_psnr", crop_border=0, test_y_channel=True),
        ssim=dict(type="calculate_ssim", crop_border=0),
    ),
)

train_cfg = dict(type="IterBasedTrainLoop", max_iters=400, val_interval=200)
val_cfg = dict(type="ValLoop")
optim_wrapper = dict(
    type="OptimWrapper",  # AmpOptimWrapper on a GPU
    accumulative_counts=1,
    clip_grad=dict(max_norm=1.0),
    optimizer=dict(type="AdamW", lr=5e-4, betas=(0.9, 0.99), weight_decay=0.0),
)
param_scheduler = dict(type="CosineAnnealingLR", T_max=400, eta_min=1e-5, by_epoch=False)

default_hooks = dict(
    logger=dict(type="LoggerHook", interval=20, log_metric_by_epoch=False),
    checkpoint=dict(type="CheckpointHook", interval=200, by_epoch=False, max_keep_ckpts=2),
)
custom_hooks = [
    dict(type="WxrSeedHook"),  # exact resuming
    dict(type="WxrNanGuardHook", stop_after=10),
    dict(type="WxrEMAHook", momentum=0.02),
    dict(type="WxrPicturesHook", most=4),
]
log_processor = dict(by_epoch=False, window_size=20)
