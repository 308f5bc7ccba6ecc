"""Small vision-language models with random weights, written as folders that transformers loads."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessor,
    Idefics3Processor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessor,
    LlavaNextProcessor,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
)

WORDS = ("excellent", "good", "fair", "poor", "bad")
TEXT = (
    "Rate Describe the visibility of image weather against rain fog and snow Please answer with or "
    "USER ASSISTANT : . ,"
)
SPECIAL = ("<unk>", "<s>", "</s>", "<pad>", "<image>")
TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + "
    "': ' }}{% endif %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>\n' }}"
    "{% else %}{{ part['text'] + ' ' }}{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
LANGUAGE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 3,
}
SIDE, PATCH = 56, 14


def wrapped(
    tokenizer: Tokenizer, bos: bool, special: tuple[str, ...] = SPECIAL
) -> PreTrainedTokenizerFast:
    """Return a transformers tokenizer, with a BOS before every text or without."""
    if bos:
        at = tokenizer.token_to_id("<s>")
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", at)]
        )
    names = {
        "unk_token": "<unk>",
        "bos_token": "<s>" if bos else None,
        "eos_token": "</s>",
        "pad_token": "<pad>",
    }
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, additional_special_tokens=list(special[4:]), **names
    )


def word_tokenizer(
    bos: bool = True, special: tuple[str, ...] = SPECIAL, words: str = TEXT
) -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token a word."""
    names = dict.fromkeys([*special, *words.split(), *WORDS])
    tokenizer = Tokenizer(
        models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return wrapped(tokenizer, bos, special)


def sentencepiece_tokenizer(pieces: tuple[str, ...], bos: bool = True) -> PreTrainedTokenizerFast:
    """Return a tokenizer of Llama's kind: a space marker first, and the longest fitting piece."""
    scores = [(name, 0.0) for name in SPECIAL]
    scores += [(piece, float(len(piece)) - 20) for piece in pieces]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=0))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    return wrapped(tokenizer, bos)


def byte_tokenizer(merges: list[tuple[str, str]]) -> PreTrainedTokenizerFast:
    """Return a tokenizer of GPT-2's kind: bytes, merged pairwise, and no BOS."""
    names = [
        *SPECIAL,
        *sorted(pre_tokenizers.ByteLevel.alphabet()),
        *("".join(pair) for pair in merges),
    ]
    vocabulary = {name: i for i, name in enumerate(dict.fromkeys(names))}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return wrapped(tokenizer, bos=False)


def save(folder: Path, model: torch.nn.Module, processor: object) -> Path:
    """Write both, after weights are drawn whose features differ between images."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0, 0.15, generator=generator)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def llava(
    folder: Path, tokenizer: PreTrainedTokenizerFast | None = None, template: str | None = TEMPLATE
) -> Path:
    """Write LLaVA-1.5's classes."""
    tokenizer = tokenizer or word_tokenizer()
    size = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    config = LlavaConfig(
        vision_config=vision(),
        text_config=LlamaConfig(vocab_size=len(tokenizer), **LANGUAGE),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    processor = LlavaProcessor(
        CLIPImageProcessor(**size),
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )
    return save(folder, LlavaForConditionalGeneration(config), processor)


def llava_next(folder: Path) -> Path:
    """Write LLaVA-1.6's classes: the number of image tokens follows the shape of the image."""
    tokenizer = word_tokenizer(bos=False)
    grid = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE]]
    size = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    config = LlavaNextConfig(
        vision_config=vision(),
        text_config=LlamaConfig(vocab_size=len(tokenizer), **LANGUAGE),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=grid,
    )
    processor = LlavaNextProcessor(
        LlavaNextImageProcessor(image_grid_pinpoints=grid, **size),
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )
    return save(folder, LlavaNextForConditionalGeneration(config), processor)


def qwen2_vl(folder: Path) -> Path:
    """Write Qwen2-VL's classes: any resolution, other image tokens, three-dimensional positions."""
    marks = (*SPECIAL[:4], "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    tokenizer = word_tokenizer(bos=False, special=marks)
    ids = {
        name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("image_pad", "video_pad")
    }
    ends = {
        name: tokenizer.convert_tokens_to_ids(f"<|{name}|>")
        for name in ("vision_start", "vision_end")
    }
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    config = Qwen2VLConfig(
        text_config={**LANGUAGE, "vocab_size": len(tokenizer), "rope_parameters": rope},
        vision_config={
            "depth": 2,
            "embed_dim": 32,
            "hidden_size": 32,
            "num_heads": 4,
            "mlp_ratio": 2,
            "patch_size": 14,
        },
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        **{f"{name}_token_id": value for name, value in ends.items()},
    )
    template = TEMPLATE.replace("<image>", "<|vision_start|><|image_pad|><|vision_end|>")
    limits = {"shortest_edge": 28 * 28, "longest_edge": 28 * 28 * 16}
    processor = Qwen2VLProcessor(
        Qwen2VLImageProcessor(size=limits),
        tokenizer,
        Qwen2VLVideoProcessor(),
        chat_template=template,
    )
    return save(folder, Qwen2VLForConditionalGeneration(config), processor)


def vision() -> CLIPVisionConfig:
    """Return a small CLIP tower."""
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    return CLIPVisionConfig(image_size=SIDE, patch_size=PATCH, projection_dim=32, **sizes)


def idefics3(folder: Path) -> Path:
    """Write Idefics3's and SmolVLM's kind: the processor alone decides on the tiles."""
    tiles = tuple(f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7))
    marks = ("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", *tiles)
    tokenizer = word_tokenizer(bos=False, special=(*SPECIAL[:4], *marks))
    config = Idefics3Config(
        text_config=LlamaConfig(vocab_size=len(tokenizer), **LANGUAGE),
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": SIDE,
            "patch_size": PATCH,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=3,
    )
    processor = Idefics3Processor(
        Idefics3ImageProcessor(
            size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE}
        ),
        tokenizer,
        image_seq_len=4,
        chat_template=TEMPLATE,
    )
    return save(folder, Idefics3ForConditionalGeneration(config), processor)
