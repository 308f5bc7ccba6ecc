"""Learning weather prompts from start to end: photos, restored photos, held-out accuracy."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, TypeVar

import torch
from msgspec import Meta

from wxr_plugin.conditioning.prompts import WeatherPrompts, accuracy, fit, soft_targets
from wxr_plugin.prompt_learning.photos import EncodedPhotos, Photo, encode, list_photos
from wxr_plugin.prompt_learning.restored import EncodedRestorations, encode_restored
from wxr_plugin.schema import AtLeastOne, Block, NotNegative

if TYPE_CHECKING:
    from wxr_plugin.conditioning.clip import ClipGuide

T = TypeVar("T")
Track = Callable[[Iterable[T], str], Iterable[T]]
"""Shows how far an iteration has come; called with it and a word for it, as rich's `track`."""


class PromptPhotoOptions(Block):
    """The photos of weather prompts, and how they are looked at."""

    clip: str = "tiny"
    """CLIP, as `load_clip` takes it: tiny, or ARCHITECTURE:WEIGHTS of open_clip."""
    photos: dict[Literal["clear", "rain", "haze", "snow"], str] = {}
    """Folder or .lmdb of photos of each weather."""
    synthetic: str | None = None
    """Folder or .lmdb of clear photos, to be used in all four weathers."""
    crops: NotNegative = 4
    """Random crops of each photo beside the whole."""
    crop_size: AtLeastOne = 224
    """Their side in pixels; take that of the training crops."""
    seed: int = 0
    """Of the held-out fifth, crops, weather and start."""


class PromptOptions(PromptPhotoOptions):
    """All that `wxr prompts learn` needs but the file to write."""

    pseudo_labels: str | None = None
    """Label store whose pseudo-labels, restored photos, join the photos."""
    iterations: AtLeastOne = 200
    """Steps of Adam; 200 suits the tiny CLIP."""
    lr: Annotated[float, Meta(gt=0)] = 2e-3
    """Learning rate; 2e-3 suits the tiny CLIP."""


class LearntPrompts(NamedTuple):
    """Prompts and how well they sort what they did not see."""

    prompts: WeatherPrompts
    accuracy: dict[str, float]
    """Share of held-out photos and crops sorted rightly, for each weather that occurs and "all" (their mean)."""
    held_out: int
    """How many photos and crops that were."""
    restored: EncodedRestorations | None
    """The restored photos that joined, and how many were left out; None without a label store."""
    bad: list[str]
    """What was wrong with each photo that was passed over."""


def learn_prompts(
    options: PromptOptions,
    track: Track = lambda items, _: items,
    device: torch.device | str | None = None,
) -> LearntPrompts:
    """Encode all photos once, fit prompts to four fifths of them and to the restored ones, test them on the rest.

    The CLIP computes on `device`, CUDA where there is one when None.

    Raises:
        PromptError: a weather without photos; it is named.
        WxrError: a CLIP or label store that cannot be opened.
    """
    from wxr_plugin.conditioning.clip import load_clip

    guide = load_clip(options.clip, device)
    photos = list_photos(options.photos, options.synthetic, options.seed)
    data = encode_photos(options, guide, photos, track)
    restored = _restored(options, guide, photos, track) if options.pseudo_labels else None
    features, targets = data.features[~data.held_out], soft_targets(data.classes[~data.held_out])
    if restored and restored.used:
        features, targets = (
            torch.cat([features, restored.features]),
            torch.cat([targets, restored.targets]),
        )
    steps = track(range(options.iterations), "learning")
    prompts = fit(features, targets, guide, steps, options.lr, seed=options.seed)
    shares = accuracy(prompts, data.features[data.held_out], data.classes[data.held_out], guide)
    return LearntPrompts(prompts, shares, int(data.held_out.sum()), restored, data.bad)


def encode_photos(
    options: PromptPhotoOptions,
    guide: "ClipGuide",
    photos: list[Photo],
    track: Track = lambda items, _: items,
) -> EncodedPhotos:
    """`encode` as the options say."""
    return encode(track(photos, "encoding"), guide, options.crops, options.crop_size, options.seed)


def _restored(
    options: PromptOptions, guide: "ClipGuide", photos: list[Photo], track: Track
) -> EncodedRestorations:
    from wxr_plugin.labels.store import LabelStore

    with LabelStore(options.pseudo_labels, readonly=True) as store:
        labels = store.pseudo_labels()
    held_out = {
        f"{photo.weather}/{photo.key}" for photo in photos if photo.held_out and not photo.synthetic
    }
    shown = track(labels, "encoding restored photos")
    return encode_restored(shown, guide, held_out, options.crops, options.crop_size, options.seed)
