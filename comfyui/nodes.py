"""The nodes: load a restorer, restore, rate, describe, name the degradation, choose a pseudo-label.

They follow ComfyUI's documented interface for custom nodes: images are float32 (B, H, W, C) in
[0, 1], and a node that shows text returns it under "ui".
"""

from typing import Any

import torch
from torch import Tensor

import wxr_plugin as wxr

CATEGORY = "wxr/weather"
RESTORER = "WXR_RESTORER"
"""Type of the link between the loader and the nodes that take its restorer."""
PRECISIONS = ["fp32", "bf16", "fp16"]


def _text(default: str, tooltip: str, lines: bool = False) -> tuple[str, dict[str, Any]]:
    return ("STRING", {"default": default, "multiline": lines, "tooltip": tooltip})


def _shown(text: str, *result: Any) -> dict[str, Any]:
    """Return a node's result together with the text that it shows."""
    return {"ui": {"text": [text]}, "result": result}


def _photos(image: Tensor) -> list[Tensor]:
    """Return the images of a batch (B, H, W, C) as tensors (C, H, W)."""
    return list(image.movedim(-1, 1).unbind(0))


def _batch(photos: list[Tensor]) -> Tensor:
    """Return tensors (C, H, W) of one size as a batch (B, H, W, C) of ComfyUI."""
    return torch.stack(photos).movedim(1, -1).float().cpu().contiguous()


def _names(text: str) -> list[str]:
    """Return the names in a text, one a line or separated by commas."""
    return [name.strip() for name in text.replace("\n", ",").split(",") if name.strip()]


class LoadRestorer:
    """Loads a network: packaged, published (a row of `wxr zoo list`), or a checkpoint."""

    CATEGORY = CATEGORY
    FUNCTION = "load"
    RETURN_TYPES = (RESTORER,)
    RETURN_NAMES = ("restorer",)
    DESCRIPTION = "Load a network that removes rain, haze, snow or other degradations."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        name = "small or tiny (packaged), a method of `wxr zoo list`, a file, or hf://OWNER/NAME"
        tile = "side of the tiles in pixels; 0: whole images if they fit into memory"
        return {
            "required": {
                "name": _text("small", name),
                "precision": (PRECISIONS, {"default": "fp32"}),
                "tile": ("INT", {"default": 0, "min": 0, "max": 8192, "step": 8, "tooltip": tile}),
            },
            "optional": {
                "checkpoint": _text("", "file of a published method, if it is not in its place"),
                "guide": _text("", "DA-CLIP of a network that takes one"),
            },
        }

    def load(
        self, name: str, precision: str, tile: int, checkpoint: str = "", guide: str = ""
    ) -> tuple[Any]:
        model = wxr.load(
            name.strip(),
            checkpoint=checkpoint.strip() or None,
            guide=guide.strip() or None,
            precision=precision,
            tile=tile or "auto",
        )
        return (model,)


class Restore:
    """Restores every image of a batch."""

    CATEGORY = CATEGORY
    FUNCTION = "restore"
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("restored",)
    DESCRIPTION = "Remove the weather from images of any size."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        strength = "1: the restored image, 0: the image as it is, between: a mixture"
        setting = {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.05, "tooltip": strength}
        return {
            "required": {
                "restorer": (RESTORER,),
                "image": ("IMAGE",),
                "strength": ("FLOAT", setting),
            }
        }

    def restore(self, restorer: Any, image: Tensor, strength: float) -> tuple[Tensor]:
        photos = _photos(image)
        restored = [restorer(photo, progress=progress_of(len(photos))) for photo in photos]
        return (torch.lerp(image.float().cpu(), _batch(restored), strength),)


class RateVisibility:
    """Rates how clearly each image shows its scene."""

    CATEGORY = CATEGORY
    FUNCTION = "rate"
    RETURN_TYPES = ("FLOAT", "STRING")
    RETURN_NAMES = ("mean rating", "ratings")
    OUTPUT_NODE = True
    DESCRIPTION = "Rate the visibility from 1 (bad) to 5 (excellent) with a vision-language model."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        rater = "tiny (packaged), llava-1.5-7b, pyiqa:musiq, http://HOST:PORT/v1#MODEL, FILE.yml"
        return {"required": {"image": ("IMAGE",), "rater": _text("tiny", rater)}}

    def rate(self, image: Tensor, rater: str) -> dict[str, Any]:
        ratings = wxr.rate(_photos(image), rater.strip())
        text = ", ".join(f"{rating:.2f}" for rating in ratings)
        return _shown(text, float(torch.tensor(ratings).nanmean()), text)


