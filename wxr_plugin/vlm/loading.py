"""Loading of a frozen model of transformers and its processor from a folder."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch.nn.utils import convert_conv2d_weight_memory_format

from wxr_plugin.errors import WxrError
from wxr_plugin.schema import AtLeastOne, Block
from wxr_plugin.utils.devices import device_of
from wxr_plugin.utils.extras import imported
from wxr_plugin.utils.quiet import quiet_transformers
from wxr_plugin.vlm.fetch import first_line
from wxr_plugin.vlm.folding import fold_batch_norms

Quantization = Literal["none", "8bit", "4bit"]
_LOAD_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    ImportError,
    RuntimeError,
    TypeError,
    pickle.UnpicklingError,
)


class ModelOptions(Block):
    """Options of a model that transformers runs in this process."""

    batch_size: AtLeastOne = 8
    """Images or texts in one forward pass."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the weights.

    auto is float32 on the CPU, the checkpoint's precision on a GPU, and float16 with 8bit.
    """
    quantization: Quantization = "none"
    """Store weights of linear layers in 8 or 4 bits (bitsandbytes, LLM.int8 or NF4).

    That takes half or a quarter of the memory.
    """
    device: str | None = None
    """cpu, cuda, cuda:1, …; the GPU if there is one when absent."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""


class Settings(NamedTuple):
    """Settings of a loaded model, the key under which it is cached."""

    revision: str | None = None
    dtype: str = "auto"
    device: str | None = None
    quantization: Quantization = "none"


def settings_of(options: ModelOptions) -> Settings:
    """Return the part of `options` that loading depends on."""
    return Settings(options.revision, options.dtype, options.device, options.quantization)


def load(
    folder: Path,
    name: str,
    settings: Settings,
    classes: tuple[Any, Any],
    kind: str,
    chats: bool = True,
) -> tuple[Any, torch.nn.Module]:
    """Return the processor and the frozen model in `folder`, the model on its device.

    Args:
        folder: files written by `save_pretrained`.
        name: name of the model for messages.
        settings: device, precision and quantisation.
        classes: transformers' auto classes of processor and model.
        kind: type of model for messages, such as "an image-text-to-text model".
        chats: whether a chat template is required.

    Raises:
        WxrError: the folder does not hold such a model, some of its weights are missing, it is an
            encoder-decoder, it has no chat template, or it cannot be quantised here.
    """
    device = device_of(settings.device)
    processor_class, model_class = classes
    options = _load_options(settings, device)
    # By default transformers asks on the terminal whether to run code of the model.
    safe = {"trust_remote_code": False}
    try:
        with quiet_transformers():
            processor = processor_class.from_pretrained(folder, **safe)
            model, report = model_class.from_pretrained(
                folder, output_loading_info=True, **options, **safe
            )
    except _LOAD_ERRORS as error:
        bits, advice = "", _CONTENTS
        if settings.quantization != "none":
            bits = f" in {settings.quantization}s"
            advice = "try quantization: none, which needs more memory"
        raise WxrError(
            f"cannot load '{name}' from {folder} as {kind}{bits}: {first_line(error)}; {advice}"
        ) from error
    _check(name, processor if chats else None, model, report)
    # A quantised model is on its device already, and cannot be moved.
    if settings.quantization == "none":
        model = model.to(device)
    model = model.eval().requires_grad_(False)
    if device.type == "cpu":
        # A vision tower of convolutions is faster so; the result agrees to rounding.
        fold_batch_norms(model)
        convert_conv2d_weight_memory_format(model, torch.channels_last)
    return processor, model


_CONTENTS = (
    "the folder needs the files that transformers' save_pretrained writes for the model and for "
    "its processor"
)


def _load_options(settings: Settings, device: torch.device) -> dict[str, Any]:
    """Return the arguments of `from_pretrained` for precision and quantisation."""
    dtype = settings.dtype
    if dtype == "auto" and settings.quantization == "8bit":
        dtype = "float16"  # the precision in which LLM.int8 computes
    elif dtype == "auto" and device.type == "cpu":
        dtype = "float32"
    if settings.quantization == "none":
        return {"dtype": dtype}
    return {
        "dtype": dtype,
        "quantization_config": _quantization(settings.quantization, dtype),
        "device_map": {"": device},
    }


def _quantization(bits: str, dtype: str) -> Any:
    from transformers import BitsAndBytesConfig

    for package in ("accelerate", "bitsandbytes"):
        imported(package)
    if bits == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype if dtype != "auto" else "bfloat16",
    )


def _check(name: str, processor: Any, model: torch.nn.Module, report: dict) -> None:
    if missing := sorted(report["missing_keys"]):
        raise WxrError(
            f"'{name}' lacks {len(missing)} of the model's weights ({', '.join(missing[:3])}, …)"
        )
    if model.config.is_encoder_decoder:
        raise WxrError(
            f"'{name}' is an encoder-decoder; take a model that continues its prompt (decoder only)"
        )
    if processor is not None and not getattr(processor, "chat_template", None):
        raise WxrError(f"'{name}' has no chat template; put a chat_template.jinja into its folder")


@contextmanager
def frozen(device: torch.device) -> Iterator[None]:
    """Disable gradients and autocast within the block."""
    # An autocast of the training loop must not change answers.
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield
