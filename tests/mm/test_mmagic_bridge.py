"""The bridge to mmagic with stand-ins of mmagic and mmcv; `make test-mmagic` has real ones."""

import inspect
import sys

import numpy as np
import pytest
from mmengine.registry import MODELS

from wxr_plugin.mm.mmagic_repair import MMagicError, connect, keep_noise_in_float32

PARTS = ("models", "datasets", "evaluation", "engine", "visualization", "registry")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Make packages that can be imported, here and in the process that tries them first."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(files):
        for name, text in files.items():
            file = tmp_path / name
            file = file if file.suffix else file / "__init__.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    yield make
    for name in [name for name in sys.modules if name.split(".")[0] in ("mmagic", "mmcv")]:
        del sys.modules[name]
    vars(np).pop("bool8", None)


def packages(first="", more=None):
    """Packages and files of a small mmagic, whose `first` line runs when it is imported."""
    empty = {f"mmagic/{part}": "" for part in PARTS}
    return (
        empty
        | {
            "mmagic": first,
            "mmagic/models": "from .editors import *\n",
            "mmagic/models/editors": "",
        }
        | (more or {})
    )


def test_a_healthy_mmagic_is_left_alone(installed):
    installed(packages())
    assert connect() == (False, {})
    assert not hasattr(np, "bool8") and not any(name.startswith("mmagic") for name in sys.modules)


REGISTRY = """
from mmengine.registry import MODELS as ROOT, Registry
MODELS = Registry("model", parent=ROOT, scope="sick")
"""
NET = "from mmagic.registry import MODELS\n@MODELS.register_module({1})\nclass {0}:\n    pass\n"
EDITORS = "mmagic/models/editors"


def test_a_sick_one_gets_what_it_lacks_and_no_more(installed):
    sick = {
        EDITORS: "from .good import Good\nfrom .ops import Ops\nfrom .old import Old\n",
        "mmcv": "__version__ = '2.1.0'\n",
        "mmagic/registry": REGISTRY,
        f"{EDITORS}/good": "__all__ = ['Good']\nfrom .net import Good\n",
        f"{EDITORS}/good/net.py": NET.format("Good", ""),
        f"{EDITORS}/ops": "from .net import Ops\n",
        f"{EDITORS}/ops/net.py": "import mmcv._ext\n" + NET.format("Ops", ""),
        f"{EDITORS}/old": "from .net import Old\n",
        f"{EDITORS}/old/net.py": "import diffusers.gone\n" + NET.format("Old", "'Older'"),
        "mmagic/datasets": "from .transforms import random_degradations\n",
        "mmagic/datasets/transforms": "",
        "mmagic/datasets/transforms/random_degradations.py": "import numpy as np\n"
        + inspect.getsource(RandomNoise),
    }
    installed(packages("import numpy\nflag = numpy.bool8\n", sick))
    try:
        repaired, skipped = connect()
        assert repaired and skipped.keys() == {"ops", "old"} and "mmcv._ext" in skipped["ops"]
        assert sys.modules["mmagic"].flag is np.bool_
        from mmagic.models import Good  # as mmagic itself would have it
        from mmagic.registry import MODELS as THEIRS

        assert THEIRS.get("Good") is Good
        noise = sys.modules["mmagic.datasets.transforms.random_degradations"].RandomNoise()
        assert noise._apply_random_noise(np.zeros((2, 2, 3), np.float32)).dtype == np.float32
        with pytest.raises(
            MMagicError,
            match=r"Ops is of mmagic's editor ops, .*: it needs mmcv's compiled operators",
        ):
            THEIRS.get("Ops")(width=3)
        with pytest.raises(
            MMagicError, match=r"Older is of mmagic's editor old, .* an older diffusers"
        ):
            THEIRS.get("Older")()
        assert connect() == (False, {})  # a second time there is nothing to do
    finally:
        MODELS.children.pop("sick", None)


ABSENT = "import gone\n"
REFUSES = "raise AssertionError\n"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, r"mmagic is not installed: pip install .wxr_plugin\[mmagic\]"),
        (
            packages(ABSENT),
            "mmagic needs mmcv, which cannot be imported .*: pip install mmcv-lite==2.1.0",
        ),
        (
            packages(REFUSES, {"mmcv": "__version__ = '2.2.0'"}),
            "mmcv 2.2.0 is installed, and mmagic takes",
        ),
        (
            packages(REFUSES, {"mmcv": "__version__ = '1.7.2'"}),
            "mmcv 1.7.2 is installed, and mmagic takes",
        ),
        (
            packages(ABSENT, {"mmcv": "__version__ = '2.1.0'"}),
            "cannot be imported, repaired or not .*'gone'.*: pip",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_said(installed, files, words):
    installed(files)
    with pytest.raises(MMagicError, match=words):
        connect()


class RandomNoise:
    """As mmagic's: the level of the noise is one of numpy's float64 scalars."""

    def _apply_random_noise(self, images):
        single = not isinstance(images, list)
        noisy = [
            image + np.ones(image.shape, np.float32) * np.float64(2)
            for image in ([images] if single else images)
        ]
        return noisy[0] if single else noisy


def test_noise_stays_in_float32(monkeypatch):
    """numpy 2 gives float64 for float32 * np.float64, which numpy 1 did not."""
    name = "mmagic.datasets.transforms.random_degradations"
    noise = type(
        "RandomNoise", (RandomNoise,), {"_apply_random_noise": RandomNoise._apply_random_noise}
    )
    monkeypatch.setitem(sys.modules, name, type(sys)(name))
    sys.modules[name].RandomNoise = noise
    photo = np.zeros((2, 2, 3), np.float32)
    assert noise()._apply_random_noise(photo).dtype == np.float64, "the fault itself"
    for _ in range(2):  # a second repair changes nothing
        keep_noise_in_float32()
        repaired = noise._apply_random_noise
    keep_noise_in_float32()
    assert noise._apply_random_noise is repaired
    assert noise()._apply_random_noise(photo).dtype == np.float32
    kinds = [
        image.dtype
        for image in noise()._apply_random_noise(
            [photo, photo.astype(np.uint8), photo.astype(float)]
        )
    ]
    assert kinds == [np.float32, np.float32, np.float64]
    assert (noise()._apply_random_noise(photo) == 2).all()
