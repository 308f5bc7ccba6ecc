"""A restorer as a function: an image in, the restored image of the same kind out."""

import re
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from wxr_plugin.api.images import is_several, joined, read_given
from wxr_plugin.api.published import Published, pretrained_place
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.packaged import DEFAULT, Engine, Precision

if TYPE_CHECKING:
    from wxr_plugin.inference.restorer import Restorer
    from wxr_plugin.inference.specs import RestorerSpec

Progress = Callable[[str, int, int], None]
"""progress(unit, done, total), with the unit "photo", "tile" or "step"; first with done 0."""


class Model(Published):
    """A restorer that is called with an image, or with a list of images.

    It is saved, published and loaded with the methods of huggingface_hub's `ModelHubMixin`:
    `save_pretrained`, `push_to_hub`, `from_pretrained`.

    Args:
        restorer: the loaded restorer.
        name: the name that it was loaded by.
        spec: what it was loaded from; None if it was not loaded by `load`.
    """

    def __init__(self, restorer: "Restorer", name: str, spec: "RestorerSpec | None" = None):
        self.restorer, self.name, self.spec = restorer, name, spec

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | PathLike,
        *,
        revision: str | None = None,
        **settings: Any,
    ) -> "Model":
        """Load a restorer from a folder of `save_pretrained`, or from the Hugging Face hub.

        Args:
            pretrained_model_name_or_path: the folder, or OWNER/NAME on the hub.
            revision: branch, tag or commit of a repository.
            settings: further arguments of `load`, such as `device` and `tile`.

        Raises:
            WxrError: the folder or repository has no weights or several, or cannot be fetched.
        """
        place = str(pretrained_model_name_or_path)
        return load(pretrained_place(place, revision), **settings)

    def __call__(self, image: Any, progress: Progress | None = None) -> Any:
        """Return the image restored, as the kind that was given.

        Args:
            image: a path (the result is a `Restored`), an image of Pillow, an array (H, W) or
                (H, W, C), a tensor (C, H, W), or a list or batch of these. Arrays and tensors are
                uint8, uint16, or floats in [0, 1]; 1 and 2 channels are grey, the second and the
                fourth are opacity, which is kept as it is.
            progress: called after each photo of a list, and after each tile or step of a photo.

        Raises:
            WxrError: an image that cannot be read or used, or that the network cannot restore.
        """
        if not is_several(image):
            return self._restored(image, progress)
        count = len(image)
        results = []
        for done, single in enumerate(image):
            if progress:
                progress("photo", done, count)
            results.append(self._restored(single, progress))
        if progress:
            progress("photo", count, count)
        return joined(results, image)

    @property
    def network(self) -> str:
        """Return the class of the network."""
        return type(self.restorer.net).__name__

    @property
    def parameters(self) -> int:
        """Return the number of the network's parameters."""
        return sum(parameter.numel() for parameter in self.restorer.net.parameters())

    @property
    def engine(self) -> str:
        """Return the engine that runs the network."""
        return self.restorer.engine

    @property
    def device(self) -> str:
        """Return the device that the network runs on."""
        return str(self.restorer.device)

    def __repr__(self) -> str:
        restorer = self.restorer
        tile = "whole photos" if restorer.tile is None else f"tile {restorer.tile}"
        facts = f"{self.network}, {self.parameters / 1e6:.2f} million parameters"
        place = self.device if self.engine == "torch" else f"{self.engine}, {self.device}"
        return f"Model({self.name!r}: {facts}, {place}, {restorer.precision}, {tile})"

    def _restored(self, image: Any, progress: Progress | None) -> Any:
        given = read_given(image)
        self.restorer.on_part = progress
        try:
            pixels = self.restorer.restore(given.photo.pixels)
        finally:
            self.restorer.on_part = None
        return given.back(given.photo._replace(pixels=pixels))


