"""Viewer of a page: two images of a photo with a line between them, and all of them below."""

import json
from importlib import resources
from string import Template
from typing import Any

import numpy as np

from wxr_plugin.utils import html

_HERE = resources.files(__package__)
VIEWER, SCRIPT = _HERE / "viewer.html", _HERE / "viewer.js"
QUALITY = 88
"""Of the lossy WebP images that a page carries."""


def viewer(data: dict[str, Any], note: str) -> str:
    """Return the viewer as HTML; a page has room for one.

    Args:
        data: `sources`, pairs of key and title: the images of a photo; `right`, the place of the
            source that is shown on the right at first (optional); `metrics`, triples of title,
            better (higher or lower) and digits; `picks`, the places of those whose best value is
            marked (optional); `sets`, each with a `title`, `base` (the start of the addresses of
            each source) and `images`. An image has its name `n`, its size `s` in
            pixels (width, height), and a value for each source: `f`, the rest of its address, `d`,
            its data URI, and `v`, its values of all metrics; None where there is none. It may have
            texts, `t`: pairs of a title and pairs of name and text.
        note: plain text below the images.
    """
    template = Template(VIEWER.read_text(encoding="utf-8"))
    script = SCRIPT.read_text(encoding="utf-8")
    return template.substitute(
        note=html.escape(note),
        data=script_json(data),
        script=script,
    )


def script_json(data: Any) -> str:
    """Return `data` as JSON for a script element, whatever the names in it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    # A name such as </script> would end the element.
    return text.replace("<", "\\u003c")


def image_uri(image: np.ndarray, side: int) -> str:
    """Return an image (H, W, 3), uint8 RGB, as a data URI of at most `side` pixels a side."""
    return html.data_uri(image, side, "WEBP", QUALITY)
