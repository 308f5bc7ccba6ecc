"""Options of the models that the arguments of `wxr label` name."""

import argparse
from pathlib import Path
from typing import Any

from wxr_plugin.errors import WxrError


def model_block(kind: str, args: argparse.Namespace) -> dict[str, Any]:
    """Return the block of --model with the other flags in it, for a rater or describer."""
    from wxr_plugin.options.vlm_specs import spec_options

    # Flags complete the options that the model is named with, and do not contradict them.
    block = spec_options(kind, args.model)
    flags = {}
    for name in ("prompt", "dtype", "device", "revision", "max_tokens"):
        value = getattr(args, name, None)
        if value is None:  # not on the command line, or no flag of this action
            continue
        if block.get(name, value) != value:
            flag = name.replace("_", "-")
            raise WxrError(f"--{flag} is '{value}', but {args.model} sets another; leave one out")
        flags[name] = value
    return _with_batches(kind, {**block, **flags}, args.batch_size)


def panel_blocks(specs: list[str], batch_size: int) -> dict[str, dict[str, Any]]:
    """Return the options of each rater, keyed by its name in tables.

    A YAML file may hold several raters, which are numbered.
    """
    from wxr_plugin.options.vlm_specs import panel_options

    panel: dict[str, dict[str, Any]] = {}
    for spec in specs:
        # A file is shown by its name, not its path.
        blocks = panel_options("rater", [spec])
        stem = Path(spec).name if spec.endswith((".yml", ".yaml")) else spec
        for number, block in enumerate(blocks, 1):
            name = f"{stem} {number}" if len(blocks) > 1 else stem
            if name in panel:
                raise WxrError(f"--raters: {name} is named twice; name each rater of a panel once")
            panel[name] = _with_batches("rater", block, batch_size)
    return panel


def _with_batches(kind: str, block: dict[str, Any], batch_size: int) -> dict[str, Any]:
    """Return the block with --batch-size, if its class takes one and the block sets none."""
    from wxr_plugin.vlm.registries import chosen

    # Options of the block come last, so that they count.
    _, options = chosen(kind, block)
    return {"batch_size": batch_size, **block} if hasattr(options, "batch_size") else block
