"""References to the Hugging Face hub: hf://OWNER/NAME[@REVISION][/FILE]."""

import re
from os import PathLike
from typing import NamedTuple
from urllib.parse import quote, unquote

from wxr_plugin.errors import WxrError

SCHEME = "hf://"
FORM = "hf://OWNER/NAME[@REVISION][/FILE]"
_COMMIT = re.compile(r"[0-9a-f]{40}")
# pathlib makes one slash of two.
_START = re.compile(r"hf:/{1,2}(?=[^/])|hf://$")
# Names begin with a letter, digit or underscore, as on the hub.
_REFERENCE = re.compile(
    r"hf:/{1,2}(?P<repo>\w[\w.-]*/\w[\w.-]*)"
    r"(?:@(?P<revision>refs/(?:pr|convert)/[^/@]+|[^/@]+))?"
    r"(?:/(?P<file>[^/].*?))?/?"
)


class Reference(NamedTuple):
    """A repository on the hub, a revision of it, and a file in it."""

    repo: str
    """OWNER/NAME."""
    revision: str | None = None
    """Branch, tag or commit; None: main."""
    file: str | None = None
    """Path of a file in the repository; None: none is named."""

    @property
    def is_pinned(self) -> bool:
        """Return whether the revision is a commit, whose files never change."""
        return bool(_COMMIT.fullmatch(self.revision or ""))

    def __str__(self) -> str:
        """Return the reference as it is written in options."""
        revision = f"@{quote(self.revision, safe='/')}" if self.revision else ""
        file = f"/{self.file}" if self.file else ""
        return f"{SCHEME}{self.repo}{revision}{file}"


def is_reference(place: str | PathLike | None) -> bool:
    """Return whether `place`, a text or a path, begins with hf://."""
    return place is not None and bool(_START.match(str(place)))


def read_reference(place: str | PathLike) -> Reference:
    """Return the reference that `place` is.

    Raises:
        WxrError: it does not have the form of one.
    """
    match = _REFERENCE.fullmatch(str(place))
    if match is None or ".." in str(place):
        text = _START.sub(SCHEME, str(place))
        raise WxrError(f"{text}: not a reference to the hub; write {FORM}")
    revision = match["revision"]
    return Reference(match["repo"], unquote(revision) if revision else None, match["file"])
