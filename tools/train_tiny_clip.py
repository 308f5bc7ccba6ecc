"""Train the packaged tiny CLIP.

    python tools/train_tiny_clip.py --photos BSDS500/train BSDS500/val --test BSDS500/test

Writes open_clip's own folder format (`local-dir:`) with a model card that holds the held-out
figures. `--real` adds those on real photos in folders rain, haze and snow. The packaged vocabulary
is used again where there is one, because `tokenizers` breaks ties at random and a vocabulary
learnt again numbers its tokens differently.
"""

import argparse
import gzip
import json
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import save as to_safetensors
from sklearn.metrics import roc_auc_score
from tiny_clip_captions import caption, corpus, holds, traits
from tiny_data import change_light, draw_view, read_photos, recompress, to_square
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from wxr_plugin.conditioning.clip import BPE, TINY, ClipGuide, load_clip, zero_shot
from wxr_plugin.data.weather.synthesis import KINDS, STYLES, WEATHERS, add_weather
from wxr_plugin.utils.files import write_bytes, write_text
from wxr_plugin.utils.progress import track

WEIGHTS = "open_clip_model.safetensors"
CARD = Path(__file__).with_name("tiny_clip_card.md")
SIDE = 128
MERGES = 480
CONTEXT = 32
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def write_bpe(path: Path) -> None:
    """Learn byte pairs from the captions' words and write them for open_clip's SimpleTokenizer."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    words = pre_tokenizers.Split(Regex(WORDS), "removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=2 * len(alphabet) + MERGES,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    merges = [" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"][:MERGES]]
    write_bytes(path, gzip.compress("\n".join(["wxr tiny clip", *merges]).encode(), mtime=0))


def model_config(vocabulary: int) -> dict:
    """Return open_clip's model_cfg: a small ModifiedResNet, which learns more from 300 photos."""
    return {
        "embed_dim": 64,
        "vision_cfg": {"image_size": SIDE, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64},
        "text_cfg": {
            "context_length": CONTEXT,
            "vocab_size": vocabulary,
            "width": 128,
            "heads": 4,
            "layers": 2,
        },
    }


