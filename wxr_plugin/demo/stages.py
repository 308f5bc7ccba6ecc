"""Running named steps in order, skipping those whose inputs have not changed since they last ended."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

from wxr_plugin.files import write_text


class Stages:
    """Remembers in `folder`/stages.json which steps ended, and with which inputs.

    A step's identity is its own inputs together with those of all steps before it, so a change makes it and everything
    after it run again. A step that was killed is not recorded and runs again.
    """

    def __init__(self, folder: Path, say: Callable[[str], None] = print):
        self.file, self.say = folder / "stages.json", say
        self.done = json.loads(self.file.read_text()) if self.file.exists() else {}
        self.identity = ""

    def run(self, name: str, work: Callable[[], object], **inputs: object) -> None:
        """Call `work()` unless it ended before with the same `inputs` (JSON values) and the same steps before it."""
        description = json.dumps([self.identity, name, inputs], sort_keys=True, default=str)
        self.identity = hashlib.sha256(description.encode()).hexdigest()
        if self.done.get(name) == self.identity:
            self.say(f"[{name}] done before, skipped")
            return
        self.say(f"[{name}]")
        start = time.monotonic()
        work()
        self.done[name] = self.identity
        write_text(self.file, json.dumps(self.done, indent=1))
        self.say(f"[{name}] {time.monotonic() - start:.0f} s")
