"""Published methods by name: which network, guide and equation go with the authors' checkpoints."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from wxr_plugin.errors import WxrError
from wxr_plugin.inference.specs import RestorerSpec

METHODS_FILE = Path(__file__).with_name("methods.yml")
WEIGHTS = Path("experiments") / "pretrained_models"
"""Where BasicSR's projects keep what they did not train."""


@cache
def methods() -> dict[str, dict[str, Any]]:
    """Name -> paper, source, file names of checkpoint and guide, and the blocks network_g and sde."""
    return yaml.safe_load(METHODS_FILE.read_text(encoding="utf-8"))


def method_spec(name: str, checkpoint: Path | None = None, guide: str | None = None) -> RestorerSpec:
    """The restorer of a published method, with its official files from WEIGHTS unless others are given.

    Raises WxrError if there is no such method, or a file is missing: names the file and where it comes from.
    """
    if name not in methods():
        raise WxrError(f"no method {name!r}; there are {', '.join(methods())}")
    method = methods()[name]
    weights = checkpoint or WEIGHTS / method["checkpoint"]
    _check_there(weights, method, "--checkpoint")
    if guide is None:
        guide = str(WEIGHTS / method["guide"])
        _check_there(Path(guide), method, "--guide")
    return RestorerSpec(name, weights, method["network_g"], None, guide=guide, sde=method["sde"])


def _check_there(file: Path, method: dict[str, Any], option: str) -> None:
    if not file.is_file():
        raise WxrError(f"{file}: no such file; fetch it from {method['source']}, or say with {option} where it is")
