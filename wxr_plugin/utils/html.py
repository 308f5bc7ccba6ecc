"""Self-contained HTML pages with images in them, and marks of figures that are worse."""

import base64
import html
import io
import math
from importlib import resources
from pathlib import Path
from string import Template
from typing import Literal

import numpy as np
from PIL import Image

PAGE = resources.files(__package__) / "report.html"

WORSE = "▼"
"""Mark at the end of a figure that is worse than the figure of the input."""
WORSE_NOTE = f"{WORSE} is worse than the input, the photos as they are."

escape = html.escape


def data_uri(
    photo: np.ndarray, side: int = 640, kind: Literal["JPEG", "WEBP"] = "JPEG", quality: int = 90
) -> str:
    """Return `photo` (H, W, 3), uint8 RGB, as a data URI, its longer side at most `side` pixels."""
    image = Image.fromarray(photo)
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    # `method` concerns WebP: 2 takes half the time of the default, and files are hardly larger.
    image.save(buffer, kind, quality=quality, method=2)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return f"data:image/{kind.lower()};base64,{encoded}"


def page(title: str, body: Path, head: str = "", **parts: str) -> str:
    """Return a whole page with the styles of `report.html`.

    Args:
        title: plain text.
        body: file with a template of the HTML body.
        head: HTML for the head of the page, such as further styles.
        parts: HTML for the placeholders of `body`.
    """
    filled = Template(body.read_text(encoding="utf-8")).substitute(parts)
    return Template(PAGE.read_text(encoding="utf-8")).substitute(
        title=escape(title), head=head, body=filled
    )


def is_worse(value: float, baseline: float, better: str, digits: int) -> bool:
    """Return whether `value` is worse than `baseline` once both are rounded to `digits`.

    `better` is `higher` or `lower`; with "", or where a value is not finite, the answer is False.
    """
    comparable = math.isfinite(value) and math.isfinite(baseline)
    if not better or not comparable:
        return False
    shown = round(value, digits)
    limit = round(baseline, digits)
    return shown < limit if better == "higher" else shown > limit
