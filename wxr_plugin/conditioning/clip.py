"""Frozen CLIP models of open_clip that encode images, texts and prompts.

Features are differentiable with respect to images and prompts.
"""

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
from wxr_plugin.hub import fetched_file, fetched_folder, is_reference, read_reference, snapshot
from wxr_plugin.utils.offline import apply_offline

if TYPE_CHECKING:
    from open_clip.tokenizer import SimpleTokenizer

TINY = Path(str(package_files("wxr_plugin"))) / "assets" / "tiny_clip"
TEXTS = resources.files(__package__) / "weather_texts.yml"
BPE = "bpe.txt.gz"


class ClipGuide:
    """A frozen CLIP.

    All features have unit length; images are float RGB (N, 3, H, W) in [0, 1] of any size.

    Args:
        model: a CLIP of open_clip; it is frozen in place.
        tokenizer: tokenizer of the model.
        name: name that `load_clip` was called with.
        device: device of model and features.
    """

    gives = ("image",)
    """Embeddings that `embed` returns."""

    def __init__(
        self,
        model: nn.Module,
        tokenizer: "SimpleTokenizer",
        name: str,
        device: torch.device | str,
    ):
        self.name = name
        """Name that `load_clip` was called with."""
        self.device = torch.device(device)
        self._model = model.float().eval().requires_grad_(False).to(self.device)
        self._tokenizer = tokenizer
        # CustomTextCLIP keeps its text tower under `text`, CLIP is one itself.
        self._text = getattr(model, "text", model)
        self.quick_gelu = clip_activation.has_quick_gelu(model)
        """Whether the activation is OpenAI's QuickGELU; GELU otherwise."""
        self.weights_sha256 = hash_weights(model)
        """Hash of all weights, independent of the file format and the machine."""
        self.sha256 = clip_activation.identity(self.weights_sha256, self.quick_gelu)
        """Hash of weights and activation; CLIPs with equal hashes compute equal features."""

    @property
    def visual(self) -> nn.Module:
        """Return the image tower of open_clip."""
        return self._model.visual

    @property
    def dim(self) -> int:
        """Return the length of an embedding, the `context_dim` of a network that takes it."""
        return self._model.visual.output_dim

    @property
    def width(self) -> int:
        """Return the length of a token embedding and of each vector of a prompt."""
        return self._text.token_embedding.weight.shape[1]

    @property
    def context_length(self) -> int:
        """Return the largest number of tokens of a text, including start and end token."""
        return self._text.context_length

    @property
    def logit_scale(self) -> float:
        """Return the factor on cosines that this CLIP was trained with (100 for OpenAI's)."""
        return float(self._model.logit_scale.exp())

    def encode_image(self, images: Tensor) -> Tensor:
        """Return features (N, D) of images (N, 3, H, W) in [0, 1], differentiable to the images.

        Each image is clamped to [0, 1] and resized as a whole to the model's square, with
        antialiasing, as CLIP-LIT (Liang et al., ICCV 2023) does with its crops.
        """
        visual = self.visual
        mode = visual.preprocess_cfg["interpolation"]
        resized = fit_square(images.clamp(0, 1), visual.image_size, mode)
        inputs = self.normalised(resized)
        return self._model.encode_image(inputs, normalize=True)

    def embed(self, images: Tensor, bf16: bool = False) -> Context:
        """Return embeddings (N, dim) for a steered network: float32, unit length, no gradients.

        The short side is resized to the square of the model and the centre is cut out, as in the
        preprocessing of CLIP and DA-CLIP. The result is an ordinary tensor that training may keep.

        Args:
            images: (N, 3, H, W) in [0, 1].
            bf16: compute under bfloat16 autocast.
        """
        autocast = torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16)
        with torch.inference_mode(), autocast:
            # Resized on the device of the images, which may be too large for the GPU.
            clamped = images.float().clamp(0, 1)
            square = centre_square(clamped, self.visual.image_size)
            inputs = self.normalised(square.to(self.device))
            features = self._model.encode_image(inputs, normalize=True)
        # The clone is made outside inference mode: autograd can save it for the backward pass.
        embedding = features.float().clone()
        return Context(image=embedding)

    def normalised(self, images: Tensor) -> Tensor:
        """Return images (N, 3, H, W) in [0, 1] normalised with the statistics of this CLIP."""
        config = self.visual.preprocess_cfg
        # (1, 3, 1, 1), to broadcast over images and pixels.
        mean = images.new_tensor(config["mean"]).view(1, 3, 1, 1)
        std = images.new_tensor(config["std"]).view(1, 3, 1, 1)
        return (images - mean) / std

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Return features (K, D) of texts; texts longer than the context are cut (`tokenize`)."""
        tokens = self.tokenize(texts)
        return self._model.encode_text(tokens, normalize=True)

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Return token ids (K, context_length): start, text, end, padding.

        A text that is too long is cut after the last word that fits, which is logged once. If its
        first word is too long already, it is cut within that word.
        """
        fitting = shorten(texts, self._tokenizer, self.context_length, self.name)
        tokens = self._tokenizer(fitting, context_length=self.context_length)
        return tokens.to(self.device)

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Return the vectors (…, width) of token ids (…), as `encode_prompts` takes them."""
        return self._text.token_embedding(tokens)

    def encode_prompts(self, embeddings: Tensor) -> Tensor:
        """Return features (K, D) of prompts (K, T, width), differentiable to the prompts.

        A prompt takes the place of a text, between start and end token, and passes through the
        frozen text tower (positions, causal mask, pooling at the end token), as in CoOp (Zhou et
        al., IJCV 2022).

        Raises:
            ClipError: T + 2 exceeds the context, the width differs, or the text tower has no causal
                mask.
        """
        self._check_prompts(embeddings)
        text = self._text
        start, end = self._end_tokens(len(embeddings))
        x = torch.cat([start, embeddings, end], dim=1)  # (K, T + 2, width)
        length = x.shape[1]
        x = x + text.positional_embedding[:length]
        causal = text.attn_mask[:length, :length]
        x = text.transformer(x, attn_mask=causal)
        x = text.ln_final(x)
        pooled = x[:, -1]  # the end token is the last one, as there is no padding
        projection = text.text_projection
        if isinstance(projection, nn.Module):
            return F.normalize(projection(pooled), dim=-1)
        return F.normalize(pooled @ projection, dim=-1)

    def _end_tokens(self, count: int) -> tuple[Tensor, Tensor]:
        """Return the vectors of start and end token, (count, 1, width) each."""
        tokenizer = self._tokenizer
        ids = torch.tensor([tokenizer.sot_token_id, tokenizer.eot_token_id], device=self.device)
        vectors = self.embed_tokens(ids)  # (2, width)
        start, end = vectors.expand(count, 2, -1).split(1, dim=1)
        return start, end

    def _check_prompts(self, embeddings: Tensor) -> None:
        """Raise ClipError if the text tower cannot take these prompts."""
        text = self._text
        # CLIP calls the attribute text_pool_type, the text tower of CustomTextCLIP pool_type.
        pool = getattr(text, "text_pool_type", getattr(text, "pool_type", None))
        mask = getattr(text, "attn_mask", None)
        if pool not in ("argmax", "eos") or mask is None:
            raise ClipError(
                f"CLIP '{self.name}' cannot take prompts, as its text tower differs from OpenAI's; "
                "use another"
            )
        count, width = embeddings.shape[1:]
        # Start and end token take a place each.
        limit = self.context_length - 2
        if count > limit or width != self.width:
            raise ClipError(
                f"prompts of {count} vectors of length {width} do not fit CLIP '{self.name}': at "
                f"most {limit} vectors of length {self.width}"
            )


def load_clip(name: str = "tiny", device: torch.device | str | None = None) -> ClipGuide:
    """Return the CLIP called `name`, loaded once per process and device.

    Args:
        name: "tiny" (packaged), ARCHITECTURE:WEIGHTS with a model of open_clip and either one of
            its pretrained tags or a local file ("ViT-B-32:openai",
            "ViT-B-32:/path/weights.safetensors"), "local-dir:FOLDER", "hf-hub:ORG/NAME", or a
            reference to the hub: "hf://OWNER/NAME" with its own configuration, or
            "ViT-B-32:hf://OWNER/NAME/FILE". A tag sets the activation; a file has the activation of
            the architecture, so OpenAI's weights in a file are "ViT-B-32-quickgelu:FILE".
        device: by default CUDA if available, else the CPU.

    Raises:
        ClipError: unknown name, or a CLIP that cannot be loaded; the message says how to fix it.
    """
    place = numbered(device)
    return _load(name, str(place))


def numbered(device: torch.device | str | None) -> torch.device:
    """Return `device` with its index, so that cuda and cuda:0 share a guide.

    The default is CUDA if available, else the CPU.
    """
    default = "cuda" if torch.cuda.is_available() else "cpu"
    # A tensor is on a numbered device, whatever it was asked for.
    tensor = torch.empty(0, device=device or default)
    return tensor.device


def forget_clips() -> None:
    """Drop the cached CLIPs, which frees their memory on the GPU if nothing else refers to them."""
    _load.cache_clear()


def zero_shot(guide: ClipGuide, images: Tensor) -> Tensor:
    """Return probabilities (N, 4) of WEATHERS for images (N, 3, H, W) in [0, 1].

    The feature of a weather is the mean over its texts in `weather_texts.yml` (the prompt ensemble
    of Radford et al., ICML 2021, section 3.1.4).
    """
    texts = yaml.safe_load(TEXTS.read_text(encoding="utf-8"))
    means = []
    for weather in WEATHERS:
        of_texts = guide.encode_text(texts[weather])  # (texts, D)
        means.append(of_texts.mean(0))
    features = F.normalize(torch.stack(means), dim=-1)  # (4, D)
    cosines = guide.encode_image(images) @ features.T  # (N, 4)
    logits = guide.logit_scale * cosines
    return logits.softmax(dim=1)


def fit_square(images: Tensor, size: int | tuple[int, int], mode: str = "bicubic") -> Tensor:
    """Resize images (N, 3, H, W) to a square of `size` pixels, antialiased, with distortion."""
    if isinstance(size, int):
        size = (size, size)
    size = tuple(size)
    if images.shape[-2:] == size:
        return images
    return F.interpolate(images, size, mode=mode, antialias=True)


def centre_square(images: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Resize the short side of images (N, 3, H, W) to `size` (bicubic) and cut out the centre.

    The result is (N, 3, size, size) in [0, 1].
    """
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    side = size if isinstance(size, int) else size[0]
    resized = functional.resize(images, [side], InterpolationMode.BICUBIC, antialias=True)
    square = functional.center_crop(resized, [side, side])
    # Bicubic interpolation overshoots at edges.
    return square.clamp(0, 1)


