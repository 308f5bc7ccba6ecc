"""The rows of the label store, as msgpack, and their keys."""

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
TEACHER = "teacher@"
"""Start of the `source` of a pseudo-label that a training made, followed by its iteration."""


class Rating(msgspec.Struct, tag="rating"):
    """A model's rating of an image."""

    key: str
    """Name of the image or crop."""
    content: str
    """`content_hash` of the rated image."""
    provenance: str
    """`provenance_hash` of the rater."""
    rating: float
    """In [1, 5]."""
    logits: tuple[float, float, float, float, float]
    """Of excellent, good, fair, poor, bad."""
    time: float = msgspec.field(default_factory=time.time)
    """Seconds since 1970."""
    iteration: int | None = None
    """Training iteration at which it was stored; None if a command made it."""


class Description(msgspec.Struct, tag="description"):
    """A model's description of an image; the other fields as in Rating."""

    key: str
    content: str
    provenance: str
    text: str
    time: float = msgspec.field(default_factory=time.time)


class Rewrite(msgspec.Struct, tag="rewrite"):
    """A description (d_neg) rewritten for clear weather (d_pos); the other fields as in Rating."""

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
    """Number of times that it was tried."""
    time: float = msgspec.field(default_factory=time.time)


class PseudoInfo(msgspec.Struct):
    """A pseudo-label without its image."""

    key: str
    """Name of the photo or crop."""
    rating: float
    """In [1, 5]."""
    source: str
    """Origin of the image: "input", "teacher@1200", a restorer's name, a file, ..."""
    iteration: int
    """Training iteration at which it was stored."""
    rater: str = ""
    """`provenance_hash` of the rater; ratings of different raters do not compare.

    `@` and a hash follow if the image was rated in surroundings, which the hash names.
    """
    time: float = msgspec.field(default_factory=time.time)
    """Seconds since 1970."""
    content: str = ""
    """`content_hash` of the image; empty in rows of older stores."""


class PseudoLabel(PseudoInfo, kw_only=True):
    """A restoration of a real photo in place of the ground truth that does not exist."""

    png: bytes
    """The restoration, losslessly."""

    @property
    def image(self) -> np.ndarray:
        """The restoration as uint8 RGB (H, W, 3), decoded at each call.

        Raises WxrError where its bits have changed.
        """
        bgr = None
        if self.png:  # cv2 raises its own error for an empty buffer
            bgr = cv2.imdecode(np.frombuffer(self.png, np.uint8), cv2.IMREAD_COLOR)
        if bgr is None:
            raise WxrError(
                f"the pseudo-label of {self.key} is damaged; save the sound rows of its label "
                "store with `wxr label rescue STORE -o NEW`"
            )
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


Answer = Rating | Description | Rewrite | Failure


def content_hash(image: bytes | np.ndarray) -> str:
    """Return a hash of a file's bytes, or of an array's shape and values; 32 hex digits."""
    if isinstance(image, np.ndarray):
        # Arrays of equal bytes but another shape or dtype are other images.
        header = repr((image.shape, image.dtype.str)).encode()
        image = header + np.ascontiguousarray(image).tobytes()
    return _short_hash(image)


def provenance_hash(provenance: Mapping[str, Any]) -> str:
    """Return a hash of all that an answer depends on except the image; 32 hex digits."""
    return _short_hash(provenance_json(provenance))


def provenance_json(provenance: Mapping[str, Any]) -> bytes:
    """Return `provenance` as JSON with sorted keys."""
    return json.dumps(provenance, sort_keys=True, ensure_ascii=False).encode()


def answer_key(kind: str, key: str, content: str, provenance: str) -> bytes:
    """Return the row key of the answer of `kind`: "rating", "description" or "rewrite".

    Names are hashed, so that any length fits LMDB's 511 bytes.
    """
    image = _short_hash(f"{key}\0{content}".encode())
    return f"{kind}/{provenance}/{image}".encode()


def pseudo_key(key: str, iteration: int) -> bytes:
    """Return the row key of one version of a pseudo-label.

    Versions of one image are adjacent, in the order of their iterations.
    """
    # LMDB sorts keys as bytes; leading zeros make that the order of numbers.
    return pseudo_prefix(key) + f"{iteration:012d}".encode()


def pseudo_row(label: PseudoLabel) -> tuple[bytes, bytes]:
    """Return key and value of the row that holds `label`."""
    return pseudo_key(label.key, label.iteration), msgspec.msgpack.encode(label)


def pseudo_prefix(key: str) -> bytes:
    """Return the start of the row keys of all versions of one pseudo-label."""
    return f"pseudo/{_short_hash(key.encode())}/".encode()


def encode_png(rgb: np.ndarray) -> bytes:
    """Encode a uint8 RGB image (H, W, 3) as PNG, quickly rather than tightly packed."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"expected a uint8 RGB image (H, W, 3), got {rgb.dtype} {rgb.shape}")
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return data.tobytes()


def _short_hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
