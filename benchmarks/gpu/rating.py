"""Rating with a model of LLaVA-1.5-7B's size: photos a second, and the share of the peak."""

from functools import partial

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

import wxr_plugin  # noqa: F401
from benchmarks.gpu.bench import Bench, Figure
from benchmarks.gpu.machine import matmul_peak
from benchmarks.gpu.random_rater import RandomLlavaOptions, RandomLlavaRater
from wxr_plugin.data.packaged_photos import packaged_photo
from wxr_plugin.vlm.inputs import to_uint8

BATCHES = (1, 8, 32)
TINY_BATCHES = (1, 3)
CROP = 256
"""Side of the rated crops, as in training."""


def run(bench: Bench) -> None:
    """Measure building, `rate` and the model alone at every batch size."""
    peak = bench.case("matrix product, bfloat16", partial(matmul_peak, bench), 3)
    raters: list[RandomLlavaRater] = []
    bench.case("building the rater on the device", partial(_built, bench, raters), 15)
    for batch in _batches(bench) if raters else ():
        raters[0].batch_size = batch
        bench.case(f"rate(), batch {batch}", partial(rate, bench, raters[0], batch), 8)
        bench.case(
            f"model alone, batch {batch}", partial(model_alone, bench, raters[0], batch, peak), 8
        )


def build(bench: Bench, batch_size: int = 8) -> RandomLlavaRater:
    """Return the rater on the bench's device, in bfloat16."""
    return RandomLlavaRater(RandomLlavaOptions(**rater_block(bench, batch_size)))


def rater_block(bench: Bench, batch_size: int) -> dict[str, object]:
    """Return the `rater` block of such a rater."""
    size = "tiny" if bench.tiny else "7b"
    return {
        "type": "RandomLlavaRater",
        "size": size,
        "device": str(bench.device),
        "batch_size": batch_size,
    }


def crops(count: int, size: int = CROP) -> list[np.ndarray]:
    """Return `count` uint8 RGB crops (size, size, 3) of packaged photos."""
    photo = packaged_photo("china")
    rng = np.random.default_rng(0)
    corners = []
    for _ in range(count):
        corners.append([int(rng.integers(side - size)) for side in photo.shape[:2]])
    return [np.ascontiguousarray(photo[y : y + size, x : x + size]) for y, x in corners]


def rate(bench: Bench, rater: RandomLlavaRater, batch: int) -> Figure:
    """Measure `rate` as training calls it: uint8 images in, ratings on the CPU out."""
    images = crops(batch)
    if not rater.rate(images).rating.isfinite().all():
        raise ValueError("a rating is not finite")
    timing = bench.time(partial(rater.rate, images), longest=6)
    return timing.rate(batch, "photos/s", f"{timing.milliseconds().value:.4g} ms a call")


def model_alone(bench: Bench, rater: RandomLlavaRater, batch: int, peak: Figure | None) -> Figure:
    """Measure the forward pass on inputs on the device; the note has its share of the peak."""
    inputs = rater.vlm.question(rater.prompt)(to_uint8(crops(batch)))
    inputs = {name: rater.vlm._moved(value) for name, value in inputs.items()}

    @torch.inference_mode()
    def forward() -> torch.Tensor:
        return rater.vlm.model(**inputs, use_cache=False, logits_to_keep=1).logits

    with FlopCounterMode(display=False) as counter:
        forward()
    timing = bench.time(forward, longest=6)
    tflops = counter.get_total_flops() / 1e12
    reached = timing.rate(tflops, "TFLOP/s").value
    share = f", {reached / peak.value:.0%} of the matrix product's" if peak else ""
    tokens = inputs["input_ids"].shape[1]
    note = f"{tokens} tokens and {tflops / batch:.3g} TFLOP a photo; {reached:.4g} TFLOP/s{share}"
    return timing.rate(batch, "photos/s", note)


def _batches(bench: Bench) -> tuple[int, ...]:
    return TINY_BATCHES if bench.tiny else BATCHES


def _built(bench: Bench, raters: list[RandomLlavaRater]) -> Figure:
    """Add the rater to `raters`, timed once."""
    timing = bench.once(lambda: raters.append(build(bench)))
    count = sum(parameter.numel() for parameter in raters[0].vlm.model.parameters())
    return timing.seconds_figure(f"{count / 1e9:.2f} billion parameters")
