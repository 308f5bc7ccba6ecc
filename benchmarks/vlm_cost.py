"""Cost of rating with an expensive VLM in a WResVLM training, and the loss of rating less.

    python benchmarks/vlm_cost.py [--photos FOLDER] [--iterations 300] [--factor 35] [--begin
    nothing init]

1. A training that rates everything, with the packaged tiny restorer and the packaged tiny LLaVA, on
  packaged photos
   with synthetic weather (or on the photos of a folder). The teacher's images are kept.
2. Steps without rating (`gate: teacher`), and with ratings by another process, in turns, by the
  clock. The rater takes
   `factor` times a step for the images of a batch, which is the paper's situation: LLaVA-7B on
   eight crops is about 35 times the arithmetic of training on them. It sleeps so long, as if a
   second device were busy.
3. Every policy decides on the images of 1, by the package's own code. Where training would wait for
  a rating, its
   seconds are added, not slept; the other process is replaced by a clock that gives an answer when
   it would come. It begins without labels, or with those that `wxr label init --boxes` makes with
   the network that the training starts from: the better rated of the crop itself and its
       restoration, rated by the same rater.

Columns: `added`, what rating adds to a step without it; `share` of the whole step; `calls`, images
rated in an iteration; `agreement`, share of the teacher's images with the same decision (accept or
reject) as with everything rated; `recall`, share of the accepted ones that are accepted too;
`label`, mean rating of the labels at the end, minus that with everything rated; then calls and
agreement in the second half.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import wxr_plugin

# isort: split
from basicsr.data import build_dataset
from basicsr.models import build_model
from torch.utils.data import default_collate

from wxr_plugin.conditioning.clip import load_clip
from wxr_plugin.data.packaged_photos import write_clean, write_unlabelled
from wxr_plugin.inference.restorer import Restorer
from wxr_plugin.labels.store import content_hash
from wxr_plugin.pseudo_labelling.async_rating_client import AsyncRatingClient
from wxr_plugin.pseudo_labelling.gate import TEACHER, image_ratings, to_arrays
from wxr_plugin.pseudo_labelling.online import PseudoLabels
from wxr_plugin.pseudo_labelling.options import AsyncOptions, ProxyOptions
from wxr_plugin.pseudo_labelling.rater_process import Rated, Started
from wxr_plugin.pseudo_labelling.rating_client import SyncRatingClient
from wxr_plugin.pseudo_labelling.rating_proxy import RatingProxy
from wxr_plugin.schema import Block
from wxr_plugin.vlm.rater import Ratings, build_rater
from wxr_plugin.vlm.registries import RATER_REGISTRY

RESTORER = Path(wxr_plugin.__file__).parent / "assets/tiny_restorer/tiny_restorer.safetensors"
NETWORK = {
    "type": "MSBDN",
    "width": 8,
    "bottleneck_blocks": 2,
    "stage_blocks": 1,
    "global_residual": True,
}
BATCH, SIZE, BOXES = 4, 48, 2


class Policy(NamedTuple):
    """Rating by a rule: each crop at most once in `every` iterations, in a process, by a proxy."""

    name: str
    every: int = 1
    aside: bool = False
    proxy: bool = False


class Frame(NamedTuple):
    """One iteration of the training that rates everything."""

    keys: list[str]
    photos: torch.Tensor
    restored: torch.Tensor
    """The teacher's images."""


First = dict[str, tuple[np.ndarray, float]]
"""Labels to begin with: image and rating of a crop."""


class Decisions(NamedTuple):
    """Decisions of a policy on the teacher's images, which are named by (crop, iteration)."""

    accepted: set[tuple[str, int]]
    calls: list[int]
    ratings: dict[str, float]


class SlowOptions(Block):
    """Options of SlowRater."""

    type: str = "SlowRater"
    seconds: float = 0.0
    """Time that an image takes."""


@RATER_REGISTRY.register()
class SlowRater:
    """The packaged tiny LLaVA, as slow as a large one on a device of its own: it sleeps."""

    Options = SlowOptions

    def __init__(self, options: SlowOptions):
        self.seconds, self.tiny = options.seconds, build_rater()
        self.provenance = self.tiny.provenance

    def rate(self, images: list[np.ndarray]) -> Ratings:
        """Return the tiny model's ratings, late."""
        time.sleep(self.seconds * len(images))
        return self.tiny.rate(images)


