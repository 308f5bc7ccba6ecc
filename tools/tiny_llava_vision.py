"""The first training of the tiny LLaVA: its vision tower alone, with a supervised head."""

import time
from pathlib import Path

import torch
from tiny_llava_data import Pool
from tiny_llava_model import TEXTS, VISION, image_tokens
from tiny_llava_steps import batches, optimizer_for, order_loss, report, update
from torch import Tensor, nn
from torch.nn import functional as F

from wxr_plugin.data.weather.synthesis import WEATHERS
from wxr_plugin.utils.files import write_with

TRAITS = [len(TEXTS["scene"][name]) for name in ("light", "colour", "colour", "detail", "layout")]
"""Number of values of each trait of a scene; see tiny_llava_scene."""
KEEP_EVERY = 200
"""Steps between two states of the training that are kept in a file."""


class VisionHead(nn.Module):
    """Heads on the tower: weather (N, 4), severity and loss (N, 2), effect (N, T, 3).

    And the traits of the scene, (N, sum of TRAITS). Thrown away after training.
    """

    def __init__(self):
        super().__init__()
        width = VISION["hidden_size"]
        self.norm = nn.LayerNorm(width)
        self.line = nn.Linear(width, len(WEATHERS) + 2)
        self.effect = nn.Linear(width, 3)
        self.scene = nn.Linear(width, sum(TRAITS))

    def forward(self, patches: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean = self.norm(tokens).mean(1)
        outputs = self.line(mean)
        return outputs[:, :-2], outputs[:, -2:], self.effect(patches), self.scene(mean)


class TrainedTower(nn.Module):
    """The vision tower with its training heads, so that both are stored together."""

    def __init__(self, tower: nn.Module):
        super().__init__()
        self.tower = tower
        self.head = VisionHead()

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        patches, tokens = image_tokens(self.tower, maps)
        # The heads and their losses are in float32: bfloat16 has 8 bits for a rating.
        with torch.autocast(maps.device.type, enabled=False):
            return self.head(patches.float(), tokens.float())


def fit_vision(
    tower: nn.Module,
    pool: Pool,
    seed: int,
    epochs: float,
    state: Path,
    rate: float = 6e-4,
    count: int = 22,
) -> None:
    """Train the vision tower on weather, severity, loss of visibility and effect on patches.

    AdamW in bfloat16; `count` groups of pictures a step; the pool holds frozen maps. Statistics of
    the normalisation stay those of ImageNet. The training is kept in the file `state` now and then
    and resumes from it.
    """
    torch.manual_seed(seed)
    device = next(tower.parameters()).device
    model = TrainedTower(tower).to(device).eval()
    steps = int(epochs * (int(pool.group[-1]) + 1) / count)
    optimizer, schedule = optimizer_for([model], rate, steps)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    done = _resume(state, parts)
    clock = time.monotonic()
    for step, rows in enumerate(batches(pool.group, count, steps, seed)):
        if step < done:
            continue
        loss = pool_loss(model, pool.rows(rows, device))
        update(loss, optimizer, schedule)
        report("vision", step, steps, loss, clock)
        if (step + 1) % KEEP_EVERY == 0:
            _keep(state, parts, step + 1)
    state.unlink(missing_ok=True)


def pool_loss(model: TrainedTower, sample: Pool) -> Tensor:
    """Return the loss of the heads on some pictures."""
    with torch.autocast(sample.images.device.type, torch.bfloat16):
        kind_logits, amounts, seen, traits = model(sample.images)
    loss = vision_loss(kind_logits, amounts, sample.weather, sample.severity, sample.loss)
    loss = loss + 8 * F.smooth_l1_loss(seen, sample.effect, beta=0.1)
    loss = loss + order_loss(amounts[:, 1].sigmoid(), sample.loss, sample.group)
    return loss + 0.2 * scene_loss(traits, sample.scene)


def _keep(state: Path, parts: dict, step: int) -> None:
    """Write the training atomically."""
    values = {name: part.state_dict() for name, part in parts.items()} | {"step": step}
    write_with(state, lambda stream: torch.save(values, stream))


def _resume(state: Path, parts: dict) -> int:
    """Load the training from `state`; return the number of its steps, 0 without the file."""
    if not state.is_file():
        return 0
    values = torch.load(state, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(values[name])
    return values["step"]


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
