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
    network = str(block(opt, "network_g").get("type"))
    cls = class_of("network", block(opt, "network_g"))
    keys = ("network_g", "type")
    arguments = CALLS.get(model)
    if arguments and inspect.isclass(cls) and not takes(cls, arguments.count(",") + 1):
        call = f"{model} calls net({arguments})"
        fault = f"{call}, which {network} ({_shown(cls)}) does not take"
        fix = "use ConditionalUNet" if model == "IRSDEModel" else "use model_type: IRSDEModel"
        report.add(keys, fault, f"{fix}, or another network")
    # Networks of third parties may be DA-CLIPs of their own.
    is_ours = package_of(cls) in PACKAGES
    if model == "DaCLIPModel" and network != "DaCLIP" and is_ours:
        report.add(keys, f"DaCLIPModel trains a DaCLIP, not a {network}", "use DaCLIP")


def takes(network: type, count: int) -> bool:
    """Return whether the forward of a class can be called with `count` tensors."""
    try:
        inspect.signature(network.forward).bind(*[None] * (count + 1))
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature
        return True
    return True


def _shown(network: type) -> str:
    """Return the names of the arguments of forward, without self."""
    parameters = list(inspect.signature(network.forward).parameters.values())[1:]
    positional = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    return ", ".join(positional)
