"""One training of the ladder as an option file and a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

import yaml

from wxr_plugin.errors import WxrError
from wxr_plugin.utils.files import write_text

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Training:
    """A run of BasicSR below `folder`; `block` is added to the `train` block of training.yml."""

    folder: Path
    name: str
    model: str
    dataset: dict[str, Any]
    start: Path | None
    iterations: int
    rate: float
    seed: int
    block: dict[str, Any] = field(default_factory=dict)
    last_rate: float = 1e-5

    @property
    def network(self) -> Path:
        """Weights at the end of the training."""
        return self.folder / "experiments" / self.name / "models" / "net_g_latest.pth"

    def run(self, before: Callable[[], object] = lambda: None) -> None:
        """Train unless that is done; call `before()` first unless there is a state to resume."""
        if self.network.is_file():
            return
        if not list((self.folder / "experiments" / self.name / "training_states").glob("*.state")):
            before()
        file = self.folder / "options" / f"{self.name}.yml"
        write_text(file, yaml.safe_dump(self.options(), sort_keys=False))
        command = [sys.executable, "-m", "wxr_plugin.train", "-opt", str(file), "--auto_resume"]
        log = self.folder / "logs" / f"{self.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as out:
            if subprocess.run(
                command, cwd=self.folder, env=_environment(), stdout=out, stderr=out
            ).returncode:
                raise WxrError(f"{self.name} failed; see {log}")
        print(f"trained {self.folder.name}/{self.name}", flush=True)

    def options(self) -> dict[str, Any]:
        """Return the option file."""
        text = Template((HERE / "training.yml").read_text(encoding="utf-8")).substitute(
            name=self.name, model=self.model, seed=self.seed, dataset=json.dumps(self.dataset),
            start=json.dumps(self.start and str(self.start)), iterations=self.iterations,
            rate=self.rate, last_rate=self.last_rate,
        )  # fmt: skip
        options = yaml.safe_load(text)
        options["train"] |= self.block
        return options


def wxr(*words: object) -> None:
    """Call the `wxr` command in a process of its own, with the families known."""
    command = [sys.executable, "-m", "wxr_plugin.cli.main", *map(str, words)]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True)
    if done.returncode:
        raise WxrError(
            f"wxr {' '.join(command[3:])} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )


def _environment() -> dict[str, str]:
    paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "passive",
    }