class KnownRater:
    """The packaged tiny LLaVA, which looks at each image once, whatever policy asks."""

    def __init__(self):
        self.tiny, self.known = build_rater(), {}
        self.provenance = self.tiny.provenance

    def rate(self, images: list[np.ndarray]) -> Ratings:
        """Return the ratings of uint8 RGB images."""
        names = [content_hash(image) for image in images]
        new = {name: image for name, image in zip(names, images) if name not in self.known}
        if new:
            self.known |= dict(zip(new, self.tiny.rate(list(new.values())).rating.tolist()))
        return Ratings(
            torch.tensor([self.known[name] for name in names]), torch.empty(len(names), 5)
        )


class ClockProcess:
    """A RaterProcess by a clock: an answer comes `seconds` an image after its images were sent."""

    def __init__(self, rater: KnownRater, seconds: float):
        self.rater, self.seconds = rater, seconds
        self.now = self.ready = 0.0
        self.images: list[np.ndarray] = []

    def wait(self) -> Started:
        """Do nothing: the rater is ready at once."""
        return Started(self.rater.provenance)

    def send(self, images: list[np.ndarray]) -> None:
        """Start to rate."""
        self.images, self.ready = images, self.now + self.seconds * len(images)

    def messages(self) -> list[Rated]:
        """Return the answer if its time has come."""
        if not self.images or self.now < self.ready:
            return []
        images, self.images = self.images, []
        return [Rated(image_ratings(self.rater.rate(images)))]


def options(root: Path, photos: Path | None, iterations: int, **train: Any) -> dict[str, Any]:
    """Return the options of a training in `root`."""
    paired = {"dataroot_gt": str(root / "clean"), "synthetic": {}}
    real = {"dataroot": str(photos or root / "real"), "boxes_per_image": BOXES}
    data = {"type": "SemiSupervisedDataset", "name": "b", "phase": "train", "gt_size": SIZE}
    paths = {name: str(root / name) for name in ("experiments_root", "models", "training_states")}
    return {
        "name": "vlm_cost",
        "model_type": "WResVLMModel",
        "num_gpu": 0,
        "is_train": True,
        "dist": False,
        "rank": 0,
        "world_size": 1,
        "manual_seed": 0,
        "path": {**paths, "pretrain_network_g": str(RESTORER)},
        "datasets": {"train": {**data, "paired": paired, "real": real}},
        "logger": {"save_checkpoint_freq": iterations, "print_freq": 1},
        "network_g": dict(NETWORK),
        "train": {
            "total_iter": iterations,
            "ema_decay": 0.99,
            "ema_warmup": False,
            "clip_grad": 1.0,
            "optim_g": {"type": "AdamW", "lr": 2e-4, "weight_decay": 0},
            "scheduler": {"type": "cosine", "eta_min": 2e-6},
            "pixel_opt": {"type": "L1Loss"},
            "pseudo_opt": {"type": "PseudoLabelLoss", "loss_weight": 0.5},
            **train,
        },
    }


