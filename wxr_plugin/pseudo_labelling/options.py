"""Options that WResVLMModel adds to the `train` block."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from wxr_plugin.options.train import WxrTrainOptions
from wxr_plugin.pseudo_labelling.rating_device import wrong_device
from wxr_plugin.pseudo_labelling.strong_augment import StrongAugmentOptions
from wxr_plugin.schema import AtLeastOne, Block, Loss, NotNegative, Rater

Chance = Annotated[float, Meta(ge=0, le=1)]


class AsyncOptions(Block):
    """Rating in a process of its own, for which training never waits."""

    device: str | list[str] | None = None
    """Device of the rater: cpu, cuda:1, …, cuda:{rank} with the rank within the node, or a list.

    Rank r takes entry r of a list, modulo its length. Default: the rater's own `device`, or else
    the GPU that the same rank trains on.
    """
    queue: AtLeastOne = 16
    """Crops that may wait for their rating, with the newest image of each.

    If more would wait, the least promising by the proxy (without one, the newest) are dropped.
    """
    batch: AtLeastOne = 8
    """Crops that are rated in one call."""
    restarts: NotNegative = 3
    """How often a process that died is started again; after that, no label changes any more."""

    def __post_init__(self) -> None:
        if error := wrong_device(self.device):
            raise ValueError(error)


class ProxyOptions(Block):
    """A small head on CLIP features, fitted to the rater's ratings, that selects images to rate."""

    threshold: Chance = 0.1
    """Rate an image if its probability to beat the pseudo-label is at least this; 0 rates all."""
    explore: Chance = 0.02
    """Rate this share of the others anyway, so that a wrong head learns."""
    clip: str | None = None
    """CLIP of the features, as for the losses. Default: theirs, or else the packaged tiny one."""


class RatingOptions(Block):
    """How often, where and which images are rated."""

    every: AtLeastOne = 1
    """Rate each crop at most once every `every` iterations.

    Between two ratings the teacher does not restore it either.
    """
    margin: Annotated[float, Meta(ge=-4, le=4)] = 0.0
    """A new image replaces a pseudo-label only if it is rated higher by more than this.

    The paper has none; 0.02 to 0.05 leaves out changes too small to see. Below 0 the newer image
    also wins if it is rated lower by less, so that labels do not grow old.
    """
    context: NotNegative = 0
    """Rate crops with their surroundings, this many pixels on every side; 0 rates the bare crop.

    Every image of a crop is pasted into the pseudo-label of the whole photo or, without one, into
    the photo, and that picture is rated. `datasets.train.real.context` must be the same.
    """
    mirrored: bool = False
    """Rate the mean over an image and its mirror image, at twice the cost."""
    examples: NotNegative = 0
    """Keep this many accepted, and as many refused, images of the teacher for reports.

    They are those of the last crops of each outcome, of the first rank, in gate_examples.msgpack of
    the experiment's folder.
    """
    async_: AsyncOptions | None = msgspec.field(default=None, name="async")
    """Rate in another process, for example on another GPU.

    Default: off, training waits for the ratings.
    """
    proxy: ProxyOptions | None = None
    """Rate only images that may beat their pseudo-label. Default: off."""


