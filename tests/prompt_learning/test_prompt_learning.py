"""`learn_prompts` as a function; the command is tested in test_prompt_commands."""

import msgspec
import numpy as np
import pytest
import torch

from wxr_plugin.conditioning.clip import load_clip
from wxr_plugin.conditioning.prompts import PromptError
from wxr_plugin.data.images.io import write_image
from wxr_plugin.data.weather.synthesis import WEATHERS
from wxr_plugin.labels.store import LabelStore
from wxr_plugin.prompt_learning.learning import PromptOptions, learn_prompts


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("clear")
    rng = np.random.default_rng(0)
    for index in range(5):
        write_image(root / f"{index}.png", rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    return root


def options(folder, **more) -> PromptOptions:
    return PromptOptions.read(
        {"synthetic": str(folder), "crops": 1, "crop_size": 32, "iterations": 4, **more}
    )


def test_prompts_and_their_accuracy(folder, tmp_path):
    learnt = learn_prompts(options(folder))
    learnt.prompts.check(load_clip("tiny"))
    assert list(learnt.accuracy) == [*WEATHERS, "all"] and all(
        0 <= share <= 1 for share in learnt.accuracy.values()
    )
    assert learnt.held_out == 8 and learnt.restored is None and learnt.bad == []
    assert torch.equal(learnt.prompts.embeddings, learn_prompts(options(folder)).prompts.embeddings)


def test_progress_is_shown_for_each_stage(folder, tmp_path):
    with LabelStore(tmp_path / "labels.lmdb") as store:
        store.put_pseudo("haze/1", np.zeros((32, 32, 3), np.uint8), 4.0, "input", 0)
    stages = []
    learnt = learn_prompts(
        options(folder, pseudo_labels=str(tmp_path / "labels.lmdb")),
        lambda items, word: stages.append(word) or items,
    )
    assert stages == ["encoding", "encoding restored photos", "learning"]
    assert learnt.restored.used == 1 and learnt.restored.held_out == 0


def test_a_store_that_this_process_writes_can_be_learnt_from(folder, tmp_path):
    with LabelStore(tmp_path / "labels.lmdb") as store:
        store.put_pseudo("rain/1", np.zeros((32, 32, 3), np.uint8), 2.0, "input", 0)
        assert learn_prompts(options(folder, pseudo_labels=str(store.path))).restored.used == 1
        store.put_pseudo("rain/2", np.zeros((32, 32, 3), np.uint8), 2.0, "input", 0)


def test_a_class_whose_photos_cannot_be_read_is_named(folder, tmp_path):
    for weather in WEATHERS:
        for name in "ab":
            write_image(tmp_path / weather / f"{name}.png", np.zeros((40, 40, 3), np.uint8))
    for name in "ab":
        (tmp_path / "snow" / f"{name}.png").write_text("<html>not found</html>")
    photos = {weather: str(tmp_path / weather) for weather in WEATHERS}
    with pytest.raises(
        PromptError, match=r"the class 'snow' has no photos to learn from: give --snow"
    ):
        learn_prompts(options(folder, synthetic=None, photos=photos))


def test_options_are_checked(folder):
    for wrong in ({"lr": 0.0}, {"iterations": 0}, {"crops": -1}, {"photos": {"fog": "there"}}):
        with pytest.raises(msgspec.ValidationError):
            options(folder, **wrong)
