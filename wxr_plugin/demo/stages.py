"""Running named steps in order, once each."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from wxr_plugin.utils.files import write_text


class Stages:
    """Remembers in `folder`/stages.json which steps ended; a step that failed or was killed runs again.

    The folder has to belong to one set of inputs: see `run.work_folder`.
    """

    def __init__(self, folder: Path, say: Callable[[str], None] = print):
        self.file, self.say = folder / "stages.json", say
        self.done = json.loads(self.file.read_text()) if self.file.exists() else []

    def run(self, name: str, work: Callable[[], object]) -> None:
        """Call `work()` unless the step ended before."""
        if name in self.done:
            self.say(f"[{name}] done before, skipped")
            return
        self.say(f"[{name}]")
        start = time.monotonic()
        work()
        self.done.append(name)
        write_text(self.file, json.dumps(self.done, indent=1))
        self.say(f"[{name}] {time.monotonic() - start:.0f} s")
