"""LMDBs of images in one place: building, checking, reading."""

from wxr_plugin.data.image_store import ImageStore, image_key
from wxr_plugin.data.lmdb_build import BuildResult, build
from wxr_plugin.data.lmdb_check import check

__all__ = ["BuildResult", "ImageStore", "build", "check", "image_key"]
