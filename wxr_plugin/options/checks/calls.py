"""Whether a model of this package can call the network that the file gives it."""

import inspect
from collections.abc import Mapping
from typing import Any

from wxr_plugin.options.checks.components import registered
from wxr_plugin.options.checks.guide import HOUSES
from wxr_plugin.options.checks.report import Report
from wxr_plugin.options.checks.rules import block

CALLS = {"WxrModel": "lq", "SarCwpModel": "lq", "WResVLMModel": "lq", "IRSDEModel": "xt, lq, time"}
"""Model -> the arguments of its network, before a context."""


def check_calls(report: Report, opt: Mapping[str, Any]) -> None:
    """A network of a diffusion in a model of images, or the reverse; DaCLIPModel with anything but a DaCLIP."""
    model, network = str(opt.get("model_type")), str(block(opt, "network_g").get("type"))
    item = registered("network").get(network)
    if model in CALLS and inspect.isclass(item) and not takes(item, CALLS[model].count(",") + 1):
        mend = "use ConditionalUNet" if model == "IRSDEModel" else "use model_type: IRSDEModel"
        what = f"{model} calls net({CALLS[model]}), which {network} ({_shown(item)}) does not take"
        report.add(("network_g", "type"), what, f"{mend}, or another network")
    if (
        model == "DaCLIPModel"
        and network != "DaCLIP"
        and getattr(item, "__module__", "").split(".")[0] in HOUSES
    ):
        report.add(
            ("network_g", "type"),
            f"DaCLIPModel trains a DaCLIP, and {network} is none",
            "use DaCLIP",
        )


def takes(network: type, count: int) -> bool:
    """Whether the forward of a class can be called with `count` tensors."""
    try:
        inspect.signature(network.forward).bind(*[None] * (count + 1))
    except TypeError:
        return False
    except ValueError:  # Python does not know the arguments
        return True
    return True


def _shown(network: type) -> str:
    parameters = list(inspect.signature(network.forward).parameters.values())[1:]
    return ", ".join(
        parameter.name for parameter in parameters if parameter.kind is not parameter.KEYWORD_ONLY
    )
