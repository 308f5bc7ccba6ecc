"""Mirror table: beginnings of web addresses and what to put in their place."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
import yaml

from wxr_plugin.errors import WxrError

VARIABLE = "WXR_MIRRORS"
"""Environment variable with the path of the table."""


def read_mirrors(path: str | Path | None = None) -> dict[str, str]:
    """Return the table of a YAML file, `beginning: replacement`; empty without a file.

    Args:
        path: the file; None for that of WXR_MIRRORS.

    Raises:
        WxrError: the file does not exist or is no such table.
    """
    place = path or os.environ.get(VARIABLE)
    if not place:
        return {}
    file = Path(place).expanduser()
    source = "" if path else f"{VARIABLE}: "
    if not file.is_file():
        raise WxrError(f"{source}{file}: no such file; a table of mirrors is a YAML file")
    try:
        table = msgspec.convert(yaml.safe_load(file.read_text(encoding="utf-8")), dict[str, str])
    except (yaml.YAMLError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise WxrError(
            f"{source}{file}: no table of mirrors; write lines such as "
            "https://github.com/: https://mirror.example/github/"
        ) from error
    return table


def mirrored(url: str, table: Mapping[str, str]) -> str:
    """Return `url` with its longest beginning in `table` replaced; unchanged without one."""
    beginnings = [beginning for beginning in table if url.startswith(beginning)]
    if not beginnings:
        return url
    longest = max(beginnings, key=len)
    return table[longest] + url.removeprefix(longest)
