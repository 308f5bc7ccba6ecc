"""Download of published checkpoints: addresses, transfer, verification."""

from wxr_plugin.zoo.download.rows import download, is_complete

__all__ = ["download", "is_complete"]
