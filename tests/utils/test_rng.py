"""State of the random generators."""

import random

import numpy as np
import pytest
import torch

from wxr_plugin.checkpoints.containers import load_state, save_state
from wxr_plugin.utils.rng import preserved_rng, rng_state, set_rng_state


def draws():
    return random.random(), np.random.rand(), np.random.normal(), torch.rand(1).item()


def test_the_state_is_restored_from_a_file(tmp_path):
    np.random.normal()  # leaves the second normal number of a pair in the state
    save_state(tmp_path / "a.state", {"rng": [rng_state()]})
    expected = draws()
    draws()
    set_rng_state(load_state(tmp_path / "a.state")["rng"][0])
    assert draws() == expected


def test_preserved_rng_hides_what_a_block_draws():
    before = rng_state()
    expected = draws()
    set_rng_state(before)
    with pytest.raises(KeyError), preserved_rng():
        draws()
        raise KeyError
    assert draws() == expected
