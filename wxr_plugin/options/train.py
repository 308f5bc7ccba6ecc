"""Keys that WxrModel adds to BasicSR's `train` block."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from wxr_plugin.schema import Block, Scheduler

Positive = Annotated[int, Meta(ge=1)]


class NanGuardOptions(Block):
    """Reaction to a loss or gradient that is not finite."""

    skip: bool = True
    """Skip the update and continue. When false, the first bad iteration stops the run."""
    stop_after: Positive = 10
    """Stop after this number of bad updates in a row."""


class SaveBestOptions(Block):
    """Validation set and metric that decide on net_g_best.pth."""

    dataset: str
    """`name` of a validation set."""
    metric: str
    """One of the metrics of that set; its `better` (higher or lower) sets the direction."""


class WxrTrainOptions(Block):
    """Keys of the `train` block, in addition to BasicSR's own (total_iter, optim_g, ...)."""

    scheduler: Scheduler | None = None
    """A schedule of BasicSR, or CosineAnnealingLR (cosine): T_max (total_iter), eta_min (0).

    Constant when absent.
    """
    amp: Literal["bf16", "fp16"] | None = None
    """Autocast of the network's forward pass; the losses stay in float32. fp16 scales the loss.

    Off when absent.
    """
    accumulate: Positive = 1
    """Iterations of one update, with the mean of their gradients: k iterations of batch b make one
    update of batch k*b. Iterations (total_iter, schedules, validation, saving) still count
    batches, not updates."""
    clip_grad: Annotated[float, Meta(gt=0)] | None = None
    """Largest L2 norm of the gradient of each optimiser; a longer gradient is scaled down.

    Off when absent.
    """
    channels_last: bool = False
    """Use channels-last memory format for weights and images: faster for most CNNs on CUDA."""
    compile: bool | dict[str, Any] = False
    """Apply torch.compile to the trained network and its EMA. A dict holds the arguments, such as
    {mode: max-autotune-no-cudagraphs}. Modes with CUDA graphs (reduce-overhead, max-autotune) need
    accumulate: 1."""
    nan_guard: NanGuardOptions | None = None
    """Check for NaN and infinity before an update; a bad one changes no weights, EMA or labels.

    Off when absent.
    """
    save_best: SaveBestOptions | None = None
    """Save the network with the best validation as net_g_best.pth. Off when absent."""
    keep: Positive | None = None
    """Number of numbered checkpoints to keep.

    All when absent. net_g_best.pth and net_g_latest.pth are always kept.
    """

    def __post_init__(self) -> None:
        if self.accumulate > 1 and uses_cuda_graphs(self.compile):
            raise ValueError(
                f"compile: {self.compile} replays CUDA graphs, whose memory holds the gradients "
                f"that accumulate: {self.accumulate} keeps between batches; take mode: "
                "max-autotune-no-cudagraphs, or accumulate: 1"
            )


def uses_cuda_graphs(compile: bool | dict[str, Any]) -> bool:
    """Return whether torch.compile with these arguments replays CUDA graphs."""
    if not isinstance(compile, dict):
        return False
    if compile.get("mode") in ("reduce-overhead", "max-autotune"):
        return True
    options = compile.get("options") or {}
    return bool(options.get("triton.cudagraphs"))
