"""Text features of photo descriptions, which L_sem compares with restored photos."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from wxr_plugin.data.real_photos import split_key

if TYPE_CHECKING:
    from wxr_plugin.conditioning.clip import ClipGuide

BATCH = 256
"""Number of texts in one forward pass."""
NAMED = 3
"""Number of photos without description that are named in the log; the rest are only counted."""


class DescriptionFeatures:
    """Text features of photos and crops, keyed by name; each distinct text is encoded once.

    Args:
        guide: the CLIP that also encodes the images.
        texts: key -> description with its weather and rewrite for clear weather (d_neg, d_pos), as
            `LabelStore.texts()` returns them.
    """

    def __init__(self, guide: "ClipGuide", texts: Mapping[str, tuple[str, str]]):
        self.skipped: set[str] = set()
        """Photos without texts that `lookup` was called with."""
        row_of: dict[str, int] = {}
        self._rows: dict[str, tuple[int, int]] = {}
        for key, (negative, positive) in texts.items():
            # setdefault gives a new text the next row, and a known one its own.
            self._rows[key] = (
                row_of.setdefault(negative, len(row_of)),
                row_of.setdefault(positive, len(row_of)),
            )
        self._features = _encode(guide, list(row_of))

    def lookup(self, keys: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the features of those of `keys` that have texts.

        A crop (`photo@left,top,right,bottom`) without texts of its own uses those of its photo. The
        other keys are skipped, and the first few are logged.

        Returns:
            The positions in `keys` (M,), int64, the features of the descriptions (M, D) and those
            of the rewrites (M, D).
        """
        self._log_missing(self.missing(keys))
        table = []
        for number, key in enumerate(keys):
            rows = self._rows_of(key)
            if rows is not None:
                table.append((number, *rows))
        # view: without any texts the table is empty, and still has to unpack into three columns.
        columns = torch.tensor(table, dtype=torch.long).view(-1, 3)
        numbers, negative, positive = columns.T.to(self._features.device)
        return numbers, self._features[negative], self._features[positive]

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Return those of `keys` for which neither the crop nor its photo has texts."""
        return [key for key in keys if self._rows_of(key) is None]

    def _rows_of(self, key: str) -> tuple[int, int] | None:
        return self._rows.get(key) or self._rows.get(photo_of(key))

    def _log_missing(self, keys: list[str]) -> None:
        for photo in map(photo_of, keys):
            if photo in self.skipped:
                continue
            self.skipped.add(photo)
            if len(self.skipped) <= NAMED:
                more = "" if len(self.skipped) < NAMED else "; further ones are not named here"
                logging.getLogger("basicsr").warning(
                    f"photo '{photo}' has no description with its rewrite, so L_sem skips it: make "
                    f"them with `wxr label describe` and `wxr label rewrite`{more}"
                )


def photo_of(key: str) -> str:
    """Return the key of the photo that `key`, a photo or a crop, belongs to."""
    photo, _ = split_key(key)
    return photo


@torch.no_grad()
def _encode(guide: "ClipGuide", texts: list[str]) -> Tensor:
    if not texts:
        return guide.encode_text([""])[:0]  # (0, D), on the device and in the dtype of the guide
    batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    return torch.cat([guide.encode_text(batch) for batch in batches])