def make_pool(
    photos: list[np.ndarray], rounds: int, seed: int, workers: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw pictures uint8 (N, 3, SIDE, SIDE) and traits (N, 5): `rounds` a photo and weather."""
    jobs = [(photo, (seed, index), rounds) for index, photo in enumerate(photos)]
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        parts = list(track(pool.map(_photo_samples, jobs, chunksize=4), "pictures", len(jobs)))
    images, seen = zip(*(sample for part in parts for sample in part))
    return np.stack(images), np.stack(seen)


def _photo_samples(
    job: tuple[np.ndarray, tuple[int, int], int],
) -> list[tuple[np.ndarray, np.ndarray]]:
    torch.set_num_threads(1)
    photo, seed, rounds = job
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(rounds):
        view = draw_view(photo, rng, crop=0.5, scale=0.6)
        samples += [_sample(view, kind, rng) for kind in WEATHERS]
    return samples


def _sample(view: np.ndarray, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    severity = float(rng.uniform(0.15, 1.0))
    view = change_light(view, rng, overcast=rng.random() < (0.25 if kind == "clear" else 0.5))
    style = "default" if rng.random() < 0.75 else "shifted"
    image = add_weather(view, kind, severity, rng, style)
    return to_square(recompress(image, rng, noise=0.15, blur=0.2, jpeg=0.6), SIDE), traits(
        view, WEATHERS.index(kind), severity
    )


def contrast(images: Tensor, texts: Tensor, true: Tensor, scale: Tensor) -> Tensor:
    """Return CLIP's symmetric cross-entropy with targets spread over all matches in `true` (T, N).

    A short caption is true of many pictures in a batch; counting those as negatives would teach it
    to be false.
    """
    logits, true = scale * texts @ images.T, true.float()
    rows = F.cross_entropy(logits, true / true.sum(1, keepdim=True))
    columns = F.cross_entropy(logits.T, (true / true.sum(0, keepdim=True)).T)
    return (rows + columns) / 2


def train(
    model: CLIP,
    tokenizer: SimpleTokenizer,
    pool: tuple[np.ndarray, np.ndarray],
    steps: int,
    seed: int,
) -> None:
    """Train with AdamW and a one-cycle rate; every step has a new caption for every picture."""
    device = model.logit_scale.device
    images, seen = torch.from_numpy(pool[0]), pool[1]
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps)
    mean, std = (torch.tensor(value, device=device).view(1, 3, 1, 1) for value in (MEAN, STD))
    for step in track(range(steps), "training"):
        chosen = rng.choice(len(images), 128, replace=False)
        texts, said = zip(*(caption(seen[i], rng) for i in chosen))
        batch = (images[chosen].to(device) / 255 - mean) / std
        batch = batch.flip(3) if rng.random() < 0.5 else batch
        batch = batch.contiguous(memory_format=torch.channels_last)
        features = model.encode_image(batch, normalize=True)
        tokens = tokenizer(list(texts), CONTEXT).to(device)
        words = model.encode_text(tokens, normalize=True)
        loss = contrast(
            features,
            words,
            torch.from_numpy(holds(np.stack(said), seen[chosen])).to(device),
            model.logit_scale.exp(),
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, np.log(100))
        if step % 50 == 0:
            print(
                f"step {step} loss {loss.item():.3f} scale {model.logit_scale.exp().item():.1f}",
                flush=True,
            )


def save(model: CLIP, config: dict, out: Path) -> None:
    """Save float16 weights and the configuration, as open_clip reads them from a folder."""
    weights = {
        key: value.half().contiguous()
        for key, value in model.state_dict().items()
        if value.is_floating_point()
    }
    weights |= {
        key: value for key, value in model.state_dict().items() if not value.is_floating_point()
    }
    write_bytes(out / WEIGHTS, to_safetensors(weights))
    preprocess = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "squash"}
    write_text(
        out / "open_clip_config.json",
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}, indent=2),
    )


@torch.no_grad()
def test_probabilities(
    guide: ClipGuide, photos: list[np.ndarray], style: str, seed: int
) -> np.ndarray:
    """Return zero-shot probabilities (photos, 4 shown, 4 answered); severities from 0.25 to 1."""
    rows = []
    for index, photo in enumerate(photos):
        rng = np.random.default_rng((seed, index))
        shown = [
            add_weather(np.float32(photo) / 255, kind, rng.uniform(0.25, 1), rng, style)
            for kind in WEATHERS
        ]
        rows.append(zero_shot(guide, torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2)).numpy())
    return np.stack(rows)


@torch.no_grad()
def real_rows(guide: ClipGuide, folder: Path, clear: np.ndarray) -> list[str]:
    """Return rows on real photos: share named correctly, AUC of 1 - p(clear) to test photos."""
    rows = []
    for kind in KINDS:
        photos = [
            torch.from_numpy(photo).permute(2, 0, 1)[None] / 255
            for photo in read_photos([folder / kind])
        ]
        # (photos, 4): the weather named first is clear.
        chances = torch.cat([zero_shot(guide, photo) for photo in photos]).numpy()
        right = (chances.argmax(1) == WEATHERS.index(kind)).mean()
        labels = np.repeat([0, 1], [len(clear), len(chances)])
        auc = roc_auc_score(labels, 1 - np.concatenate([clear[:, 0], chances[:, 0]]))
        rows.append(
            f"| {kind} | {len(photos)} | {right:.1%} | {(chances.argmax(1) != 0).mean():.1%} | "
            f"{auc:.3f} |"
        )
    return rows


def report(guide: ClipGuide, photos: list[np.ndarray], real: Path | None, seed: int) -> str:
    """Return the held-out tables in Markdown."""
    lines = ["| style | " + " | ".join(WEATHERS) + " | all |", "|---" * 6 + "|"]
    chances = {style: test_probabilities(guide, photos, style, seed) for style in STYLES}
    for style in STYLES:
        # (photos, 4 shown, 4 answered): the right answer is on the diagonal.
        right = (chances[style].argmax(2) == np.arange(4)).mean(0)
        lines.append(
            f"| {style} | " + " | ".join(f"{share:.1%}" for share in [*right, right.mean()]) + " |"
        )
    if real:
        columns = "| real weather | photos | weather right | not called clear |"
        head = f"{columns} AUC against clean test photos |"
        lines += ["", head, "|---" * 5 + "|", *real_rows(guide, real, chances[STYLES[0]][:, 0])]
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--photos", type=Path, nargs="+", required=True, help="folders of clean training photos"
    )
    parser.add_argument(
        "--test", type=Path, nargs="+", required=True, help="folders of held-out clean photos"
    )
    parser.add_argument(
        "--real", type=Path, help="folder with the folders rain, haze, snow of real photos"
    )
    parser.add_argument("--out", type=Path, default=TINY)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--rounds", type=int, default=8, help="views of each photo, each under every weather"
    )
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--device", default="cpu", help="where the network trains: cpu or cuda")
    parser.add_argument("--workers", type=int, default=1, help="processes that make the pictures")
    return parser.parse_args()


def write_card(out: Path, model: CLIP, arguments: argparse.Namespace, **facts: object) -> None:
    """Fill the template of the model card with the scores and write it next to the weights."""
    card = CARD.read_text(encoding="utf-8").format(
        context=CONTEXT,
        vocabulary=model.vocab_size,
        size=(out / WEIGHTS).stat().st_size / 1e6,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        steps=arguments.steps,
        seed=arguments.seed,
        **facts,
    )
    write_text(out / "README.md", card)


def main() -> None:
    """Train, save, measure what was saved, and write the card."""
    arguments = parse()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    start, out, photos = time.time(), arguments.out, read_photos(arguments.photos)
    if (TINY / BPE).is_file():
        write_bytes(out / BPE, (TINY / BPE).read_bytes())
    else:
        write_bpe(out / BPE)
    tokenizer = SimpleTokenizer(str(out / BPE), context_length=CONTEXT)
    config = model_config(tokenizer.vocab_size)
    model = CLIP(**config).to(arguments.device, memory_format=torch.channels_last)
    pool = make_pool(photos, arguments.rounds, arguments.seed, arguments.workers)
    print(f"{len(pool[0])} pictures in {time.time() - start:.0f} s", flush=True)
    train(model, tokenizer, pool, arguments.steps, arguments.seed)
    save(model.cpu(), config, out)
    minutes = (time.time() - start) / 60
    tested = read_photos(arguments.test)
    tables = report(load_clip(f"local-dir:{out}", "cpu"), tested, arguments.real, arguments.seed)
    print(f"{minutes:.1f} minutes\n{tables}")
    counts = {"photos": len(photos), "pictures": len(pool[0]), "tested": len(tested)}
    write_card(out, model, arguments, minutes=minutes, tables=tables, **counts)


if __name__ == "__main__":
    main()
