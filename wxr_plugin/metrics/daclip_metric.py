"""What DaCLIPModel validates with: whether an embedding is nearest to its own text."""

import numpy as np
from basicsr.utils.registry import METRIC_REGISTRY

from wxr_plugin.errors import OptionError


@METRIC_REGISTRY.register()
def calculate_degradation_accuracy(
    img: np.ndarray, img2: int, top: int = 1, better: str = "higher"
) -> float:
    """1.0 where the word of a photo's degradation is among the `top` that its degradation embedding is nearest to.

    For DaCLIPModel alone, which puts the cosines to all words (K,) in place of the image, and the
    right word's index in place of the ground truth. The mean over a set is the degradation accuracy
    of DA-CLIP's slides.
    """
    return _hit("calculate_degradation_accuracy", img, img2, top)


@METRIC_REGISTRY.register()
def calculate_caption_retrieval(
    img: np.ndarray, img2: int, top: int = 1, better: str = "higher"
) -> float:
    """1.0 where a photo's own caption is among the `top` of its set that its content embedding is nearest to.

    For DaCLIPModel alone: cosines to all captions of the set (K,), equal ones counted once, and the
    own one's index. The mean over a set is the recall at `top`, from image to text.
    """
    return _hit("calculate_caption_retrieval", img, img2, top)


def _hit(name: str, cosines: np.ndarray, own: int, top: int) -> float:
    if np.ndim(cosines) != 1 or not isinstance(own, int | np.integer):
        raise OptionError(
            f"{name} measures the embeddings of DaCLIPModel, not images; take it out of val.metrics"
        )
    return float((cosines >= cosines[own]).sum() <= top)  # a tie is no hit
