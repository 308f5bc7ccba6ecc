"""Choice of the training state to resume: the newest that is readable with its networks."""

import os
import warnings
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec

from wxr_plugin.checkpoints.containers import load_state
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.rng import check_rng_state


class ResumeError(WxrError):
    """None of the training states can be read."""


Count = Annotated[int, msgspec.Meta(ge=0)]
"""A number of batches or epochs."""


class TrainingState(TypedDict):
    """Types of the entries of a .state file: stock BasicSR's four, then this package's."""

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
    """Load the state that a training with the options `opt` resumes, or None to start afresh.

    With `auto_resume` that is the newest readable `.state` below `path.training_states`; if there
    is none, or without `auto_resume`, it is `path.resume_state`. `opt` is changed for it: the paths
    of the networks, the seed that the run started with, and `datasets.train.resume`, the place in
    the epoch from which the data loader continues. Tensors of the state are on the CPU.

    Raises:
        ResumeError: there are states, but none can be read, or the requested one cannot.
    """
    resumed = find_state(opt)
    if resumed is None:
        return None
    path, state = resumed
    opt["path"]["resume_state"] = str(path)
    _restore_paths(opt, state)
    _restore_seed(opt, state)
    opt["datasets"]["train"]["resume"] = {"epoch": state["epoch"], "iter": state["iter"]}
    return state


def find_state(opt: dict[str, Any]) -> tuple[Path, dict[str, Any]] | None:
    """Return path and content of the state that `load_resume_state` loads; change nothing.

    Raises:
        ResumeError: as `load_resume_state`.
    """
    files = _states(opt["path"]["training_states"]) if opt["auto_resume"] else []
    if not files and opt["path"].get("resume_state"):
        files = [Path(opt["path"]["resume_state"])]
    return _newest_readable(files, opt) if files else None


def consumed(resume: dict[str, int], batches: int) -> int | None:
    """Return the number of batches of epoch `resume['epoch']` before iteration `resume['iter']`.

    `batches` is the number of batches in an epoch. None if the two do not fit, because batch size,
    data or the number of processes have changed since the state was saved.
    """
    done = resume["iter"] - resume["epoch"] * batches
    return done if 0 <= done <= batches else None


def network_paths(opt: dict[str, Any], iteration: int) -> dict[str, Path]:
    """Return label (`net_g`) -> file of each network that BasicSR loads with a state."""
    ignored = opt["path"].get("ignore_resume_networks") or ()
    keys = [key for key in opt if key.startswith("network_") and key not in ignored]
    folder = Path(opt["path"]["models"])
    labels = [key.replace("network_", "net_") for key in keys]
    return {label: folder / f"{label}_{iteration}.pth" for label in labels}


def _states(folder: str) -> list[Path]:
    """Return the training states in `folder`, newest first; names are iterations, `5000.state`."""
    files = [file for file in Path(folder).glob("*.state") if file.stem.isdigit()]
    return sorted(files, key=lambda file: int(file.stem), reverse=True)


def _newest_readable(paths: list[Path], opt: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """Return path and content of the first readable state, with a warning for each one before."""
    broken = []
    for path in paths:
        try:
            state = _read(path, opt)
        except (OSError, WxrError) as error:
            broken.append(f"{path}: {error}")
        else:
            for problem in broken:
                warnings.warn(
                    f"a training state is skipped, {path.name} is used: {problem}", stacklevel=3
                )
            return path, state
    lines = "\n  ".join(broken)
    raise ResumeError(
        f"no training state can be read:\n  {lines}\n"
        "To start afresh, give another `name`, or leave out --auto_resume and "
        "path.resume_state (the old folder is then kept under another name)."
    )


def _read(path: Path, opt: dict[str, Any]) -> dict[str, Any]:
    """Return the state in `path` after checking its entries and its network files."""
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
    """Let BasicSR load the networks of the state's iteration, except those in the state itself."""
    from basicsr.utils import check_resume

    check_resume(opt, state["iter"])
    for label in network_paths(opt, state["iter"]):
        if label in state.get("networks", ()):
            opt["path"][f"pretrain_{label.replace('net_', 'network_')}"] = None
    # BasicSR makes the folders only for a training that it does not resume; but the state may be
    # that of another experiment.
    for key in ("experiments_root", "models", "training_states", "visualization"):
        os.makedirs(opt["path"][key], exist_ok=True)


def _restore_seed(opt: dict[str, Any], state: dict[str, Any]) -> None:
    from basicsr.utils import set_random_seed

    seed = state.get("manual_seed")
    if seed is None or seed == opt["manual_seed"]:
        return
    print(f"manual_seed is {seed}, with which the resumed training started", flush=True)
    opt["manual_seed"] = seed
    set_random_seed(seed + opt["rank"])