def hash_weights(model: nn.Module) -> str:
    """Return the SHA-256 of the names, shapes and values of all weights in a model."""
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        shape = tuple(value.shape)
        header = f"{key} {shape}\n"
        digest.update(header.encode())
        array = value.detach().cpu().contiguous().numpy()
        digest.update(array.tobytes())
    return digest.hexdigest()


def build_clip(name: str) -> tuple[nn.Module, "SimpleTokenizer"]:
    """Return a new model of open_clip with its weights, and its tokenizer.

    Names and errors are those of `load_clip`, which returns a shared model for inference. This
    function is for models built on top of a CLIP (the controller of DA-CLIP).
    """
    architecture, _, weights = name.partition(":")
    source = clip_source(name)
    if source == architecture:
        _check_name(name)
    apply_offline()
    try:
        with clip_activation.mismatch_as_error(name):
            model = _create(architecture, weights, source)
        return model, build_tokenizer(name)
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise ClipError(f"CLIP '{name}' cannot be loaded: {error}") from error


def clip_config(name: str) -> dict[str, Any] | None:
    """Return the configuration of the CLIP `name` (embed_dim, vision_cfg, quick_gelu, …).

    `quick_gelu` is that of a pretrained tag, if `name` has one. A model on the hub has no
    configuration on this machine: for hf-hub, and for a reference that is not cached, the result is
    None.

    Raises:
        ClipError: open_clip does not know the architecture, or the folder has no configuration.
    """
    architecture, _, weights = name.partition(":")
    if architecture == "hf-hub":
        return None
    if is_reference(name):
        # Fetched when the CLIP is loaded.
        cached = snapshot(read_reference(name))
        if cached is None:
            return None
        source = f"local-dir:{cached}"
    else:
        source = clip_source(name)
    if source == architecture:
        _check_name(name)
        return clip_activation.config_with_activation(architecture, weights)
    _, _, folder = source.partition(":")
    file = Path(folder) / "open_clip_config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        return config["model_cfg"]
    except (OSError, ValueError, KeyError) as error:
        raise ClipError(
            f"CLIP '{name}': {file} is not a configuration of open_clip ({error})"
        ) from error


