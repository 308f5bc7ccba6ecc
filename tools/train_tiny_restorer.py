"""Train and export the packaged tiny restorer.

    python tools/train_tiny_restorer.py --photos BSDS500/train BSDS500/val --test BSDS500/test

Training is BasicSR's pipeline with options/tiny/restorer.yml; --work keeps its LMDB and
checkpoints, so a stopped run resumes. The held-out figures are printed and written into
the model card.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from wxr_plugin.checkpoints.containers import load_weights
from wxr_plugin.data.images.io import list_images, read_image
from wxr_plugin.data.lmdb.build import build
from wxr_plugin.data.weather.kinds import KINDS
from wxr_plugin.data.weather.synthesis import STYLES, add_weather
from wxr_plugin.inference.packaged import TINY
from wxr_plugin.inference.restorer import Restorer
from wxr_plugin.options import files as option_files
from wxr_plugin.utils.files import write_bytes, write_text

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = ROOT / "options" / "tiny" / "restorer.yml"
EVERY = 4


def train(photos: list[Path], work: Path, iterations: int, seed: int) -> Path:
    """Run BasicSR's pipeline in `work` and return the last checkpoint."""
    lmdb = work / "clean.lmdb"
    gathered = work / "clean"
    gathered.mkdir(parents=True, exist_ok=True)
    for photo in (file for folder in photos for file in list_images(folder)):
        link = gathered / photo.name
        if not link.exists():
            link.symlink_to(photo.resolve())
    build(gathered, lmdb)
    overrides = [
        f"datasets:train:dataroot_gt={lmdb}",
        f"train:total_iter={iterations}",
        f"manual_seed={seed}",
    ]
    command = [
        sys.executable,
        "-m",
        "wxr_plugin.train",
        "-opt",
        str(OPTIONS),
        "--auto_resume",
        "--force_yml",
        *overrides,
    ]
    subprocess.run(command, cwd=work, check=True)
    return work / "experiments" / "tiny_restorer" / "models" / "net_g_latest.pth"


def export(checkpoint: Path, target: Path) -> None:
    """Write the EMA weights of `checkpoint` as float16, with the network's options as metadata."""
    weights = {
        key: value.half().contiguous()
        for key, value in load_weights(checkpoint, "params_ema").items()
    }
    network = dict(option_files.load(str(OPTIONS))["network_g"])
    write_bytes(target, save(weights, metadata={"network_g": json.dumps(network)}))


def evaluate(
    restorer: Restorer, folder: Path, severities: tuple[float, ...] = (0.3, 0.6, 0.9)
) -> list[str]:
    """Return rows of the held-out table: mean PSNR and SSIM (RGB) of every style and weather.

    Every EVERYth photo of `folder` is measured.
    """
    rows = []
    for style in STYLES:
        for kind in KINDS:
            scores = np.array(list(_scores(restorer, folder, kind, style, severities))).mean(0)
            rows.append(
                f"| {style} | {kind} | "
                + " | ".join(f"{a:.2f}" if a > 2 else f"{a:.3f}" for a in scores)
                + " |"
            )
    return rows


def _scores(restorer: Restorer, folder: Path, kind: str, style: str, severities: tuple[float, ...]):
    for number, file in enumerate(list_images(folder)[::EVERY]):
        clean = read_image(file)
        severity = severities[number % len(severities)]
        lq = add_weather(
            clean.astype(np.float32) / 255, kind, severity, np.random.default_rng(number), style
        )
        lq = (lq * 255).round().astype(np.uint8)
        out = restorer.restore(lq)
        yield [
            metric(clean, image)
            for metric in (peak_signal_noise_ratio, _ssim)
            for image in (lq, out)
        ]


def _ssim(clean: np.ndarray, image: np.ndarray) -> float:
    return structural_similarity(clean, image, channel_axis=2)


CARD = """# tiny_restorer

A small MSBDN (width 8, 2 bottleneck blocks, 1 block a stage, global residual; \
{parameters:.2f} M parameters, stored in
float16) that removes synthetic rain, haze and snow. The demo's training starts from it, \
and `wxr restore` uses it
when no other checkpoint is named. It is small and trained for minutes: \
a starting point, not a product.

- Data: the 300 train and val photos of BSDS500 with synthetic weather \
(`wxr_plugin/data/weather/synthesis.py`, style
  "default", severity 0.1 to 1) drawn on the fly. No real weather photo and no test photo was seen.
- Recipe: `options/tiny/restorer.yml`, {iterations} iterations of batch 8 at 128x128, \
AdamW, cosine, L1, EMA 0.995.
- Seed: {seed}. Command: `python tools/train_tiny_restorer.py --photos TRAIN VAL --test TEST`
- Held-out: {count} of the 200 test photos of BSDS500 (each fourth), \
severities 0.3, 0.6, 0.9 in turn;
  "shifted" is a setting that training never drew.

| style | weather | PSNR in | PSNR out | SSIM in | SSIM out |
|---|---|---|---|---|---|
{rows}
"""


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--photos", nargs="+", type=Path, required=True, help="folders of clean training photos"
    )
    parser.add_argument(
        "--test", type=Path, required=True, help="folder of clean photos that training never sees"
    )
    parser.add_argument(
        "--out", type=Path, default=TINY, help="where the weights go (default: into the package)"
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("experiments_tiny_restorer"),
        help="folder for the training run",
    )
    parser.add_argument("--iterations", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--evaluate", action="store_true", help="only measure the weights in --out")
    args = parser.parse_args()
    if not args.evaluate:
        export(train(args.photos, args.work, args.iterations, args.seed), args.out)
    restorer = Restorer.from_checkpoint(args.out)
    rows = evaluate(restorer, args.test)
    print("\n".join(rows))
    parameters = sum(p.numel() for p in restorer.net.parameters()) / 1e6
    card = CARD.format(
        parameters=parameters,
        iterations=args.iterations,
        seed=args.seed,
        rows="\n".join(rows),
        count=len(list_images(args.test)[::EVERY]),
    )
    write_text(args.out.with_name("README.md"), card)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
