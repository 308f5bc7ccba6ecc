"""Metrics of DaCLIPModel's validation: is an embedding nearest to its own text?"""

import numpy as np
from basicsr.utils.registry import METRIC_REGISTRY

from wxr_plugin.errors import OptionError


@METRIC_REGISTRY.register()
def calculate_degradation_accuracy(
    img: np.ndarray, img2: int, top: int = 1, better: str = "higher"
) -> float:
    """Return 1.0 if the right word is among the `top` nearest to a degradation embedding, else 0.0.

    Only for DaCLIPModel, which passes the cosines to all words (K,) as the image and the index of
    the right word as the ground truth. The mean over a set is the degradation accuracy of DA-CLIP's
    slides.

    Raises:
        OptionError: another model calls it, with images.
    """
    return _hit("calculate_degradation_accuracy", img, img2, top)


@METRIC_REGISTRY.register()
def calculate_caption_retrieval(
    img: np.ndarray, img2: int, top: int = 1, better: str = "higher"
) -> float:
    """Return 1.0 if a photo's caption is among the `top` nearest to a content embedding, else 0.0.

    Only for DaCLIPModel, which passes the cosines to all distinct captions of the set (K,) and the
    index of the photo's own. The mean over a set is the recall at `top`, from image to text.

    Raises:
        OptionError: another model calls it, with images.
    """
    return _hit("calculate_caption_retrieval", img, img2, top)


def _hit(name: str, cosines: np.ndarray, own: int, top: int) -> float:
    if np.ndim(cosines) != 1 or not isinstance(own, int | np.integer):
        raise OptionError(
            f"{name} measures the embeddings of DaCLIPModel, not images; remove it from val.metrics"
        )
    # `>=` counts the own text as well: with top 1, a tie is a miss.
    return float((cosines >= cosines[own]).sum() <= top)