def clip_source(name: str) -> str:
    """Return open_clip's name of the CLIP `name`: architecture, local-dir:FOLDER or hf-hub:ID.

    A reference to the hub (hf://OWNER/NAME) is fetched, and its folder named.
    """
    if is_reference(name):
        return f"local-dir:{fetched_folder(name)}"
    architecture, _, _ = name.partition(":")
    if architecture == "tiny":
        return f"local-dir:{TINY}"
    has_schema = architecture in ("local-dir", "hf-hub")
    return name if has_schema else architecture


def build_tokenizer(name: str) -> "SimpleTokenizer":
    """Return the tokenizer of the CLIP `name`; a folder may have its own vocabulary."""
    import open_clip

    source = clip_source(name)
    _, _, folder = source.partition(":")
    vocabulary = Path(folder) / BPE
    options = {"bpe_path": str(vocabulary)} if vocabulary.is_file() else {}
    return open_clip.get_tokenizer(source, **options)


@cache
def _load(name: str, device: str) -> ClipGuide:
    model, tokenizer = build_clip(name)
    guide = ClipGuide(model, tokenizer, name, device)
    architecture, _, weights = name.partition(":")
    note = clip_activation.activation_note(architecture, weights, guide.quick_gelu)
    logger = logging.getLogger("basicsr")
    logger.info(f"CLIP {name} loaded on {device} ({note})")
    return guide


