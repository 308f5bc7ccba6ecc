"""More small models with random weights: ones with their own chat formats, and a refused one."""

from pathlib import Path

from small_models import LANGUAGE, PATCH, SIDE, SPECIAL, TEMPLATE, save, word_tokenizer
from transformers import (
    BartConfig,
    CLIPImageProcessor,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2Processor,
    Florence2VisionConfig,
    GotOcr2ImageProcessor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

TOWER = {"hidden_size": 32, "intermediate_size": 64}
QWEN_MARKS = (*SPECIAL[:4], "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
QWEN_TEMPLATE = TEMPLATE.replace("<image>", "<|vision_start|><|image_pad|><|vision_end|>")


def internvl(folder: Path) -> Path:
    """Write InternVL3's classes: an image is cut into tiles, and a thumbnail follows."""
    names = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
    }
    tokenizer = word_tokenizer(bos=False, special=(*SPECIAL[:4], *names.values(), "<video>"))
    for name, token in (names | {"video_token": "<video>"}).items():
        tokenizer._set_model_specific_special_tokens({name: token})
    config = InternVLConfig(
        vision_config={
            **TOWER,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": [SIDE, SIDE],
            "patch_size": [PATCH, PATCH],
        },
        text_config={"model_type": "qwen2", "vocab_size": len(tokenizer), **LANGUAGE},
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
    )
    processor = InternVLProcessor(
        GotOcr2ImageProcessor(
            size={"height": SIDE, "width": SIDE}, crop_to_patches=True, max_patches=4
        ),
        tokenizer,
        InternVLVideoProcessor(),
        image_seq_length=4,
        chat_template=TEMPLATE.replace("<image>", "<IMG_CONTEXT>"),
    )
    return save(folder, InternVLForConditionalGeneration(config), processor)


def qwen2_5_vl(folder: Path) -> Path:
    """Write Qwen2.5-VL's classes: any resolution, attention in windows."""
    tokenizer = word_tokenizer(bos=False, special=QWEN_MARKS)
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    tower = {
        "depth": 2,
        "num_heads": 4,
        "patch_size": PATCH,
        "out_hidden_size": 32,
        "fullatt_block_indexes": [1],
    }
    config = Qwen2_5_VLConfig(
        text_config={**LANGUAGE, "vocab_size": len(tokenizer), "rope_parameters": rope},
        vision_config={**TOWER, **tower, "intermediate_size": 48},
        **_qwen_ids(tokenizer),
    )
    limits = {"shortest_edge": 28 * 28, "longest_edge": 28 * 28 * 16}
    parts = Qwen2VLImageProcessor(size=limits), tokenizer, Qwen2VLVideoProcessor()
    return save(
        folder,
        Qwen2_5_VLForConditionalGeneration(config),
        Qwen2_5_VLProcessor(*parts, chat_template=QWEN_TEMPLATE),
    )


def qwen3_vl(folder: Path) -> Path:
    """Write Qwen3-VL's classes: features of several depths of the tower."""
    tokenizer = word_tokenizer(bos=False, special=QWEN_MARKS)
    rope = {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "mrope_section": [2, 1, 1],
        "mrope_interleaved": True,
    }
    tower = {
        "depth": 2,
        "num_heads": 4,
        "patch_size": 16,
        "out_hidden_size": 32,
        "num_position_embeddings": 64,
    }
    config = Qwen3VLConfig(
        text_config={
            **LANGUAGE,
            "head_dim": 8,
            "vocab_size": len(tokenizer),
            "rope_parameters": rope,
        },
        vision_config={**TOWER, **tower, "deepstack_visual_indexes": [0]},
        **_qwen_ids(tokenizer),
    )
    limits = {"shortest_edge": 32 * 32, "longest_edge": 32 * 32 * 16}
    parts = Qwen2VLImageProcessor(size=limits, patch_size=16), tokenizer, Qwen3VLVideoProcessor()
    return save(
        folder,
        Qwen3VLForConditionalGeneration(config),
        Qwen3VLProcessor(*parts, chat_template=QWEN_TEMPLATE),
    )


def florence2(folder: Path) -> Path:
    """Write Florence-2's classes, an encoder-decoder."""
    tokenizer = word_tokenizer(bos=False)
    tokenizer._set_model_specific_special_tokens({"image_token": "<image>"})
    tower = Florence2VisionConfig(
        depths=[1], patch_size=[7], patch_stride=[4], patch_padding=[3], patch_prenorm=[False],
        embed_dim=[16], num_heads=[2], num_groups=[2], window_size=7, projection_dim=32,
    )  # fmt: skip
    language = {
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
    }
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    text = BartConfig(vocab_size=len(tokenizer), d_model=32, **language, **heads)
    config = Florence2Config(
        vision_config=tower.to_dict(),
        text_config=text.to_dict(),
        image_token_id=tokenizer.image_token_id,
    )
    images = CLIPImageProcessor(size={"height": SIDE, "width": SIDE}, do_center_crop=False)
    images.image_seq_length = 16
    processor = Florence2Processor(images, tokenizer, chat_template=TEMPLATE)
    return save(folder, Florence2ForConditionalGeneration(config), processor)


def llama(folder: Path, bos: bool = True) -> Path:
    """Write a language model without vision, with a chat template of its own."""
    tokenizer = word_tokenizer(bos)
    tokenizer.chat_template = (
        "{% for message in messages %}{{ message['role'].upper() + ': ' + message['content'] + ' ' "
        "}}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
    )
    return save(
        folder, LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **LANGUAGE)), tokenizer
    )


def _qwen_ids(tokenizer: object) -> dict[str, int]:
    names = {
        "image": "image_pad",
        "video": "video_pad",
        "vision_start": "vision_start",
        "vision_end": "vision_end",
    }
    return {
        f"{key}_token_id": tokenizer.convert_tokens_to_ids(f"<|{name}|>")
        for key, name in names.items()
    }
