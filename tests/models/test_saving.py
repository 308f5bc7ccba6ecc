"""Saving and resuming in one process: what is kept, what fits, what is refused."""

import logging

import numpy as np
import pytest
import torch
from basicsr.models import build_model
from safetensors.torch import save_file
from toy_training import assert_equal, batches, everything, train

from wxr_plugin.checkpoints.containers import load_state, load_weights


def test_only_the_newest_checkpoints_are_kept(build, tmp_path):
    model = build(keep=2)
    states, models = tmp_path / "training_states", tmp_path / "models"
    for iteration in (10, 20, 30):
        model.save(0, iteration)
    (states / "50.state").write_bytes(b"cut short")
    model.save_networks("best")
    model.save(0, 40)
    assert {p.name for p in states.iterdir()} == {"30.state", "40.state", "50.state"}
    assert {p.name for p in models.iterdir()} == {"net_g_30.pth", "net_g_40.pth", "net_g_best.pth"}
    assert load_state(states / "40.state")["iter"] == 40


def test_a_state_that_could_not_be_loaded_is_not_written(build, tmp_path):
    model = build(model="ToyModel")
    model.iteration = np.int64(4)
    with pytest.raises(TypeError, match=r"state\['extra'\]\['steps'\] is a numpy.int64"):
        model.save_training_state(0, 4)
    assert not list((tmp_path / "training_states").glob("*"))


def test_stock_basicsr_loads_what_is_saved_and_we_load_safetensors(build, options, tmp_path):
    model = build(ema_decay=0.9)
    train(model, batches(2))
    model.save(-1, -1)
    opt = options(model="SRModel", ema_decay=0.9)
    opt["path"]["pretrain_network_g"] = str(tmp_path / "models/net_g_latest.pth")
    host = build_model(opt)
    assert_equal(everything(host)[:2], everything(model)[:2])
    saved = load_state(opt["path"]["pretrain_network_g"])
    assert saved["network_g"] == {"type": "ToyNet", "norm": False, "dropout": 0.0}
    save_file(model.net_g.state_dict(), tmp_path / "net.safetensors")
    opt = options()
    opt["path"]["pretrain_network_g"] = str(tmp_path / "net.safetensors")
    assert_equal(everything(build_model(opt))[0], everything(model)[0])


def test_a_state_of_another_network_is_refused(build, tmp_path):
    build().save(0, 10)
    narrow = build(net={"width": 4})
    narrow.opt["path"]["resume_state"] = "10.state"
    with pytest.raises(
        Exception, match=r"10.state: a state of another network .*Give this run another `name`"
    ):
        narrow.resume_training(load_state(tmp_path / "training_states/10.state"))


def test_a_state_of_stock_basicsr_can_be_resumed(build, tmp_path):
    host, ours = build(model="SRModel"), build()
    train(host, batches(4))
    host.save(0, 10)
    ours.net_g.load_state_dict(load_weights(tmp_path / "models/net_g_10.pth"))
    ours.resume_training(load_state(tmp_path / "training_states/10.state"))
    assert_equal(everything(ours), everything(host))
    assert ours.iteration == 10 and ours.schedulers[0].last_epoch == host.schedulers[0].last_epoch


def test_an_ema_that_is_switched_on_later_starts_from_the_weights(build, tmp_path):
    plain = build()
    train(plain, batches(4))
    plain.save(0, 4)
    torch.manual_seed(99)
    model = build(ema_decay=0.9)
    model.resume_training(load_state(tmp_path / "training_states/4.state"))
    assert_equal(model.net_g_ema.state_dict(), plain.net_g.state_dict())


def test_a_longer_run_resumes_on_its_own_cosine(build, tmp_path):
    short, long = ({"scheduler": {"type": "cosine"}, "total_iter": total} for total in (10, 20))
    first = build(**short)
    train(first, batches(5))
    first.save(0, 5)
    model = build(**long)
    model.resume_training(load_state(tmp_path / "training_states/5.state"))
    assert train(model, batches(5), start=6) == train(build(**long), batches(10))[5:]


def test_another_number_of_processes_is_no_reason_to_stop(build, tmp_path, caplog):
    model = build()
    model.save(0, 10)
    state = load_state(tmp_path / "training_states/10.state")
    state["rng"] *= 2
    logging.getLogger("basicsr").propagate = True
    torch.manual_seed(1)
    before = torch.get_rng_state()
    model.resume_training(state)
    assert "2 processes and this run has 1" in caplog.text and torch.equal(
        torch.get_rng_state(), before
    )