def _create(architecture: str, weights: str, source: str) -> nn.Module:
    import open_clip

    # With a schema (local-dir, hf-hub) the model has its own configuration, activation included.
    if source != architecture:
        return open_clip.create_model(source, require_pretrained=True)
    if is_reference(weights):
        weights = str(fetched_file(weights))
    if Path(weights).is_file():
        clip_activation.check_file(architecture, Path(weights))
    quick_gelu = clip_activation.tag_has_quick_gelu(architecture, weights)
    return open_clip.create_model(
        source, weights, require_pretrained=True, force_quick_gelu=quick_gelu
    )


def _check_name(name: str) -> None:
    """Raise ClipError unless `name` is ARCHITECTURE:WEIGHTS with a known model and weights."""
    import open_clip

    architecture, _, weights = name.partition(":")
    if architecture not in open_clip.list_models():
        raise ClipError(
            f"unknown CLIP '{name}': take tiny, or ARCHITECTURE:WEIGHTS with a model of open_clip, "
            "or hf://OWNER/NAME"
        )
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    is_file = is_reference(weights) or Path(weights).is_file()
    if weights not in tags and not is_file:
        raise ClipError(
            f"CLIP '{name}' has no such weights: after '{architecture}:' put a file, or one of "
            f"{', '.join(tags)}"
        )
