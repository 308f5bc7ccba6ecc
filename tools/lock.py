"""Write this environment's versions as constraints for pip: `python tools/lock.py FILE`."""

import platform
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

HEADER = """\
# The versions that `make install` installs, for Python 3.11 to 3.14. \
Written by `make lock` on Python {python}.
# torch pins its own CUDA packages, which a CPU build of torch does not have.
"""
LEFT_OUT = re.compile("nvidia-.*|cuda-.*|triton|pip|wxr-plugin")
"""Names of what torch pins for its platform, of the installer, and of this package."""


def pins(installed: Iterable[Distribution]) -> list[str]:
    """Return `name==version` of every package, by name, without local versions such as `+cpu`.

    Raises:
        SystemExit: a package is installed in two versions, in environments on top of each other.
    """
    versions = defaultdict(set)
    for distribution in installed:
        name = distribution.name.lower().replace("_", "-")
        if not LEFT_OUT.fullmatch(name):
            versions[name].add(distribution.version.split("+")[0])
    return list(_one_version(versions))


def _one_version(versions: dict[str, set[str]]) -> Iterator[str]:
    for name, installed in sorted(versions.items()):
        if len(installed) > 1:
            raise SystemExit(
                f"{name} is installed as {' and '.join(sorted(installed))}: the extras of setup.py "
                f"disagree"
            )
        yield f"{name}=={installed.pop()}"


if __name__ == "__main__":
    lines = pins(distributions())
    Path(sys.argv[1]).write_text(
        HEADER.format(python=platform.python_version()) + "\n".join(lines) + "\n"
    )
