"""The files of a repository that are meant where none is named."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from wxr_plugin.errors import WxrError
from wxr_plugin.hub.references import Reference

SAFE = (".safetensors",)
PICKLED = (".pth", ".pt", ".ckpt")
CONFIGS = (".json", ".jinja", ".model", ".txt", ".gz")
"""Suffixes of the files of a model next to its weights."""
LISTED = 8
"""Number of files that a message names; further ones are counted."""


def only_weights(names: Sequence[str], place: Reference | str) -> str:
    """Return the one file of weights among the `names` of a repository, or of the folder `place`.

    A .safetensors comes before files that are pickled.

    Raises:
        WxrError: there is none, or there are several; the message lists them.
    """
    for suffixes in (SAFE, PICKLED):
        weights = sorted(name for name in names if name.lower().endswith(suffixes))
        if len(weights) == 1:
            return weights[0]
        if weights:
            raise WxrError(
                f"{place}: has several files of weights ({_listed(weights)}); name one, as in "
                f"{place}/{weights[0]}"
            )
    raise WxrError(f"{place}: has no weights (.safetensors, .pth), only {_listed(sorted(names))}")


def model_files(names: Sequence[str], reference: Reference) -> list[str]:
    """Return the files of a model with a folder of its own, weights last.

    Only one format of weights is taken, and no file of a sub-folder.

    Raises:
        WxrError: there are no weights.
    """
    top = sorted(name for name in names if "/" not in name)
    for suffix in (*SAFE, ".bin", *PICKLED):
        weights = [name for name in top if name.endswith(suffix)]
        if weights:
            configs = [name for name in top if name.endswith(CONFIGS)]
            return configs + weights
    raise WxrError(f"{reference}: is no model: it has no weights, only {_listed(sorted(names))}")


def check_listed(names: Sequence[str], reference: Reference) -> None:
    """Raise WxrError if the file of `reference` is not among the `names` of its repository."""
    file = reference.file
    if file is None or file in names:
        return
    last = PurePosixPath(file).name
    similar = [name for name in names if PurePosixPath(name).name == last]
    raise WxrError(
        f"{reference}: the repository has no file {file!r}; it has "
        f"{_listed(similar or sorted(names))}"
    )


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "nothing"
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
