"""Offline mode: models come from the caches of this machine, and nothing is fetched."""

import os
import sys
import urllib.error
import urllib.request
from typing import Any, NoReturn
from urllib.parse import urlsplit

VARIABLE = "HF_HUB_OFFLINE"
"""Environment variable of huggingface_hub, which transformers and open_clip respect as well."""
_ON = ("1", "on", "yes", "true")
_LOCAL = ("localhost", "127.0.0.1", "::1")


def is_offline() -> bool:
    """Return whether nothing may be fetched in this process."""
    return os.environ.get(VARIABLE, "").lower() in _ON


def apply_offline() -> None:
    """Fetch nothing in this process if the environment says so (`is_offline`)."""
    if is_offline():
        set_offline()


def set_offline() -> None:
    """Fetch nothing in this process and its children, whatever has been imported before.

    Of huggingface_hub (transformers, open_clip, timm) cached files are used; torch.hub, pyiqa and
    OpenAI's clip, which fetch with urllib, fail at once if a file is not cached.
    """
    os.environ[VARIABLE] = "1"
    hub: Any = sys.modules.get("huggingface_hub.constants")
    # The module reads the variable once, when it is imported.
    if hub is not None:
        hub.HF_HUB_OFFLINE = True
    opener = urllib.request.build_opener(_Refusing)
    urllib.request.install_opener(opener)


class _Refusing(urllib.request.BaseHandler):
    """Handler of urllib that refuses addresses of other machines."""

    handler_order = 0  # before the handlers that connect

    def http_open(self, request: urllib.request.Request) -> None:
        """Refuse `request`, or leave it to the next handler if it is for this machine."""
        if urlsplit(request.full_url).hostname not in _LOCAL:
            _refuse(request.full_url)

    https_open = ftp_open = http_open


def _refuse(url: str) -> NoReturn:
    raise urllib.error.URLError(f"offline ({VARIABLE}=1 or --offline), and {url} is not cached")
