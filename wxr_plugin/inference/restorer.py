"""The restorer: a trained network that runs on photographs of any size."""

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from wxr_plugin.archs.context import Context, context_inputs
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.cutting import AUTO, Cut, Cutter, Tile
from wxr_plugin.inference.diffusion import Diffusion, PatchDiffusion
from wxr_plugin.inference.fit import (
    PRECISIONS,
    check_called,
    check_diffusion,
    check_guide,
    checked_precision,
)
from wxr_plugin.inference.layout import laid_out
from wxr_plugin.inference.loading import load_diffusion, load_guide, load_network
from wxr_plugin.inference.memory import free, is_out_of_memory
from wxr_plugin.inference.packaged import DEFAULT, Engine, Precision, checkpoint_path
from wxr_plugin.inference.pixels import shrunk, to_pixels, to_tensor
from wxr_plugin.inference.tiling import blended_rows, tile_count
from wxr_plugin.sampling.options import SamplingOptions
from wxr_plugin.utils.devices import device_of

if TYPE_CHECKING:
    from wxr_plugin.conditioning.daclip import DaClipGuide
    from wxr_plugin.conditioning.guides import Guide
    from wxr_plugin.inference.engines.session import Session

SMALLEST_TILE = 32
"""Side in pixels below which tiles are not halved when memory runs out."""
_LOG = logging.getLogger("basicsr")


class RestoreError(WxrError):
    """The result of a network for a photo cannot be used."""


