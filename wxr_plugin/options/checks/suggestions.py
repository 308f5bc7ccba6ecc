"""Fixes for sets whose images do not pair: a template of names, or a folder one level deeper."""

from collections.abc import Iterable
from pathlib import Path

from wxr_plugin.data.images.io import SUFFIXES
from wxr_plugin.options.nested import OptionMap

OTHERWISE = "give each image its partner"
"""Fix if no template and no folder helps."""


def pairing_fix(gt: Path, lq: Path, block: OptionMap, has_gt_template: bool = False) -> str:
    """Return the fix for the folders of a block that do not pair.

    Args:
        gt: folder of ground truth.
        lq: folder of degraded photos.
        block: the block of the dataset.
        has_gt_template: whether the dataset reads `gt_tmpl`, too, so that the names of ground truth
            may be longer.
    """
    gt_stems = stems(gt)
    lq_stems = stems(lq)
    template = name_template(gt_stems, lq_stems)
    if template:
        return f"set filename_tmpl: '{template}'"
    reverse = name_template(lq_stems, gt_stems)
    if has_gt_template and reverse:
        return f"set gt_tmpl: '{reverse}'"
    current = block.get("filename_tmpl", "{}")
    for folder in _subfolders(lq):
        # The folder of ground truth may be inside that of the photos.
        if folder.resolve() == gt.resolve():
            continue
        template = name_template(gt_stems, stems(folder))
        if template:
            also = "" if template == current else f", with filename_tmpl: '{template}'"
            return f"did you mean {folder}{also}?"
    return OTHERWISE


def name_template(names: Iterable[str], others: Iterable[str]) -> str:
    """Return the template that turns all `names` into names of `others`; "" if none does.

    `{}` stands for the name: `{}x4` turns 1 into 1x4.
    """
    names, others = set(names), set(others)
    if not names:
        return ""
    # A long name is unlikely to occur in another one by chance.
    longest = max(names, key=lambda name: (len(name), name))
    candidates = [name for name in others if longest in name]
    for candidate in sorted(candidates, key=len):
        # Braces of the name itself stay as they are.
        escaped = candidate.replace("{", "{{").replace("}", "}}")
        template = escaped.replace(longest, "{}", 1)
        partners = {template.format(name) for name in names}
        if partners <= others:
            return template
    return ""


def stems(folder: Path) -> set[str]:
    """Return the names of the images in a folder without suffixes; sub-folders do not count."""
    names = set()
    for file in folder.iterdir():
        is_image = file.suffix.lower() in SUFFIXES
        is_hidden = file.name.startswith(".")
        if is_image and not is_hidden:
            names.add(file.stem)
    return names


def _subfolders(folder: Path) -> list[Path]:
    """Return the folders in `folder` that are not hidden, by name."""
    folders = []
    for path in folder.iterdir():
        is_hidden = path.name.startswith(".")
        if path.is_dir() and not is_hidden:
            folders.append(path)
    return sorted(folders)
