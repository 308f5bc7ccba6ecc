"""Words of DA-CLIP's ten degradations, and numbers of images of each in published benchmarks."""

from importlib import resources

import msgspec

COUNTS_FILE = resources.files(__package__) / "degradation_counts.yml"
ALLWEATHER_FILE = resources.files(__package__) / "allweather_counts.yml"


class Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One degradation of the published benchmark."""

    set: str
    """Name of the set of the training images."""
    train: int
    """Training pairs."""
    test: int
    """Test pairs."""
    test_set: str = ""
    """Name of the test set if it is a different one."""
    likely: bool = False
    """Whether the test set's name is inferred from its count."""
    quoted: bool = False
    """Whether the count of training pairs is quoted in papers without a source."""


class Benchmark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Composition of a published benchmark."""

    total: dict[str, int]
    """Split (train, test) -> number of pairs, if published."""
    degradations: dict[str, Published]
    """Word -> its numbers, in the benchmark's order."""


BENCHMARKS: dict[str, Benchmark] = {
    name: msgspec.yaml.decode(file.read_bytes(), type=Benchmark)
    for name, file in (("universal", COUNTS_FILE), ("allweather", ALLWEATHER_FILE))
}
"""DA-CLIP's ten degradations, and All-weather with three of them."""

PUBLISHED: dict[str, Published] = BENCHMARKS["universal"].degradations
"""Word -> its numbers in DA-CLIP's benchmark, in the benchmark's order."""

DEGRADATIONS: tuple[str, ...] = tuple(PUBLISHED)
"""The ten words, which are also the texts that DA-CLIP classifies images by."""
