"""Cost of a sampling step next to the network: IR-SDE's samplers against bare forward passes.

    # the network of options/tiny/irsde.yml
    python benchmarks/sampling_cost.py
    # the network of DA-CLIP
    python benchmarks/sampling_cost.py --nf 64 --mult 1 2 4 8 --scale 1 --context --steps 1
        --rounds 7

IRSDEModel and `wxr restore` sample with `Diffusion.sample`: the schedule, the noise of each image,
`steps` passes and steps. For comparison the network alone looks `steps` times at the same degraded
images and states. All take turns, in an order that rotates, and each is
divided by the bare passes of the same round; medians are printed. On a CPU time is that of this
process (time.process_time) with one thread, so that others who use the machine count little; on a
GPU it is the clock's. Weights are random, which does not change the time.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

import wxr_plugin  # noqa: F401

# isort: split
from torch import Tensor, nn

from wxr_plugin.archs.conditional_unet_arch import ConditionalUNet
from wxr_plugin.archs.context import Context
from wxr_plugin.inference.diffusion import Diffusion, predict
from wxr_plugin.sampling.options import SamplingOptions, SDEOptions
from wxr_plugin.sampling.sampler import METHODS

EMBEDDING = 512


def forwards(net: nn.Module, lq: Tensor, context: Context | None, steps: int) -> None:
    """Make `steps` passes of the network, at the times that sampling has."""
    xt = lq + 0.1 * torch.randn_like(lq)
    with torch.no_grad():
        for t in range(steps, 0, -1):
            predict(net, xt, lq, t * 100 / steps, context)


def seconds(work: Callable[[], object], gpu: bool) -> float:
    """Time of `work`: of this process on a CPU, else by the clock."""
    clock = time.perf_counter if gpu else time.process_time
    start = clock()
    work()
    if gpu:
        torch.cuda.synchronize()
    return clock() - start


def measure(args: argparse.Namespace) -> dict[str, list[float]]:
    """Return the seconds a step, one entry a round, of bare passes and of each sampler."""
    gpu = torch.cuda.is_available()
    device = "cuda" if gpu else "cpu"
    names = ["content", "degradation"] if args.context else []
    net = ConditionalUNet(args.nf, args.mult, names, EMBEDDING, args.scale).to(device).eval()
    lq = torch.rand(args.batch, 3, args.size, args.size, device=device)
    context = (
        Context(*(torch.randn(2, args.batch, EMBEDDING, device=device))) if args.context else None
    )
    works = {"bare": lambda: forwards(net, lq, context, args.steps)}
    for method in METHODS:
        diffusion = Diffusion(SDEOptions(), SamplingOptions(method=method, steps=args.steps))
        works[method] = lambda diffusion=diffusion: diffusion.sample(net, lq, context, None, 0)
    works["bare"]()
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(args.rounds):
        start = number % len(works)
        for name in [*works, *works][start : start + len(works)]:
            times[name].append(seconds(works[name], gpu) / args.steps)
    return times


def main() -> None:
    """Print a line a case: milliseconds a step, and its ratio to a bare pass with its quartiles."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nf", type=int, default=16)
    parser.add_argument("--mult", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--scale", type=float, default=0.5)
    parser.add_argument("--context", action="store_true", help="with both embeddings, as DA-CLIP's")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5, help="steps of each case in a round")
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    times = measure(args)
    for name, values in times.items():
        pairs = zip(values, times["bare"], strict=True)
        ratios = [sampled / bare for sampled, bare in pairs]
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
        print(
            f"{name:10} {1000 * statistics.median(values):8.1f} ms {middle:6.3f} ({low:.3f} to "
            f"{high:.3f})"
        )


if __name__ == "__main__":
    main()