class WResVLMTrainOptions(WxrTrainOptions):
    """Keys of the `train` block in addition to those of WxrModel. A loss that is absent is off."""

    ema_decay: Annotated[float, Meta(gt=0, lt=1)]
    """Decay of the teacher, which is the moving average of the student."""
    pixel_opt: Loss
    """L_sup, for example {type: L1Loss}."""
    pseudo_opt: Loss | None = None
    """L_ps, a PseudoLabelLoss or one with the same arguments (images, labels, ratings).

    w1, 0.5 in the paper, is its loss_weight.
    """
    weather_prompt_opt: Loss | None = None
    """L_wpl, a WeatherPromptLoss or one that takes image features of its `guide`.

    w2, 0.2 in the paper, is its loss_weight.
    """
    semantic_opt: Loss | None = None
    """L_sem, a SemanticLoss or one with the same arguments (image features, positive, negative).

    w3, 0.05 in the paper, is its loss_weight. Its texts are those of `labels`.
    """
    feature_opt: Loss | None = None
    """L_feat, a DepthFeatureLoss or one with the same arguments.

    These are features of the restored photo, of its label and of the photo. w4, 0.2 in the paper,
    is its loss_weight.
    """
    rater: Rater = {}
    """A vision-language model, a metric of pyiqa or a server (docs/raters.md).

    Default: the packaged tiny model.
    """
    rating: RatingOptions = msgspec.field(default_factory=RatingOptions)
    """Limits of the cost of rating.

    Default: every image of the teacher is rated, while training waits.
    """
    gate: Literal["rating", "strict", "teacher"] = "rating"
    """Choice of the pseudo-label.

    rating: the best-rated image so far. strict: the same, and a new one has to be rated better than
    the student's own image too, as in Semi-UIR. teacher: the teacher's current image, however good
    (mean teacher); nothing is rated or stored.
    """
    labels: str | None = None
    """Label store of the pseudo-labels and texts.

    Default: labels.lmdb in the experiment's folder. With several nodes, a folder on each node's own
    disk.
    """
    strong_augment: StrongAugmentOptions | None = None
    """Changes to the photos that the student sees; the teacher and the rater see the originals.

    Default: off.
    """
    ema_warmup: bool = True
    """Bound the teacher's decay by 1 - 1 / (updates + 1), as Semi-UIR does.

    It then follows quickly at first. A round that starts from a teacher of the round before should
    set it to false.
    """

    @property
    def needs_labels(self) -> bool:
        """Whether a loss compares with stored pseudo-labels, see `needs_labels`."""
        return needs_labels(msgspec.structs.asdict(self))

    def __post_init__(self) -> None:
        super().__post_init__()
        if errors := contradictions(self):
            raise ValueError("; ".join(errors))


def needs_labels(train: Mapping[str, Any]) -> bool:
    """Return whether a loss of the `train` block compares with pseudo-labels of a store.

    With `gate: teacher` the losses compare with the teacher's current images instead.
    """
    compares = train.get("pseudo_opt") or train.get("feature_opt")
    return bool(compares) and train.get("gate") != "teacher"


def contradictions(options: WResVLMTrainOptions) -> list[str]:
    """Return a line for each contradiction in `options`, with its fix."""
    return [line for line in (_clip_error(options), *_gate_errors(options)) if line]


def named_clips(options: WResVLMTrainOptions) -> dict[str, str]:
    """Return key -> name of its CLIP; a loss of this package without a name uses tiny."""
    blocks = {
        "weather_prompt_opt": options.weather_prompt_opt,
        "semantic_opt": options.semantic_opt,
    }
    clips = {key: _clip_of(block) for key, block in blocks.items() if block}
    if options.rating.proxy:
        clips["rating.proxy"] = options.rating.proxy.clip
    return {key: clip for key, clip in clips.items() if clip}


def _clip_error(options: WResVLMTrainOptions) -> str | None:
    clips = named_clips(options)
    if len(set(clips.values())) < 2:
        return None
    names = ", ".join(f"{key}: {clip}" for key, clip in clips.items())
    return f"one CLIP forward serves all of a run, but the options name several ({names}): name one"


def _gate_errors(options: WResVLMTrainOptions) -> Iterator[str]:
    if options.semantic_opt and not options.labels:
        yield (
            "semantic_opt needs the texts of a label store: set labels to the store that "
            "`wxr label describe` and `wxr label rewrite` filled"
        )
    rating = options.rating
    if options.gate == "teacher" and (options.pseudo_opt or {}).get("by_rating"):
        yield (
            "pseudo_opt.by_rating weighs by ratings, and gate: teacher rates nothing: remove one "
            "of them"
        )
    changes_view = rating.context or rating.mirrored
    if options.gate == "teacher" and (
        rating.async_ or rating.proxy or rating.every > 1 or changes_view or rating.examples
    ):
        yield "rating limits what is rated, and gate: teacher rates nothing: remove one of them"
    if options.gate == "strict" and not options.needs_labels:
        yield (
            "gate: strict chooses pseudo-labels, which no loss uses: add pseudo_opt, or remove the "
            "gate"
        )


def _clip_of(block: Mapping[str, Any]) -> str | None:
    is_ours = block.get("type") in ("WeatherPromptLoss", "SemanticLoss")
    return block.get("clip", "tiny" if is_ours else None)
