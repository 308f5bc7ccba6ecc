"""Write the weights of a training as a packaged restorer: float16, with the network's options.

python tools/export_restorer.py experiments/small_restorer/models/net_g_latest.pth
small_restorer.safetensors
"""

import argparse
import json
from pathlib import Path

from safetensors.torch import save

from wxr_plugin.checkpoints.containers import load_network_options, load_weights
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.files import write_bytes


def export(
    checkpoint: Path,
    target: Path,
    key: str = "params_ema",
    average: Path | None = None,
    share: float = 0.5,
) -> None:
    """Write the weights under `key` of a checkpoint of ours to `target` in float16, atomically.

    With `average`, the weights are mixed: (1 - share) * checkpoint + share * average. Two trainings
    of which one continues the other have a good mean (Wortsman et al., CVPR 2022).

    Raises:
        WxrError: the checkpoint does not hold its network's options.
    """
    network = load_network_options(checkpoint)
    if network is None:
        raise WxrError(
            f"{checkpoint} does not say which network it is for; give one that WxrModel wrote"
        )
    weights = load_weights(checkpoint, key)
    if average:
        for name, tensor in load_weights(average, key).items():
            weights[name] = weights[name].lerp(tensor, share)
    weights = {name: tensor.half().contiguous() for name, tensor in weights.items()}
    write_bytes(target, save(weights, metadata={"network_g": json.dumps(network)}))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument(
        "--key", default="params_ema", help="entry of the checkpoint (default: params_ema)"
    )
    parser.add_argument("--average", type=Path, help="checkpoint to mix with")
    parser.add_argument("--share", type=float, default=0.5, help="its share (default: 0.5)")
    args = parser.parse_args()
    export(args.checkpoint, args.target, args.key, args.average, args.share)


if __name__ == "__main__":
    main()
