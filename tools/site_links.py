"""Hook of mkdocs: links from pages to files outside docs/ lead to their pages on the site."""

import re
from typing import Any

CARD = re.compile(r"\]\(\.\./wxr_plugin/assets/(\w+)/README\.md\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return the text of a page with links to model cards replaced by links to their sections."""
    return CARD.sub(lambda match: f"](reference/models.md#{match[1]})", markdown)
