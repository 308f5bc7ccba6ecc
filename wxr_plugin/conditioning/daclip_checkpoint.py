"""Reading DA-CLIP's checkpoints: the published ones and our own, with the architecture told from the shapes."""

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
"""Two names for the same tensors: in the published files every tensor of the frozen tower is listed twice."""
HEAD_WIDTH = 64
PLAIN = {"embed_dim", "vision_cfg", "text_cfg"}
"""Keys of an architecture of open_clip that is fully known from shapes and numbers of heads."""


def read_daclip(path: str | Path) -> DaCLIP:
    """The DA-CLIP of a checkpoint, on the CPU.

    Known are a bare state dict, one under 'state_dict' (or another usual key), `module.` before its
    names, and files with the controller alone that name the CLIP it belongs to, as DaCLIPModel's do
    under 'network_g'. A file that names none has the vocabulary and exact GELU of the published
    ones, and heads as open_clip's model of these shapes.

    Raises:
        DaClipError: the file holds something else, or parts that do not fit each other.
        CheckpointError: it cannot be read.
    """
    weights = load_weights(path)
    if not any(key.startswith(CONTROLLER) for key in weights):
        what = f"no {CONTROLLER}* among its {len(weights)} tensors, the first of which is {next(iter(weights))}"
        raise DaClipError(f"{path}: holds no DA-CLIP ({what}); give daclip_ViT-B-32.pt or the like")
    name = (load_network_options(path) or {}).get("clip")
    model = _build(weights, name, path)
    fit_weights(model, weights, path)
    return model


def fit_weights(model: DaCLIP, weights: Mapping[str, Tensor], path: str | Path) -> None:
    """Load `weights` of the file `path` into `model`, strictly.

    Position embeddings of another grid are resized. A file without `clip.*` leaves the model's own
    there.

    Raises:
        DaClipError: names or shapes differ; the message has both sides.
    """
    expected = model.state_dict()
    weights = _with_both_names(weights)
    if not any(key.startswith("clip.") for key in weights):
        weights = {
            **{
                key: value
                for key, value in expected.items()
                if key.startswith(("clip.", "visual."))
            },
            **weights,
        }
    weights = _resized(weights, model)
    wrong = [
        key for key in expected if key in weights and weights[key].shape != expected[key].shape
    ]
    if wrong:
        shapes = f"{wrong[0]} is {tuple(weights[wrong[0]].shape)} in it and {tuple(expected[wrong[0]].shape)}"
        raise DaClipError(
            f"{path}: {len(wrong)} tensors have other shapes than {model.name} asks for: {shapes} "
            f"there; take the CLIP "
            "with which the checkpoint was trained, or another checkpoint"
        )
    for what, names in (
        ("lacks", expected.keys() - weights.keys()),
        ("has unknown", weights.keys() - expected.keys()),
    ):
        if names:
            raise DaClipError(
                f"{path}: {what} {len(names)} tensors of {model.name}, such as {min(names)}"
            )
    model.load_state_dict(weights)


