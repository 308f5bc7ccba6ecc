"""The words for DA-CLIP's ten degradations, and how many images published benchmarks have of each."""

from importlib import resources

import msgspec

COUNTS_FILE = resources.files(__package__) / "degradation_counts.yml"
ALLWEATHER_FILE = resources.files(__package__) / "allweather_counts.yml"


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
    quoted: bool = False
    """The count of training pairs is one that papers repeat, without a source; it need not be true."""


class Benchmark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a published benchmark is made of."""

    total: dict[str, int]
    """Pairs of a split (train, test), where that is published."""
    degradations: dict[str, Published]
    """What it has of each degradation, in its order."""


BENCHMARKS: dict[str, Benchmark] = {
    name: msgspec.yaml.decode(file.read_bytes(), type=Benchmark)
    for name, file in (("universal", COUNTS_FILE), ("allweather", ALLWEATHER_FILE))
}
"""DA-CLIP's ten degradations, and All-weather with three of them."""

PUBLISHED: dict[str, Published] = BENCHMARKS["universal"].degradations
"""What DA-CLIP's benchmark has of each degradation, in its order."""

DEGRADATIONS: tuple[str, ...] = tuple(PUBLISHED)
"""The ten words, which are also the texts that DA-CLIP tells apart."""
