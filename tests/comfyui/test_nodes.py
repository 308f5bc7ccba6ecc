"""The ComfyUI nodes: ComfyUI's documented interface, and the example workflows, executed."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "comfyui"
WORKFLOWS = sorted((FOLDER / "example_workflows").glob("*.json"))
WIDGETS = {"STRING": str, "INT": int, "FLOAT": (int, float)}
LINKED = ("IMAGE", "WXR_RESTORER")


@pytest.fixture(scope="module")
def package():
    """Import the folder as ComfyUI does: as a package whose name is its path."""
    name = "custom_nodes.wxr-weather"
    spec = importlib.util.spec_from_file_location(name, FOLDER / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    yield module
    for loaded in [loaded for loaded in sys.modules if loaded.startswith(name)]:
        del sys.modules[loaded]


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.rand(1, 64, 80, 3, generator=torch.Generator().manual_seed(0))


def _inputs(node) -> dict[str, tuple]:
    types = node.INPUT_TYPES()
    return {**types["required"], **types.get("optional", {})}


def _is_value(value, kind) -> bool:
    return value in kind if isinstance(kind, list) else isinstance(value, WIDGETS[kind])


def test_nodes_follow_the_documented_interface(package):
    assert package.NODE_CLASS_MAPPINGS.keys() == package.NODE_DISPLAY_NAME_MAPPINGS.keys()
    for node in package.NODE_CLASS_MAPPINGS.values():
        assert callable(getattr(node, node.FUNCTION))
        assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
        assert node.CATEGORY and node.DESCRIPTION and node.__doc__
        for name, (kind, *settings) in _inputs(node).items():
            assert name.isidentifier()
            if kind not in LINKED:
                assert _is_value(settings[0]["default"], kind)


def _run(package, workflow: dict, image: torch.Tensor) -> tuple[list, list]:
    """Execute a workflow in the order of its nodes; return saved images and shown texts."""
    results, saved, shown = {}, [], []
    sources = {link: (node, slot) for link, node, slot, *_ in workflow["links"]}
    for node in sorted(workflow["nodes"], key=lambda node: node["order"]):
        linked = {
            entry["name"]: results[sources[entry["link"]][0]][sources[entry["link"]][1]]
            for entry in node["inputs"]
            if entry["link"]
        }
        if node["type"] == "LoadImage":
            results[node["id"]] = (image, None)
        elif node["type"] == "SaveImage":
            saved.append(linked["images"])
        else:
            output = _execute(package.NODE_CLASS_MAPPINGS[node["type"]], node, linked)
            shown += output.get("ui", {}).get("text", [])
            results[node["id"]] = output["result"]
    return saved, shown


def _execute(kind, node: dict, linked: dict) -> dict:
    names = [name for name, (type_, *_) in _inputs(kind).items() if type_ not in LINKED]
    widgets = dict(zip(names, node["widgets_values"], strict=True))
    assert all(_is_value(widgets[name], _inputs(kind)[name][0]) for name in names)
    output = getattr(kind(), kind.FUNCTION)(**widgets, **linked)
    output = output if isinstance(output, dict) else {"result": output}
    assert len(output["result"]) == len(kind.RETURN_TYPES)
    return output


def test_there_are_workflows():
    assert [path.stem for path in WORKFLOWS] == ["panel", "restore_and_rate"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_runs(package, path, image):
    saved, shown = _run(package, json.loads(path.read_text()), image)
    assert shown and all(shown)
    for result in saved:
        assert result.shape == image.shape and result.dtype == torch.float32
        assert result.min() >= 0 and result.max() <= 1


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_links_join_equal_types(package, path):
    workflow = json.loads(path.read_text())
    nodes = {node["id"]: node for node in workflow["nodes"]}
    for link, source, slot, target, place, kind in workflow["links"]:
        output, entry = nodes[source]["outputs"][slot], nodes[target]["inputs"][place]
        assert output["type"] == entry["type"] == kind
        assert link in output["links"] and entry["link"] == link
    for node in nodes.values():
        kind = package.NODE_CLASS_MAPPINGS.get(node["type"])
        if kind:
            assert tuple(entry["type"] for entry in node["outputs"]) == kind.RETURN_TYPES


def test_strength_mixes_with_the_input(package, image):
    nodes = package.NODE_CLASS_MAPPINGS
    (restorer,) = nodes["WxrLoadRestorer"]().load("tiny", "fp32", 0)
    restore = nodes["WxrRestore"]().restore
    whole, half, none = (restore(restorer, image, amount)[0] for amount in (1.0, 0.5, 0.0))
    assert torch.equal(none, image)
    assert half.allclose((whole + image) / 2, atol=1e-6)
    assert (whole - image).abs().mean() > 1e-3


def test_batch_is_restored_image_by_image(package, image):
    nodes = package.NODE_CLASS_MAPPINGS
    (restorer,) = nodes["WxrLoadRestorer"]().load("tiny", "fp32", 0)
    batch = torch.cat([image, image.flip(2)])
    restored = nodes["WxrRestore"]().restore(restorer, batch, 1.0)[0]
    assert restored.shape == batch.shape
    alone = nodes["WxrRestore"]().restore(restorer, image, 1.0)[0]
    assert restored[:1].allclose(alone, atol=1e-6)


def test_panel_marks_its_choice(package, image):
    node = package.NODE_CLASS_MAPPINGS["WxrPseudoLabelPanel"]()
    output = node.choose(image, "tiny", "tiny")
    best, source, table = output["result"]
    assert best.shape == image.shape and source in ("input", "tiny")
    assert f"{source} " in table and table.count("(chosen)") == 1


def test_words_are_read_from_lines_and_commas(package, image):
    node = package.NODE_CLASS_MAPPINGS["WxrNameDegradation"]()
    output = node.name(image, "tiny", "hazy, rainy\nsnowy,")
    word, probability = output["result"]
    assert word in ("hazy", "rainy", "snowy") and 1 / 3 <= probability <= 1


def test_wrong_name_is_one_line(package):
    with pytest.raises(Exception, match="nonsense") as error:
        package.NODE_CLASS_MAPPINGS["WxrLoadRestorer"]().load("nonsense", "fp32", 0)
    assert "\n" not in str(error.value)
