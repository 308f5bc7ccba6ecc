"""Descriptions of real photos as fixed text features: what L_sem compares a restored photo with."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from wxr_plugin.data.real_photos import split_key

if TYPE_CHECKING:
    from wxr_plugin.conditioning.clip import ClipGuide

BATCH = 256
NAMED = 3
"""How many photos without description are named in the log; the rest are only counted."""


class DescriptionFeatures:
    """The text features of photos and crops, by key; each distinct text is encoded once, when this is made.

    Args:
        guide: the CLIP whose image features will be compared with them.
        texts: for each key the description with its weather and the rewrite for clear weather
            (d_neg, d_pos), as `LabelStore.texts()` gives them.
    """

    def __init__(self, guide: "ClipGuide", texts: Mapping[str, tuple[str, str]]):
        self.passed_over: set[str] = set()
        """Photos that were asked for and have no texts."""
        distinct = list(dict.fromkeys(text for pair in texts.values() for text in pair))
        row = {text: number for number, text in enumerate(distinct)}
        self._rows = {
            key: (row[negative], row[positive]) for key, (negative, positive) in texts.items()
        }
        self._features = _encode(guide, distinct)

    def lookup(self, keys: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
        """Which of `keys` have texts, and their features: rows (M,) long, negative (M, D), positive (M, D).

        A crop (`photo@left,top,right,bottom`) without texts of its own takes its photo's. The rest
        is passed over; the first few are named in the log.
        """
        found = [(number, self._of(key)) for number, key in enumerate(keys)]
        self._note([keys[number] for number, texts in found if texts is None])
        found = [(number, *texts) for number, texts in found if texts is not None]
        rows, negative, positive = (
            torch.tensor(found, dtype=torch.long).view(-1, 3).to(self._features.device).T
        )
        return rows, self._features[negative], self._features[positive]

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Those of `keys` that have no texts, nor has the photo they are crops of."""
        return [key for key in keys if self._of(key) is None]

    def _of(self, key: str) -> tuple[int, int] | None:
        return self._rows.get(key) or self._rows.get(photo_of(key))

    def _note(self, keys: list[str]) -> None:
        for photo in map(photo_of, keys):
            if photo in self.passed_over:
                continue
            self.passed_over.add(photo)
            if len(self.passed_over) <= NAMED:
                more = "" if len(self.passed_over) < NAMED else "; further ones are not named here"
                logging.getLogger("basicsr").warning(
                    f"photo '{photo}' has no description with its rewrite, so L_sem passes it "
                    f"over: make them with "
                    f"`wxr label describe` and `wxr label rewrite`{more}"
                )


def photo_of(key: str) -> str:
    """The key of the photo that `key` is, or is a crop of."""
    return split_key(key)[0]


@torch.no_grad()
def _encode(guide: "ClipGuide", texts: list[str]) -> Tensor:
    if not texts:
        return guide.encode_text([""])[:0]
    return torch.cat(
        [guide.encode_text(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
    )
