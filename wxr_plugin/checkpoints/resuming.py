"""Finding the training state to go on from: the newest that can be read, with the networks that belong to it."""

import os
import warnings
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec

from wxr_plugin.checkpoints.containers import load_state
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.rng import check_rng_state


class ResumeError(WxrError):
    """There are training states, but none that can be read."""


Count = Annotated[int, msgspec.Meta(ge=0)]
"""A number of batches or epochs."""


class TrainingState(TypedDict):
    """Types of the entries of a .state file that resuming relies on, stock BasicSR's four and then our own."""

    epoch: Count
    iter: Count
    optimizers: list[dict]
    schedulers: list[dict]
    manual_seed: NotRequired[int]
    networks: NotRequired[dict[str, dict]]
    ema: NotRequired[dict | None]
    scaler: NotRequired[dict | None]
    best: NotRequired[dict]
    guard: NotRequired[dict | None]
    extra: NotRequired[dict]
    rng: NotRequired[list[dict]]


def load_resume_state(opt: dict[str, Any]) -> dict[str, Any] | None:
    """The state that a training with the options `opt` goes on from, on the CPU, or None to start afresh.

    With `auto_resume` that is the newest readable `.state` below `path.training_states`; without
    one there, and without `auto_resume`, it is `path.resume_state`. `opt` is set up for it: the
    paths of the networks, the seed that the run began with, and `datasets.train.resume`, from which
    the data loader takes up its place in the epoch.

    Raises:
        ResumeError: there are states, but none can be read, or the one that was named cannot.
    """
    found = _states(opt["path"]["training_states"]) if opt["auto_resume"] else []
    if not found and opt["path"].get("resume_state"):
        found = [Path(opt["path"]["resume_state"])]
    if not found:
        return None
    path, state = _newest_readable(found, opt)
    opt["path"]["resume_state"] = str(path)
    _restore_paths(opt, state)
    _restore_seed(opt, state)
    opt["datasets"]["train"]["resume"] = {"epoch": state["epoch"], "iter": state["iter"]}
    return state


def consumed(resume: dict[str, int], batches: int) -> int | None:
    """Batches of epoch `resume['epoch']` that were trained on when its state was saved at iteration `resume['iter']`.

    `batches` is the number in an epoch. None if the two do not fit, because batch size, data or the
    number of processes have changed since.
    """
    done = resume["iter"] - resume["epoch"] * batches
    return done if 0 <= done <= batches else None


def network_paths(opt: dict[str, Any], iteration: int) -> dict[str, Path]:
    """Label (`net_g`) -> file of each network that BasicSR loads beside the state of `iteration`."""
    kept = opt["path"].get("ignore_resume_networks") or ()
    labels = [
        key.replace("network_", "net_")
        for key in opt
        if key.startswith("network_") and key not in kept
    ]
    return {label: Path(opt["path"]["models"]) / f"{label}_{iteration}.pth" for label in labels}


def _states(folder: str) -> list[Path]:
    """Training states in `folder`, newest first. Their names are iterations, `5000.state`."""
    files = [file for file in Path(folder).glob("*.state") if file.stem.isdigit()]
    return sorted(files, key=lambda file: int(file.stem), reverse=True)


def _newest_readable(paths: list[Path], opt: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    broken = []
    for path in paths:
        try:
            state = _read(path, opt)
        except (OSError, WxrError) as error:
            broken.append(f"{path}: {error}")
        else:
            for problem in broken:
                warnings.warn(
                    f"a training state is passed over, {path.name} is used: {problem}", stacklevel=3
                )
            return path, state
    raise ResumeError(
        "no training state can be read:\n  "
        + "\n  ".join(broken)
        + "\nTo start afresh, give another `name`, or leave "
        "out --auto_resume and path.resume_state (the old folder is then kept under another name)."
    )


def _read(path: Path, opt: dict[str, Any]) -> dict[str, Any]:
    """Return the state in `path` after checking its entries and the network files that belong to it."""
    state = load_state(path)
    _check_types(state)
    for label, file in network_paths(opt, state["iter"]).items():
        if label not in state.get("networks", ()) and file.exists():
            load_state(file)
    return state


def _check_types(state: dict[str, Any]) -> None:
    """Raise ResumeError if an entry is missing or of another type than resuming expects."""
    missing = TrainingState.__required_keys__ - state.keys()
    if missing:
        raise ResumeError(f"not a training state: it lacks {', '.join(sorted(missing))}")
    try:
        msgspec.convert(state, TrainingState)
    except msgspec.ValidationError as error:
        raise ResumeError(
            f"not a training state: {str(error)[0].lower()}{str(error)[1:]}"
        ) from None
    for rank, generators in enumerate(state.get("rng", ())):
        try:
            check_rng_state(generators)
        except ValueError as error:
            raise ResumeError(f"not a training state: rng of rank {rank} is {error}") from error


def _restore_paths(opt: dict[str, Any], state: dict[str, Any]) -> None:
    """Let BasicSR load the networks of the state's iteration, but not those that the state itself holds."""
    from basicsr.utils import check_resume

    check_resume(opt, state["iter"])
    for label in network_paths(opt, state["iter"]):
        if label in state.get("networks", ()):
            opt["path"][f"pretrain_{label.replace('net_', 'network_')}"] = None
    for key in ("experiments_root", "models", "training_states", "visualization"):
        os.makedirs(
            opt["path"][key], exist_ok=True
        )  # a state of another experiment may be resumed here


def _restore_seed(opt: dict[str, Any], state: dict[str, Any]) -> None:
    from basicsr.utils import set_random_seed

    seed = state.get("manual_seed")
    if seed is None or seed == opt["manual_seed"]:
        return
    print(f"manual_seed is {seed}, with which the resumed training began", flush=True)
    opt["manual_seed"] = seed
    set_random_seed(seed + opt["rank"])
