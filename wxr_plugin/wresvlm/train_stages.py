"""Stages that train: BasicSR's pipeline in a process of its own, and the weather prompts."""

import ctypes
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from wxr_plugin.errors import WxrError
from wxr_plugin.prompt_learning.learning import PromptOptions
from wxr_plugin.utils.files import write_text
from wxr_plugin.wresvlm.label_stages import begin_labels
from wxr_plugin.wresvlm.settings import Settings

PR_SET_PDEATHSIG = 1


def train_supervised(settings: Settings, folder: Path) -> None:
    """Train with L_sup alone, or resume it."""
    train(settings, "supervised", folder, settings.supervised_options())


def train_round(
    settings: Settings,
    folder: Path,
    number: int,
    sources: Mapping[str, str | None],
) -> None:
    """Train one round, or resume it.

    `sources` name the stages of its `start`, `labels`, `texts` and `prompts`; None without one.
    """
    opt = settings.round_options(number, sources["start"], sources["prompts"])
    store = settings.labels(folder.name)
    states = settings.experiment(folder.name) / "training_states"
    has_checkpoint = any(states.glob("*.state"))
    # Without a checkpoint to resume from, the labels of a killed training belong to no network.
    if not has_checkpoint:
        shutil.rmtree(store, ignore_errors=True)
    if opt["train"]["labels"] and not store.exists():
        label_stage, text_stage = sources["labels"], sources["texts"]
        labels = settings.labels(label_stage) if label_stage else None
        texts = settings.labels(text_stage) if text_stage else None
        begin_labels(store, labels, texts)
    train(settings, folder.name, folder, opt)


def train(settings: Settings, stage: str, folder: Path, opt: Mapping[str, Any]) -> None:
    """Run `wxr train` on `opt` with its experiments/ in `folder`.

    Raises:
        WxrError: the training fails, or leaves no network.
    """
    file = folder / "options.yml"
    text = yaml.safe_dump(dict(opt), sort_keys=False, allow_unicode=True)
    write_text(file, text)
    command = _command(file, folder, settings.options.launch.nproc_per_node)
    # In a process of its own, because BasicSR's pipeline reads sys.argv and sets global state.
    process = subprocess.run(command, preexec_fn=_end_with_parent())
    code = process.returncode
    if code:
        raise WxrError(
            f"{stage}: training ended with code {code}; its output is above, its log is below "
            f"{folder}"
        )
    network = settings.network(stage)
    if not network.is_file():
        raise WxrError(f"{stage}: training succeeded but left no {network}")


def _command(file: Path, folder: Path, count: int) -> list[str]:
    """Return the command that trains by the option file `file` in `count` processes."""
    words = ["wxr_plugin.train", "-opt", str(file), "--auto_resume", "--root", str(folder)]
    if count > 1:
        torchrun = ["torch.distributed.run", "--standalone", "--nproc_per_node", str(count), "-m"]
        words = [*torchrun, *words, "--launcher", "pytorch"]
    return [sys.executable, "-m", *words]


def learn_prompts(settings: Settings, folder: Path, labels: str | None) -> None:
    """Learn weather prompts, also from the pseudo-labels of `labels`; print their accuracy."""
    from wxr_plugin.prompt_learning.learning import learn_prompts as learn
    from wxr_plugin.utils.progress import track

    options = prompt_options(settings, labels)
    learnt = learn(options, track, settings.device)
    learnt.prompts.save(folder / "prompts.safetensors")
    restored = learnt.restored.used if learnt.restored else 0
    result = {
        "accuracy": learnt.accuracy,
        "held_out": learnt.held_out,
        "restored": restored,
    }
    text = json.dumps(result, indent=1)
    write_text(folder / "accuracy.json", text)
    for line in learnt.bad:
        print(f"skipped: {line}")
    shares = []
    for weather, share in learnt.accuracy.items():
        shares.append(f"{weather} {share:.1%}")
    print(f"held-out accuracy ({learnt.held_out} photos and crops): {', '.join(shares)}")


def prompt_options(settings: Settings, labels: str | None) -> PromptOptions:
    """Return the options of `wxr prompts learn` for this run."""
    own = settings.options.prompts
    photos = dict(settings.real) if isinstance(settings.real, Mapping) else {}
    toned = own.synthetic and own.match_tone
    if settings.clear and not toned:
        photos = {"clear": settings.clear, **photos}
    return PromptOptions(
        clip=settings.clip,
        photos=photos,
        synthetic=settings.clear if own.synthetic else None,
        match_tone=toned,
        crops=own.crops,
        crop_size=settings.crops.size,
        seed=own.seed,
        iterations=own.iterations,
        lr=own.lr,
        pseudo_labels=str(settings.labels(labels)) if labels else None,
    )


def _end_with_parent() -> Callable[[], None] | None:
    """Return a function that makes the training end with the run; None where that is impossible.

    Otherwise a training whose run was killed would still work in its folder at the next call.
    """
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    # The kernel sends the child a SIGTERM when its parent ends, even by SIGKILL.
    return lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