def load(
    name: str | PathLike = DEFAULT,
    *,
    checkpoint: str | PathLike | Sequence[str | PathLike] | None = None,
    device: str | None = None,
    tile: int | str | None = "auto",
    overlap: int | None = None,
    batch: int = 1,
    precision: Precision = "fp32",
    engine: Engine = "torch",
    guide: str | None = None,
    instruction: str | None = None,
    steps: int | None = None,
    seed: int = 0,
    download: bool = False,
    accept_licence: bool = False,
) -> Model:
    """Load a restorer.

    Args:
        name: a packaged network ("small", "tiny"), a published method (`wxr zoo list`), a
            checkpoint that stores its network (.pth, .safetensors), an option file (.yml) with
            `network_g` and `path.pretrain_network_g`, or either of these on the Hugging Face hub:
            `hf://OWNER/NAME[@REVISION][/FILE]`, which is fetched unless it is cached.
        checkpoint: file or files of a published method, or their folder (default: where `wxr zoo
            get` puts them).
        device: cpu, cuda or cuda:N (default: a GPU if there is one).
        tile: side in pixels of the tiles that larger photos are cut into; "auto": whole photos if
            they fit into memory, and else the largest tiles that do; None: whole photos.
        overlap: pixels that neighbouring tiles share (default: from the receptive field).
        batch: tiles in one forward pass.
        precision: fp32, bf16 or fp16.
        engine: torch, onnxruntime, openvino, tensorrt, or auto for the fastest one that is
            installed and verified for this network on this machine (docs/engines.md).
        guide: DA-CLIP or CLIP of a network with a context (default: the one that it names).
        instruction: instruction for a method that takes one (default: the published one).
        steps: sampling steps of a diffusion network (default: the steps of the training).
        seed: seed of the noise of a diffusion network.
        download: fetch the files of a published method that are missing.
        accept_licence: accept the licence of these files, which the error states otherwise.

    Raises:
        WxrError: there is no such restorer, its files are missing or do not fit, or a setting is
            out of its range.
    """
    from wxr_plugin.sampling.options import SamplingOptions

    _check(tile, overlap, batch)
    _check_sampling(steps, seed)
    place = str(name)
    if download:
        _fetch(place, accept_licence)
    spec = _spec(place, checkpoint, guide, instruction)
    restorer = spec.load(
        device=device,
        tile=tile,
        overlap=overlap,
        batch=batch,
        precision=precision,
        engine=engine,
        sampling=SamplingOptions(steps=steps, seed=seed),
    )
    if restorer.diffusion:
        restorer.diffusion = restorer.diffusion.checked(False)
    elif steps is not None:
        raise WxrError(f"steps={steps}: {spec.name} is no diffusion network; leave it out")
    if guide and not restorer.guide:
        raise WxrError(f"guide={guide!r}: {spec.name} takes no context; leave it out")
    return Model(restorer, spec.name, spec)


def _check(tile: int | str | None, overlap: int | None, batch: int) -> None:
    """Raise WxrError for settings that are out of their range."""
    is_side = isinstance(tile, int) and tile > 0
    if tile not in (None, "auto") and not is_side:
        raise WxrError(f"tile={tile!r}: take a side in pixels, 'auto', or None for whole photos")
    if overlap is not None and (overlap < 0 or (isinstance(tile, int) and overlap >= tile)):
        raise WxrError(f"overlap={overlap}: take 0 or more, and less than the tile")
    if batch < 1:
        raise WxrError(f"batch={batch}: take 1 or more")


def _check_sampling(steps: int | None, seed: int) -> None:
    if steps is not None and steps < 1:
        raise WxrError(f"steps={steps}: take 1 or more")
    if seed < 0:
        raise WxrError(f"seed={seed}: take 0 or more")


def _spec(
    name: str,
    checkpoint: str | PathLike | Sequence[str | PathLike] | None,
    guide: str | None,
    instruction: str | None,
) -> "RestorerSpec":
    from wxr_plugin.inference.specs import method_spec, read_spec
    from wxr_plugin.zoo.rows import rows

    if name in rows() and not Path(name).exists():
        given = [checkpoint] if isinstance(checkpoint, str | PathLike) else checkpoint or []
        try:
            return method_spec(name, [Path(path) for path in given], guide, instruction)
        except WxrError as error:
            raise _in_python(error, given) from error
    for argument, value in (("checkpoint", checkpoint), ("instruction", instruction)):
        if value:
            raise WxrError(f"{argument}={value!r} is for a published method; leave it out")
    spec = read_spec(name)
    return msgspec.structs.replace(spec, guide=guide) if guide else spec


def _in_python(error: WxrError, given: Sequence[str | PathLike]) -> WxrError:
    """Return an error of the command line with the arguments of `load` in place of its flags."""
    text = re.sub(r"--(checkpoint|guide)\b", r"\1=", str(error))
    if "no such file" in text and not given:
        text += ", or add download=True"
    return WxrError(text)


def _fetch(name: str, accept_licence: bool) -> None:
    """Fetch the missing files of a published method; do nothing for any other restorer."""
    from wxr_plugin.zoo.rows import rows

    if name not in rows() or Path(name).exists():
        return
    try:
        from wxr_plugin.zoo.download import download
    except ImportError:
        raise WxrError(
            f"download: this version fetches no files; `wxr zoo show {name}` says where they are"
        ) from None
    download(name, accept_licence=accept_licence)
