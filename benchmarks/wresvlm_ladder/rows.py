"""The rows of the ladder: what each adds to the `train` block of the row before."""

from typing import Any

WEIGHTS = {"pseudo": 1.0, "prompts": 0.05, "texts": 0.0125, "features": 0.05}
"""Weights w1 to w4; those of the paper are 0.5, 0.2, 0.05 and 0.2.

Here twice that for labels, because the rows are short, and a quarter for the guides, because the
tiny CLIP prefers a colour cast (docs/wresvlm.md).
"""

ROWS = ("sup", "ps", "gate", "init", "wpl", "sem", "iter")
TITLES = {
    "sup": "L_sup",
    "ps": "+ L_ps (mean teacher)",
    "gate": "+ rating gate",
    "init": "+ init by a panel",
    "wpl": "+ L_wpl and L_feat",
    "sem": "+ L_sem",
    "iter": "+ iter",
}


def train_block(
    row: str, labels: str, prompts: str, rater: dict[str, Any], margin: float
) -> dict[str, Any]:
    """Return the keys that `row` adds to the `train` block, after those of the rows before it."""
    step, block = ROWS.index(row), {}
    if step >= ROWS.index("ps"):
        block |= {
            "pseudo_opt": {"type": "PseudoLabelLoss", "loss_weight": WEIGHTS["pseudo"]},
            "gate": "teacher",
        }
    if step >= ROWS.index("gate"):
        block |= {"gate": "rating", "rater": rater, "rating": {"margin": margin}, "labels": labels}
    if step >= ROWS.index("wpl"):
        prompt = {
            "type": "WeatherPromptLoss",
            "loss_weight": WEIGHTS["prompts"],
            "prompts_path": prompts,
        }
        block |= {"weather_prompt_opt": prompt}
        block |= {"feature_opt": {"type": "DepthFeatureLoss", "loss_weight": WEIGHTS["features"]}}
    if step >= ROWS.index("sem"):
        block |= {"semantic_opt": {"type": "SemanticLoss", "loss_weight": WEIGHTS["texts"]}}
    return block
