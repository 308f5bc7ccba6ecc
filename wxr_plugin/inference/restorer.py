"""A trained network and what is needed to run it on photographs of any size."""

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from basicsr.archs import build_network
from torch import Tensor, nn

from wxr_plugin.archs.context import Context, context_inputs
from wxr_plugin.checkpoint import load_network_options, load_weights
from wxr_plugin.errors import WxrError
from wxr_plugin.fitting import load_into
from wxr_plugin.inference.diffusion import Diffusion, PatchDiffusion, make_diffusion, predicts_noise
from wxr_plugin.inference.tiling import run_tiled
from wxr_plugin.sampling.options import SamplingOptions

if TYPE_CHECKING:
    from wxr_plugin.conditioning.daclip import DaClipGuide

TINY = Path(__file__).parents[1] / "assets" / "tiny_restorer" / "tiny_restorer.safetensors"


PLAIN = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class RestoreError(WxrError):
    """A network whose result for a photo cannot be used."""


class Restorer:
    """Removes weather and other degradations from photos with one network.

    `tile` is the side in pixels of the tiles that larger photos are cut into (None: whole photo at once) and `overlap`
    what neighbouring tiles share. A network that takes a context needs a `guide`, which always sees the whole photo;
    one that predicts the noise of a diffusion needs the `diffusion`, by which it is sampled.
    """

    def __init__(
        self,
        net: nn.Module,
        device: str | None = None,
        tile: int | None = None,
        overlap: int = 32,
        guide: "DaClipGuide | None" = None,
        diffusion: Diffusion | PatchDiffusion | None = None,
    ):
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.net = net.to(self.device).eval().requires_grad_(False)
        self.tile, self.overlap = tile, overlap
        self.guide, self.diffusion = guide, diffusion
        self.seen: Context | None = None
        _check_called(net)
        _check_guide(net, guide)
        if predicts_noise(net) != bool(diffusion):
            what = "predicts noise, and no `sde` block says of what: add --opt with its option file"
            raise WxrError(f"the network {what if predicts_noise(net) else 'predicts no noise; leave `sde` out'}")

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: str | Path = "tiny",
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
        """Load `checkpoint` (.pth or .safetensors; "tiny" is the packaged one); `kwargs` go to the constructor.

        `network` is the `network_g` block of an option file. Without it the block stored in the checkpoint is used,
        which our models write. `key` is the entry with the weights: unless told otherwise, those of the EMA where there
        are any. `strict` as in torch: every parameter must be there, and no other. `guide` is the name of a DA-CLIP and
        `sde` the block of an equation; both are in the checkpoints that our models write. `sampling` says how an
        equation is sampled. `weights` are those of `checkpoint` where they have been read already, say from the several
        files of a folder.
        """
        path = TINY if str(checkpoint) == "tiny" else Path(checkpoint)
        if not path.is_file() and weights is None:
            raise WxrError(f"{path}: no such checkpoint; give a .pth or .safetensors file, or 'tiny'")
        network = network or load_network_options(path)
        if network is None:
            raise WxrError(f"{path} does not say which network it is for; add --opt with the option file it came from")
        try:
            net = build_network(dict(network))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise WxrError(f"{path}: its network {network.get('type')} cannot be built: {error}") from error
        load_into(net, weights or load_weights(path, key), path, strict)
        guide = guide or (load_network_options(path, "guide") or {}).get("model")
        diffusion = make_diffusion(net, sde or load_network_options(path, "sde"), sampling)
        return cls(net, device, guide=_load_guide(net, guide, path, device), diffusion=diffusion, **kwargs)

    @torch.no_grad()
    def restore_tensor(self, lq: Tensor) -> Tensor:
        """Restore (N, 3, H, W) in [0, 1] whole; the result is clamped to [0, 1] and lies on the restorer's device."""
        return self._restore(lq.to(self.device), None)

    def restore(self, photo: np.ndarray) -> np.ndarray:
        """Restore one photo, uint8 RGB (H, W, 3) of any size, tiled when it is larger than `tile`.

        Raises:
            RestoreError: the network gave NaN, or an image of another size.
        """
        lq = _to_tensor(photo).to(self.device)
        with torch.no_grad():
            result = self._restore(lq, self.tile if self.tile and max(photo.shape[:2]) > self.tile else None)
        if result.shape != lq.shape:
            raise RestoreError(f"the network made {_size(result)} pixels of {_size(lq)}; only one size is supported")
        if result.isnan().any():
            raise RestoreError("the network gave values that are not numbers (NaN)")
        return (result[0].permute(1, 2, 0) * 255).round().clamp(0, 255).byte().cpu().numpy()

    def degradation(self) -> tuple[str, float]:
        """What the guide took the degradation of the photo restored last to be, and its probability.

        Raises WxrError for a restorer without a guide, or before the first photo.
        """
        from wxr_plugin.data.degradation_words import DEGRADATIONS

        if self.seen is None:
            raise WxrError("no guide has seen a photo that it could name the degradation of; restore one with a guide")
        chance, word = self.guide.probabilities(self.seen.degradation)[0].max(0)
        return DEGRADATIONS[int(word)], float(chance)

    def _restore(self, lq: Tensor, tile: int | None) -> Tensor:
        context = self.seen = self.guide.embed(lq) if self.guide else None
        if self.diffusion:
            return self.diffusion.sample(self.net, lq, context, tile, self.overlap).clamp(0, 1)
        run = lambda part: self._call(part, context)  # noqa: E731
        return (run_tiled(run, lq, tile, self.overlap) if tile else run(lq)).clamp(0, 1)

    def _call(self, lq: Tensor, context: Context | None) -> Any:
        return self.net(lq) if context is None else self.net(lq, context)


def _load_guide(net: nn.Module, name: str | None, path: Path, device: str | None) -> "DaClipGuide | None":
    if not context_inputs(net):
        return None
    if not name:
        raise WxrError(f"{path} is steered by {' and '.join(context_inputs(net))}: add --guide with its DA-CLIP")
    from wxr_plugin.conditioning.daclip import load_daclip

    return load_daclip(name, device)


def _check_called(net: nn.Module) -> None:
    needed = [p for p in inspect.signature(net.forward).parameters.values() if p.default is p.empty and p.kind in PLAIN]
    if len(needed) > 1 + bool(context_inputs(net)) and not predicts_noise(net):
        names = ", ".join(parameter.name for parameter in needed)
        hint = "; a DA-CLIP is a guide: give it with --guide" if type(net).__name__ == "DaCLIP" else ""
        raise WxrError(f"{type(net).__name__} is no network that restores a photo: it takes ({names}){hint}")


def _check_guide(net: nn.Module, guide: "DaClipGuide | None") -> None:
    wanted = context_inputs(net)
    if bool(wanted) != bool(guide):
        raise WxrError("the network takes a context, and there is no guide" if wanted else "the network takes no guide")
    if guide and guide.dim != net.context_dim:
        raise WxrError(
            f"DA-CLIP '{guide.name}' gives embeddings of length {guide.dim}, the network takes {net.context_dim}: "
            "restore with the guide that it was trained with"
        )


def _to_tensor(photo: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(photo)).permute(2, 0, 1)[None].float() / 255


def _size(image: Tensor) -> str:
    return f"{image.shape[-1]}x{image.shape[-2]}"
