"""Files as the authors publish them, with the right names and shapes and no numbers in them."""

from pathlib import Path

import numpy as np
import torch
from file_server import Site
from transformers import BertConfig, BertModel, BertTokenizer

from wxr_plugin.archs.instructir_arch import LMHead
from wxr_plugin.checkpoints.fitting import Shapes, network_shapes
from wxr_plugin.zoo.download import addresses
from wxr_plugin.zoo.download.addresses import Address
from wxr_plugin.zoo.files import part_shapes
from wxr_plugin.zoo.rows import Part, Row, find_row

WORDS = [
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[PAD]",
    "[MASK]",
    "remove",
    "the",
    "rain",
    "from",
    "this",
    "photo",
]


def hollow(shapes: Shapes) -> dict[str, torch.Tensor]:
    """Return tensors of these shapes that take no room, in memory or in a file."""
    return {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}


def filled(shapes: Shapes) -> dict[str, torch.Tensor]:
    """Return small random tensors of these shapes."""
    generator = torch.Generator().manual_seed(0)
    return {name: torch.rand(shape, generator=generator) / 8 for name, shape in shapes.items()}


def publish(row: Row, folder: Path, make=hollow, network: dict | None = None) -> Path:
    """Write the files of `row`, with its keys and prefixes; return the only file, or the folder."""
    expected = network_shapes(network or row.network_g)
    for official in row.official or (f"{row.name}.pth",):
        content = {"epoch": 1} if row.key or row.files else {}
        for part in [part for part in row.files if part.file == official] or [row]:
            shapes = part_shapes(row.files, part, expected) if isinstance(part, Part) else expected
            _put(
                content,
                part.key,
                {part.prefix + name: tensor for name, tensor in make(shapes).items()},
            )
        if not any(part.key for part in [row, *row.files]):
            content.pop("epoch", None)
        path = folder / Path(official).name
        torch.save(content, path.with_suffix(".pth") if path.suffix == ".npz" else path)
    return folder if row.files else next(path for path in folder.iterdir() if path.is_file())


def offer(site: Site, monkeypatch, name: str, official: str, folder: Path) -> Site:
    """Publish the file of the row `name` on `site` as its only address, and return the site."""
    row = find_row(name)
    folder.mkdir()
    url = site.put("/a", publish(row, folder).read_bytes())
    files = {official: addresses._File(addresses=(Address("http", url),))}
    method = addresses._Method(ask="authors@example.org", files=files)
    monkeypatch.setattr(addresses, "methods", lambda: {row.method: method})
    return site


def publish_jax(row: Row, path: Path) -> Path:
    """Return MAXIM's weights as JAX stores them: channels last, slashes in names."""
    kinds = {"weight": "kernel", "bias": "bias"}
    arrays = {}
    for name, shape in network_shapes(row.network_g).items():
        modules, _, kind = name.rpartition(".")
        flax = "scale" if kind == "weight" and len(shape) == 1 else kinds[kind]
        axes = shape[::-1] if len(shape) == 2 else (*shape[2:], *shape[:2])
        if len(shape) == 4 and "ConvTranspose" not in modules:
            axes = (*shape[2:], shape[1], shape[0])
        arrays[f"opt/target/{modules.replace('.', '/')}/{flax}"] = np.zeros(axes, np.float16)
    np.savez_compressed(path, **arrays)
    return path


def publish_instructions(folder: Path) -> None:
    """Write InstructIR's head and a sentence model of its width, small and untrained."""
    torch.manual_seed(0)
    torch.save(LMHead().state_dict(), folder / "lm_instructir-7d.pt")
    model = folder / "bge-micro-v2"
    model.mkdir()
    (model / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer(str(model / "vocab.txt")).save_pretrained(model)
    size = {
        "hidden_size": 384,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "intermediate_size": 8,
    }
    BertModel(BertConfig(vocab_size=len(WORDS), **size)).save_pretrained(model)


def _put(content: dict, key: str | None, weights: dict) -> None:
    for step in (key or "").split("/") if key else ():
        content = content.setdefault(step, {})
    content.update(weights)
