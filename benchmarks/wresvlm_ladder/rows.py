"""The rows of the ladder: what each adds to the `train` block of the row before."""

from typing import Any

WEIGHTS = {"pseudo": 1.0, "prompts": 0.05, "texts": 0.0125, "features": 0.05}
"""Weights w1 to w4; those of the paper are 0.5, 0.2, 0.05 and 0.2.

Here twice that for labels, because the rows are short, and a quarter for the guides, because the
tiny CLIP prefers a colour cast (docs/wresvlm.md).
"""

ROWS = ("sup", "ps", "gate", "init", "wpl", "sem", "iter")
GATES = ("random", "oracle")
"""Rows next to the ladder: `gate` with a rater that sees nothing, and with one that sees the truth.

They are the floor and the ceiling of any rater in that row.
"""
TITLES = {
    "sup": "L_sup",
    "ps": "+ L_ps (mean teacher)",
    "gate": "+ rating gate",
    "init": "+ init by a panel",
    "wpl": "+ L_wpl and L_feat",
    "sem": "+ L_sem",
    "iter": "+ iter",
    "random": "L_ps + random gate (floor)",
    "oracle": "L_ps + oracle gate (ceiling)",
}


def place(row: str) -> int:
    """Return the number of a row in ROWS; a row of GATES stands where `gate` does."""
    return ROWS.index("gate" if row in GATES else row)


def row_before(row: str, rows: list[str]) -> str:
    """Return the row of a table that `row` is compared with; the first row is its own."""
    if row in GATES and "ps" in rows:
        return "ps"
    return rows[max(0, rows.index(row) - 1)]


def train_block(
    row: str, labels: str, prompts: str, rater: dict[str, Any], margin: float
) -> dict[str, Any]:
    """Return the keys that `row` adds to the `train` block, after those of the rows before it."""
    step, block = place(row), {}
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
