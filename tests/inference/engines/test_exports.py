"""The table of exports is true: every network is exported, or fails for the reason there."""

import io
import os

import pytest
import torch
from basicsr.utils.registry import ARCH_REGISTRY

from wxr_plugin.contributing import network_checks
from wxr_plugin.inference.engines.graphs import to_onnx, to_pt2, trace
from wxr_plugin.inference.engines.ort import OrtSession
from wxr_plugin.inference.engines.table import (
    ONNX,
    PT2,
    SUFFIXES,
    Export,
    ExportError,
    exports,
    multiple_of,
)
from wxr_plugin.inference.engines.verifying import verify

NETWORKS = {
    name: cls
    for name, cls in sorted(ARCH_REGISTRY)
    if cls.__module__.startswith("wxr_plugin.") and name != "DaCLIP"
}
QUICK = ("AirNet", "JORDER_E", "PReNet")
"""Networks that are exported in some seconds."""
HEAVY = ("MAXIM", "MWDT")
"""Networks that are traced for minutes; WXR_ALL_EXPORTS=1 exports them as well."""
UNTRIED = ("ConditionalUNet", "SARCWP", "WeatherDiff")
"""Networks that take more than an image."""


def built(name):
    """Return a quick instance whose layers all take part: some start at zero."""
    net = network_checks.build_quick(NETWORKS[name]).eval().requires_grad_(False)
    torch.manual_seed(0)
    for parameter in net.parameters():
        if parameter.min() == parameter.max():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return net


def largest_difference(net, suffix, multiple):
    """Return the largest difference of an export from `net`; raise ExportError beyond the bound."""
    graph = trace(net, multiple)
    if suffix == ONNX:
        return verify(OrtSession(to_onnx(graph, {}), graph.sides), net, graph.sides)
    program = torch.export.load(io.BytesIO(to_pt2(graph, {})))
    return verify(program.module(), net, graph.sides)


def test_the_table_has_the_networks_of_the_registry():
    assert exports().keys() == NETWORKS.keys()


def marks_of(name):
    """Return the marks of the tests of a network."""
    if name in QUICK:
        return []
    reason = f"{name} is traced for minutes; WXR_ALL_EXPORTS=1 exports it"
    is_left_out = name in HEAVY and not os.environ.get("WXR_ALL_EXPORTS")
    return [pytest.mark.slow, pytest.mark.skipif(is_left_out, reason=reason)]


CASES = [
    pytest.param(name, suffix, marks=marks_of(name))
    for name in NETWORKS
    if name not in UNTRIED
    for suffix in SUFFIXES
]


@pytest.mark.parametrize(("name", "suffix"), CASES)
def test_a_network_is_exported_as_the_table_has_it(name, suffix):
    entry = exports()[name]
    listed = entry.onnx if suffix == ONNX else entry.pt2
    net = built(name)
    if isinstance(listed, str):
        with pytest.raises(ExportError, match=f"{name} is not exported as {suffix}: "):
            multiple_of(net, suffix)
        # The reason is not stale: the export still fails, or still gives another result.
        with pytest.raises(ExportError):
            largest_difference(net, suffix, Export().onnx if suffix == ONNX else Export().pt2)
    else:
        assert multiple_of(net, suffix) == listed
        largest_difference(net, suffix, listed)


@pytest.mark.parametrize("name", UNTRIED)
def test_networks_with_further_inputs_have_a_reason(name):
    entry = exports()[name]
    assert isinstance(entry.onnx, str) and isinstance(entry.pt2, str)
    with pytest.raises(ExportError, match=f"{name} is not exported"):
        multiple_of(built(name), PT2)


def test_reasons_do_not_end_a_sentence():
    reasons = [part for entry in exports().values() for part in (entry.onnx, entry.pt2)]
    assert not [text for text in reasons if isinstance(text, str) and text.endswith(".")]