class Describe:
    """Describes the scene of each image and its weather."""

    CATEGORY = CATEGORY
    FUNCTION = "describe"
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("description",)
    OUTPUT_NODE = True
    DESCRIPTION = "Describe the scene and its weather with a vision-language model."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        describer = "tiny (packaged), llava-1.5-7b, http://HOST:PORT/v1#MODEL or FILE.yml"
        return {"required": {"image": ("IMAGE",), "describer": _text("tiny", describer)}}

    def describe(self, image: Tensor, describer: str) -> dict[str, Any]:
        text = "\n".join(wxr.describe(_photos(image), describer.strip()))
        return _shown(text, text)


class NameDegradation:
    """Names the degradation of each image with DA-CLIP."""

    CATEGORY = CATEGORY
    FUNCTION = "name"
    RETURN_TYPES = ("STRING", "FLOAT")
    RETURN_NAMES = ("degradation", "probability")
    OUTPUT_NODE = True
    DESCRIPTION = "Name the degradation with DA-CLIP: hazy, rainy, snowy, …; of the first image."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        words = "degradations to choose from, separated by commas; empty: DA-CLIP's ten"
        model = _text("tiny", "tiny (packaged), or the file of a DA-CLIP")
        return {
            "required": {"image": ("IMAGE",), "model": model},
            "optional": {"words": _text("", words)},
        }

    def name(self, image: Tensor, model: str, words: str = "") -> dict[str, Any]:
        answers = wxr.degradation(_photos(image), model.strip(), words=_names(words) or None)
        text = ", ".join(f"{answer.word} {answer.probability:.0%}" for answer in answers)
        return _shown(text, answers[0].word, float(answers[0].probability))


class PseudoLabelPanel:
    """Chooses the best of an image and its restorations by the vote of a panel of raters."""

    CATEGORY = CATEGORY
    FUNCTION = "choose"
    RETURN_TYPES = ("IMAGE", "STRING", "STRING")
    RETURN_NAMES = ("best", "source", "ratings")
    OUTPUT_NODE = True
    DESCRIPTION = "Restore with several networks and keep the result that a panel rates best."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "image": ("IMAGE",),
                "restorers": _text("small\ntiny", "names as in Load Restorer, one a line", True),
                "raters": _text("tiny", "names as in Rate Visibility, one a line", True),
            },
            "optional": {"restorer": (RESTORER,)},
        }

    def choose(
        self, image: Tensor, restorers: str, raters: str, restorer: Any = None
    ) -> dict[str, Any]:
        models: list[Any] = [*_names(restorers), *([restorer] if restorer else [])]
        choices = [
            wxr.pseudo_label(photo, restorers=models, raters=_names(raters))
            for photo in _photos(image)
        ]
        table = "\n".join(_votes(choice) for choice in choices)
        sources = ", ".join(choice.source for choice in choices)
        return _shown(table, _batch([choice.image for choice in choices]), sources, table)


def _votes(choice: Any) -> str:
    """Return the ratings of all candidates of an image on one line, the chosen one marked."""
    cells = []
    for name, ratings in choice.ratings.items():
        numbers = ratings.values() if isinstance(ratings, dict) else [ratings]
        mark = " (chosen)" if name == choice.source else ""
        cells.append(f"{name} {'/'.join(f'{number:.2f}' for number in numbers)}{mark}")
    return ", ".join(cells)


def progress_of(count: int) -> Any:
    """Return a function for `progress=` that moves ComfyUI's bar; None outside of ComfyUI."""
    try:
        from comfy.utils import ProgressBar
    except ImportError:
        return None

    def show(unit: str, done: int, total: int) -> None:
        bar.update_absolute(done, total)

    bar = ProgressBar(count)
    return show


NODE_CLASS_MAPPINGS = {
    "WxrLoadRestorer": LoadRestorer,
    "WxrRestore": Restore,
    "WxrRateVisibility": RateVisibility,
    "WxrDescribe": Describe,
    "WxrNameDegradation": NameDegradation,
    "WxrPseudoLabelPanel": PseudoLabelPanel,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "WxrLoadRestorer": "Load Restorer",
    "WxrRestore": "Restore",
    "WxrRateVisibility": "Rate Visibility",
    "WxrDescribe": "Describe",
    "WxrNameDegradation": "Name Degradation",
    "WxrPseudoLabelPanel": "Pseudo-label Panel",
}
