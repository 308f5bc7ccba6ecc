"""Agreement of ratings by quantised weights, by a server's list, and by the answered word alone.

    python benchmarks/rater_agreement.py PHOTOS [--model tiny] [--count 40]

Each row: mean and largest difference to the ratings of `TransformersRater` in full precision.
"""

import argparse
from pathlib import Path

import torch

from wxr_plugin.data.images.io import list_images, read_image
from wxr_plugin.vlm.inputs import to_uint8
from wxr_plugin.vlm.rater import build_rater, rating_from_logits
from wxr_plugin.vlm.server_rater import logits_from_top
from wxr_plugin.vlm.transformers_rater import TransformersRater


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, help="folder of photos, sub-folders included")
    parser.add_argument("--model", default="tiny", help="name, folder or hub id (default: tiny)")
    parser.add_argument(
        "--count", type=int, default=40, help="photos, spread evenly over the folder (default: 40)"
    )
    args = parser.parse_args()
    files = list_images(args.photos)
    chosen = files[:: max(1, len(files) // args.count)][: args.count]
    images = [read_image(file.read_bytes(), str(file)) for file in chosen]
    rater = build_rater({"model": args.model})
    whole = rater.rate(images)
    quantised = {
        bits: build_rater({"model": args.model, "quantization": bits}) for bits in ("8bit", "4bit")
    }
    rows = {bits: coarse_rater.rate(images).rating for bits, coarse_rater in quantised.items()}
    rows |= {f"{top} tokens listed": listed(rater, images, top) for top in (20, 5)}
    rows["the word alone"] = 5.0 - whole.logits.argmax(1)
    print(
        f"{len(images)} photos, {args.model}, ratings {whole.rating.min():.2f} to "
        f"{whole.rating.max():.2f}"
    )
    for name, ratings in rows.items():
        apart = (ratings - whole.rating).abs()
        print(f"{name:16} mean {apart.mean():.5f}  largest {apart.max():.5f}")


def listed(rater: TransformersRater, images: list, top: int) -> torch.Tensor:
    """Return the ratings (N,) that follow from a server's list of the `top` likeliest tokens."""
    tokenizer, question = rater.vlm.tokenizer, rater.vlm.question(rater.prompt)
    word_logits = []
    for image in to_uint8(images):
        logits = rater.vlm.next_token_logits(question, [image], list(range(len(tokenizer))))[0]
        values, ids = logits.log_softmax(-1).topk(top)
        word_logits.append(
            logits_from_top(
                [(tokenizer.decode([i]), v) for i, v in zip(ids.tolist(), values.tolist())]
            )
        )
    return rating_from_logits(torch.tensor(word_logits))


if __name__ == "__main__":
    main()
