# MMagic trains a network of ours: stock BaseEditModel, BasicImageDataset and evaluators.
# docs/mmagic.md   python -m wxr_plugin.mm.photos datasets/photos
#   python -m wxr_plugin.mm.train options/mm/mmagic_msbdn.py
custom_imports = dict(
    imports=["wxr_plugin.mm.mmagic_bridge"], allow_failed_imports=False
)  # before anything else
default_scope = "mmagic"
randomness = dict(seed=0)

model = dict(
    type="BaseEditModel",
    generator=dict(  # mmagic has no MSBDN, so the bare name means ours
        type="MSBDN",
        variant="dff",
        width=8,
        bottleneck_blocks=2,
        stage_blocks=1,
        global_residual=True,
    ),
    pixel_loss=dict(type="L1Loss", loss_weight=1.0, reduction="mean"),
    data_preprocessor=dict(
        type="DataPreprocessor", mean=[0.0, 0.0, 0.0], std=[255.0, 255.0, 255.0]
    ),
    # weights of BasicSR: wxr zoo convert net_g_latest.pth start.pth --to mmagic, then
    # init_cfg=dict(type="Pretrained", checkpoint="start.pth"),
)

load = [
    dict(
        type="LoadImageFromFile",
        key="img",
        color_type="color",
        channel_order="rgb",
        imdecode_backend="cv2",
    ),
    dict(
        type="LoadImageFromFile",
        key="gt",
        color_type="color",
        channel_order="rgb",
        imdecode_backend="cv2",
    ),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        type="BasicImageDataset",
        data_root="datasets/photos/pairs",
        data_prefix=dict(img="lq", gt="gt"),
        pipeline=[
            *load,
            dict(type="SetValues", dictionary=dict(scale=1)),
            dict(type="PairedRandomCrop", gt_patch_size=96),
            dict(type="Flip", keys=["img", "gt"], flip_ratio=0.5, direction="horizontal"),
            dict(type="PackInputs"),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="BasicImageDataset",
        data_root="datasets/photos/held_out",
        data_prefix=dict(img="lq", gt="gt"),
        pipeline=[*load, dict(type="PackInputs")],
    ),
)
val_evaluator = dict(
    type="Evaluator",
    metrics=[
        dict(type="PSNR", crop_border=0),
        dict(type="SSIM", crop_border=0),
        dict(  # metrics of BasicSR and pyiqa in addition to MMagic's
            type="WxrMetrics",
            measures=dict(piqe=dict(type="calculate_iqa", metric="piqe", better="lower")),
        ),
    ],
)

train_cfg = dict(type="IterBasedTrainLoop", max_iters=400, val_interval=200)
val_cfg = dict(type="MultiValLoop")
optim_wrapper = dict(
    type="OptimWrapper", optimizer=dict(type="AdamW", lr=5e-4, betas=(0.9, 0.99), weight_decay=0.0)
)
param_scheduler = dict(type="CosineAnnealingLR", T_max=400, eta_min=1e-5, by_epoch=False)

default_hooks = dict(
    logger=dict(type="LoggerHook", interval=20, log_metric_by_epoch=False),
    checkpoint=dict(type="CheckpointHook", interval=200, by_epoch=False, max_keep_ckpts=2),
)
custom_hooks = [dict(type="WxrNanGuardHook"), dict(type="WxrEMAHook", momentum=0.02)]
log_processor = dict(type="LogProcessor", by_epoch=False, window_size=20)
