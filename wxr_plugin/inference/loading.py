"""Loading of the parts of a restorer from a checkpoint: its network, its equation and its guide."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from basicsr.archs import build_network
from torch import Tensor, nn

from wxr_plugin.archs.context import context_inputs
from wxr_plugin.checkpoints.containers import load_network_options, load_weights
from wxr_plugin.checkpoints.fitting import load_into
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.diffusion import Diffusion, PatchDiffusion, make_diffusion
from wxr_plugin.inference.packaged import NAMES, PACKAGED
from wxr_plugin.sampling.options import SamplingOptions
from wxr_plugin.utils.namesakes import our_network

if TYPE_CHECKING:
    from wxr_plugin.conditioning.guides import Guide


def load_network(
    path: Path,
    network: dict[str, Any] | None,
    key: str | None,
    strict: bool,
    weights: dict[str, Tensor] | None = None,
) -> nn.Module:
    """Return the network of a checkpoint with its weights; arguments as in `from_checkpoint`.

    Raises:
        WxrError: there is no such file, it does not name a network, or that cannot be built.
        CheckpointError: the weights do not fit.
    """
    if not path.is_file() and weights is None:
        raise WxrError(
            f"{path}: no such checkpoint; give a .pth or .safetensors file, "
            f"hf://OWNER/NAME, or {NAMES}"
        )
    network = network or load_network_options(path)
    if network is None:
        raise WxrError(
            f"{path} does not say which network it is for; add --opt with the option file it "
            "came from"
        )
    if path in PACKAGED.values():
        # Another project may have registered a network of this name; the weights are for ours.
        network = our_network(network)
    try:
        net = build_network(dict(network))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WxrError(
            f"{path}: its network {network.get('type')} cannot be built: {error}"
        ) from error
    load_into(net, weights or load_weights(path, key), path, strict)
    return net


def load_diffusion(
    net: nn.Module,
    path: Path,
    equation: dict[str, Any] | None,
    sampling: SamplingOptions | None,
) -> Diffusion | PatchDiffusion | None:
    """Return the diffusion of a checkpoint's network, by `equation` or by its own blocks."""
    equation = equation or load_network_options(path, "sde")
    ddpm = load_network_options(path, "ddpm")
    return make_diffusion(net, equation, sampling, ddpm)


def load_guide(net: nn.Module, path: Path, name: str | None, device: str | None) -> "Guide | None":
    """Return the guide `name`, or that of the checkpoint; None if the network takes no context.

    Raises:
        WxrError: the network takes a context, and there is no guide.
    """
    inputs = context_inputs(net)
    if not inputs:
        return None
    stored = load_network_options(path, "guide") or {}
    name = name or stored.get("model")
    if not name:
        kind = "CLIP" if "image" in inputs else "DA-CLIP"
        raise WxrError(f"{path} is steered by {' and '.join(inputs)}: add --guide with its {kind}")
    from wxr_plugin.conditioning import guides

    return guides.load_guide(inputs, name, device)