def config_from_shapes(weights: Mapping[str, Tensor]) -> Config:
    """Arguments of open_clip's CLIP that give a frozen part (`clip.*`) of these shapes.

    Numbers of heads leave no trace in shapes: they are those of open_clip's model with the same
    shapes, or else one for every 64 channels. Raises KeyError for towers of another kind.
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
    """Return open_clip's configuration of the CLIP `name` without loading weights; None where it has none.

    A pretrained tag decides on the activation, as in `build_clip`.
    """
    import open_clip

    source = clip_source(name)
    schema, _, folder = source.partition(":")
    if schema == "local-dir":
        path = Path(folder) / "open_clip_config.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    tag = name.partition(":")[2]
    model = config_with_activation(source, tag) if source in open_clip.list_models() else None
    known = tag in open_clip.list_pretrained_tags_by_model(source)
    return model and {
        "model_cfg": model,
        "preprocess_cfg": open_clip.get_pretrained_cfg(source, tag) if known else {},
    }


def _build(weights: Mapping[str, Tensor], name: str | None, path: str | Path) -> DaCLIP:
    if not any(key.startswith("clip.") for key in weights):
        if not name:
            raise DaClipError(f"{path}: holds a controller without its CLIP, and does not name one")
        return DaCLIP(*build_clip(name), name=name)
    named = named_config(name) if name else None
    try:
        config = named["model_cfg"] if named else config_from_shapes(_with_both_names(weights))
    except KeyError as error:
        raise DaClipError(
            f"{path}: its CLIP has no {error}, so it is none of open_clip's own ViT or ResNet"
        ) from error
    clip = _empty_clip(config)
    told = {key: value for key, value in named["preprocess_cfg"].items() if value} if named else {}
    clip.visual.preprocess_cfg = {**openai_preprocessing(), **told}
    return DaCLIP(clip, build_tokenizer(name) if named else None, name or Path(path).name)


def _empty_clip(config: Config) -> nn.Module:
    from open_clip.model import CLIP, CustomTextCLIP

    config = dict(config)
    custom = config.pop("custom_text", False) or "hf_model_name" in config["text_cfg"]
    try:
        return (CustomTextCLIP if custom else CLIP)(**config)
    except (TypeError, OSError, ValueError) as error:
        raise ClipError(f"the CLIP of this checkpoint cannot be built: {error}") from error


def _with_both_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights with each tensor of the frozen tower under both of its names."""
    found = dict(weights)
    for one, other in (SHARED, SHARED[::-1]):
        for key in weights:
            if key.startswith(one):
                found.setdefault(other + key.removeprefix(one), weights[key])
    return found


def _resized(weights: dict[str, Tensor], model: DaCLIP) -> dict[str, Tensor]:
    """The weights with position embeddings of the model's grid; open_clip resizes them, bicubic."""
    from open_clip.model import resize_pos_embed

    weights = dict(weights)
    for tower in TOWERS:
        key = f"{tower}positional_embedding"
        if key in weights and weights[key].shape[1:] == model.visual.positional_embedding.shape[1:]:
            part = {"visual.positional_embedding": weights[key]}
            resize_pos_embed(part, model)
            weights[key] = part["visual.positional_embedding"]
    return weights


def _vit(shapes: Mapping[str, tuple[int, ...]]) -> Config:
    width, _, patch, _ = shapes["visual.conv1.weight"]
    grid = round((shapes["visual.positional_embedding"][0] - 1) ** 0.5)
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
    grid = round((shapes["visual.attnpool.positional_embedding"][0] - 1) ** 0.5)
    return {
        "image_size": grid * 32,
        "layers": [_count(shapes, f"visual.layer{stage}.") for stage in (1, 2, 3, 4)],
        "width": shapes["visual.conv3.weight"][0],
        "head_width": HEAD_WIDTH,
    }


def _count(shapes: Mapping[str, Any], prefix: str) -> int:
    return len({key.removeprefix(prefix).split(".")[0] for key in shapes if key.startswith(prefix)})


def _with_known_heads(config: Config) -> Config:
    """The configuration with the heads of open_clip's model of these shapes; of several, the shortest name counts."""
    import open_clip

    for name in sorted(open_clip.list_models(), key=len):
        known = open_clip.get_model_config(name)
        if known.keys() == PLAIN and _sizes(known) == _sizes(config):
            vision = {
                **config["vision_cfg"],
                "head_width": known["vision_cfg"].get("head_width", HEAD_WIDTH),
            }
            text = {**config["text_cfg"], "heads": known["text_cfg"]["heads"]}
            return {**config, "vision_cfg": vision, "text_cfg": text}
    return config


def _sizes(config: Config) -> tuple:
    vision, text = config["vision_cfg"], config["text_cfg"]
    sizes = [vision.get(key) for key in ("layers", "width", "patch_size")]
    return config["embed_dim"], *map(str, sizes), text.get("width"), text.get("layers")
