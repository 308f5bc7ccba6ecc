"""The words for DA-CLIP's ten degradations, and how many images the published benchmark has of each."""

from pathlib import Path

import msgspec

COUNTS_FILE = Path(__file__).with_name("degradation_counts.yml")


class Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One degradation of the published benchmark."""

    set: str
    """Name of the set that the training images are from."""
    train: int
    """Training pairs."""
    test: int
    """Test pairs."""
    test_set: str = ""
    """Name of the test set where it is another one."""
    likely: bool = False
    """The test set's name is inferred from its count."""


class _Counts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    total: dict[str, int]
    degradations: dict[str, Published]


PUBLISHED: dict[str, Published] = msgspec.yaml.decode(COUNTS_FILE.read_bytes(), type=_Counts).degradations
"""What the benchmark has of each degradation, in its order."""

DEGRADATIONS: tuple[str, ...] = tuple(PUBLISHED)
"""The ten words, which are also the texts that DA-CLIP tells apart."""
