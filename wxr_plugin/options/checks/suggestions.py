"""Fixes for sets whose images do not pair: a template for the names, or a folder one level deeper."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wxr_plugin.data.images.io import SUFFIXES

OTHERWISE = "give each image its partner"


def pairing_fix(gt: Path, lq: Path, block: Mapping[str, Any], has_gt_template: bool = False) -> str:
    """Return the fix for the folders of a block that do not pair.

    `has_gt_template`: the dataset reads `gt_tmpl` too, so that names of ground truth may have an
    end of their own.
    """
    wanted = stems(gt)
    template = name_template(wanted, stems(lq))
    if template:
        return f"set filename_tmpl: '{template}'"
    reverse = name_template(stems(lq), wanted)
    if has_gt_template and reverse:
        return f"set gt_tmpl: '{reverse}'"
    for folder in _subfolders(lq):
        if folder.resolve() == gt.resolve():
            continue
        template = name_template(wanted, stems(folder))
        current = block.get("filename_tmpl", "{}")
        if template:
            also = "" if template == current else f", with filename_tmpl: '{template}'"
            return f"did you mean {folder}{also}?"
    return OTHERWISE


def name_template(names: Iterable[str], others: Iterable[str]) -> str:
    """Return the template ({} stands for the name) that turns all `names` into names of `others`; "" if none does."""
    names, others = set(names), set(others)
    if not names:
        return ""
    longest = max(names, key=lambda name: (len(name), name))
    for other in sorted((name for name in others if longest in name), key=len):
        template = other.replace("{", "{{").replace("}", "}}").replace(longest, "{}", 1)
        if {template.format(name) for name in names} <= others:
            return template
    return ""


def stems(folder: Path) -> set[str]:
    """Return the names of the images in a folder, without suffix; sub-folders do not count."""
    return {
        file.stem
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    }


def _subfolders(folder: Path) -> list[Path]:
    return sorted(
        place for place in folder.iterdir() if place.is_dir() and not place.name.startswith(".")
    )
