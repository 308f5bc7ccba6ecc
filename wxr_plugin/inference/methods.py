"""Published methods by name: which network, guide and equation go with the authors' checkpoints."""

from collections.abc import Sequence
from pathlib import Path

from wxr_plugin.errors import WxrError
from wxr_plugin.inference.specs import RestorerSpec
from wxr_plugin.zoo.files import WEIGHTS, Found, find_files
from wxr_plugin.zoo.rows import Row, find_row

HEAD = "lm_instructir-7d.pt"
"""InstructIR's second file: from embedded words to what its network takes."""


def method_spec(
    name: str, checkpoint: Path | Sequence[Path] | None = None, guide: str | None = None, words: str | None = None
) -> RestorerSpec:
    """The restorer of a published method, with its official files from WEIGHTS unless others are given.

    Args:
        name: of a row of the zoo.
        checkpoint: its file, or several, or a folder that holds them.
        guide: the DA-CLIP of a method that has one.
        words: the instruction of a method that takes one, in place of the row's.

    Raises:
        WxrError: there is no such method, or a file is missing: names the file and where it comes from.
        CheckpointError: a file is for another network; names both sides.
    """
    row = find_row(name)
    given = [checkpoint] if isinstance(checkpoint, str | Path) else list(checkpoint or ())
    found = find_files(row, [Path(path).expanduser() for path in given])
    if row.guide and guide is None:
        guide = str(_beside(row, row.guide, found, "--guide"))
    if row.instruction:
        found = _instructed(row, found, words or row.instruction)
    elif words:
        raise WxrError(f"{name} takes no instruction; leave it out")
    return RestorerSpec(name, found.files[0], found.network, None, guide=guide, sde=row.sde, found=found, row=name)


def _beside(row: Row, name: str, found: Found, option: str | None = None) -> Path:
    """A further file of a row: with the others, or in WEIGHTS."""
    for folder in (found.files[0].parent, WEIGHTS):
        if (folder / name).is_file():
            return folder / name
    how = f", or say with {option} where it is" if option else ""
    raise WxrError(f"{WEIGHTS / name}: no such file; fetch it from {row.source}{how}")


def _instructed(row: Row, found: Found, words: str) -> Found:
    from wxr_plugin.conditioning.instructions import embed_instruction

    head = _beside(row, HEAD, found)
    return found._replace(network=found.network | {"instruction": embed_instruction(words, head)})
