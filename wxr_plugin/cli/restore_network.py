"""The restorer that the options of `wxr restore` name."""

import argparse
from pathlib import Path
from typing import Any

from wxr_plugin.errors import WxrError
from wxr_plugin.inference.diffusion import Diffusion, PatchDiffusion
from wxr_plugin.inference.packaged import DEFAULT
from wxr_plugin.inference.restorer import Restorer
from wxr_plugin.inference.specs import RestorerSpec, checkpoint_spec, method_spec
from wxr_plugin.sampling.options import SamplingOptions


def load_restorer(args: argparse.Namespace) -> Restorer:
    """Return the restorer of the options.

    Raises:
        WxrError: options that do not go together.
    """
    sampling = _sampling(args)
    restorer = _spec(args).load(
        device=args.device,
        # None: whole photos; auto: whole photos as long as they fit into memory.
        tile="auto" if args.tile is None else args.tile or None,
        overlap=args.overlap,
        batch=args.batch,
        precision=args.precision,
        engine=args.engine,
        sampling=SamplingOptions.read(sampling),
    )
    if restorer.diffusion:
        restorer.diffusion = restorer.diffusion.checked(args.frames)
    elif sampling or args.frames:
        raise WxrError(
            "--steps, --sampler, --seed and --frames are for diffusion networks, which this one is "
            "not: leave them out"
        )
    # Only WeatherDiff samples patches; checked once the network is known.
    if args.stride is not None:
        restorer.diffusion = _with_stride(restorer.diffusion, args.stride)
    if args.guide and not restorer.guide:
        raise WxrError("--guide has no effect: this network takes no context; leave it out")
    return restorer


def _sampling(args: argparse.Namespace) -> dict[str, Any]:
    """Return the sampling options that the command line sets."""
    options = {"steps": args.steps, "method": args.sampler, "seed": args.seed}
    return {key: value for key, value in options.items() if value is not None}


def _with_stride(diffusion: Diffusion | PatchDiffusion | None, stride: int) -> PatchDiffusion:
    if not isinstance(diffusion, PatchDiffusion):
        raise WxrError("--stride is for networks that sample patches (WeatherDiff); leave it out")
    return diffusion.with_stride(stride)


def _spec(args: argparse.Namespace) -> RestorerSpec:
    """Return the published method, or the checkpoint with the network of its option file."""
    if args.method and args.opt:
        raise WxrError("--method sets the network: leave out --opt, or --method")
    if args.method:
        return method_spec(args.method, args.checkpoint, args.guide, args.instruction)
    checkpoints = args.checkpoint or [Path(DEFAULT)]
    if len(checkpoints) > 1:
        raise WxrError("--checkpoint: only a --method can have several files; give one")
    if args.instruction:
        raise WxrError("--instruction is for a --method that takes one; leave it out")
    return checkpoint_spec("", checkpoints[0], args.opt, args.guide)
