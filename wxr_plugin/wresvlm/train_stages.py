"""The stages that train: BasicSR's pipeline in a process of its own, and the weather prompts."""

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
    """Train with L_sup alone, or go on with it."""
    train(settings, "supervised", folder, settings.supervised_options())


def train_round(
    settings: Settings, folder: Path, number: int, sources: Mapping[str, str | None]
) -> None:
    """Train one round, or go on with it.

    `sources` name the stages of its `start`, `labels`, `texts` and `prompts`, None where it has
    none. While there is no checkpoint to go on from, the label store is made anew: what a killed
    training wrote into it belongs to nothing.
    """
    opt = settings.round_options(number, sources["start"], sources["prompts"])
    store = settings.labels(folder.name)
    if not any((settings.experiment(folder.name) / "training_states").glob("*.state")):
        shutil.rmtree(store, ignore_errors=True)
    if opt["train"]["labels"] and not store.exists():
        labels, texts = (
            sources[kind] and settings.labels(sources[kind]) for kind in ("labels", "texts")
        )
        begin_labels(store, labels, texts)
    train(settings, folder.name, folder, opt)


def train(settings: Settings, stage: str, folder: Path, opt: Mapping[str, Any]) -> None:
    """Run `wxr train` on `opt` with its experiments/ in `folder`. Raises WxrError if it fails."""
    file = folder / "options.yml"
    write_text(file, yaml.safe_dump(dict(opt), sort_keys=False, allow_unicode=True))
    count = settings.options.launch.nproc_per_node
    launcher = (
        ["torch.distributed.run", "--standalone", "--nproc_per_node", str(count), "-m"]
        if count > 1
        else []
    )
    words = ["-opt", str(file), "--auto_resume", "--root", str(folder)] + [
        "--launcher",
        "pytorch",
    ] * (count > 1)
    command = [sys.executable, "-m", *launcher, "wxr_plugin.train", *words]
    if code := subprocess.run(command, preexec_fn=_end_with_parent()).returncode:
        raise WxrError(
            f"{stage}: training ended with code {code}; what it said is above, its log is below "
            f"{folder}"
        )
    if not settings.network(stage).is_file():
        raise WxrError(f"{stage}: training ended well and left no {settings.network(stage)}")


def learn_prompts(settings: Settings, folder: Path, labels: str | None) -> None:
    """Learn weather prompts, with the pseudo-labels of the stage `labels` where there is one; print their accuracy."""
    from wxr_plugin.prompt_learning.learning import learn_prompts as learn
    from wxr_plugin.utils.progress import track

    options = prompt_options(settings, labels)
    learnt = learn(options, track, settings.device)
    learnt.prompts.save(folder / "prompts.safetensors")
    found = {"accuracy": learnt.accuracy, "held_out": learnt.held_out}
    found["restored"] = learnt.restored.used if learnt.restored else 0
    write_text(folder / "accuracy.json", json.dumps(found, indent=1))
    for line in learnt.bad:
        print(f"passed over: {line}")
    shares = ", ".join(f"{weather} {share:.1%}" for weather, share in learnt.accuracy.items())
    print(f"held-out accuracy ({learnt.held_out} photos and crops): {shares}")


def prompt_options(settings: Settings, labels: str | None) -> PromptOptions:
    """What `wxr prompts learn` would be given."""
    own = settings.options.prompts
    sorted_photos = settings.real if isinstance(settings.real, Mapping) else {}
    photos = {"clear": settings.clear, **sorted_photos} if settings.clear else dict(sorted_photos)
    return PromptOptions(
        clip=settings.clip,
        photos=photos,
        synthetic=settings.clear if own.synthetic else None,
        crops=own.crops,
        crop_size=settings.crops.size,
        seed=own.seed,
        iterations=own.iterations,
        lr=own.lr,
        pseudo_labels=str(settings.labels(labels)) if labels else None,
    )


def _end_with_parent() -> Callable[[], None] | None:
    """On Linux, has the training end when the run is killed, so that the next call does not meet it still at work."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
