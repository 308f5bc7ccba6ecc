"""spandrel loads the networks of this package: detection, parameters, run, size requirements."""

import pytest
import spandrel
import spandrel_extra_arches
import torch
from basicsr.archs import build_network
from basicsr.utils.registry import ARCH_REGISTRY
from spandrel import MAIN_REGISTRY, ArchRegistry, ModelLoader, ModelTiling
from spandrel.architectures.NAFNet import NAFNet

import wxr_plugin.spandrel
from wxr_plugin.contributing import network_checks
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.reach import whole_image_networks
from wxr_plugin.spandrel.parameters import entries
from wxr_plugin.zoo.rows import rows

SHAPED = ("AffineUNet", "EnlightenGAN", "GCANet", "GridDehazeNet", "PReNet", "URetinexNet")
"""Networks whose quick instances follow from the shapes of their weights alone."""
LARGE = 30_000_000
"""Parameters above which a published network is not run."""


@pytest.fixture
def registry():
    """Return a copy of spandrel's registry with ours and the extra ones in it."""
    filled = MAIN_REGISTRY.copy()
    filled.add(*spandrel_extra_arches.EXTRA_REGISTRY, ignore_duplicates=True)
    wxr_plugin.spandrel.install(registry=filled)
    return filled


def published(name):
    """Return the first published network of a name with random weights; else the default one."""
    row = next((row for row in rows().values() if row.network_g["type"] == name), None)
    block = dict(row.network_g) if row else {"type": name}
    torch.manual_seed(0)
    return build_network(block).eval()


def check_image_model(model, least):
    """Run a model on images of odd sizes, as spandrel's own tests do."""
    assert model.scale == 1 and model.purpose == "Restoration"
    assert model.input_channels == model.output_channels == 3
    assert model.size_requirements.multiple_of == 1
    assert model.size_requirements.minimum == least
    image = torch.rand(1, 3, 37, 43)
    with torch.no_grad():
        restored = model(image)
    assert restored.shape == image.shape and restored.isfinite().all()


@pytest.mark.parametrize("name", entries())
def test_a_published_layout_is_recognised_and_loaded(name, registry):
    net = published(name)
    state_dict = net.state_dict()
    model = ModelLoader(registry=registry).load_from_state_dict({"params": state_dict})
    assert model.architecture.id == f"wxr_plugin.{name}"
    assert type(model.model).__name__ == name
    loaded = model.model.state_dict()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in state_dict.items())
    expected = ModelTiling.DISCOURAGED if name in whole_image_networks() else ModelTiling.SUPPORTED
    assert model.tiling == expected
    parameters = sum(parameter.numel() for parameter in net.parameters())
    if parameters < LARGE:
        check_image_model(model, getattr(net, "least", 0))


@pytest.mark.parametrize("name", SHAPED)
def test_parameters_come_from_the_shapes(name, registry):
    net = network_checks.build_quick(ARCH_REGISTRY.get(name)).eval()
    if name == "PReNet":
        net.stages = 6  # no weight depends on it
    model = ModelLoader(registry=registry).load_from_state_dict(net.state_dict())
    check_image_model(model, getattr(net, "least", 0))
    image = network_checks.photos(1, 48, 64)
    with torch.no_grad():
        assert model(image).shape == image.shape


@pytest.mark.parametrize("name", ["PReNet", "GridDehazeNet", "AffineUNet"])
def test_bf16_runs_where_it_is_offered(name, registry):
    model = ModelLoader(registry=registry).load_from_state_dict(published(name).state_dict())
    assert model.supports_bfloat16 and not model.supports_half
    model.to(torch.bfloat16)
    with torch.no_grad():
        assert model(torch.rand(1, 3, 32, 32).bfloat16()).isfinite().all()


def test_a_file_with_the_prefix_of_a_wrapper_loads(registry, tmp_path):
    weights = {f"net.{key}": tensor for key, tensor in published("PReNet").state_dict().items()}
    torch.save({"state_dict": weights}, tmp_path / "rain.pth")
    model = ModelLoader(registry=registry).load_from_file(tmp_path / "rain.pth")
    assert model.architecture.id == "wxr_plugin.PReNet"


def test_other_architectures_keep_their_checkpoints(registry):
    ours = [entry for entry in registry if entry.architecture.id.startswith("wxr_plugin.")]
    theirs = NAFNet(width=8, enc_blk_nums=[1, 1], dec_blk_nums=[1, 1]).state_dict()
    model = ModelLoader(registry=registry).load_from_state_dict(theirs)
    assert model.architecture.id == "NAFNet"
    for name in ("NAFNet", "Restormer", "MPRNet", "InstructIR", "WeatherDiff", "ConditionalUNet"):
        weights = network_checks.build_quick(ARCH_REGISTRY.get(name)).state_dict()
        assert not [entry.architecture.id for entry in ours if entry.detect(weights)]


def test_each_state_dict_is_of_one_architecture(registry):
    ours = [entry for entry in registry if entry.architecture.id.startswith("wxr_plugin.")]
    for name in entries():
        with torch.device("meta"):
            weights = build_network({"type": name}).state_dict()
        matches = [entry.architecture.id for entry in ours if entry.detect(weights)]
        assert matches == [f"wxr_plugin.{name}"]


def test_tkl_and_msbdn_differ_by_the_dense_blocks(registry):
    ours = [entry for entry in registry if entry.architecture.id.startswith("wxr_plugin.")]
    with torch.device("meta"):
        dff, rdff = (build_network({"type": "MSBDN", "variant": v}) for v in ("dff", "rdff"))
        tkl = build_network({"type": "TKL"})
    assert dff.state_dict().keys() < tkl.state_dict().keys() == rdff.state_dict().keys()
    for net, name in ((dff, "MSBDN"), (rdff, "TKL"), (tkl, "TKL")):
        for prefix in ("", "module."):
            weights = {prefix + key: tensor for key, tensor in net.state_dict().items()}
            matches = [entry.architecture.id for entry in ours if entry.detect(weights)]
            assert matches == [f"wxr_plugin.{name}"]


def test_installing_twice_adds_nothing():
    registry = ArchRegistry()
    assert len(wxr_plugin.spandrel.install(registry=registry)) == len(entries())
    assert wxr_plugin.spandrel.install(registry=registry) == []
    assert spandrel.__name__ == "spandrel" and hasattr(spandrel, "ModelLoader")


def test_a_preferred_row_decides_between_equal_shapes():
    state_dict = published("GCANet").state_dict()
    kinds = {}
    for row in ("gcanet-dehaze", "gcanet-derain"):
        registry = ArchRegistry()
        wxr_plugin.spandrel.install(registry=registry, prefer=[row])
        model = ModelLoader(registry=registry).load_from_state_dict(state_dict)
        kinds[row] = model.model.only_residual
    assert kinds == {"gcanet-dehaze": True, "gcanet-derain": False}
    with pytest.raises(WxrError, match="no published method"):
        wxr_plugin.spandrel.install(registry=ArchRegistry(), prefer=["gcanet"])


def test_weights_that_do_not_fit_are_one_line(registry):
    state_dict = published("GridDehazeNet").state_dict()
    state_dict["conv_out.weight"] = torch.zeros(3, 5, 3, 3)
    with pytest.raises(WxrError, match=r"look like those of GridDehazeNet.*conv_out") as why:
        ModelLoader(registry=registry).load_from_state_dict(state_dict)
    assert "\n" not in str(why.value)
