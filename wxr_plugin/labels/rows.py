"""What the label store holds, as msgpack, and under which keys."""

import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any

import cv2
import msgspec
import numpy as np

from wxr_plugin.errors import WxrError

SCHEMA_VERSION = 2
"""Goes up when a row changes in a way that older code would misread. 2: rewrites."""
READABLE_VERSIONS = (1, 2)
"""Versions that this code reads; opening a store for writing makes it one of SCHEMA_VERSION."""


class Rating(msgspec.Struct, tag="rating"):
    """A model's rating of an image."""

    key: str
    """Name of the image or crop."""
    content: str
    """`content_hash` of what was rated."""
    provenance: str
    """`provenance_hash` of the rater."""
    rating: float
    """In [1, 5]."""
    logits: tuple[float, float, float, float, float]
    """Of excellent, good, fair, poor, bad."""
    time: float = msgspec.field(default_factory=time.time)
    """Seconds since 1970."""


class Description(msgspec.Struct, tag="description"):
    """A model's description of an image; the other fields as in Rating."""

    key: str
    content: str
    provenance: str
    text: str
    time: float = msgspec.field(default_factory=time.time)


class Rewrite(msgspec.Struct, tag="rewrite"):
    """A description (d_neg) as it would be in clear weather (d_pos); the other fields as in Rating."""

    key: str
    content: str
    """`content_hash` of `source` in UTF-8."""
    provenance: str
    source: str
    """The description, d_neg."""
    text: str
    """Its rewrite, d_pos."""
    time: float = msgspec.field(default_factory=time.time)


class Failure(msgspec.Struct, tag="failure"):
    """An image or text that got no usable answer; the other fields as in Rating."""

    key: str
    content: str
    provenance: str
    reason: str
    attempts: int = 1
    """How often it was tried."""
    time: float = msgspec.field(default_factory=time.time)


class PseudoInfo(msgspec.Struct):
    """What is known of a pseudo-label, without its image."""

    key: str
    """Name of the photo or crop."""
    rating: float
    """In [1, 5]."""
    source: str
    """Where it came from: "input", "teacher@1200", a file, ..."""
    iteration: int
    """Training iteration at which it was stored."""
    rater: str = ""
    """`provenance_hash` of the rater; ratings of different raters do not compare."""
    time: float = msgspec.field(default_factory=time.time)
    """Seconds since 1970."""


class PseudoLabel(PseudoInfo, kw_only=True):
    """A restoration of a real photo that stands in for the ground truth it does not have."""

    png: bytes
    """The restoration, losslessly."""

    @property
    def image(self) -> np.ndarray:
        """The restoration as uint8 RGB (H, W, 3), decoded at each call.

        Raises WxrError where its bits have changed.
        """
        bgr = (
            cv2.imdecode(np.frombuffer(self.png, np.uint8), cv2.IMREAD_COLOR) if self.png else None
        )
        if bgr is None:
            raise WxrError(
                f"the pseudo-label of {self.key} is damaged; save the sound rows of its label "
                f"store with "
                "`wxr label rescue STORE -o NEW`"
            )
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


Answer = Rating | Description | Rewrite | Failure


def content_hash(image: bytes | np.ndarray) -> str:
    """Hash of a file's bytes, or of an array's shape and values; 32 hex digits."""
    if isinstance(image, np.ndarray):
        image = (
            repr((image.shape, image.dtype.str)).encode() + np.ascontiguousarray(image).tobytes()
        )
    return _short_hash(image)


def provenance_hash(provenance: Mapping[str, Any]) -> str:
    """Hash of all that an answer depends on besides the image; 32 hex digits."""
    return _short_hash(provenance_json(provenance))


def provenance_json(provenance: Mapping[str, Any]) -> bytes:
    """The same as text, in one order of keys."""
    return json.dumps(provenance, sort_keys=True, ensure_ascii=False).encode()


def answer_key(kind: str, key: str, content: str, provenance: str) -> bytes:
    """Row of the answer of `kind` ("rating", "description" or "rewrite"); names of any length fit LMDB's 511 bytes."""
    image = _short_hash(f"{key}\0{content}".encode())
    return f"{kind}/{provenance}/{image}".encode()


def pseudo_key(key: str, iteration: int) -> bytes:
    """Row of one version of a pseudo-label; versions of one image lie together, in order."""
    return pseudo_prefix(key) + f"{iteration:012d}".encode()


def pseudo_row(label: PseudoLabel) -> tuple[bytes, bytes]:
    """Key and value of the row that holds `label`."""
    return pseudo_key(label.key, label.iteration), msgspec.msgpack.encode(label)


def pseudo_prefix(key: str) -> bytes:
    """What the rows of all versions of one pseudo-label start with."""
    return f"pseudo/{_short_hash(key.encode())}/".encode()


def encode_png(rgb: np.ndarray) -> bytes:
    """A uint8 RGB image (H, W, 3) as PNG, quickly rather than tightly packed."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"expected a uint8 RGB image (H, W, 3), got {rgb.dtype} {rgb.shape}")
    return cv2.imencode(
        ".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1]
    )[1].tobytes()


def _short_hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
