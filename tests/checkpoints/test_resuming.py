"""Choice of the training state that a run resumes, and the options that are set for it."""

from pathlib import Path

import pytest
import torch
from basicsr.train import load_resume_state

from wxr_plugin.checkpoints.resuming import ResumeError, consumed
from wxr_plugin.utils.rng import rng_state


def state(iteration, epoch=1, **more):
    return {"epoch": epoch, "iter": iteration, "optimizers": [], "schedulers": [], **more}


@pytest.fixture
def opt(tmp_path, monkeypatch):
    """Options of an experiment away from the working directory, with states of three iterations."""
    root = tmp_path / "elsewhere" / "experiments" / "run"
    monkeypatch.chdir(tmp_path)
    names = ("models", "training_states", "visualization")
    opt = {
        "auto_resume": True,
        "manual_seed": 1,
        "rank": 0,
        "path": {name: str(root / name) for name in names}
        | {"experiments_root": str(root), "resume_state": None},
        "datasets": {"train": {}},
        "network_g": {},
    }
    (root / "training_states").mkdir(parents=True)
    for iteration in (900, 1000, 5000):
        torch.save(state(iteration), root / "training_states" / f"{iteration}.state")
    return opt


def states(opt):
    return Path(opt["path"]["training_states"])


def test_the_newest_state_is_taken_and_the_options_are_set_up(opt):
    assert load_resume_state(opt)["iter"] == 5000
    assert opt["path"]["resume_state"] == str(states(opt) / "5000.state")
    assert opt["path"]["pretrain_network_g"] == str(Path(opt["path"]["models"]) / "net_g_5000.pth")
    assert opt["datasets"]["train"]["resume"] == {"epoch": 1, "iter": 5000}


def test_broken_states_are_skipped_and_named(opt):
    (states(opt) / "5000.state").write_bytes(b"")
    torch.save({"params": {}}, states(opt) / "1000.state")
    with pytest.warns(UserWarning) as caught:
        assert load_resume_state(opt)["iter"] == 900
    messages = "\n".join(str(warning.message) for warning in caught)
    assert "5000.state" in messages and "1000.state" in messages and "lacks epoch" in messages


@pytest.mark.parametrize(
    ("entry", "value", "problem"),
    [
        ("optimizers", "abc", "optimizers"),
        ("optimizers", [3], "optimizers"),
        ("schedulers", {}, "schedulers"),
        ("iter", "../../x", "iter"),
        ("iter", -5, "iter"),
        ("epoch", 1e18, "epoch"),
        ("networks", [], "networks"),
        ("networks", {"net_g": 1}, "networks"),
        ("rng", [{}], "rng of rank 0"),
        ("rng", [rng_state() | {"torch": torch.zeros(3)}], "rng of rank 0"),
        ("rng", "abc", "rng"),
    ],
)
def test_a_state_with_an_entry_of_another_type_is_skipped(opt, entry, value, problem):
    torch.save(
        state(5000, networks={}, rng=[rng_state()]) | {entry: value}, states(opt) / "5000.state"
    )
    with pytest.warns(UserWarning, match=rf"5000\.state.*not a training state.*{problem}"):
        assert load_resume_state(opt)["iter"] == 1000


def test_a_state_with_entries_of_the_right_types_is_taken(opt):
    whole = state(
        6000,
        networks={"net_g": {"weight": torch.ones(1)}},
        rng=[rng_state()],
        ema=None,
        scaler={},
        best={},
    )
    torch.save(whole, states(opt) / "6000.state")
    assert load_resume_state(opt)["iter"] == 6000


def test_a_state_whose_network_is_cut_short_is_broken_too(opt):
    models = Path(opt["path"]["models"])
    models.mkdir()
    torch.save({"params": {}}, models / "net_g_5000.pth")
    assert load_resume_state(opt)["iter"] == 5000
    whole = (models / "net_g_5000.pth").read_bytes()
    (models / "net_g_5000.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.warns(UserWarning, match=r"net_g_5000\.pth"):
        assert load_resume_state(opt)["iter"] == 1000


def test_when_all_are_broken_nothing_is_started(opt):
    for file in states(opt).iterdir():
        file.write_bytes(b"cut")
    with pytest.raises(
        ResumeError, match=r"(?s)no training state can be read.*5000.*1000.*900.*start afresh"
    ):
        load_resume_state(opt)


def test_networks_within_the_state_need_no_files(opt):
    torch.save(state(6000, networks={"net_g": {}}), states(opt) / "6000.state")
    assert load_resume_state(opt)["iter"] == 6000
    assert opt["path"]["pretrain_network_g"] is None


def test_a_state_that_would_run_code_is_not_loaded(opt):
    torch.save(state(6000, extra=print), states(opt) / "6000.state")
    with pytest.warns(UserWarning, match=r"6000\.state.*refused"):
        assert load_resume_state(opt)["iter"] == 5000


def test_the_seed_of_the_run_is_restored(opt, capsys):
    torch.save(state(6000, manual_seed=77), states(opt) / "6000.state")
    load_resume_state(opt)
    assert opt["manual_seed"] == 77 and torch.initial_seed() == 77
    assert "manual_seed is 77" in capsys.readouterr().out


def test_a_named_state_counts_without_auto_resume_and_where_there_is_no_other(opt):
    named = states(opt) / "900.state"
    opt["path"]["resume_state"] = str(named)
    assert load_resume_state(opt | {"auto_resume": False})["iter"] == 900
    fresh = opt["path"] | {
        "training_states": "none/here",
        "resume_state": str(named),
        "experiments_root": "new",
    }
    assert load_resume_state(opt | {"path": fresh})["iter"] == 900
    assert Path("new").is_dir()


def test_nothing_to_resume(opt):
    assert load_resume_state(opt | {"auto_resume": False}) is None
    for file in states(opt).iterdir():
        file.unlink()
    assert load_resume_state(opt) is None


def test_a_named_state_that_is_missing_is_an_error(opt):
    opt["path"]["resume_state"] = "missing.state"
    with pytest.raises(ResumeError, match=r"missing\.state"):
        load_resume_state(opt | {"auto_resume": False})


@pytest.mark.parametrize(
    ("epoch", "iteration", "expected"),
    [(0, 0, 0), (0, 3, 3), (2, 11, 1), (2, 15, 5), (2, 16, None), (2, 9, None)],
)
def test_batches_consumed_of_the_epoch(epoch, iteration, expected):
    assert consumed({"epoch": epoch, "iter": iteration}, batches=5) == expected
