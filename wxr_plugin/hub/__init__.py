"""Files on the Hugging Face hub: references, download, and errors."""

from wxr_plugin.hub.cache import reference_of, snapshot
from wxr_plugin.hub.fetching import cached_file, fetched_file, fetched_folder, pinned
from wxr_plugin.hub.references import Reference, is_reference, read_reference

__all__ = [
    "Reference",
    "cached_file",
    "fetched_file",
    "fetched_folder",
    "is_reference",
    "pinned",
    "read_reference",
    "reference_of",
    "snapshot",
]
