"""Reading of DA-CLIP checkpoints, published and own; the architecture is inferred from shapes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from wxr_plugin.checkpoints.containers import load_network_options, load_weights
from wxr_plugin.conditioning.clip import ClipError, build_clip, build_tokenizer, clip_source
from wxr_plugin.conditioning.clip_activation import config_with_activation
from wxr_plugin.conditioning.daclip import DaCLIP, openai_preprocessing
from wxr_plugin.conditioning.daclip_towers import DaClipError

Config = dict[str, Any]
CONTROLLER = "visual_control."
TOWERS = ("clip.visual.", "visual.", CONTROLLER)
SHARED = TOWERS[:2]
"""Two prefixes of the same tensors: published files list every tensor of the frozen tower twice."""
HEAD_WIDTH = 64
"""Channels of an attention head where nothing else is known."""
PLAIN = {"embed_dim", "vision_cfg", "text_cfg"}
"""Keys of an open_clip architecture that shapes and numbers of heads determine fully."""


def read_daclip(path: str | Path) -> DaCLIP:
    """Return the DA-CLIP of a checkpoint, on the CPU.

    A checkpoint is a bare state dict, or one under 'state_dict' or another usual key, with or
    without `module.` before its names. It may hold the controller only, if it names its CLIP under
    'network_g', as files of DaCLIPModel do. For a file without that name, vocabulary and activation
    (GELU) are those of the published files, and numbers of heads those of open_clip's model with
    the same shapes.

    Raises:
        DaClipError: the file does not hold a DA-CLIP, or its parts do not fit each other.
        CheckpointError: the file cannot be read.
    """
    weights = load_weights(path)
    if not any(key.startswith(CONTROLLER) for key in weights):
        first = next(iter(weights))
        reason = f"no {CONTROLLER}* among its {len(weights)} tensors, the first of which is {first}"
        raise DaClipError(
            f"{path}: holds no DA-CLIP ({reason}); give daclip_ViT-B-32.pt or the like"
        )
    name = (load_network_options(path) or {}).get("clip")
    model = _build(weights, name, path)
    fit_weights(model, weights, path)
    return model


def fit_weights(model: DaCLIP, weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Load `weights` of the file `path` into `model`, strictly.

    Position embeddings of another grid are resized. If the file has no `clip.*`, the model keeps
    its own.

    Raises:
        DaClipError: names or shapes differ; the message has those of both sides.
    """
    expected = model.state_dict()
    weights = _with_both_names(weights)
    has_clip = any(key.startswith("clip.") for key in weights)
    if not has_clip:
        for key, value in expected.items():
            if key.startswith(("clip.", "visual.")):
                weights.setdefault(key, value)
    weights = _resized(weights, model)
    _check_shapes(weights, expected, model.name, path)
    differences = {
        "lacks": expected.keys() - weights.keys(),
        "has unknown": weights.keys() - expected.keys(),
    }
    for problem, names in differences.items():
        if names:
            raise DaClipError(
                f"{path}: {problem} {len(names)} tensors of {model.name}, such as {min(names)}"
            )
    model.load_state_dict(weights)


def _check_shapes(
    weights: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    name: str,
    path: str | Path,
) -> None:
    """Raise DaClipError if a tensor has another shape than the model's of that name."""
    wrong = []
    for key, value in expected.items():
        if key in weights and weights[key].shape != value.shape:
            wrong.append(key)
    if wrong:
        first = wrong[0]
        here = tuple(weights[first].shape)
        there = tuple(expected[first].shape)
        raise DaClipError(
            f"{path}: {len(wrong)} tensors have other shapes than {name} asks for: {first} is "
            f"{here} in it and {there} there; take the CLIP with which the checkpoint was trained, "
            "or another checkpoint"
        )


