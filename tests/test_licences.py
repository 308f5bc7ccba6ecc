"""Licences of the packages that `pip install wxr_plugin` brings: permissive ones only."""

import re

import pytest
from core_packages import needed_by
from setup_file import keyword

from wxr_plugin.utils.extras import EXTRAS

CORE = needed_by(*keyword("install_requires"))
PERMISSIVE = re.compile(
    r"(The )?(MIT|(New |Modified )?BSD|Apache|ISC|PSF|Python Software Foundation)\b"
    r"|[0-9]-Clause BSD|0BSD|BSL-1\.0|CC0-1\.0|CNRI-Python|OLDAP-2\.8|Zlib|HPND",
    re.IGNORECASE,
)
"""Beginnings of permissive licences, as SPDX identifiers, trove classifiers or free text."""
UNAVOIDABLE = {
    "certifi": "MPL",  # of requests
    "tqdm": "MPL",  # of basicsr, transformers
}
"""Core packages under the Mozilla Public License, which concerns changes to their files only."""
OF_NVIDIA = re.compile("nvidia-.*|cuda-.*")
"""Libraries of CUDA, proprietary, which PyPI's builds of torch need and CPU builds do not."""


def licences(package) -> list[str]:
    """Return the licences that a package's metadata state, joined by AND, or [] for none."""
    metadata = package.metadata
    if expression := metadata.get("License-Expression"):
        return re.split(r" AND | WITH [\w.-]+", expression.strip("()"))
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in metadata.get_all("Classifier", [])
        if line.startswith("License :: ") and line != "License :: OSI Approved"
    ]
    if classifiers:
        return classifiers
    text = (metadata.get("License") or "").strip()
    return re.split(" AND ", text.splitlines()[0]) if text else []


def strings_attached(name, package) -> list[str]:
    """Return the licences of a package that are not permissive."""
    stated = [licence for licence in licences(package) if licence]
    if not stated:
        return ["none stated"]
    exception = UNAVOIDABLE.get(name)
    return [
        licence
        for licence in stated
        if not PERMISSIVE.match(licence) and not (exception and exception in licence)
    ]


@pytest.mark.parametrize("name", sorted(name for name in CORE if not OF_NVIDIA.fullmatch(name)))
def test_a_package_of_the_core_has_a_permissive_licence(name):
    assert strings_attached(name, CORE[name]) == []


def test_the_walk_reaches_what_dependencies_need():
    assert {"torch", "tb-nightly", "werkzeug", "urllib3", "timm"} <= set(CORE)


def test_the_extras_are_not_in_the_core():
    modules = {module.replace("_", "-") for packages in EXTRAS.values() for module in packages}
    assert not (modules | {"scikit-learn"}) & set(CORE)


def test_the_exceptions_are_needed():
    assert set(UNAVOIDABLE) <= set(CORE)


def test_a_licence_with_strings_attached_is_noticed():
    metrics = needed_by("pyiqa")
    assert strings_attached("pyiqa", metrics["pyiqa"]) == ["PolyForm-Noncommercial-1.0.0"]