def batches(opt: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Return batches of both streams, in each of which no photo occurs twice."""
    dataset = build_dataset(opt["datasets"]["train"])
    drawn_batches = []
    for iteration in range(1, count + 1):
        items: dict[str, Any] = {}
        draw = 0
        while len(items) < BATCH:
            item = dataset.draw(
                (BATCH * iteration + draw) % len(dataset), np.random.default_rng((iteration, draw))
            )
            items.setdefault(item["real_key"], item)
            draw += 1
        drawn_batches.append(default_collate(list(items.values())))
    return drawn_batches


def step(model: Any, batch: dict[str, Any], iteration: int) -> float:
    """Train on one batch; the seconds it took."""
    model.update_learning_rate(iteration)
    model.feed_data(batch)
    start = time.perf_counter()
    model.optimize_parameters(iteration)
    return time.perf_counter() - start


def record(opt: dict[str, Any], rater: KnownRater) -> list[Frame]:
    """Train with everything rated; return the teacher's images."""
    model, frames = build_model(opt), []
    model.labels.client.rater = rater
    for iteration, batch in enumerate(batches(opt, opt["train"]["total_iter"]), 1):
        model.feed_data(batch)
        with torch.no_grad():
            frames.append(Frame(batch["real_key"], batch["real"], model._teach(model.real)))
        step(model, batch, iteration)
    return frames


def timed(root: Path, photos: Path | None, factor: float, count: int) -> dict[str, float]:
    """Return the seconds of a step without rating, with a process, and with a process and a proxy.

    The three take turns and each step is compared with the next one without rating, so that
    the other work of the machine counts little.
    """
    aside = {"async": {"batch": BATCH}}
    ways = {
        "teacher": {"gate": "teacher"},
        "async": {"rating": aside},
        "proxy": {"rating": {**aside, "proxy": {}}},
    }
    opts = {name: options(root / name, photos, count, **train) for name, train in ways.items()}
    for opt in opts.values():
        opt["datasets"]["train"]["paired"]["dataroot_gt"] = str(root / "clean")
        opt["datasets"]["train"]["real"]["dataroot"] = str(photos or root / "real")
    data = batches(opts["teacher"], count)
    teacher = build_model(opts["teacher"])
    base = statistics.median(
        [step(teacher, batch, number) for number, batch in enumerate(data[:8], 1)][2:]
    )
    for name in ("async", "proxy"):
        opts[name]["train"]["rater"] = {"type": "SlowRater", "seconds": factor * base / BATCH}
    models = {"teacher": teacher, **{name: build_model(opts[name]) for name in ("async", "proxy")}}
    times: dict[str, list[float]] = {name: [] for name in models}
    for number, batch in enumerate(data, 1):
        for name, model in models.items():
            times[name].append(step(model, batch, number))
    for name in ("async", "proxy"):
        models[name].labels.close()
    base = statistics.median(times["teacher"])
    ratios = {
        name: [way / step for way, step in zip(values, times["teacher"])]
        for name, values in times.items()
    }
    return {name: base * statistics.median(values[2:]) for name, values in ratios.items()}


def first_labels(frames: list[Frame], rater: KnownRater) -> First:
    """Return the better rated one of every crop and its restoration by the starting network."""
    restorer = Restorer.from_checkpoint(RESTORER)
    labels = {}
    photos = {key: photo for frame in frames for key, photo in zip(frame.keys, frame.photos)}
    for key, photo in photos.items():
        images = [to_arrays(photo[None])[0], restorer.restore(to_arrays(photo[None])[0])]
        ratings = rater.rate(images).rating.tolist()
        best = max(range(2), key=ratings.__getitem__)
        labels[key] = (images[best], ratings[best])
    return labels


def decide(
    frames: list[Frame],
    rater: KnownRater,
    policy: Policy,
    margin: float,
    step_s: float,
    image_s: float,
    first: First,
) -> Decisions:
    """Let a policy decide on the recorded images; `step_s` and `image_s` are seconds."""
    torch.manual_seed(0)
    proxy, process = ProxyOptions(), ClockProcess(rater, image_s)
    head = RatingProxy(load_clip("tiny"), proxy.threshold, proxy.explore) if policy.proxy else None
    with tempfile.TemporaryDirectory() as folder:
        client = (
            AsyncRatingClient(lambda: process, AsyncOptions().queue, BATCH)
            if policy.aside
            else SyncRatingClient(rater)
        )
        labels = PseudoLabels(Path(folder) / "labels.lmdb", client, policy.every, head, margin)
        for key, (image, rating) in first.items():
            labels.store.put_pseudo(key, image, rating, "init", 0, labels.rater_hash)
        labels.start()
        accepted, calls = set(), []
        for iteration, frame in enumerate(frames, 1):
            process.now += step_s
            before, rated = dict(labels.ratings), labels.rated
            rows = labels.due(frame.keys, iteration)
            labels.best(
                frame.keys, frame.photos, iteration, rows, frame.restored[rows] if rows else None
            )
            labels.write(iteration)
            for key in (key for key, rating in labels.ratings.items() if rating != before.get(key)):
                source = labels.stored.own(key, labels.rater_hash).source
                accepted |= (
                    {(key, int(source.removeprefix(TEACHER)))}
                    if source.startswith(TEACHER)
                    else set()
                )
            calls.append(labels.rated - rated)
        labels.store.close()
        photos = {key: photo for frame in frames for key, photo in zip(frame.keys, frame.photos)}
        unseen = [key for key in photos if key not in labels.ratings]
        if unseen:  # their label is the photo itself
            ratings = rater.rate(
                to_arrays(torch.stack([photos[key] for key in unseen]))
            ).rating.tolist()
            labels.ratings |= dict(zip(unseen, ratings))
        return Decisions(accepted, calls, labels.ratings)


def compare(frames: list[Frame], found: Decisions, whole: Decisions) -> dict[str, float]:
    """Return agreement, recall, calls and labels of a policy, against rating everything."""
    images = [(key, number) for number, frame in enumerate(frames, 1) for key in frame.keys]
    late = [image for image in images if image[1] > len(frames) / 2]

    def same(part: list) -> float:
        return sum((x in found.accepted) == (x in whole.accepted) for x in part) / len(part)

    gap = [found.ratings[key] - whole.ratings[key] for key in whole.ratings]
    return {
        "calls": sum(found.calls) / len(frames),
        "agreement": same(images),
        "recall": len(found.accepted & whole.accepted) / max(1, len(whole.accepted)),
        "label": sum(gap) / len(gap),
        "late_calls": 2 * sum(found.calls[len(frames) // 2 :]) / len(frames),
        "late": same(late),
    }


def policies(crops: int) -> list[Policy]:
    """Return the policies to compare; `every` is four visits to one of `crops` crops."""
    every = max(1, round(4 * crops / BATCH))
    return [
        Policy("everything"),
        Policy(f"every: {every}", every=every),
        Policy("async", aside=True),
        Policy("proxy", proxy=True),
        Policy("async, proxy", aside=True, proxy=True),
    ]


def report(
    frames: list[Frame],
    rater: KnownRater,
    seconds: dict[str, float],
    factor: float,
    margin: float,
    first: First,
) -> None:
    """Let every policy decide, and print a line for each."""
    base, image_s = seconds["teacher"], factor * seconds["teacher"] / BATCH
    crops = {key for frame in frames for key in frame.keys}
    whole = decide(frames, rater, Policy("everything"), margin, base, image_s, first)
    share = len(whole.accepted) / (len(frames) * BATCH)
    begin = "labels of init" if first else "no labels"
    print(
        f"\n{begin}, margin {margin}, factor {factor:g}: everything accepts {share:.1%} of the "
        f"teacher's images"
    )
    print(
        "policy          added   share  calls  agreement  recall    label | 2nd half: calls  "
        "agreement"
    )
    for policy in policies(len(crops)):
        decisions = decide(frames, rater, policy, margin, base, image_s, first)
        figures = compare(frames, decisions, whole)
        step_s = seconds["proxy" if policy.proxy else "async" if policy.aside else "teacher"]
        waiting = 0.0 if policy.aside else image_s * figures["calls"]
        added = max(0.0, (step_s + waiting - base) / base)
        print(
            f"{policy.name:14s}{added:7.0%}{added / (1 + added):8.0%}"
            f"{figures['calls']:7.2f}{figures['agreement']:11.1%}"
            f"{figures['recall']:8.1%}{figures['label']:9.4f} "
            f"|{figures['late_calls']:16.2f}{figures['late']:11.1%}"
        )


def main() -> None:
    """Record, measure, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--photos", type=Path, help="folder of photos with weather (packaged ones with synthetic)"
    )
    parser.add_argument("--iterations", type=int, default=300, help="of the recorded training")
    parser.add_argument("--timed", type=int, default=30, help="steps by the clock")
    parser.add_argument(
        "--factor",
        type=float,
        nargs="+",
        default=[35.0],
        help="rating a batch over a training step",
    )
    parser.add_argument(
        "--margin", type=float, nargs="+", default=[0.0, 0.02], help="train.rating.margin"
    )
    parser.add_argument(
        "--begin", choices=["nothing", "init"], nargs="+", default=["nothing", "init"]
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_clean(root / "clean")
        if args.photos is None:
            write_unlabelled(root / "real", per_kind=1)
        rater = KnownRater()
        torch.manual_seed(0)
        frames = record(options(root, args.photos, args.iterations), rater)
        seconds = timed(root, args.photos, max(args.factor), args.timed)
        print(
            "seconds of a step: "
            + ", ".join(f"{way} {value:.3f}" for way, value in seconds.items())
        )
        for begin, factor, margin in itertools.product(args.begin, args.factor, args.margin):
            first = first_labels(frames, rater) if begin == "init" else {}
            report(frames, rater, seconds, factor, margin, first)


if __name__ == "__main__":
    main()
