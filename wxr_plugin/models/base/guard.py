"""The NaN/Inf guard: find what is not finite before an update, so that it never reaches weights, EMA or labels."""

import math
from collections.abc import Iterable

import torch

from wxr_plugin.errors import WxrError
from wxr_plugin.options.train import NanGuardOptions


class NonFiniteError(WxrError, RuntimeError):
    """Too many updates in a row had a loss or gradient that is not finite, or the weights themselves are not."""


def all_finite(tensors: Iterable[torch.Tensor]) -> bool:
    """Whether no element of `tensors` is NaN or infinite.

    One synchronisation with the device for all of them.
    """
    tensors = [tensor.detach() for tensor in tensors if tensor.numel()]
    return not tensors or math.isfinite(
        torch.nn.utils.get_total_norm(tensors, norm_type=math.inf).item()
    )


class NanGuard:
    """Counts the updates that were dropped and stops a run that no longer gets anywhere.

    Args:
        options: how many dropped updates in a row to bear.

    Attributes:
        skipped: updates dropped since the run began.
        in_a_row: updates dropped since the last good one.
    """

    def __init__(self, options: NanGuardOptions):
        self.limit = options.stop_after if options.skip else 1
        self.skipped = 0
        self.in_a_row = 0

    def accept(self) -> None:
        """A good update ends the row."""
        self.in_a_row = 0

    def reject(self, iteration: int, images: list[str]) -> str:
        """Count a dropped update of a network whose weights are finite.

        Args:
            iteration: where it happened.
            images: what the batches of that update were made of.

        Returns:
            A line for the log.

        Raises:
            NonFiniteError: it was the last one in a row that the options bear.
        """
        self.skipped += 1
        self.in_a_row += 1
        line = f"iteration {iteration}: loss or gradient is not finite; images: {', '.join(images) or 'unknown'}"
        if self.in_a_row >= self.limit:
            raise NonFiniteError(
                f"{line}. That is {self.in_a_row} in a row, so training stops (train.nan_guard); "
                f"the weights are "
                "finite, those of the last update that was not dropped. Look at these images, "
                "lower the learning rate, "
                "set train.clip_grad, or train without amp."
            )
        return f"{line}. Update dropped ({self.in_a_row} in a row, {self.skipped} in all)."

    def state_dict(self) -> dict[str, int]:
        """The counts, for a training state."""
        return {"skipped": self.skipped, "in_a_row": self.in_a_row}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Put the counts back."""
        self.skipped, self.in_a_row = state["skipped"], state["in_a_row"]
