"""What WxrModel adds to BasicSR's `train` block."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from wxr_plugin.schema import Block, Scheduler

Positive = Annotated[int, Meta(ge=1)]


class NanGuardOptions(Block):
    """When a loss or gradient is not finite."""

    skip: bool = True
    """Drop the update and go on. When false, the first bad iteration stops the run."""
    stop_after: Positive = 10
    """Stop after this many bad updates in a row."""


class SaveBestOptions(Block):
    """Which validation decides on net_g_best.pth."""

    dataset: str
    """`name` of a validation set."""
    metric: str
    """One of the metrics of that set; its `better` (higher or lower) counts."""


class WxrTrainOptions(Block):
    """Keys of the `train` block, beside BasicSR's own (total_iter, warmup_iter, optim_g, scheduler, ema_decay, ...)."""

    scheduler: Scheduler | None = None
    """One of the host's, or CosineAnnealingLR (cosine): T_max (total_iter), eta_min (0).

    Constant when absent.
    """
    amp: Literal["bf16", "fp16"] | None = None
    """Autocast of the network's forward pass; the losses stay in float32. fp16 scales the loss.

    Off when absent.
    """
    accumulate: Positive = 1
    """Update once every so many iterations, with the mean of their gradients: k iterations of batch b make one update
    of batch k*b. Iterations (total_iter, schedules, validation, saving) still count batches, not
    updates."""
    clip_grad: Annotated[float, Meta(gt=0)] | None = None
    """Largest L2 norm of all gradients of one optimiser together; longer ones are scaled down.

    Off when absent.
    """
    channels_last: bool = False
    """Keep weights and images in channels-last memory order: faster for most convolutional networks on CUDA."""
    compile: bool | dict[str, Any] = False
    """torch.compile of the trained network and its EMA; a dict holds the arguments of torch.compile, say {mode:
    max-autotune-no-cudagraphs}. Modes with CUDA graphs (reduce-overhead, max-autotune) need
    accumulate: 1."""
    nan_guard: NanGuardOptions | None = None
    """Look for NaN and infinity before an update; a bad one changes neither weights, EMA nor labels.

    Off if absent.
    """
    save_best: SaveBestOptions | None = None
    """Keep the network that validated best as net_g_best.pth. Off when absent."""
    keep: Positive | None = None
    """Number of numbered checkpoints to keep.

    All, when absent. net_g_best.pth and net_g_latest.pth always stay.
    """

    def __post_init__(self) -> None:
        if self.accumulate > 1 and uses_cuda_graphs(self.compile):
            raise ValueError(
                f"compile: {self.compile} replays CUDA graphs, whose memory holds the gradients "
                f"that accumulate: "
                f"{self.accumulate} keeps between batches; take mode: max-autotune-no-cudagraphs, "
                f"or accumulate: 1"
            )


def uses_cuda_graphs(compile: bool | dict[str, Any]) -> bool:
    """Return whether torch.compile with these arguments replays CUDA graphs, as two of its modes do."""
    if not isinstance(compile, dict):
        return False
    options = compile.get("options") or {}
    return compile.get("mode") in ("reduce-overhead", "max-autotune") or bool(
        options.get("triton.cudagraphs")
    )
