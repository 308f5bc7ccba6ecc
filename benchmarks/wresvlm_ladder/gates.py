"""Floor and ceiling of the rating gate, as a plug-in: a random rater, and one with the truth.

`RandomRater` rates by the hash of an image, so it keeps any image as likely as another; what its
row gains comes from training with stored labels at all. `TruthRater` rates by the PSNR of a crop,
for which it needs the crop's name: `TruthGateModel` passes that on.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from basicsr.utils.registry import MODEL_REGISTRY

from wxr_plugin.data.crops import crop
from wxr_plugin.data.real_photos import RealPhotos, split_key
from wxr_plugin.labels.store import content_hash
from wxr_plugin.models.wresvlm_model import WResVLMModel
from wxr_plugin.pseudo_labelling.gate import ImageRating, RatingRequest, with_ratings
from wxr_plugin.pseudo_labelling.rating_client import SyncRatingClient
from wxr_plugin.schema import Block, ExistingPath
from wxr_plugin.vlm.rater import Ratings
from wxr_plugin.vlm.registries import RATER_REGISTRY

BEST_PSNR = 50.0
"""PSNR in dB with the highest rating, which no restoration here comes near."""


class RandomRaterOptions(Block):
    """Options of RandomRater."""

    type: str = "RandomRater"


@RATER_REGISTRY.register()
class RandomRater:
    """Rater whose ratings are uniform in [1, 5] and depend on the pixels alone."""

    Options = RandomRaterOptions

    def __init__(self, options: RandomRaterOptions):
        self.provenance = {"type": "random gate"}

    def rate(self, images: list[np.ndarray]) -> Ratings:
        """Return a rating for each uint8 RGB image (H, W, 3)."""
        shares = [int(content_hash(image)[:8], 16) / 0xFFFFFFFF for image in images]
        return Ratings(1 + 4 * torch.tensor(shares), torch.full((len(images), 5), torch.nan))


class TruthRaterOptions(Block):
    """Options of TruthRater."""

    truth: ExistingPath
    """Folder of the clear photos, named like those of the training."""
    type: str = "TruthRater"


@RATER_REGISTRY.register()
class TruthRater:
    """Rater by PSNR, as 1 + 4 PSNR / BEST_PSNR: of crops by name, of whole photos by likeness."""

    Options = TruthRaterOptions

    def __init__(self, options: TruthRaterOptions):
        self.provenance = {"type": "oracle gate"}
        self._unique: list[np.ndarray] | None = None
        self._photos = RealPhotos(options.truth)
        self._photo = lru_cache(maxsize=8)(self._photos.read)

    def rate(self, images: list[np.ndarray]) -> Ratings:
        """Return ratings of whole photos (a panel's), each by the truth that it is nearest to.

        Raises:
            TypeError: no truth has the size of an image; pixels do not say which crop they are of.
        """
        ratings = torch.tensor([self._rate_photo(image) for image in images])
        return Ratings(ratings, torch.full((len(images), 5), torch.nan))

    def _rate_photo(self, image: np.ndarray) -> float:
        truths = [truth for truth in self._truths() if truth.shape == image.shape]
        if not truths:
            raise TypeError("TruthRater needs the names of crops: use model_type: TruthGateModel")
        return max(rating(image, truth) for truth in truths)

    def _truths(self) -> list[np.ndarray]:
        """Return every truth once: a photo may be there under several weathers."""
        if self._unique is None:
            keys = self._photos.keys()
            truths = [self._photos.read(key) for key in keys]
            self._unique = list({content_hash(truth): truth for truth in truths}.values())
        return self._unique

    def rate_crop(self, key: str, image: np.ndarray) -> ImageRating:
        """Return the rating of the uint8 RGB crop `image` (S, S, 3) called `key`."""
        name, box = split_key(key)
        truth = crop(self._photo(name), box, len(image))
        return ImageRating(rating(image, truth), (np.nan,) * 5)


def rating(image: np.ndarray, truth: np.ndarray) -> float:
    """Return the rating of a uint8 image (H, W, 3) by its PSNR to the truth."""
    error = np.mean((image.astype(np.float64) - truth) ** 2)
    psnr = 10 * np.log10(255**2 / max(error, 1e-10))
    return float(1 + 4 * min(psnr / BEST_PSNR, 1.0))


class TruthClient(SyncRatingClient):
    """Rating client that gives a TruthRater the names of crops."""

    def rate(self, requests: Sequence[RatingRequest]) -> list[RatingRequest]:
        """Return the rated requests."""
        ratings = []
        for request in requests:
            ratings += [self.rater.rate_crop(request.key, image) for image in request.unrated()]
        self.rated += len(ratings)
        return with_ratings(requests, ratings)


@MODEL_REGISTRY.register()
class TruthGateModel(WResVLMModel):
    """WResVLMModel whose pseudo-labels are chosen by a TruthRater."""

    def init_training_settings(self) -> None:
        """Set up training as WResVLMModel does, then put the client that passes names on."""
        super().init_training_settings()
        self.labels.client = TruthClient(self.labels.client.rater)
