"""Import of packages that belong to an extra of setup.py, such as pyiqa of `[metrics]`."""

import importlib
from types import ModuleType

from wxr_plugin.errors import WxrError

EXTRAS = {
    "metrics": ("pyiqa", "icecream"),
    "extra-archs": ("spandrel_extra_arches",),
    "quantized": ("accelerate", "bitsandbytes"),
    "server": ("openai",),
    "parquet": ("pyarrow",),
    "demo": ("sklearn",),
    "download": ("gdown",),
    "video": ("av",),
    "app": ("gradio",),
    "onnx": ("onnxruntime", "onnx", "onnxscript"),
    "openvino": ("openvino",),
}
"""Extra -> top-level modules of its packages. The licences are in docs/install.md."""


class MissingExtraError(WxrError):
    """A package of an extra is not installed, or lacks a package that it needs."""


def imported(name: str) -> ModuleType:
    """Import the module `name`, such as pyiqa.archs, of a package in EXTRAS.

    Raises:
        MissingExtraError: the package cannot be imported; the message names the extra.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(_message(name, error)) from error


def _message(name: str, error: ModuleNotFoundError) -> str:
    package, _, _ = name.partition(".")
    (extra,) = [extra for extra, packages in EXTRAS.items() if package in packages]
    missing, _, _ = (error.name or package).partition(".")
    # A package that is there may lack one of its own dependencies.
    reason = "" if missing == package else f" ({package} needs {missing})"
    return (
        f'{missing} is not installed{reason}; it comes with the extra "{extra}": '
        f'pip install "wxr_plugin[{extra}]"'
    )
