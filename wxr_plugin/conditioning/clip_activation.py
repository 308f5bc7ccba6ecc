"""The activation that a CLIP was trained with: GELU, or OpenAI's QuickGELU, x * sigmoid(1.702 x).

Weights do not show it. open_clip 3.3 builds ViT-B-32:openai with GELU and only warns, although that
changes every feature. Here the activation is taken from the pretrained tag, and cases that stay
ambiguous are errors.
"""

import hashlib
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from wxr_plugin.errors import WxrError

MISMATCH = "QuickGELU mismatch"
"""Start of open_clip's warning."""
SUFFIX = "-quickgelu"
"""Suffix of open_clip's architectures with QuickGELU."""


class ClipError(WxrError):
    """A CLIP that cannot be loaded or that lacks a feature."""


def tag_has_quick_gelu(architecture: str, weights: str) -> bool:
    """Return whether the pretrained tag `weights` was trained with QuickGELU.

    False for a file or an unknown tag.
    """
    import open_clip

    config = open_clip.get_pretrained_cfg(architecture, weights) or {}
    return bool(config.get("quick_gelu"))


def config_with_activation(architecture: str, weights: str) -> dict[str, Any] | None:
    """Return open_clip's configuration of `architecture`, with `quick_gelu` as in its tag."""
    import open_clip

    config = open_clip.get_model_config(architecture)
    if config and tag_has_quick_gelu(architecture, weights):
        config["quick_gelu"] = True
    return config


def has_quick_gelu(model: nn.Module) -> bool:
    """Return whether any module of a CLIP is a QuickGELU."""
    from open_clip.transformer import QuickGELU

    return any(isinstance(module, QuickGELU) for module in model.modules())


def activation_name(quick_gelu: bool) -> str:
    """Return the name of the activation for messages."""
    return "QuickGELU" if quick_gelu else "GELU"


def identity(weights_sha256: str, quick_gelu: bool) -> str:
    """Return the hash of a CLIP, given the hash of its weights and its activation.

    With GELU it equals the hash of the weights, so that prompts of earlier versions stay valid.
    """
    if not quick_gelu:
        return weights_sha256
    return hashlib.sha256(f"{weights_sha256} quick_gelu".encode()).hexdigest()


def check_file(architecture: str, file: Path) -> None:
    """Raise ClipError if the configuration next to `file` has another activation.

    Args:
        architecture: open_clip's model that the weights are loaded into.
        file: the weights.
    """
    import open_clip

    config_file = file.with_name("open_clip_config.json")
    if not config_file.is_file():
        return
    config = json.loads(config_file.read_text(encoding="utf-8")).get("model_cfg", {})
    trained = bool(config.get("quick_gelu"))
    built = bool(open_clip.get_model_config(architecture).get("quick_gelu"))
    if trained != built:
        raise ClipError(
            f"CLIP '{architecture}:{file}': {config_file.name} next to the file says "
            f"{activation_name(trained)}, and {architecture} has {activation_name(built)}: take "
            f"local-dir:{file.parent} instead"
        )


@contextmanager
def mismatch_as_error(name: str) -> Iterator[None]:
    """Raise ClipError where open_clip only warns that activation and weights do not match."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=MISMATCH)
        try:
            yield
        except UserWarning as warning:
            raise ClipError(
                f"CLIP '{name}' cannot be loaded: {warning} Give the architecture with the right "
                f"activation: with QuickGELU its name ends in {SUFFIX}, also before a file "
                f"(ViT-B-32{SUFFIX}:FILE); or take local-dir:FOLDER or hf-hub:ORG/NAME, whose own "
                "configuration names the activation"
            ) from None


def activation_note(architecture: str, weights: str, quick_gelu: bool) -> str:
    """Return the activation for the log, and for files with GELU how to choose QuickGELU."""
    import open_clip

    name = activation_name(quick_gelu)
    twin = architecture + SUFFIX
    has_twin = twin in open_clip.list_models()
    # A file does not show its activation, so the user has to know that there is a choice.
    if quick_gelu or not has_twin or not Path(weights).is_file():
        return name
    return f"{name}; weights trained with QuickGELU, such as OpenAI's, need {twin}:{weights}"
