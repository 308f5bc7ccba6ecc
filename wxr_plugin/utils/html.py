"""Self-contained HTML pages with images in them, and tables as plain text."""

import base64
import html
import io
import math
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Literal

import numpy as np
from PIL import Image

PAGE = resources.files(__package__) / "report.html"

WORSE = "▼"
"""Mark at the end of a figure that is worse than that of the input."""
WORSE_NOTE = f"{WORSE} is worse than the input, the photos as they are."

escape = html.escape


def data_uri(
    photo: np.ndarray, side: int = 640, kind: Literal["JPEG", "WEBP"] = "JPEG", quality: int = 90
) -> str:
    """`photo` (uint8 RGB) as a data URI, its longer side at most `side` pixels."""
    image = Image.fromarray(photo)
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(
        buffer, kind, quality=quality, method=2
    )  # of WebP: half the time of the default, hardly larger
    return f"data:image/{kind.lower()};base64," + base64.b64encode(buffer.getvalue()).decode()


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as plain text with aligned columns."""
    table = [list(header), *map(list, rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    lines = []
    for row in table:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:])),
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def page(title: str, body: Path, head: str = "", **parts: str) -> str:
    """A whole page: the template `body` with `parts`, HTML, in its places, below the styles of `report.html`.

    `head` is HTML for the page's head, such as styles of its own.
    """
    filled = Template(body.read_text(encoding="utf-8")).substitute(parts)
    return Template(PAGE.read_text(encoding="utf-8")).substitute(
        title=escape(title), head=head, body=filled
    )


def is_worse(value: float, baseline: float, better: str, digits: int) -> bool:
    """Return whether `value` is worse than `baseline` in the digits shown; False where either is not finite.

    `better` is `higher` or `lower`; with "" no figure is worse than another.
    """
    if not (math.isfinite(value) and math.isfinite(baseline)) or not better:
        return False
    shown, wanted = round(value, digits), round(baseline, digits)
    return shown < wanted if better == "higher" else shown > wanted
