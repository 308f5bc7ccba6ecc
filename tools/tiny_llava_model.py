"""The tiny LLaVA's parts: its tokenizer, its processor and the untrained network."""

from pathlib import Path

import torch
import yaml
from transformers.models.levit.modeling_levit import LevitAttention, LevitResidualLayer

TEXTS = yaml.safe_load(Path(__file__).with_name("tiny_llava_texts.yml").read_text(encoding="utf-8"))
SIDE = 320
TOKEN = 64
"""Side in pixels of what one image token stands for: 25 tokens in all."""
VISION = {
    "hidden_sizes": [128, 192, 256],
    "depths": [1, 2, 2],
    "num_attention_heads": [4, 6, 8],
}
"""Sizes of the LeViT (Graham et al., ICCV 2021). Its four convolutions see noise and thin streaks,
which a linear map of 32-px patches loses."""
LANGUAGE = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
TEMPLATE = (
    "{% for message in messages %}"
    "{{ message['role'].upper() + ': ' }}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}"
    "{% for item in message['content'] if item['type'] == 'image' %}{{ '<image>\n' }}{% endfor %}"
    "{% for item in message['content'] if item['type'] == 'text' %}{{ item['text'] }}{% endfor %}"
    "{% endif %}"
    "{{ '</s>' if message['role'] == 'assistant' else ' ' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def corpus() -> list[str]:
    """Return every sentence that the model reads or writes, once.

    A byte-pair tokenizer trained on them keeps their words whole.
    """
    phrases = [phrase for phrases in TEXTS["scene"].values() for phrase in phrases]
    answers = [
        TEXTS["weather"].format(scene="scene", strength=strength, kind=kind)
        for strength in TEXTS["strengths"]
        for kind in ("rain", "haze", "snow")
    ]
    clear = TEXTS["clear"].format(scene=f"scene with {' and '.join(phrases)}")
    chat = [f"USER: \n{question} ASSISTANT:" for question in TEXTS["rating"] + TEXTS["description"]]
    return [*chat, *answers, clear, " ".join(TEXTS["words"]), TEXTS["vocabulary"]]


def build_tokenizer():
    """Train a byte-level BPE with <image>, <s>, </s> and <pad>.

    It can write any text, that of the corpus in whole words.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<s>", "</s>", "<unk>", "<image>"]
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    core.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        min_frequency=1,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(corpus(), trainer)
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", special.index("<s>"))]
    )
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        **names,
        extra_special_tokens={"image_token": "<image>"},
        model_max_length=512,
    )


def build_processor():
    """Return a LlavaProcessor that resizes images to a square of 320 px, without a centre crop."""
    from transformers import CLIPImageProcessor, LlavaProcessor

    images = CLIPImageProcessor(
        size={"height": SIDE, "width": SIDE},
        do_center_crop=False,
        image_mean=list(MEAN),
        image_std=list(STD),
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=build_tokenizer(),
        patch_size=TOKEN,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
        chat_template=TEMPLATE,
    )


def build_model(tokenizer) -> torch.nn.Module:
    """Return an untrained LlavaForConditionalGeneration that reads the last stage's 25 tokens."""
    from transformers import LevitConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    ids = {
        f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")
    }
    config = LlavaConfig(
        # The projector asks for `hidden_size`, which LeViT has one of for each stage.
        vision_config=LevitConfig(
            image_size=SIDE, hidden_size=VISION["hidden_sizes"][-1], **VISION
        ),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            max_position_embeddings=512,
            tie_word_embeddings=True,
            **LANGUAGE,
            **ids,
        ),
        image_token_index=tokenizer.image_token_id,
        image_seq_length=(SIDE // TOKEN) ** 2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=True,
    )
    model = LlavaForConditionalGeneration(config)
    start_tower(model.model.vision_tower)
    return model


def start_tower(tower: torch.nn.Module) -> None:
    """Set LeViT's starting weights: He's initialisation, and blocks that add nothing at first.

    transformers' own, of a deviation of 0.02 with full residuals, has huge gradients at the start.
    """
    for module in tower.modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, LevitResidualLayer):
            block = module.module
            last = block.projection if isinstance(block, LevitAttention) else block.linear_down
            torch.nn.init.zeros_(last.batch_norm.weight)