def config_from_shapes(weights: Mapping[str, Tensor]) -> Config:
    """Return the arguments of open_clip's CLIP for a frozen part (`clip.*`) with these shapes.

    Shapes do not show the numbers of heads: they are those of open_clip's model with the same
    shapes, or else one head per 64 channels.

    Raises:
        KeyError: the towers are neither those of a ViT nor of a ResNet.
    """
    shapes = {key.removeprefix("clip."): tuple(value.shape) for key, value in weights.items()}
    vision = _resnet(shapes) if "visual.attnpool.positional_embedding" in shapes else _vit(shapes)
    vocabulary, width = shapes["token_embedding.weight"]
    text = {
        "context_length": shapes["positional_embedding"][0],
        "vocab_size": vocabulary,
        "width": width,
        "heads": max(1, width // HEAD_WIDTH),
        "layers": _count(shapes, "transformer.resblocks."),
    }
    config = {"embed_dim": shapes["text_projection"][1], "vision_cfg": vision, "text_cfg": text}
    return _with_known_heads(config)


def named_config(name: str) -> Config | None:
    """Return open_clip's configuration of the CLIP `name`, or None; no weights are loaded.

    The activation is that of a pretrained tag, if `name` has one, as in `build_clip`.
    """
    import open_clip

    source = clip_source(name)
    schema, _, folder = source.partition(":")
    if schema == "local-dir":
        path = Path(folder) / "open_clip_config.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    if source not in open_clip.list_models():
        return None
    _, _, tag = name.partition(":")
    preprocessing = {}
    if tag in open_clip.list_pretrained_tags_by_model(source):
        preprocessing = open_clip.get_pretrained_cfg(source, tag)
    return {"model_cfg": config_with_activation(source, tag), "preprocess_cfg": preprocessing}


def _build(weights: Mapping[str, Tensor], name: str | None, path: str | Path) -> DaCLIP:
    if not any(key.startswith("clip.") for key in weights):
        if not name:
            raise DaClipError(f"{path}: holds a controller without its CLIP, and does not name it")
        return DaCLIP(*build_clip(name), name=name)
    # The name of a CLIP determines heads, preprocessing and tokenizer, which shapes do not show.
    named = named_config(name) if name else None
    try:
        config = named["model_cfg"] if named else config_from_shapes(_with_both_names(weights))
    except KeyError as error:
        raise DaClipError(
            f"{path}: its CLIP has no {error}, so it is neither a ViT nor a ResNet of open_clip"
        ) from error
    clip = _empty_clip(config)
    preprocessing = dict(openai_preprocessing())
    if named:
        for key, value in named["preprocess_cfg"].items():
            if value:
                preprocessing[key] = value
    clip.visual.preprocess_cfg = preprocessing
    tokenizer = build_tokenizer(name) if named else None
    return DaCLIP(clip, tokenizer, name or Path(path).name)


def _empty_clip(config: Config) -> nn.Module:
    from open_clip.model import CLIP, CustomTextCLIP

    config = dict(config)
    custom = config.pop("custom_text", False) or "hf_model_name" in config["text_cfg"]
    try:
        return (CustomTextCLIP if custom else CLIP)(**config)
    except (TypeError, OSError, ValueError) as error:
        raise ClipError(f"the CLIP of this checkpoint cannot be built: {error}") from error


def _with_both_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights with each tensor of the frozen tower under both of its names."""
    completed = dict(weights)
    for prefix, twin in (SHARED, SHARED[::-1]):
        for key in weights:
            if key.startswith(prefix):
                name = key.removeprefix(prefix)
                completed.setdefault(twin + name, weights[key])
    return completed


def _resized(weights: dict[str, Tensor], model: DaCLIP) -> dict[str, Tensor]:
    """Return the weights with position embeddings resized to the grid of the model (bicubic)."""
    from open_clip.model import resize_pos_embed

    weights = dict(weights)
    expected = getattr(model.visual, "positional_embedding", None)  # (positions, width); ViT only
    if expected is None:
        return weights
    for tower in TOWERS:
        embedding = weights.get(f"{tower}positional_embedding")
        if embedding is None or embedding.shape[1:] != expected.shape[1:]:
            continue
        # open_clip replaces the tensor under this one name.
        part = {"visual.positional_embedding": embedding}
        resize_pos_embed(part, model)
        weights[f"{tower}positional_embedding"] = part["visual.positional_embedding"]
    return weights


def _vit(shapes: Mapping[str, tuple[int, ...]]) -> Config:
    width, _, patch, _ = shapes["visual.conv1.weight"]
    positions = shapes["visual.positional_embedding"][0]
    grid = round((positions - 1) ** 0.5)  # without the class token
    hidden = shapes["visual.transformer.resblocks.0.mlp.c_fc.weight"][0]
    return {
        "image_size": grid * patch,
        "layers": _count(shapes, "visual.transformer.resblocks."),
        "width": width,
        "patch_size": patch,
        "head_width": HEAD_WIDTH,
        "mlp_ratio": hidden / width,
    }


def _resnet(shapes: Mapping[str, tuple[int, ...]]) -> Config:
    positions = shapes["visual.attnpool.positional_embedding"][0]
    grid = round((positions - 1) ** 0.5)  # without the mean token
    return {
        "image_size": grid * 32,  # the stride of the last stage
        "layers": [_count(shapes, f"visual.layer{stage}.") for stage in (1, 2, 3, 4)],
        "width": shapes["visual.conv3.weight"][0],
        "head_width": HEAD_WIDTH,
    }


def _count(shapes: Mapping[str, Any], prefix: str) -> int:
    """Return the number of distinct names that follow `prefix` in the keys."""
    distinct = set()
    for key in shapes:
        if key.startswith(prefix):
            # Such as 11 of `transformer.resblocks.11.attn.in_proj_weight`.
            name = key.removeprefix(prefix).partition(".")[0]
            distinct.add(name)
    return len(distinct)


def _with_known_heads(config: Config) -> Config:
    """Return `config` with the numbers of heads of open_clip's model of the same sizes."""
    import open_clip

    # Variants of a model have longer names than the model itself.
    for name in sorted(open_clip.list_models(), key=len):
        model = open_clip.get_model_config(name)
        if model.keys() != PLAIN or _sizes(model) != _sizes(config):
            continue
        head_width = model["vision_cfg"].get("head_width", HEAD_WIDTH)
        vision = {**config["vision_cfg"], "head_width": head_width}
        text = {**config["text_cfg"], "heads": model["text_cfg"]["heads"]}
        return {**config, "vision_cfg": vision, "text_cfg": text}
    return config


def _sizes(config: Config) -> tuple:
    vision = config["vision_cfg"]
    text = config["text_cfg"]
    sizes = [vision.get(key) for key in ("layers", "width", "patch_size")]
    return config["embed_dim"], *sizes, text.get("width"), text.get("layers")
