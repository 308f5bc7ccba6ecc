"""Learning of weather prompts: encode photos, fit prompts, measure the held-out accuracy."""

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
"""Wrapper of an iterable, called with it and a label, that shows its progress (`rich.track`)."""


class PromptPhotoOptions(Block):
    """Options of the photos for weather prompts and of their encoding."""

    clip: str = "tiny"
    """CLIP to use: tiny, ARCHITECTURE:WEIGHTS of open_clip, hf://OWNER/NAME (see `load_clip`)."""
    photos: dict[Literal["clear", "rain", "haze", "snow"], str] = {}
    """Folder or .lmdb of photos of each weather."""
    synthetic: str | None = None
    """Folder or .lmdb of clear photos; synthetic weather is added for the other three classes."""
    crops: NotNegative = 4
    """Number of random crops of each photo, in addition to the whole photo."""
    crop_size: AtLeastOne = 224
    """Side of the crops in pixels; use the size of the training crops."""
    seed: int = 0
    """Seed of the held-out fifth, the crops, the synthetic weather and the initial prompts."""


class PromptOptions(PromptPhotoOptions):
    """Options of `wxr prompts learn`, except for the output file."""

    match_tone: bool = False
    """Give the clear photos of `synthetic` the tone of a copy with weather.

    No colour cast then counts as clear.
    """
    pseudo_labels: str | None = None
    """Label store; its pseudo-labels, restored photos, are used in addition to the photos."""
    iterations: AtLeastOne = 200
    """Number of steps of Adam; 200 suits the tiny CLIP."""
    lr: Annotated[float, Meta(gt=0)] = 2e-3
    """Learning rate; 2e-3 suits the tiny CLIP."""


class LearntPrompts(NamedTuple):
    """Learnt prompts with their accuracy on held-out photos."""

    prompts: WeatherPrompts
    accuracy: dict[str, float]
    """Weather -> share of held-out photos and crops classified correctly; "all" is the mean.

    Weathers without held-out photos are missing.
    """
    held_out: int
    """Number of held-out photos and crops."""
    restored: EncodedRestorations | None
    """Restored photos that were used, with counts of the others; None without a label store."""
    bad: list[str]
    """Error message of each photo that was skipped."""


def learn_prompts(
    options: PromptOptions,
    track: Track = lambda items, _: items,
    device: torch.device | str | None = None,
) -> LearntPrompts:
    """Learn weather prompts, and measure their accuracy on a fifth of the photos.

    Each photo is encoded once. The prompts are fitted to the restored photos and to the photos that
    are not held out.

    Args:
        options: the photos, the CLIP and the training.
        track: shows the progress of a stage.
        device: device of the CLIP; by default CUDA if available, else the CPU.

    Raises:
        PromptError: a weather has no photos; the message names it.
        WxrError: the CLIP or the label store cannot be opened.
    """
    from wxr_plugin.conditioning.clip import load_clip

    guide = load_clip(options.clip, device)
    photos = list_photos(options.photos, options.synthetic, options.seed)
    data = encode_photos(options, guide, photos, track, options.match_tone)
    restored = _restored(options, guide, photos, track) if options.pseudo_labels else None
    seen, held_out = ~data.held_out, data.held_out
    features = data.features[seen]  # (N, D)
    targets = soft_targets(data.classes[seen])  # (N, 4)
    # Restored photos are for training only; the accuracy is measured on photos.
    if restored and restored.used:
        features = torch.cat([features, restored.features])
        targets = torch.cat([targets, restored.targets])
    steps = track(range(options.iterations), "learning")
    prompts = fit(features, targets, guide, steps, options.lr, seed=options.seed)
    shares = accuracy(prompts, data.features[held_out], data.classes[held_out], guide)
    return LearntPrompts(prompts, shares, int(held_out.sum()), restored, data.bad)


def encode_photos(
    options: PromptPhotoOptions,
    guide: "ClipGuide",
    photos: list[Photo],
    track: Track = lambda items, _: items,
    match_tone: bool = False,
) -> EncodedPhotos:
    """Return the features of `photos` with crops and seed of the options (see `encode`)."""
    photos = track(photos, "encoding")
    return encode(photos, guide, options.crops, options.crop_size, options.seed, match_tone)


def _restored(
    options: PromptOptions, guide: "ClipGuide", photos: list[Photo], track: Track
) -> EncodedRestorations:
    from wxr_plugin.labels.store import LabelStore

    with LabelStore(options.pseudo_labels, readonly=True) as store:
        labels = store.pseudo_labels()
    # Keys of pseudo-labels are WEATHER/PHOTO; synthetic photos have no pseudo-labels.
    real = [photo for photo in photos if not photo.synthetic]
    held_out = {f"{photo.weather}/{photo.key}" for photo in real if photo.held_out}
    labels = track(labels, "encoding restored photos")
    return encode_restored(labels, guide, held_out, options.crops, options.crop_size, options.seed)
