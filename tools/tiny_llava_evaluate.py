"""The held-out scores of the tiny LLaVA."""

from pathlib import Path

import msgspec
import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from tiny_data import as_bytes
from tiny_llava_data import read_photos
from tiny_llava_language import JUST_SEEN
from tiny_llava_model import TEXTS

from wxr_plugin.data.weather.synthesis import KINDS, add_weather
from wxr_plugin.vlm.describer import build_describer
from wxr_plugin.vlm.rater import build_rater

SEEN = 0.15
"""Severity below which weather may go unnamed in the main score; a second one counts all."""


class Scores(msgspec.Struct):
    """One row a weather; shares and correlations in [0, 1]."""

    weather: str
    rho: float | None
    """Spearman's |rho| between rating and severity (uniform in [0, 1]) on the test folder."""
    pictures: int
    """Number of pictures that are clear, or have weather of severity >= SEEN."""
    named: float
    """Share of their descriptions with the right weather word."""
    named_all: float
    """The same at any severity: below JUST_SEEN "clear" is right as well."""
    strength: float | None
    """Share of rightly named weather whose strength word is right too."""
    auc: float | None
    """AUC of the rating, real photos of this weather against clean test photos."""
    real: int
    """Number of real photos."""
    rating_real: float
    """Mean rating of the real photos; for clear, of the clean test photos."""
    named_real: float
    """Share of real photos whose description has the folder's weather word."""


def evaluate(folder: str | Path, test: str | Path, real: str | Path, seed: int = 0) -> list[Scores]:
    """Score a saved model on the photos of `test`, clean and weathered, and of `real/KIND`."""
    models = (
        build_rater({"model": str(folder)}),
        build_describer({"model": str(folder), "max_tokens": 32}),
    )
    clean = read_photos(test)
    clean_rating, clean_text = models[0].rate(clean).rating.numpy(), models[1].describe(clean)
    right = share("clear" in text for text in clean_text)
    rows = [
        Scores(
            "clear",
            None,
            len(clean),
            right,
            right,
            None,
            None,
            len(clean),
            float(clean_rating.mean()),
            right,
        )
    ]
    for index, kind in enumerate(KINDS):
        rng = np.random.default_rng([seed, index])
        severity = rng.uniform(0, 1, len(clean))
        images = [
            as_bytes(add_weather(as_float(x), kind, float(s), rng)) for x, s in zip(clean, severity)
        ]
        photos = read_photos(Path(real) / kind)
        rows.append(_row(kind, models, clean_rating, (images, severity), photos))
    return rows


def _row(
    kind: str, models: tuple, clean_rating: np.ndarray, drawn: tuple, photos: list[np.ndarray]
) -> Scores:
    (rater, describer), (images, severity) = models, drawn
    texts, real_rating = describer.describe(images), rater.rate(photos).rating.numpy()
    named = np.array([kind in text for text in texts])
    loose = named | np.array(
        [s < JUST_SEEN and "clear" in text for s, text in zip(severity, texts)]
    )
    strong = [
        TEXTS["strengths"][min(int(s * 3), 2)] in t for s, t, n in zip(severity, texts, named) if n
    ]
    truth = np.r_[np.zeros(len(clean_rating)), np.ones(len(photos))]
    return Scores(
        weather=kind,
        rho=abs(float(spearmanr(rater.rate(images).rating.numpy(), severity).statistic)),
        pictures=int((severity >= SEEN).sum()),
        named=float(named[severity >= SEEN].mean()),
        named_all=float(loose.mean()),
        strength=float(np.mean(strong)),
        auc=float(roc_auc_score(truth, -np.r_[clean_rating, real_rating])),
        real=len(photos),
        rating_real=float(real_rating.mean()),
        named_real=share(kind in text for text in describer.describe(photos)),
    )


def table(rows: list[Scores]) -> str:
    """Return the scores as a Markdown table."""
    head = [
        "weather",
        "rho",
        f"pictures (s >= {SEEN})",
        "named",
        "named (all s)",
        "strength",
        "AUC real",
    ]
    head += ["real photos", "mean rating", "named (real)"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        lines.append([_cell(value) for value in msgspec.structs.astuple(row)])
    total = sum(row.pictures for row in rows)
    named = sum(row.named * row.pictures for row in rows) / total
    lines.append(["all", "-", str(total), _cell(named), *["-"] * 6])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def share(flags) -> float:
    """Return the share of true entries."""
    return float(np.mean(list(flags)))


def as_float(image: np.ndarray) -> np.ndarray:
    """Convert uint8 to float32 in [0, 1]."""
    return image.astype(np.float32) / 255


def _cell(value) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
