"""Attributes that are replaced for a while."""

import ast
from pathlib import Path
from types import SimpleNamespace

import pytest

import wxr_plugin
from wxr_plugin.patching import patched


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
        imported = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
        assert not any((node.module or "").startswith("unittest") for node in imported), file
