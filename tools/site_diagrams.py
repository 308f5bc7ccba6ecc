"""Hook of mkdocs: pages with diagrams load Mermaid from the site itself, so that it works offline.

`make docs` puts the script below .cache/; the theme fetches it from a CDN where it is missing.
"""

import os
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

ROOT = Path(__file__).resolve().parents[1]
PLACE = "assets/mermaid.min.js"
"""Path of the script on the site."""


def script() -> Path | None:
    """Return the file of Mermaid, or None if it is not on this machine."""
    path = Path(os.environ.get("WXR_MERMAID") or ROOT / ".cache/mermaid.min.js")
    return path if path.is_file() else None


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the script to the files of the site."""
    path = script()
    if path is not None:
        files.append(File.generated(config, PLACE, abs_src_path=str(path)))
    return files


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Return a page that loads the script before the theme asks for it."""
    if script() is None or 'class="mermaid"' not in output:
        return output
    address = get_relative_url(PLACE, page.url)
    return output.replace("</head>", f'<script src="{address}"></script></head>', 1)
