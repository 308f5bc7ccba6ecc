"""The second training of the tiny LLaVA: questions and answers."""

import time

import numpy as np
import torch
from tiny_llava_data import Pool
from tiny_llava_model import TEXTS
from tiny_llava_scene import scene_text
from tiny_llava_steps import batches, optimizer_for, report, update
from tiny_llava_vision import patch_tokens
from torch import Tensor, nn
from torch.nn import functional as F

from wxr_plugin.data.weather.synthesis import WEATHERS

JUST_SEEN = 0.1
"""Below this severity weather is described as clear."""


def rating_target(visibility_loss: Tensor) -> Tensor:
    """Return soft labels (N, 5) over excellent … bad whose expectation is 5 - 4 visibility_loss.

    At most two adjacent words have a weight.
    """
    rating = 5 - 4 * visibility_loss[:, None]
    words = torch.arange(5, 0, -1, device=rating.device)
    return (1 - (words - rating).abs()).clamp(min=0)


def description(weather: int, severity: float, traits: np.ndarray) -> str:
    """Return the sentence for a scene, a weather (index in WEATHERS) and its severity."""
    scene = scene_text(traits)
    if weather == 0 or severity < JUST_SEEN:
        return TEXTS["clear"].format(scene=scene)
    strength = TEXTS["strengths"][min(int(severity * 3), 2)]
    return TEXTS["weather"].format(scene=scene, strength=strength, kind=WEATHERS[weather])


class Questions:
    """Token ids of every training question, with the image's place holders, and of every answer."""

    def __init__(self, processor):
        self.processor, self.tokenizer = processor, processor.tokenizer
        self.rating = [self._question(text) for text in TEXTS["rating"]]
        self.description = [self._question(text) for text in TEXTS["description"]]
        self.words = torch.tensor([self.ids(word)[0] for word in TEXTS["words"]])

    def ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def answer(self, text: str) -> list[int]:
        return [*self.ids(text), self.tokenizer.eos_token_id]

    def _question(self, text: str) -> list[int]:
        turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}
        prompt = self.processor.apply_chat_template([turn], add_generation_prompt=True)
        blank = np.zeros((8, 8, 3), np.uint8)
        return self.processor(images=blank, text=prompt)["input_ids"][0]


def fit_language(
    model: nn.Module, processor, pool: Pool, seed: int, epochs: float, rate: float, batch: int = 32
) -> None:
    """Train all parameters with gradients to answer: half ratings, half descriptions."""
    torch.manual_seed(seed)
    questions, rng = Questions(processor), np.random.default_rng(seed)
    steps = int(epochs * len(pool.patches) / batch)
    optimizer, schedule = optimizer_for([model], rate, steps)
    clock = time.monotonic()
    for step, rows in enumerate(batches(len(pool.patches), batch, steps, seed + 1)):
        loss = language_loss(model, questions, pool, rows, rng)
        update(loss, optimizer, schedule)
        report("language", step, steps, loss, clock)


def language_loss(
    model: nn.Module, questions: Questions, pool: Pool, rows: np.ndarray, rng: np.random.Generator
) -> Tensor:
    """Return the loss of one question on the pictures `rows`: a rating or a description.

    A rating has a soft cross-entropy on the first answer token, a description one on each token.
    """
    device = model.device
    patches, weather, severity, visibility_loss, scene, _ = pool.rows(rows, device)
    rate = rng.random() < 0.5
    asked = questions.rating if rate else questions.description
    prompt = list(rng.choice(np.array(asked, dtype=object)))
    if rate:
        target = rating_target(visibility_loss)
        texts = [TEXTS["words"][row] for row in target.argmax(1)]
    else:
        facts = zip(weather.tolist(), severity.tolist(), scene.cpu().numpy())
        texts = [description(*fact) for fact in facts]
    answers = [questions.answer(text) for text in texts]
    padded = _padded(prompt, answers, questions.tokenizer.pad_token_id)
    token_rows, labels = (tokens.to(device) for tokens in padded)
    with torch.autocast(device.type, torch.bfloat16):
        inputs = _with_image(model, token_rows, patches, prompt.index(model.config.image_token_id))
        logits = model(inputs_embeds=inputs).logits[:, len(prompt) - 1 : -1].float()
    usual = F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=-100)
    if not rate:
        return usual
    full = torch.zeros_like(logits[:, 0]).index_copy_(1, questions.words.to(device), target)
    return F.cross_entropy(logits[:, 0], full) + 0.2 * F.cross_entropy(
        logits[:, 1:].transpose(1, 2), labels[:, 1:]
    )


def _with_image(model: nn.Module, rows: Tensor, patches: Tensor, start: int) -> Tensor:
    """Return the language model's input: word vectors, with the patch tokens from `start` on."""
    words = model.get_input_embeddings()(rows)
    image = model.model.multi_modal_projector(patch_tokens(model.model.vision_tower, patches))
    return torch.cat([words[:, :start], image, words[:, start + image.shape[1] :]], 1)


def _padded(prompt: list[int], answers: list[list[int]], pad: int) -> tuple[Tensor, Tensor]:
    width = max(map(len, answers))
    rows = torch.tensor([prompt + answer + [pad] * (width - len(answer)) for answer in answers])
    labels = torch.tensor([answer + [-100] * (width - len(answer)) for answer in answers])
    return rows, labels
