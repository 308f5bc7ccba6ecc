"""Temporarily replaced attributes."""

import ast
from pathlib import Path
from types import SimpleNamespace

import pytest

import wxr_plugin
from wxr_plugin.utils.patching import patched


def test_the_attribute_is_restored_after_an_error_too():
    owner = SimpleNamespace(url="theirs")
    with pytest.raises(KeyError), patched(owner, "url", "ours"):
        assert owner.url == "ours"
        raise KeyError
    assert owner.url == "theirs"


def test_an_attribute_that_is_not_there_is_refused():
    owner = SimpleNamespace()
    with pytest.raises(AttributeError, match="url"), patched(owner, "url", "ours"):
        pass
    assert vars(owner) == {}


def test_product_code_does_not_use_mock():
    for file in Path(wxr_plugin.__file__).parent.rglob("*.py"):
        assert "unittest" not in imports(file), file


def imports(file):
    """Return the top-level packages that a Python file imports."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names}
