"""The activation that a CLIP was trained with: GELU, or OpenAI's QuickGELU, x * sigmoid(1.702 x).

Weights alone do not show it. open_clip 3.3 builds ViT-B-32:openai with GELU and only warns, which
changes every feature; here the activation comes from the pretrained tag, and what remains in doubt
is an error.
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
"""How the warning of open_clip begins."""
SUFFIX = "-quickgelu"
"""Ends the name of an architecture of open_clip with QuickGELU."""


class ClipError(WxrError):
    """A CLIP that cannot be loaded or that cannot do what is asked."""


def tag_has_quick_gelu(architecture: str, weights: str) -> bool:
    """Return whether the pretrained tag `weights` was trained with QuickGELU; False for a file or an unknown tag."""
    import open_clip

    return bool((open_clip.get_pretrained_cfg(architecture, weights) or {}).get("quick_gelu"))


def config_with_activation(architecture: str, weights: str) -> dict[str, Any] | None:
    """Return open_clip's configuration of `architecture`, with `quick_gelu` where its tag was trained with it."""
    import open_clip

    config = open_clip.get_model_config(architecture)
    if config and tag_has_quick_gelu(architecture, weights):
        config["quick_gelu"] = True
    return config


def has_quick_gelu(model: nn.Module) -> bool:
    """Return whether any part of a CLIP computes QuickGELU."""
    from open_clip.transformer import QuickGELU

    return any(isinstance(module, QuickGELU) for module in model.modules())


def activation_name(quick_gelu: bool) -> str:
    """Return what messages call the activation."""
    return "QuickGELU" if quick_gelu else "GELU"


def identity(weights_sha256: str, quick_gelu: bool) -> str:
    """Return the hash of a CLIP from the hash of its weights and its activation.

    With GELU it is the hash of the weights, so that what was learnt with such a CLIP earlier stays
    valid.
    """
    return (
        hashlib.sha256(f"{weights_sha256} quick_gelu".encode()).hexdigest()
        if quick_gelu
        else weights_sha256
    )


def check_file(architecture: str, file: Path) -> None:
    """Raise ClipError if the configuration next to a file of weights has another activation than `architecture`."""
    import open_clip

    config_file = file.with_name("open_clip_config.json")
    if not config_file.is_file():
        return
    config = json.loads(config_file.read_text(encoding="utf-8")).get("model_cfg", {})
    trained, built = (
        bool(c.get("quick_gelu")) for c in (config, open_clip.get_model_config(architecture))
    )
    if trained != built:
        raise ClipError(
            f"CLIP '{architecture}:{file}': {config_file.name} next to the file says "
            f"{activation_name(trained)}, and "
            f"{architecture} has {activation_name(built)}: take local-dir:{file.parent} instead"
        )


@contextmanager
def mismatch_as_error(name: str) -> Iterator[None]:
    """Turn open_clip's warning that activation and weights do not fit into a ClipError."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=MISMATCH)
        try:
            yield
        except UserWarning as warning:
            raise ClipError(
                f"CLIP '{name}' cannot be loaded: {warning} Give the architecture whose activation "
                f"fits: with "
                f"QuickGELU its name ends in {SUFFIX}, also before a file (ViT-B-32{SUFFIX}:FILE); "
                f"or take "
                "local-dir:FOLDER or hf-hub:ORG/NAME, whose own configuration says which "
                "activation it is"
            ) from None


def explained(architecture: str, weights: str, quick_gelu: bool) -> str:
    """Return what the log says of the activation; for a file also what to do if it was trained with the other one."""
    import open_clip

    said = activation_name(quick_gelu)
    twin = architecture + SUFFIX
    if quick_gelu or twin not in open_clip.list_models() or not Path(weights).is_file():
        return said
    return f"{said}; weights trained with QuickGELU, such as OpenAI's, need {twin}:{weights}"
