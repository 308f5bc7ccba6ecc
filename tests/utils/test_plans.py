"""Plans of `--dry-run`."""

import json

from wxr_plugin.utils.plans import NOTHING, print_plan

PLAN = {
    "network": {"type": "NAFNet", "parameters": 12345},
    "data_sets": {"train": {"images": 20, "note": ""}},
    "stages": ["one", "two"],
    "resumes": None,
    "exists": True,
}


def test_a_plan_is_lines(capsys, monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    print_plan(PLAN)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "network    type: NAFNet",
        "           parameters: 12,345",
        "data sets  train: images 20",
        "stages     one",
        "           two",
        "resumes    none",
        "exists     yes",
        NOTHING,
    ]


def test_a_plan_is_json(capsys):
    print_plan(PLAN, as_json=True)
    assert json.loads(capsys.readouterr().out) == PLAN
