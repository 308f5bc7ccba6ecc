"""Frozen CLIP models of open_clip as guides: image, text and prompt features, differentiable to image and prompt."""

import hashlib
import json
import logging
import pickle
from collections.abc import Sequence
from functools import cache
from importlib import resources
from importlib.resources import files as package_files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

from wxr_plugin.archs.context import Context
from wxr_plugin.conditioning import clip_activation
from wxr_plugin.conditioning.clip_activation import ClipError
from wxr_plugin.conditioning.long_texts import shorten
from wxr_plugin.data.weather.synthesis import WEATHERS

if TYPE_CHECKING:
    from open_clip.tokenizer import SimpleTokenizer

TINY = Path(str(package_files("wxr_plugin"))) / "assets" / "tiny_clip"
TEXTS = resources.files(__package__) / "weather_texts.yml"
BPE = "bpe.txt.gz"


class ClipGuide:
    """A frozen CLIP.

    All features have unit length; images are float RGB (N, 3, H, W) in [0, 1] of any size.
    """

    gives = ("image",)
    """The embeddings of `embed`."""

    def __init__(
        self, model: nn.Module, tokenizer: "SimpleTokenizer", name: str, device: torch.device | str
    ):
        self.name = name
        """What `load_clip` was called with."""
        self.device = torch.device(device)
        self._model = model.float().eval().requires_grad_(False).to(self.device)
        self._tokenizer = tokenizer
        self._text = getattr(model, "text", model)
        self.quick_gelu = clip_activation.has_quick_gelu(model)
        """Whether the activation is OpenAI's QuickGELU; GELU otherwise."""
        self.weights_sha256 = hash_weights(model)
        """Hash of all weights: the same on every machine, whatever file they came from."""
        self.sha256 = clip_activation.identity(self.weights_sha256, self.quick_gelu)
        """Hash of weights and activation: two CLIPs that have the same give the same features."""

    @property
    def visual(self) -> nn.Module:
        """The image tower, as open_clip has it."""
        return self._model.visual

    @property
    def dim(self) -> int:
        """Length of an embedding; the `context_dim` of a network that takes it."""
        return self._model.visual.output_dim

    @property
    def width(self) -> int:
        """Length of a token embedding, and so of each vector of a prompt."""
        return self._text.token_embedding.weight.shape[1]

    @property
    def context_length(self) -> int:
        """The most tokens of a text, the start and the end token among them."""
        return self._text.context_length

    @property
    def logit_scale(self) -> float:
        """The factor on cosines with which this CLIP was trained (100 for OpenAI's)."""
        return float(self._model.logit_scale.exp())

    def encode_image(self, images: Tensor) -> Tensor:
        """Features (N, D) of images; gradients flow to the images.

        Each image is clamped to [0, 1] and resized as a whole to the model's square, with
        antialiasing, as CLIP-LIT (Liang et al., ICCV 2023) does with its crops.
        """
        mode = self.visual.preprocess_cfg["interpolation"]
        resized = fit_square(images.clamp(0, 1), self.visual.image_size, mode)
        return self._model.encode_image(self.normalised(resized), normalize=True)

    def embed(self, images: Tensor, bf16: bool = False) -> Context:
        """Embeddings (N, dim) with which a network is steered: float32, of unit length, without gradients.

        The short side is resized to the model's square and the centre cut out, as CLIP's own
        preparation has it and DA-CLIP's. `bf16` computes under bfloat16 autocast. The result is an
        ordinary tensor, which training may keep.
        """
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16),
        ):
            small = centre_square(images.float().clamp(0, 1), self.visual.image_size).to(
                self.device
            )
            found = self._model.encode_image(self.normalised(small), normalize=True)
        return Context(image=found.float().clone())

    def normalised(self, images: Tensor) -> Tensor:
        """Images in [0, 1] with the mean and the deviation that this CLIP was trained with."""
        mean, std = (
            images.new_tensor(self.visual.preprocess_cfg[key]).view(1, 3, 1, 1)
            for key in ("mean", "std")
        )
        return (images - mean) / std

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Features (K, D) of texts; see `tokenize` for those that are longer than the context."""
        return self._model.encode_text(self.tokenize(texts), normalize=True)

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Token ids (K, context_length): start, text, end, padding.

        A text that does not fit is cut after the last word that does; the log says so once. Within
        a word only where the first one alone is too long.
        """
        fitting = shorten(texts, self._tokenizer, self.context_length, self.name)
        return self._tokenizer(fitting, context_length=self.context_length).to(self.device)

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Token ids (…) to the vectors (…, width) that `encode_prompts` takes."""
        return self._text.token_embedding(tokens)

    def encode_prompts(self, embeddings: Tensor) -> Tensor:
        """Features (K, D) of prompts (K, T, width) that stand in a text's place, between its start and end tokens.

        They pass through the frozen text tower as a text does (positions, causal mask, pooling at
        the end token), as in CoOp (Zhou et al., IJCV 2022). Gradients flow to the embeddings.
        Raises ClipError if T + 2 exceeds the context, if the width differs, or for a text tower
        without causal mask.
        """
        self._check_prompts(embeddings)
        text, length = self._text, embeddings.shape[1] + 2
        ends = torch.tensor(
            [self._tokenizer.sot_token_id, self._tokenizer.eot_token_id], device=self.device
        )
        start, end = self.embed_tokens(ends).expand(len(embeddings), 2, -1).split(1, dim=1)
        x = torch.cat([start, embeddings, end], dim=1) + text.positional_embedding[:length]
        x = text.ln_final(text.transformer(x, attn_mask=text.attn_mask[:length, :length]))[:, -1]
        projection = text.text_projection
        return F.normalize(
            projection(x) if isinstance(projection, nn.Module) else x @ projection, dim=-1
        )

    def _check_prompts(self, embeddings: Tensor) -> None:
        pool = getattr(self._text, "text_pool_type", getattr(self._text, "pool_type", None))
        if pool not in ("argmax", "eos") or getattr(self._text, "attn_mask", None) is None:
            raise ClipError(
                f"CLIP '{self.name}' cannot take prompts: its text tower is not OpenAI's kind; use "
                f"another"
            )
        count, width = embeddings.shape[1:]
        if count + 2 > self.context_length or width != self.width:
            raise ClipError(
                f"prompts of {count} vectors of length {width} do not fit CLIP '{self.name}': at "
                f"most "
                f"{self.context_length - 2} vectors of length {self.width}"
            )


def load_clip(name: str = "tiny", device: torch.device | str | None = None) -> ClipGuide:
    """Return the CLIP of that name, loaded once a process and device.

    `name` is "tiny" (the packaged one), ARCHITECTURE:WEIGHTS with a model of open_clip and either
    one of its pretrained tags or a local file ("ViT-B-32:openai",
    "ViT-B-32:/path/weights.safetensors"), "local-dir:FOLDER" or "hf-hub:ORG/NAME". A tag brings its
    activation; a file has that of the architecture, so OpenAI's weights in a file are
    "ViT-B-32-quickgelu:FILE". `device` is CUDA where there is one, unless given. Raises ClipError
    with what to do instead.
    """
    return _load(name, str(numbered(device)))


def numbered(device: torch.device | str | None) -> torch.device:
    """Return `device` with its number, so that cuda and cuda:0 share a guide; None is CUDA where there is one."""
    return torch.empty(0, device=device or ("cuda" if torch.cuda.is_available() else "cpu")).device


def forget_clips() -> None:
    """Give up every loaded CLIP, as far as nobody else holds it: another process may need the GPU's memory."""
    _load.cache_clear()


