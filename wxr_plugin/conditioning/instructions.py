"""Embedding of an instruction for InstructIR: a small sentence model, then the authors' head."""

from pathlib import Path

import torch

from wxr_plugin.archs.instructir_arch import LMHead
from wxr_plugin.checkpoints.containers import load_weights
from wxr_plugin.checkpoints.fitting import load_into
from wxr_plugin.errors import WxrError

SENTENCES = "TaylorAI/bge-micro-v2"
"""Id, on the model hub, of the sentence model that InstructIR was trained with."""


@torch.no_grad()
def embed_instruction(words: str, head: Path) -> list[float]:
    """Return the instruction `words` as the unit vector of `network_g.instruction`, 256 numbers.

    Args:
        words: the task for the photo, in English.
        head: the authors' lm_instructir-7d.pt. If a folder bge-micro-v2, as saved by transformers,
            is next to it, that is the sentence model; otherwise it comes from the hub or its cache.

    Raises:
        WxrError: the sentence model is not available.
        CheckpointError: `head` does not hold these weights.
    """
    layers = LMHead()
    load_into(layers, load_weights(head), head)
    local = head.parent / Path(SENTENCES).name
    model = str(local) if local.is_dir() else SENTENCES
    instruction, _ = layers(_sentence(words, model))  # (1, 256)
    return instruction[0].tolist()


def _sentence(words: str, model: str) -> torch.Tensor:
    """Return the unit vector (1, 384) of a sentence, the mean over its tokens."""
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
        network = AutoModel.from_pretrained(model).eval()
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise WxrError(
            f"the sentence model {model} is not here and cannot be fetched; put its folder "
            f"bge-micro-v2 next to lm_instructir-7d.pt ({reason})"
        ) from error
    tokens = tokenizer(words, return_tensors="pt", truncation=True)
    states = network(**tokens).last_hidden_state  # (1, T, 384)
    mask = tokens["attention_mask"][..., None]
    mean = (states * mask).sum(1) / mask.sum(1)
    return torch.nn.functional.normalize(mean, dim=1)
