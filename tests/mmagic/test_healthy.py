"""The bridge where mmagic imports by itself: a stand-in of a later release, first on the path."""

import os
import subprocess
import sys

CODE = """
import sys, numpy
from wxr_plugin.mm.mmagic_bridge import bridge
assert bridge == (False, {}), bridge
assert not hasattr(numpy, "bool8")
assert not [name for name in sys.modules if name.startswith("mmagic")]
import mmagic.models
assert mmagic.models.later
"""


def test_it_is_left_alone(tmp_path):
    for part in ("", "models", "datasets", "evaluation", "engine", "visualization"):
        (tmp_path / "mmagic" / part).mkdir(exist_ok=True, parents=True)
        (tmp_path / "mmagic" / part / "__init__.py").write_text("later = True\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    subprocess.run(
        [sys.executable, "-c", CODE],
        check=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path},
    )
