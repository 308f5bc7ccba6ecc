"""Pictures for the rater: the bare crop, or the crop in its surroundings.

A rater judges a photo better than a crop of some hundred pixels (docs/wresvlm.md has figures), but
training works on crops. With `train.rating.context: PIXELS` every image of a crop is therefore
pasted into its surroundings, PIXELS on every side, and that larger picture is rated:

1. The data set cuts the surroundings (`RealWeatherDataset`, option `context`), because only its
   workers have the photo. They end at the photo's borders. Crops of real photos are never turned
   or mirrored, so their key is enough to find the crop's place in the picture.
2. Where the label store has a pseudo-label of the whole photo, the surroundings are cut from that
   image instead (`LabelReader.surroundings`): most of the weather is then gone around the crop.
   Labels of other crops do not enter, so the surroundings of a crop never change in a training.
3. All images of a crop (label, the teacher's, the student's) are pasted into the same surroundings.
4. A rating holds in its surroundings alone. The `rater` of a stored pseudo-label therefore names
   both, as `RATER@SURROUNDINGS`, each a hash. A label with another name is rated again, for example
   if the panel has replaced the label of its photo between two rounds.

The names are in the store and the pictures in the batch, so neither adds to the training state, and
clients, proxy and ranks only handle other pictures than before. With `train.rating.mirrored` the
rating is the mean over the picture and its mirror image.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from wxr_plugin.data.crops import Box
from wxr_plugin.data.real_photos import split_key
from wxr_plugin.errors import OptionError
from wxr_plugin.labels.store import content_hash

SEPARATOR = "@"
"""Between the hash of a rater and that of the surroundings."""


class Surroundings(NamedTuple):
    """A part of a photo, or of its pseudo-label, in which a crop lies."""

    key: str
    """Its name, `photo@left,top,right,bottom`."""
    picture: np.ndarray
    """uint8 RGB (H, W, 3)."""
    hole: Box
    """The place of the crop in `picture`."""

    def filled(self, image: np.ndarray) -> np.ndarray:
        """Return the picture with a crop (h, w, 3) in the hole.

        The crop of a photo that is smaller than the crops is padded at the right and the bottom;
        the padding is left out.
        """
        left, top, right, bottom = self.hole
        picture = self.picture.copy()
        picture[top:bottom, left:right] = image[: bottom - top, : right - left]
        return picture

    @property
    def digest(self) -> str:
        """Hash of everything but the content of the hole."""
        left, top, right, bottom = self.hole
        picture = self.picture.copy()
        picture[top:bottom, left:right] = 0
        return content_hash(f"{self.hole} {content_hash(picture)}".encode())


class View(NamedTuple):
    """How the images of one crop are shown to the rater."""

    surroundings: Surroundings | None = None
    """The bare crop is shown when None."""
    mirrored: bool = False
    """Whether the mirror image is shown as well."""

    @property
    def count(self) -> int:
        """Number of pictures of an image."""
        return 2 if self.mirrored else 1

    def pictures(self, image: np.ndarray) -> list[np.ndarray]:
        """Return the pictures of the crop `image`, uint8 RGB (H, W, 3)."""
        picture = self.surroundings.filled(image) if self.surroundings else image
        mirror_image = np.ascontiguousarray(picture[:, ::-1])
        return [picture, mirror_image][: self.count]


class ViewSettings(NamedTuple):
    """The options `train.rating.context` and `train.rating.mirrored`."""

    context: int = 0
    mirrored: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether the bare crop is rated, once."""
        return self == PLAIN

    def provenance(self, rater: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a rating depends on, except the image and its surroundings.

        `rater` is the provenance of the rater.
        """
        return dict(rater) if self.is_plain else {**rater, "view": self._asdict()}

    def view(self, surroundings: Surroundings | None) -> View:
        """Return the view of a crop with these surroundings."""
        return View(surroundings, self.mirrored)


PLAIN = ViewSettings()
"""The bare crop, once."""


def rater_name(rater: str, view: View) -> str:
    """Return the name of ratings in `view` by the rater with the provenance hash `rater`."""
    return f"{rater}{SEPARATOR}{view.surroundings.digest}" if view.surroundings else rater


def rater_hash(name: str) -> str:
    """Return the provenance hash in a name of `rater_name`."""
    return name.partition(SEPARATOR)[0]


def batch_surroundings(
    batch: Mapping[str, Any], keys: Sequence[str], side: int, context: int
) -> list[Surroundings]:
    """Return the surroundings of the crops `keys`, of `side` pixels, in a batch.

    Raises:
        OptionError: the data set does not yield them, or others than `context` pixels.
    """
    pictures = batch.get("real_context")
    names = batch.get("real_context_key")
    if pictures is None or names is None or pictures.shape[-1] != side + 2 * context:
        raise OptionError(
            f"train.rating.context: {context} needs the surroundings of crops from the data set: "
            f"set datasets.train.real.context: {context} (SemiSupervisedDataset), or take "
            "rating.context out"
        )
    arrays = pictures.permute(0, 2, 3, 1).cpu().numpy()
    return [_surroundings(*parts) for parts in zip(names, keys, arrays)]


def _surroundings(name: str, key: str, picture: np.ndarray) -> Surroundings:
    """Return the part of a batch's padded `picture` that lies in the photo."""
    _, outer = split_key(name)
    _, box = split_key(key)
    height = outer.bottom - outer.top
    width = outer.right - outer.left
    return Surroundings(name, picture[:height, :width], box.relative_to(outer))