def zero_shot(guide: ClipGuide, images: Tensor) -> Tensor:
    """Probabilities (N, 4) of WEATHERS for images (N, 3, H, W), from the texts in `weather_texts.yml`.

    A weather's feature is the mean over its texts (the prompt ensemble of Radford et al., ICML
    2021, section 3.1.4).
    """
    texts = yaml.safe_load(TEXTS.read_text(encoding="utf-8"))
    features = torch.stack([guide.encode_text(texts[weather]).mean(0) for weather in WEATHERS])
    cosines = guide.encode_image(images) @ F.normalize(features, dim=-1).T
    return (guide.logit_scale * cosines).softmax(dim=1)


def fit_square(images: Tensor, size: int | tuple[int, int], mode: str = "bicubic") -> Tensor:
    """Resize images (N, 3, H, W) to a square of `size` pixels, antialiased; the aspect ratio is not kept."""
    size = (size, size) if isinstance(size, int) else tuple(size)
    return (
        images
        if images.shape[-2:] == size
        else F.interpolate(images, size, mode=mode, antialias=True)
    )


def centre_square(images: Tensor, size: int | tuple[int, int]) -> Tensor:
    """The centre of images (N, 3, H, W), `size` pixels square, once their short side is resized (bicubic) to that."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    side = size if isinstance(size, int) else size[0]
    resized = functional.resize(images, [side], InterpolationMode.BICUBIC, antialias=True)
    return functional.center_crop(resized, [side, side]).clamp(0, 1)


def hash_weights(model: nn.Module) -> str:
    """SHA-256 over the names, shapes and float values of all weights in a model."""
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(f"{key} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def build_clip(name: str) -> tuple[nn.Module, "SimpleTokenizer"]:
    """A new model of open_clip with its weights, and its tokenizer; names and errors as for `load_clip`.

    For whoever builds on a CLIP (DA-CLIP's controller); a guide that is only asked is shared
    through `load_clip`.
    """
    import open_clip

    architecture, _, weights = name.partition(":")
    source = clip_source(name)
    if source == architecture:
        _check_name(
            name, open_clip.list_models(), open_clip.list_pretrained_tags_by_model(architecture)
        )
    try:
        with clip_activation.mismatch_as_error(name):
            return _create(architecture, weights, source), build_tokenizer(name)
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise ClipError(f"CLIP '{name}' cannot be loaded: {error}") from error


def clip_config(name: str) -> dict[str, Any] | None:
    """Return the configuration of the CLIP `name`: embed_dim, vision_cfg, quick_gelu, …; None for hf-hub.

    A pretrained tag decides on `quick_gelu`. What is on the hub is not on this machine, and has
    none. Raises ClipError for an architecture that open_clip does not know, or a folder without
    configuration.
    """
    import open_clip

    source, (architecture, _, weights) = clip_source(name), name.partition(":")
    if architecture == "hf-hub":
        return None
    if source == architecture:
        _check_name(
            name, open_clip.list_models(), open_clip.list_pretrained_tags_by_model(architecture)
        )
        return clip_activation.config_with_activation(architecture, weights)
    file = Path(source.partition(":")[2]) / "open_clip_config.json"
    try:
        return json.loads(file.read_text(encoding="utf-8"))["model_cfg"]
    except (OSError, ValueError, KeyError) as error:
        raise ClipError(
            f"CLIP '{name}': {file} is no configuration of open_clip ({error})"
        ) from error


def clip_source(name: str) -> str:
    """What open_clip calls the CLIP `name`: its architecture, local-dir:FOLDER or hf-hub:ID."""
    architecture = name.partition(":")[0]
    return {"tiny": f"local-dir:{TINY}", "local-dir": name, "hf-hub": name}.get(
        architecture, architecture
    )


def build_tokenizer(name: str) -> "SimpleTokenizer":
    """The tokenizer of the CLIP `name`: that of its folder where it has one of its own."""
    import open_clip

    source = clip_source(name)
    own_bpe = Path(source.partition(":")[2]) / BPE
    return open_clip.get_tokenizer(
        source, **({"bpe_path": str(own_bpe)} if own_bpe.is_file() else {})
    )


@cache
def _load(name: str, device: str) -> ClipGuide:
    guide = ClipGuide(*build_clip(name), name, device)
    architecture, _, weights = name.partition(":")
    activation = clip_activation.explained(architecture, weights, guide.quick_gelu)
    logging.getLogger("basicsr").info(f"CLIP {name} loaded on {device} ({activation})")
    return guide


def _create(architecture: str, weights: str, source: str) -> nn.Module:
    """Return open_clip's model with its weights; one with a schema (local-dir, hf-hub) has its own configuration."""
    import open_clip

    if source != architecture:
        return open_clip.create_model(source, require_pretrained=True)
    if Path(weights).is_file():
        clip_activation.check_file(architecture, Path(weights))
    quick_gelu = clip_activation.tag_has_quick_gelu(architecture, weights)
    return open_clip.create_model(
        source, weights, require_pretrained=True, force_quick_gelu=quick_gelu
    )


def _check_name(name: str, architectures: list[str], tags: list[str]) -> None:
    architecture, _, weights = name.partition(":")
    if architecture not in architectures:
        raise ClipError(
            f"unknown CLIP '{name}': take tiny, or ARCHITECTURE:WEIGHTS with a model of open_clip"
        )
    if weights not in tags and not Path(weights).is_file():
        raise ClipError(
            f"CLIP '{name}' has no such weights: after '{architecture}:' put a file, or one of "
            f"{', '.join(tags)}"
        )
