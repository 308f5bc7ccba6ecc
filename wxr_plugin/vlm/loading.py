"""Loading a frozen model of transformers and its processor from a folder."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from wxr_plugin.errors import WxrError
from wxr_plugin.schema import AtLeastOne, Block
from wxr_plugin.utils.devices import device_of
from wxr_plugin.utils.quiet import quiet_transformers

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
    """Precision of the weights; auto is float32 on the CPU, the checkpoint's own on a GPU, float16 with 8bit."""
    quantization: Quantization = "none"
    """Keep weights of linear layers in 8 or 4 bits (bitsandbytes, LLM.int8 or NF4): half or a quarter the memory."""
    device: str | None = None
    """cpu, cuda, cuda:1, …; the GPU if there is one when absent."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""


class Settings(NamedTuple):
    """How a model is loaded; one loaded model a process for each."""

    revision: str | None = None
    dtype: str = "auto"
    device: str | None = None
    quantization: Quantization = "none"


def settings_of(options: ModelOptions) -> Settings:
    """The part of `options` that loading depends on."""
    return Settings(options.revision, options.dtype, options.device, options.quantization)


def load(
    folder: Path,
    name: str,
    settings: Settings,
    classes: tuple[Any, Any],
    kind: str,
    chats: bool = True,
) -> tuple[Any, torch.nn.Module]:
    """Processor and frozen model from `folder` by transformers' auto `classes` for them, on their device.

    `name` and `kind` ("an image-text-to-text model") are for messages. Without `chats` no chat
    template is needed.

    Raises:
        WxrError: the folder does not hold such a model, some of its weights are missing, it is an
            encoder-decoder, it has no chat template, or it cannot be quantised here.
    """
    device, safe = (
        device_of(settings.device),
        {"trust_remote_code": False},
    )  # the default asks on the terminal
    try:
        with quiet_transformers():
            processor = classes[0].from_pretrained(folder, **safe)
            how = _how(settings, device)
            model, report = classes[1].from_pretrained(
                folder, output_loading_info=True, **how, **safe
            )
    except _LOAD_ERRORS as error:
        bits = f" in {settings.quantization}s" if settings.quantization != "none" else ""
        raise WxrError(
            f"cannot load '{name}' from {folder} as {kind}{bits}: {_first_line(error)}; "
            + ("try quantization: none, which needs more memory" if bits else _HOLDS)
        ) from error
    _check(name, processor if chats else None, model, report)
    model = model if settings.quantization != "none" else model.to(device)
    return processor, model.eval().requires_grad_(False)


_HOLDS = "the folder has to hold what transformers' save_pretrained writes for the model and for its processor"


def _how(settings: Settings, device: torch.device) -> dict[str, Any]:
    """Arguments of `from_pretrained`: the precision, and how it is quantised."""
    dtype = settings.dtype
    if dtype == "auto" and settings.quantization == "8bit":
        dtype = "float16"  # what LLM.int8 computes in
    elif dtype == "auto" and device.type == "cpu":
        dtype = "float32"
    if settings.quantization == "none":
        return {"dtype": dtype}
    from transformers import BitsAndBytesConfig

    compute = {
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_compute_dtype": dtype if dtype != "auto" else "bfloat16",
    }
    chosen = (
        {"load_in_8bit": True}
        if settings.quantization == "8bit"
        else {"load_in_4bit": True, **compute}
    )
    return {
        "dtype": dtype,
        "quantization_config": BitsAndBytesConfig(**chosen),
        "device_map": {"": device},
    }


def _check(name: str, processor: Any, model: torch.nn.Module, report: dict) -> None:
    if missing := sorted(report["missing_keys"]):
        raise WxrError(
            f"'{name}' lacks {len(missing)} of the model's weights ({', '.join(missing[:3])}, …)"
        )
    if model.config.is_encoder_decoder:
        raise WxrError(
            f"'{name}' is an encoder-decoder; what is asked here needs a model that continues its "
            f"prompt"
        )
    if processor is not None and not getattr(processor, "chat_template", None):
        raise WxrError(f"'{name}' has no chat template; put a chat_template.jinja into its folder")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def frozen(device: torch.device) -> Iterator[None]:
    """No gradients, and no autocast: a training loop's must not change an answer."""
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield
