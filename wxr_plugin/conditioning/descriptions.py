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
            negative_row = row_of.setdefault(negative, len(row_of))
            positive_row = row_of.setdefault(positive, len(row_of))
            self._rows[key] = negative_row, positive_row
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
        features = self._features
        # view: without any texts the table is empty, and still has to unpack into three columns.
        columns = torch.tensor(table, dtype=torch.long).view(-1, 3)
        numbers, negative, positive = columns.T.to(features.device)
        return numbers, features[negative], features[positive]

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Return those of `keys` for which neither the crop nor its photo has texts."""
        return [key for key in keys if self._rows_of(key) is None]

    def _rows_of(self, key: str) -> tuple[int, int] | None:
        """Return the rows of the features of both texts; None without texts."""
        own = self._rows.get(key)
        if own:
            return own
        return self._rows.get(photo_of(key))

    def _log_missing(self, keys: list[str]) -> None:
        """Log the first few photos without texts, each once."""
        logger = logging.getLogger("basicsr")
        for key in keys:
            photo = photo_of(key)
            if photo in self.skipped:
                continue
            self.skipped.add(photo)
            count = len(self.skipped)
            if count <= NAMED:
                more = "" if count < NAMED else "; further ones are not named here"
                logger.warning(
                    f"photo '{photo}' has no description with its rewrite, so L_sem skips it: make "
                    f"them with `wxr label describe` and `wxr label rewrite`{more}"
                )


def photo_of(key: str) -> str:
    """Return the key of the photo that `key`, a photo or a crop, belongs to."""
    photo, _ = split_key(key)
    return photo


@torch.no_grad()
def _encode(guide: "ClipGuide", texts: list[str]) -> Tensor:
    """Return the features (texts, D)."""
    if not texts:
        return guide.encode_text([""])[:0]  # (0, D), on the device and in the dtype of the guide
    features = []
    for start in range(0, len(texts), BATCH):
        end = start + BATCH
        features.append(guide.encode_text(texts[start:end]))
    return torch.cat(features)
