"""Cost of drawing each degradation on the fly: CPU milliseconds a 256 x 256 crop, one thread.

python benchmarks/degradation_cost.py [REPETITIONS]
"""

import sys
import time
from functools import partial

import cv2
import numpy as np
from skimage.data import astronaut

from wxr_plugin.data.degradations.apply import degrade
from wxr_plugin.data.degradations.wild import wild_degrade
from wxr_plugin.data.degradations.words import DEGRADATIONS


def milliseconds(draw, repetitions: int) -> float:
    """Return the CPU time of `draw(rng)`, the mean over `repetitions` seeds."""
    draw(np.random.default_rng(0))
    start = time.process_time()
    for seed in range(repetitions):
        draw(np.random.default_rng(seed))
    return 1000 * (time.process_time() - start) / repetitions


def main(repetitions: int) -> None:
    """Print a line a degradation."""
    cv2.setNumThreads(1)
    photo = np.ascontiguousarray(astronaut()[:256, :256]).astype(np.float32) / 255
    for word in DEGRADATIONS:
        cost = milliseconds(partial(degrade, photo, word, 0.8), repetitions)
        print(f"{word:16} {cost:5.1f}")
    print(f"{'wild':16} {milliseconds(lambda rng: wild_degrade(photo, rng), repetitions):5.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
