"""The first training of the tiny LLaVA: its vision tower alone, with a supervised head."""

import time

import torch
from tiny_llava_data import Pool
from tiny_llava_model import TEXTS
from tiny_llava_steps import batches, optimizer_for, report, update
from torch import Tensor, nn
from torch.nn import functional as F

from wxr_plugin.data.weather.synthesis import WEATHERS

TRAITS = [len(TEXTS["scene"][name]) for name in ("light", "colour", "colour", "detail", "layout")]
"""Number of values of each trait of a scene; see tiny_llava_scene."""


class VisionHead(nn.Module):
    """Heads on the patch tokens: weather (N, 4), severity and loss (N, 2), effect (N, T, 3).

    And the traits of the scene, (N, sum of TRAITS). Thrown away after training.
    """

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.line = nn.Linear(width, len(WEATHERS) + 2)
        self.effect = nn.Linear(width, 3)
        self.scene = nn.Linear(width, sum(TRAITS))

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        tokens = self.norm(tokens).float()
        mean = tokens.mean(1)
        outputs, scene = self.line(mean).float(), self.scene(mean).float()
        return outputs[:, :-2], outputs[:, -2:], self.effect(tokens).float(), scene


def fit_vision(
    tower: nn.Module, pool: Pool, seed: int, epochs: float, rate: float = 1.5e-3, batch: int = 48
) -> None:
    """Train the vision tower on weather, severity, loss of visibility and effect on patches.

    AdamW in bfloat16.
    """
    torch.manual_seed(seed)
    device = next(tower.parameters()).device
    head = VisionHead(tower.config.hidden_size).to(device)
    steps = int(epochs * len(pool.patches) / batch)
    optimizer, schedule = optimizer_for([tower, head], rate, steps)
    clock = time.monotonic()
    for step, rows in enumerate(batches(len(pool.patches), batch, steps, seed)):
        patches, weather, severity, visibility_loss, scene, effect = pool.rows(rows, device)
        chosen = _some(patches.shape[1], 0.5 if step < 0.85 * steps else 1.0)
        with torch.autocast(device.type, torch.bfloat16):
            kind_logits, amounts, seen, traits = head(patch_tokens(tower, patches, chosen))
        loss = vision_loss(kind_logits, amounts, weather, severity, visibility_loss)
        loss = loss + 8 * F.smooth_l1_loss(seen, effect[:, chosen], beta=0.1)
        loss = loss + 0.2 * scene_loss(traits, scene)
        update(loss, optimizer, schedule)
        report("vision", step, steps, loss, clock)


def patch_tokens(tower: nn.Module, patches: Tensor, chosen: Tensor | slice = slice(None)) -> Tensor:
    """Return the last layer's patch tokens (N, T, width), computed on the `chosen` patches alone.

    Weather is everywhere in a picture, so half the patches show it too, at half the time (Li et
    al., "Scaling language-image pre-training via masking", CVPR 2023).
    """
    places = tower.embeddings.position_embedding.weight
    start = (tower.embeddings.class_embedding + places[0]).expand(len(patches), 1, -1)
    tokens = torch.cat([start, (patches + places[1:])[:, chosen]], 1)
    return tower.encoder(inputs_embeds=tower.pre_layrnorm(tokens)).last_hidden_state[:, 1:]


def _some(count: int, share: float) -> Tensor:
    return torch.randperm(count)[: int(share * count)].sort().values


def scene_loss(logits: Tensor, scene: Tensor) -> Tensor:
    """Return the sum of the cross-entropies of all traits; `logits` (N, sum of TRAITS)."""
    parts = zip(logits.split(TRAITS, dim=1), scene.unbind(1), strict=True)
    return sum(F.cross_entropy(part, values) for part, values in parts)


def vision_loss(
    kind_logits: Tensor,
    amounts: Tensor,
    weather: Tensor,
    severity: Tensor,
    visibility_loss: Tensor,
) -> Tensor:
    """Return the cross-entropy of the kind plus those of the severity and the loss of visibility.

    `amounts` (N, 2) are the logits of the latter two. The kind counts little where weather is
    hardly visible.
    """
    sure = torch.where(weather == 0, 1.0, (severity / 0.2).clamp(0, 1))
    kind = F.cross_entropy(kind_logits, weather, reduction="none", label_smoothing=0.02)
    targets = torch.stack([severity, visibility_loss], dim=1)
    # The rating is asked for most, so the loss of visibility counts most.
    weights = torch.tensor([1.0, 4.0], device=amounts.device)
    amount = F.binary_cross_entropy_with_logits(amounts, targets, weight=weights)
    return (kind * sure).mean() + 2 * amount