class Restorer:
    """Removes weather and other degradations from photos with one network.

    Args:
        net: the network. One that takes a context needs a `guide`, which always sees the whole
            photo, or the context with each photo; one that predicts the noise of a diffusion needs
            the `diffusion` by which it is sampled. One with a method `look` gets the whole photo
            first, reduced to the size of a tile; the result is the second argument of its
            forward.
        device: device of the network (default: a GPU if there is one).
        tile: side in pixels of the tiles that larger photos are cut into; None: whole photos;
            "auto": whole photos where the estimated memory allows it, and else the largest tiles
            that fit.
        overlap: pixels that neighbouring tiles share; None: chosen from the reach of the network.
        precision: fp32, or bf16 or fp16 under torch's autocast.
        batch: tiles that go through the network together.
        engine: torch, or another engine that runs the network (docs/engines.md). Reach and memory
            are measured in torch for every engine. Images of sizes that an engine does not take,
            and tiles with a view of the whole photo, run in torch.

    Where memory runs out, `batch` and then `tile`, or the patches that are sampled at a time, are
    halved for this and all later photos, and the log says so.

    Attributes:
        on_part: on_part(unit, done, total) is called while a photo is restored, with the unit
            "tile" or "step", first with done 0; or None.
    """

    def __init__(
        self,
        net: nn.Module,
        device: str | None = None,
        tile: Tile = None,
        overlap: int | None = None,
        guide: "Guide | None" = None,
        diffusion: Diffusion | PatchDiffusion | None = None,
        precision: Precision = "fp32",
        batch: int = 1,
        engine: Engine = "torch",
    ):
        self.device = device_of(device)
        self.precision = checked_precision(precision, self.device)
        self.net = laid_out(net, self.device).eval().requires_grad_(False)
        self.tile, self.overlap, self.batch = tile, overlap, batch
        self.guide, self.diffusion = guide, diffusion
        self.seen: Context | None = None
        self.on_part: Callable[[str, int, int], None] | None = None
        self.cut = Cut(None)
        """Cut of the last photo."""
        kind = PRECISIONS[self.precision]
        reduced = None if kind is torch.float32 else kind
        self._cutter = Cutter(self.net, self.device, reduced)
        check_called(net)
        check_guide(net, guide)
        check_diffusion(net, bool(diffusion))
        self._session = self._session_of(engine)

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: str | Path = DEFAULT,
        network: dict | None = None,
        key: str | None = "params_ema",
        strict: bool = True,
        guide: str | None = None,
        sde: dict | None = None,
        sampling: SamplingOptions | None = None,
        device: str | None = None,
        weights: dict[str, Tensor] | None = None,
        **kwargs,
    ) -> "Restorer":
        """Load a checkpoint: .pth, .safetensors, or "tiny" or "small" for a packaged one.

        `network` is the `network_g` block of an option file. Without it the block stored in the
        checkpoint is used, which our models write. `key` is the entry with the weights (default:
        those of the EMA if there are any). `strict` as in torch: every parameter must be there, and
        no other. `guide` is the name of a DA-CLIP, or of a CLIP for a network that takes `image`,
        and `sde` the block of an equation; both are in the checkpoints that our models write.
        `sampling` says how an equation is sampled. `weights` replace those of `checkpoint` if they
        have been read already, for example from several files. `kwargs` go to the constructor.
        """
        path = checkpoint_path(checkpoint)
        net = load_network(path, network, key, strict, weights)
        diffusion = load_diffusion(net, path, sde, sampling)
        loaded_guide = load_guide(net, path, guide, device)
        return cls(net, device, guide=loaded_guide, diffusion=diffusion, **kwargs)

    @torch.no_grad()
    def restore_tensor(self, lq: Tensor, context: Context | None = None) -> Tensor:
        """Restore images (N, 3, H, W) in [0, 1] whole; return (N, 3, H, W), clamped to [0, 1].

        The result is on the restorer's device. With a `context` of the N images the guide is not
        run.
        """
        lq = lq.to(self.device)
        if self.diffusion:
            restored = self._sample(lq, None, context)
        else:
            steering = self._embedded(lq, context)
            restored = self._call(lq, steering)
        return restored.clamp(0, 1)

    def restore(self, photo: np.ndarray, context: Context | None = None) -> np.ndarray:
        """Restore one RGB photo (H, W, 3) of uint8, uint16 or float32; return an array like it.

        Floats are in [0, 1].

        A photo that is larger than `tile` stays in main memory, and only its tiles go to the
        device. With a `context` of the photo, embeddings (1, D), the guide is not run and need
        not exist.

        Raises:
            RestoreError: the network gave NaN, or an image of another size.
            ValueError: `photo` is not such an array.
            torch.OutOfMemoryError, RuntimeError: not even the smallest tiles fit into memory.
        """
        _check_photo(photo)
        longest = max(photo.shape[:2])
        while True:
            try:
                with torch.inference_mode():
                    return self._restored(photo, context)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or not self._halve(longest):
                    raise
            free()  # outside of the handler, where no traceback holds the tensors

    @property
    def engine(self) -> str:
        """Name of the engine that runs the network; never `auto`."""
        return self._session.name if self._session else "torch"

    @property
    def names_degradations(self) -> bool:
        """Whether the guide names degradations: a DA-CLIP does, a CLIP does not."""
        return hasattr(self.guide, "probabilities")

    def degradation(self) -> tuple[str, float]:
        """Return the degradation of the last photo as the guide classified it, and its probability.

        Raises WxrError for a restorer without a DA-CLIP, or before the first photo.
        """
        from wxr_plugin.data.degradations.words import DEGRADATIONS

        if self.seen is None or self.seen.degradation is None or not self.names_degradations:
            raise WxrError("no guide has classified a photo yet; restore one with a DA-CLIP")
        guide = cast("DaClipGuide", self.guide)
        probabilities = guide.probabilities(self.seen.degradation)  # (1, words)
        chance, word = probabilities[0].max(0)
        return DEGRADATIONS[int(word)], float(chance)

    def cut_of(self, size: tuple[int, int]) -> Cut:
        """Return the cut of a photo of `size` (height, width); warn once where seams may show."""
        if isinstance(self.diffusion, PatchDiffusion):
            # The number of patches at a time already bounds the memory.
            return Cut(None)
        height, width = size
        longest = max(size)
        pixels = height * width
        return self._cutter.choose(longest, pixels, self.tile, self.overlap, self.batch)

    def _session_of(self, engine: Engine) -> "Session | None":
        if engine == "torch":
            return None
        # Imported here: engines are extras, and few need them.
        from wxr_plugin.inference.engines.choosing import session_of

        return session_of(
            self.net, engine, self.device, self.precision, lambda image: self._in_torch(image, None)
        )

    def _restored(self, photo: np.ndarray, context: Context | None) -> np.ndarray:
        self.cut = self.cut_of(photo.shape[:2])
        tile = self.cut.tile
        restored = np.empty(photo.shape, photo.dtype)
        top = 0
        results = (
            self._sampled(photo, tile, context)
            if self.diffusion
            else self._in_tiles(photo, tile, context)
        )
        # rows: (1, 3, h, W), not clamped; one row of tiles at a time where the photo is cut.
        for rows in results:
            # Conversion to integers would turn NaN into arbitrary levels.
            if rows.isnan().any():
                raise RestoreError("the network gave values that are not numbers (NaN)")
            bottom = top + rows.shape[-2]
            restored[top:bottom] = to_pixels(rows, photo.dtype)
            top = bottom
        return restored

    def _in_tiles(
        self, photo: np.ndarray, tile: int | None, context: Context | None
    ) -> Iterator[Tensor]:
        """Yield the result (1, 3, rows, W) from top to bottom, in main memory if it is cut."""
        steering = self._look(photo, tile, context)
        overlap = self.cut.overlap
        total = tile_count(photo.shape[:2], tile, overlap)
        done = 0
        self._report("tile", done, total)

        def run(part: Tensor) -> Tensor:
            nonlocal done
            result = self._call(part, steering)
            if result.shape != part.shape:
                raise RestoreError(
                    f"the network made {_size(result)} pixels of {_size(part)}; only one size is "
                    "supported"
                )
            # A photo in tiles may be larger than the memory of the device.
            result = result.cpu() if tile else result
            done += len(part)
            self._report("tile", done, total)
            return result

        def read(top: int, bottom: int, left: int, right: int) -> Tensor:
            return to_tensor(photo, (top, bottom, left, right), self.device)

        return blended_rows(run, read, photo.shape[:2], tile, overlap, self.batch)

    def _sampled(
        self, photo: np.ndarray, tile: int | None, context: Context | None
    ) -> list[Tensor]:
        """Return one sample of a diffusion; its state is in main memory if the photo is cut."""
        device = "cpu" if tile else self.device
        lq = to_tensor(photo, device=device)
        return [self._sample(lq, tile, context)]

    def _sample(self, lq: Tensor, tile: int | None, context: Context | None) -> Tensor:
        assert self.diffusion is not None
        seen = self._embedded(lq, context)
        return self.diffusion.sample(
            self._noise, lq, seen, tile, self.cut.overlap, self.batch, self.device, self._reported
        )

    def _reported(self, times: Iterable[int]) -> Iterator[int]:
        """Yield the times of a sampling and report each step that is done."""
        times = list(times)
        self._report("step", 0, len(times))
        for done, time in enumerate(times, 1):
            yield time
            self._report("step", done, len(times))

    def _report(self, unit: str, done: int, total: int) -> None:
        if self.on_part:
            self.on_part(unit, done, total)

    def _embedded(self, lq: Tensor | None, context: Context | None) -> Context | None:
        """Return `context`, or the embeddings that the guide makes of `lq`; None without either."""
        if context is None and self.guide is None and context_inputs(self.net):
            raise WxrError(
                "the network takes a context, and there is no guide: give one, or the photo's "
                "context"
            )
        if context is not None or self.guide is None:
            self.seen = _on(context, self.device)
        elif lq is not None:
            self.seen = self.guide.embed(lq)
        return self.seen

    def _look(self, photo: np.ndarray, tile: int | None, context: Context | None) -> Any:
        """Return the second argument of the network: a context, its view of the photo, or None."""
        needs_guide = self.guide is not None and context is None
        self._embedded(to_tensor(photo) if needs_guide else None, context)
        # A view of the size of a tile fits into memory wherever a tile does.
        if self.seen is None and tile and hasattr(self.net, "look"):
            with self._autocast():
                small = shrunk(photo, tile)
                view = to_tensor(small, device=self.device)
                return cast("Any", self.net).look(view)
        return self.seen

    def _call(self, lq: Tensor, steering: Any) -> Tensor:
        if self._session and steering is None and self._session.fits(lq):
            return self._session(lq)
        return self._in_torch(lq, steering)

    def _in_torch(self, lq: Tensor, steering: Any) -> Tensor:
        arguments = [lq]
        if steering is not None:
            arguments.append(_repeated(steering, len(lq)))
        with self._autocast():
            result = self.net(*arguments)
        # Tiles are blended in float32, whatever the precision of the network.
        return result.float()

    def _noise(self, xt: Tensor, lq: Tensor, time: Tensor | float, *context: Context) -> Tensor:
        """Return the noise that the network predicts, on the device of `xt`."""
        steering = [_repeated(part, len(xt)) for part in context]
        state = xt.to(self.device)
        degraded = lq.to(self.device)
        with self._autocast():
            noise = self.net(state, degraded, time, *steering)
        return noise.to(xt)

    def _autocast(self) -> torch.autocast:
        kind = PRECISIONS[self.precision]
        return torch.autocast(self.device.type, kind, enabled=kind is not torch.float32)

    def _halve(self, longest: int) -> bool:
        """Halve the batch or the tiles; return False if there is nothing left to halve."""
        if isinstance(self.diffusion, PatchDiffusion):
            return self._halve_patches()
        # The batch first: it changes the speed alone, smaller tiles also the result.
        tile = (self.cut.tile or longest) // 2
        if self.cut.tile and self.batch > 1:
            self.batch //= 2
        elif tile >= SMALLEST_TILE:
            self.tile = tile
            if self.overlap is not None:
                self.overlap = min(self.overlap, tile // 4)
        else:
            return False
        side = self.cut.tile if self.tile == AUTO else self.tile
        _LOG.warning(f"out of memory; from now on tiles of {side} pixels, {self.batch} at a time")
        return True

    def _halve_patches(self) -> bool:
        assert isinstance(self.diffusion, PatchDiffusion)
        patches = self.diffusion.at_once // 2
        if patches:
            self.diffusion = self.diffusion._replace(at_once=patches)
            _LOG.warning(f"out of memory; from now on {patches} patches at a time")
        return bool(patches)


def _check_photo(photo: np.ndarray) -> None:
    """Raise ValueError unless the array is a photo (H, W, 3) of uint8, uint16 or float32."""
    is_rgb = photo.ndim == 3 and photo.shape[2] == 3
    if photo.dtype not in (np.uint8, np.uint16, np.float32) or not is_rgb or not photo.size:
        raise ValueError(
            "need an RGB array (H, W, 3) of uint8, uint16 or float32, not "
            f"{photo.dtype} {photo.shape}"
        )


def _on(context: Context | None, device: torch.device) -> Context | None:
    if context is None:
        return None
    parts = [None if part is None else part.to(device) for part in context]
    return Context(*parts)


def _repeated(steering: Any, count: int) -> Any:
    """Return the context of one photo, or its own view of it, repeated for `count` tiles."""
    if not isinstance(steering, Tensor):
        parts = [None if part is None else _repeated(part, count) for part in steering]
        return type(steering)(*parts)
    # A context of several photos has a row for each.
    if len(steering) > 1:
        return steering
    # (1, ...) -> (count, ...) without a copy
    return steering.expand(count, *steering.shape[1:])


def _size(image: Tensor) -> str:
    height, width = image.shape[-2:]
    return f"{width}x{height}"
