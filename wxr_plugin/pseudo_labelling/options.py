"""What WResVLMModel adds to the `train` block."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from wxr_plugin.options.train import WxrTrainOptions
from wxr_plugin.pseudo_labelling.rating_device import wrong_device
from wxr_plugin.pseudo_labelling.strong_augment import StrongAugmentOptions
from wxr_plugin.schema import AtLeastOne, Block, Loss, NotNegative, Rater

Chance = Annotated[float, Meta(ge=0, le=1)]


class AsyncOptions(Block):
    """Rating in a process of its own; training never waits for it."""

    device: str | list[str] | None = None
    """Where that process has its rater: cpu, cuda:1, …, cuda:{rank} with the rank within the node, or a list with a
    device for each rank (used round where it is shorter). When absent the rater's own `device`, or
    else the GPU that the same rank trains on."""
    queue: AtLeastOne = 16
    """Crops that may wait for their rating, with the newest image of each; where more would wait, the least promising
    by the proxy (without one, the last that came) are forgotten."""
    batch: AtLeastOne = 8
    """Crops that are rated in one call."""
    restarts: NotNegative = 3
    """How often a process that died is started again; after that, training goes on with the labels there are."""

    def __post_init__(self) -> None:
        if wrong := wrong_device(self.device):
            raise ValueError(wrong)


class ProxyOptions(Block):
    """A small head on CLIP features, fitted to the rater's own ratings, that decides which images it is asked about."""

    threshold: Chance = 0.1
    """Ask where the chance that an image beats its pseudo-label is at least this; 0 asks about all."""
    explore: Chance = 0.02
    """Ask about this share of the others anyway, so that a wrong head learns."""
    clip: str | None = None
    """CLIP of the features, as for the losses; theirs when absent, or else the packaged tiny one."""


class RatingOptions(Block):
    """How often, where and about what the rater is asked."""

    every: AtLeastOne = 1
    """Rate each crop at most once in so many iterations; between two ratings the teacher does not restore it either."""
    margin: Annotated[float, Meta(ge=-4, le=4)] = 0.0
    """A new image replaces a pseudo-label only where it is rated higher by more than this.

    The paper has none; 0.02 to
    0.05 leaves out changes too small to see, and most of what there is to rate with them. Below 0
    the newer image also wins where it is rated lower by less, so that labels do not grow old."""
    async_: AsyncOptions | None = msgspec.field(default=None, name="async")
    """Rate in another process, say on another GPU.

    Off when absent: training waits for the ratings.
    """
    proxy: ProxyOptions | None = None
    """Ask only about images that may beat their pseudo-label. Off when absent."""


class WResVLMTrainOptions(WxrTrainOptions):
    """Keys of the `train` block, beside those of WxrModel. A loss that is absent is off."""

    ema_decay: Annotated[float, Meta(gt=0, lt=1)]
    """Decay of the teacher, which is the moving average of the student."""
    pixel_opt: Loss
    """L_sup, say {type: L1Loss}."""
    pseudo_opt: Loss | None = None
    """L_ps, a PseudoLabelLoss or one that is called alike (images, labels, ratings); w1, 0.5 in the paper, is its
    loss_weight."""
    weather_prompt_opt: Loss | None = None
    """L_wpl, a WeatherPromptLoss or one with a `guide` whose image features it takes; w2, 0.2 in the paper, is its
    loss_weight."""
    semantic_opt: Loss | None = None
    """L_sem, a SemanticLoss or one that is called alike (image features, positive, negative); w3, 0.05 in the paper, is
    its loss_weight. Its texts are those of `labels`."""
    feature_opt: Loss | None = None
    """L_feat, a DepthFeatureLoss or one that is called alike (features of the restored photo, of its label, of the
    photo); w4, 0.2 in the paper, is its loss_weight."""
    rater: Rater = {}
    """What rates: a vision-language model, a metric of pyiqa or a server (docs/raters.md); the packaged tiny model when
    absent."""
    rating: RatingOptions = msgspec.field(default_factory=RatingOptions)
    """What the rating may cost; without it every image of the teacher is rated, while training waits."""
    gate: Literal["rating", "strict", "teacher"] = "rating"
    """What the pseudo-label is. rating: the best-rated image so far. strict: the same, and a new one has to be rated
    better than the student's own image too, as in Semi-UIR. teacher: the teacher's current image,
    whatever it looks like (mean teacher); nothing is rated or stored."""
    labels: str | None = None
    """Label store of the pseudo-labels and texts; labels.lmdb in the experiment's folder when absent.

    With several
    nodes, a folder on each node's own disk."""
    strong_augment: StrongAugmentOptions | None = None
    """Changes to the photos that the student sees; the teacher and the rater see them as they are.

    Off when absent.
    """
    ema_warmup: bool = True
    """Bound the teacher's decay by 1 - 1 / (updates + 1), as Semi-UIR does, so that it follows quickly at first. A
    round that starts from a teacher of the round before should set it to false."""

    @property
    def needs_labels(self) -> bool:
        """Whether pseudo-labels of a store take part: a loss compares with them, and they are not the teacher's."""
        return self.gate != "teacher" and bool(self.pseudo_opt or self.feature_opt)

    def __post_init__(self) -> None:
        super().__post_init__()
        if wrong := contradictions(self):
            raise ValueError("; ".join(wrong))


def contradictions(options: WResVLMTrainOptions) -> list[str]:
    """Everything in `options` that does not go together, each with its mend."""
    clips = named_clips(options)
    pseudo, wrong = options.pseudo_opt or {}, []
    if len(set(clips.values())) > 1:
        named = ", ".join(f"{key}: {clip}" for key, clip in clips.items())
        wrong.append(
            f"one CLIP forward serves all of a run, but the options name several ({named}): name "
            f"one"
        )
    if options.semantic_opt and not options.labels:
        mend = "set labels to the store that `wxr label describe` and `wxr label rewrite` filled"
        wrong.append(f"semantic_opt needs the texts of a label store: {mend}")
    if options.gate == "teacher" and pseudo.get("by_rating"):
        wrong.append(
            "pseudo_opt.by_rating weighs by ratings, and gate: teacher rates nothing: take one of "
            "them out"
        )
    if options.gate == "teacher" and (
        options.rating.async_ or options.rating.proxy or options.rating.every > 1
    ):
        wrong.append(
            "rating says what may be rated, and gate: teacher rates nothing: take one of them out"
        )
    if not options.needs_labels and options.gate == "strict":
        wrong.append(
            "gate: strict chooses pseudo-labels, which no loss uses: add pseudo_opt, or take the "
            "gate out"
        )
    return wrong


def named_clips(options: WResVLMTrainOptions) -> dict[str, str]:
    """Key -> the CLIP that it names; a loss of this package that names none uses tiny."""
    blocks = {
        "weather_prompt_opt": options.weather_prompt_opt,
        "semantic_opt": options.semantic_opt,
    }
    found = {key: _clip_of(block) for key, block in blocks.items() if block}
    if options.rating.proxy and options.rating.proxy.clip:
        found["rating.proxy"] = options.rating.proxy.clip
    return {key: clip for key, clip in found.items() if clip}


def _clip_of(block: Mapping[str, Any]) -> str | None:
    own = block.get("type") in ("WeatherPromptLoss", "SemanticLoss")
    return block.get("clip", "tiny" if own else None)
