"""Raters, describers and rewriters named by one word (docs/raters.md)."""

from pathlib import Path
from typing import Any

import yaml

from wxr_plugin.errors import WxrError, plain
from wxr_plugin.hub import fetched_file
from wxr_plugin.hub.references import SCHEME
from wxr_plugin.options import safe_yaml

SERVER = ("http://", "https://")


def rater_options(spec: str) -> dict[str, Any]:
    """Return the options block of the rater that `spec` names; see `spec_options`."""
    return spec_options("rater", spec)


def spec_options(kind: str, spec: str) -> dict[str, Any]:
    """Return the options block of a "rater", "describer" or "rewriter" (`kind`) named by `spec`.

    `spec` is MODEL or MODEL:PROMPT (transformers), pyiqa:METRIC (raters),
    http://HOST:PORT/v1#MODEL (a server; commas separate several), rules (rewriters), or FILE.yml
    with the block. A MODEL or FILE.yml may be on the hub: hf://OWNER/NAME, hf://OWNER/NAME:PROMPT,
    hf://OWNER/NAME/FILE.yml.

    Raises:
        WxrError: `spec` is none of these, or the kind has nothing of that name.
    """
    blocks = panel_options(kind, [spec])
    if len(blocks) != 1:
        raise WxrError(
            f"{spec}: {len(blocks)} blocks, but one {kind} is needed; keep one in the file"
        )
    return blocks[0]


def panel_options(kind: str, specs: list[str]) -> list[dict[str, Any]]:
    """Return the options blocks of all `specs`; a FILE.yml may hold a list of them."""
    return [block for spec in specs for block in _blocks(kind, spec)]


def _blocks(kind: str, spec: str) -> list[dict[str, Any]]:
    if spec.endswith((".yml", ".yaml")):
        return _from_file(kind, fetched_file(spec))
    # Types are registered as TransformersRater, ServerDescriber and so on.
    name = kind.title()
    if spec.startswith(SERVER):
        return [{"type": f"Server{name}", **_served(spec)}]
    if spec == "rules" and kind == "rewriter":
        return [{"type": "RuleRewriter"}]
    if spec.startswith("pyiqa:"):
        if kind != "rater":
            raise WxrError(
                f"{spec}: a metric of pyiqa can only rate; name a model, a server or a file"
            )
        return [{"type": "PyiqaRater", "metric": spec.removeprefix("pyiqa:")}]
    return [{"type": f"Transformers{name}", **_model(kind, spec)}]


def _model(kind: str, spec: str) -> dict[str, str]:
    # The colon of hf:// begins no prompt, and the path of a local folder may contain one.
    scheme = SCHEME if spec.startswith(SCHEME) else ""
    model, colon, prompt = spec.removeprefix(scheme).rpartition(":")
    model = scheme + model
    if not colon or Path(spec).exists():
        return {"model": spec}
    if not model or not prompt:
        raise WxrError(f"'{spec}': write MODEL or MODEL:PROMPT for a {kind}")
    return {"model": model, "prompt": prompt}


def _served(spec: str) -> dict[str, Any]:
    # A server may serve several models.
    url, _, model = spec.partition("#")
    if not model:
        raise WxrError(f"{spec}: name one of the server's models: {url.rstrip('/')}#MODEL")
    urls = url.split(",")
    return {"url": urls if len(urls) > 1 else url, "model": model}


def _from_file(kind: str, path: Path) -> list[dict[str, Any]]:
    try:
        content = safe_yaml.load(path)
    except OSError as error:
        raise WxrError(f"{plain(error)}; name a file with the options of a {kind}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise WxrError(f"{path}: cannot read options of a {kind} ({reason})") from error
    # One block, or the list of a panel.
    blocks = content if isinstance(content, list) else [content]
    if not blocks or not all(isinstance(block, dict) for block in blocks):
        raise WxrError(
            f"{path}: not a block of options; write `type:` and its keys, or a list of such blocks"
        )
    return blocks
