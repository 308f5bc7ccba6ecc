"""A trained network and what is needed to run it on photographs of any size."""

from pathlib import Path

import numpy as np
import torch
from basicsr.archs import build_network
from torch import Tensor, nn

from wxr_plugin.checkpoint import load_network_options, load_weights
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.tiling import run_tiled

TINY = Path(__file__).parents[1] / "assets" / "tiny_restorer" / "tiny_restorer.safetensors"


class RestoreError(WxrError):
    """A network whose result for a photo cannot be used."""


class Restorer:
    """Removes weather from photos with one network.

    `tile` is the side in pixels of the tiles that larger photos are cut into (None: whole photo at once) and `overlap`
    what neighbouring tiles share.
    """

    def __init__(self, net: nn.Module, device: str | None = None, tile: int | None = None, overlap: int = 32):
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.net = net.to(self.device).eval().requires_grad_(False)
        self.tile, self.overlap = tile, overlap

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: str | Path = "tiny",
        network: dict | None = None,
        key: str | None = "params_ema",
        strict: bool = True,
        **kwargs,
    ) -> "Restorer":
        """Load `checkpoint` (.pth or .safetensors; "tiny" is the packaged one); `kwargs` go to the constructor.

        `network` is the `network_g` block of an option file. Without it the block stored in the checkpoint is used,
        which our models write. `key` is the entry with the weights: unless told otherwise, those of the EMA where there
        are any. `strict` as in torch: every parameter must be there, and no other.
        """
        path = TINY if str(checkpoint) == "tiny" else Path(checkpoint)
        if not path.is_file():
            raise WxrError(f"{path}: no such checkpoint; give a .pth or .safetensors file, or 'tiny'")
        network = network or load_network_options(path)
        if network is None:
            raise WxrError(f"{path} does not say which network it is for; add --opt with the option file it came from")
        try:
            net = build_network(dict(network))
            net.load_state_dict(load_weights(path, key), strict=strict)
        except (KeyError, TypeError, RuntimeError) as error:
            raise WxrError(f"{path} does not fit the network {network.get('type')}: {error}") from error
        return cls(net, **kwargs)

    @torch.no_grad()
    def restore_tensor(self, lq: Tensor) -> Tensor:
        """Restore (N, 3, H, W) in [0, 1] whole; the result is clamped to [0, 1] and lies on the restorer's device."""
        return self.net(lq.to(self.device)).clamp(0, 1)

    def restore(self, photo: np.ndarray) -> np.ndarray:
        """Restore one photo, uint8 RGB (H, W, 3) of any size, tiled when it is larger than `tile`.

        Raises:
            RestoreError: the network gave NaN, or an image of another size.
        """
        lq = torch.from_numpy(np.ascontiguousarray(photo)).permute(2, 0, 1)[None].float() / 255
        if self.tile and max(photo.shape[:2]) > self.tile:
            result = run_tiled(self.restore_tensor, lq, self.tile, self.overlap)
        else:
            result = self.restore_tensor(lq)
        if result.shape != lq.shape:
            raise RestoreError(f"the network made {_size(result)} pixels of {_size(lq)}; only one size is supported")
        if result.isnan().any():
            raise RestoreError("the network gave values that are not numbers (NaN)")
        return (result[0].permute(1, 2, 0) * 255).round().clamp(0, 255).byte().cpu().numpy()


def _size(image: Tensor) -> str:
    return f"{image.shape[-1]}x{image.shape[-2]}"
