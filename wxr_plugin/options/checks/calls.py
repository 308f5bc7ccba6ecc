"""Check that a model of this package can call the network of the file."""

import inspect

from wxr_plugin.options.checks.components import class_of, package_of
from wxr_plugin.options.checks.guide import PACKAGES
from wxr_plugin.options.checks.report import Report
from wxr_plugin.options.nested import OptionMap, block

CALLS = {"WxrModel": "lq", "SarCwpModel": "lq", "WResVLMModel": "lq", "IRSDEModel": "xt, lq, time"}
"""Model -> the arguments of its network, before a context."""


def check_calls(report: Report, opt: OptionMap) -> None:
    """Report a network that the model cannot call, and a DaCLIPModel without a DaCLIP."""
    model = str(opt.get("model_type"))
    network_block = block(opt, "network_g")
    network = str(network_block.get("type"))
    cls = class_of("network", network_block)
    keys = ("network_g", "type")
    arguments = CALLS.get(model)
    # Functions that build a network cannot be looked into.
    if arguments and inspect.isclass(cls):
        count = arguments.count(",") + 1
        if not takes(cls, count):
            call = f"{model} calls net({arguments})"
            fault = f"{call}, which {network} ({_shown(cls)}) does not take"
            fix = "use ConditionalUNet" if model == "IRSDEModel" else "use model_type: IRSDEModel"
            report.add(keys, fault, f"{fix}, or another network")
    # Networks of third parties may be DA-CLIPs of their own.
    is_ours = package_of(cls) in PACKAGES
    if model == "DaCLIPModel" and network != "DaCLIP" and is_ours:
        fault = f"DaCLIPModel trains a DaCLIP, not a {network}"
        report.add(keys, fault, "use DaCLIP")


def takes(network: type, count: int) -> bool:
    """Return whether the forward of a class can be called with `count` tensors."""
    arguments = [None] * (count + 1)  # with self
    try:
        signature = inspect.signature(network.forward)
        signature.bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature
        return True
    return True


def _shown(network: type) -> str:
    """Return the names of the arguments of forward, without self."""
    signature = inspect.signature(network.forward)
    _, *parameters = signature.parameters.values()
    positional = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    return ", ".join(positional)
