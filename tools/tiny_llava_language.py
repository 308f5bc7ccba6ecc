"""The second training of the tiny LLaVA: questions and answers."""

import time

import numpy as np
import torch
from tiny_llava_data import Pool
from tiny_llava_model import TEXTS, image_tokens
from tiny_llava_scene import scene_text
from tiny_llava_steps import batches, optimizer_for, order_loss, report, update
from torch import Tensor, nn
from torch.nn import functional as F

from wxr_plugin.data.weather.synthesis import WEATHERS

CONTENT = 6
"""Weight of the words of a description that differ between pictures: weather, strength, scene.

The others, half of the sentence, are learnt within some steps. With a weight for the weather alone,
nearly every scene was called grey and blue.
"""
RATINGS = 0.35
"""Share of the steps that ask for a rating; the others ask for a description."""
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
        phrases = [phrase for phrases in TEXTS["scene"].values() for phrase in phrases]
        words = [*WEATHERS, *TEXTS["strengths"], *" ".join(phrases).split()]
        content = {self.ids(word)[0] for word in words if word not in ("a", "and")}
        self.content = torch.tensor(sorted(content))

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
    model: nn.Module,
    processor,
    pool: Pool,
    seed: int,
    epochs: float,
    rate: float,
    tokens: Tensor | None = None,
    count: int = 12,
) -> None:
    """Train all parameters with gradients to answer: ratings, and twice as often descriptions.

    `tokens` (N, T, width) are the pictures' image tokens, if the vision tower is frozen; `count` is
    the number of groups of pictures a step.
    """
    torch.manual_seed(seed)
    questions, rng = Questions(processor), np.random.default_rng(seed)
    steps = int(epochs * (int(pool.group[-1]) + 1) / count)
    optimizer, schedule = optimizer_for([model], rate, steps)
    clock = time.monotonic()
    for step, rows in enumerate(batches(pool.group, count, steps, seed + 1)):
        sample = pool.rows(rows, model.device)
        seen = tower_tokens(model, sample.images) if tokens is None else tokens[rows].float()
        loss = language_loss(model, questions, sample, seen.to(model.device), rng)
        update(loss, optimizer, schedule)
        report("language", step, steps, loss, clock)


def tower_tokens(model: nn.Module, maps: Tensor) -> Tensor:
    """Return the vision tower's tokens (N, T, width) of frozen maps."""
    with torch.autocast(maps.device.type, torch.bfloat16):
        return image_tokens(model.model.vision_tower, maps)[1]


@torch.no_grad()
def all_tokens(model: nn.Module, pool: Pool, batch: int = 64) -> Tensor:
    """Return the vision tower's tokens of all pictures, float16 (N, T, width)."""
    parts = []
    for rows in np.array_split(np.arange(len(pool.images)), len(pool.images) // batch + 1):
        parts.append(tower_tokens(model, pool.rows(rows, model.device).images).half().cpu())
    return torch.cat(parts)


def language_loss(
    model: nn.Module, questions: Questions, sample: Pool, seen: Tensor, rng: np.random.Generator
) -> Tensor:
    """Return the loss of one question on some pictures: a rating or a description.

    `seen` are the pictures' image tokens.
    """
    is_rating = rng.random() < RATINGS
    asked = questions.rating if is_rating else questions.description
    prompt = list(rng.choice(np.array(asked, dtype=object)))
    return (rating_loss if is_rating else description_loss)(model, questions, sample, seen, prompt)


def rating_loss(
    model: nn.Module, questions: Questions, sample: Pool, seen: Tensor, prompt: list[int]
) -> Tensor:
    """Return the soft cross-entropy of the rating word, plus the loss of the groups' order."""
    target = rating_target(sample.loss)
    answers = [questions.answer(TEXTS["words"][row]) for row in target.argmax(1)]
    logits, labels = _answer_logits(model, questions, seen, prompt, answers)
    words = questions.words.to(logits.device)
    full = torch.zeros_like(logits[:, 0]).index_copy_(1, words, target)
    loss = F.cross_entropy(logits[:, 0], full) + 0.2 * _next_token(logits[:, 1:], labels[:, 1:])
    # The rating that users get: the expectation over the five words, 5 for excellent.
    rating = logits[:, 0, words].softmax(1) @ torch.arange(5.0, 0, -1, device=logits.device)
    return loss + order_loss((5 - rating) / 4, sample.loss, sample.group)


def description_loss(
    model: nn.Module, questions: Questions, sample: Pool, seen: Tensor, prompt: list[int]
) -> Tensor:
    """Return the cross-entropy of each token of the description; its content counts CONTENT."""
    facts = zip(sample.weather.tolist(), sample.severity.tolist(), sample.scene.cpu().numpy())
    answers = [questions.answer(description(*fact)) for fact in facts]
    logits, labels = _answer_logits(model, questions, seen, prompt, answers)
    loss = F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=-100, reduction="none")
    is_content = torch.isin(labels, questions.content.to(labels.device))
    is_content[:, 0] = True  # the first word already says whether there is any weather
    weight = (1 + (CONTENT - 1) * is_content) * (labels >= 0)
    return (loss * weight).sum() / weight.sum()


def _next_token(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=-100)


def _answer_logits(
    model: nn.Module,
    questions: Questions,
    seen: Tensor,
    prompt: list[int],
    answers: list[list[int]],
) -> tuple[Tensor, Tensor]:
    """Return the logits (N, L, V) of the answers' tokens and the tokens (N, L), -100 after them."""
    padded = _padded(prompt, answers, questions.tokenizer.pad_token_id)
    rows, labels = (tokens.to(seen.device) for tokens in padded)
    with torch.autocast(seen.device.type, torch.bfloat16):
        inputs = _with_image(model, rows, seen, prompt.index(model.config.image_token_id))
        logits = model(inputs_embeds=inputs).logits[:, len(prompt) - 1 : -1].float()
    return logits, labels


def _with_image(model: nn.Module, rows: Tensor, seen: Tensor, start: int) -> Tensor:
    """Return the language model's input: word vectors, with the image tokens from `start` on."""
    words = model.get_input_embeddings()(rows)
    image = model.model.multi_modal_projector(seen)
    return torch.cat([words[:, :start], image, words[:, start + image.shape[1] :]], 1)


def _padded(prompt: list[int], answers: list[list[int]], pad: int) -> tuple[Tensor, Tensor]:
    width = max(map(len, answers))
    rows = torch.tensor([prompt + answer + [pad] * (width - len(answer)) for answer in answers])
    labels = torch.tensor([answer + [-100] * (width - len(answer)) for answer in answers])
    return rows, labels
