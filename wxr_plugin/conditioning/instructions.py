"""From words to the instruction that InstructIR takes: a small sentence model, then the authors' head."""

from pathlib import Path

import torch

from wxr_plugin.archs.instructir_arch import LMHead
from wxr_plugin.checkpoints.containers import load_weights
from wxr_plugin.checkpoints.fitting import load_into
from wxr_plugin.errors import WxrError

SENTENCES = "TaylorAI/bge-micro-v2"
"""The sentence model that InstructIR was trained with, on the model hub."""


@torch.no_grad()
def embed_instruction(words: str, head: Path) -> list[float]:
    """The 256 numbers, of length 1, that `network_g.instruction` takes.

    Args:
        words: what to do with the photo, in English.
        head: the authors' lm_instructir-7d.pt. A folder bge-micro-v2 beside it is taken for the
            sentence model, as it would be saved by transformers; otherwise that of the hub, or of
            its cache.

    Raises:
        WxrError: the sentence model is not there.
        CheckpointError: `head` holds something else.
    """
    layers = LMHead()
    load_into(layers, load_weights(head), head)
    beside = head.parent / Path(SENTENCES).name
    instruction, _ = layers(_sentence(words, str(beside) if beside.is_dir() else SENTENCES))
    return instruction[0].tolist()


def _sentence(words: str, model: str) -> torch.Tensor:
    """(1, 384), of length 1: the mean over the tokens."""
    from transformers import AutoModel, AutoTokenizer

    try:
        tokens = AutoTokenizer.from_pretrained(model)(words, return_tensors="pt", truncation=True)
        network = AutoModel.from_pretrained(model).eval()
    except (OSError, ValueError) as error:
        raise WxrError(
            f"the sentence model {model} is not here and cannot be fetched; put its folder "
            f"bge-micro-v2 beside "
            f"lm_instructir-7d.pt ({str(error).splitlines()[0]})"
        ) from error
    states, mask = network(**tokens).last_hidden_state, tokens["attention_mask"][..., None]
    return torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)
