"""The collaborators of WxrModel alone, made from the arguments of their constructors."""

import math
from types import SimpleNamespace

import pytest
import torch
from basicsr.metrics import calculate_psnr
from torch import nn
from torch.utils.data import DataLoader, Dataset

from wxr_plugin.archs.context import Context
from wxr_plugin.checkpoints.containers import load_state, load_weights
from wxr_plugin.errors import OptionError
from wxr_plugin.models.base.checkpointer import Checkpointer, TrainingState
from wxr_plugin.models.base.conditioning import Conditioning, GuideOptions
from wxr_plugin.models.base.guard import FiniteCheck, NanGuard, NonFiniteError
from wxr_plugin.models.base.optimisation import UpdateStep, batch_images
from wxr_plugin.models.base.precision import Precision
from wxr_plugin.models.base.val_records import ValidationRecords
from wxr_plugin.models.base.validator import Validator, missed_loaders
from wxr_plugin.options.train import NanGuardOptions, SaveBestOptions, WxrTrainOptions

CPU = torch.device("cpu")
PSNR = {"psnr": {"type": "calculate_psnr", "crop_border": 0}}


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


@pytest.fixture
def state(net):
    """A training state of `net` with SGD at a rate of 1 and a NaN guard."""
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    return TrainingState(
        networks=lambda: {"net_g": net},
        average=None,
        optimizers=[optimizer],
        schedulers=[torch.optim.lr_scheduler.MultiStepLR(optimizer, [100])],
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        guard=NanGuard(NanGuardOptions(stop_after=3)),
        best={},
    )


def step_of(state, folder, **options):
    check = FiniteCheck(state.tensors, CPU, {"training_states": str(folder)})
    return UpdateStep(state, WxrTrainOptions(**options), CPU, check)


def train(step, net, iteration, factor=1.0):
    """Run one iteration as WxrModel does; return whether it updated the weights."""
    if step.begins(iteration):
        step.open()
    batch = torch.tensor([[0.1, 0.2, 0.3], [1.0, 0.0, -1.0]])
    step.add(iteration, lambda: {"l": factor * net(batch)[0].sum()}, [f"{iteration}.png"])
    return step.is_due(iteration) and step.apply(iteration)


def copied(net):
    return {name: value.clone() for name, value in net.state_dict().items()}


def differs(net, before):
    return [
        name for name, value in net.state_dict().items() if not torch.equal(value, before[name])
    ]


def test_an_update_step_updates_after_the_last_batch_of_its_window(state, net, tmp_path):
    step, before = step_of(state, tmp_path, accumulate=2), copied(net)
    assert not train(step, net, 1)
    assert differs(net, before) == ["1.running_mean", "1.running_var", "1.num_batches_tracked"]
    assert train(step, net, 2) and "0.weight" in differs(net, before)


def test_an_update_step_drops_a_window_with_a_nan_and_restores_the_buffers(state, net, tmp_path):
    step, before = step_of(state, tmp_path, accumulate=2), copied(net)
    train(step, net, 1, math.nan)
    assert not train(step, net, 2) and differs(net, before) == []
    assert state.guard.skipped == 1 and step.window.images == ["1.png", "2.png"]


def test_a_resumed_window_begins_wherever_it_is(state, net, tmp_path):
    step = step_of(state, tmp_path, accumulate=4)
    assert step.begins(3) and not train(step, net, 3)
    assert not step.begins(4) and step.begins(5)


def test_a_dropped_update_of_bad_weights_stops_the_run(state, net, tmp_path):
    step = step_of(state, tmp_path)
    with torch.no_grad():
        net[0].weight[0, 0] = math.inf
    with pytest.raises(NonFiniteError, match=r"iteration 7: .* infinity in weights, .*Start again"):
        train(step, net, 7)


def test_images_of_a_batch_are_those_of_every_stream():
    batch = {"lq_path": ["a"], "gt_path": ["b"], "real_path": ["c"], "lq": 1}
    assert batch_images(batch) == ["a", "c"]


@pytest.fixture
def checkpointer(state, tmp_path):
    folders = {name: str(tmp_path / name) for name in ("models", "training_states")}
    opt = {"path": folders, "manual_seed": 3, "network_g": {"type": "Toy"}}
    return Checkpointer(opt, state, keep=2)


def test_a_checkpointer_saves_restores_and_prunes(checkpointer, state, net, tmp_path):
    state.best["set"] = {"psnr": {"better": "higher", "val": 1.0, "iter": 1}}
    for iteration in (10, 20, 30):
        checkpointer.save_network({"params": net}, "net_g", iteration, {"note": "kept"})
        checkpointer.save_state(0, iteration, lambda: {"own": 1})
    saved, before = load_state(tmp_path / "training_states/30.state"), copied(net)
    assert [saved["epoch"], saved["iter"], saved["extra"]] == [0, 30, {"own": 1}]
    assert sorted(file.name for file in tmp_path.glob("*/*")) == [
        *("20.state", "30.state"),
        *("net_g_20.pth", "net_g_30.pth"),
    ]
    content = torch.load(tmp_path / "models/net_g_30.pth", weights_only=True)
    assert content["network_g"] == {"type": "Toy"} and content["note"] == "kept"
    assert load_weights(tmp_path / "models/net_g_30.pth").keys() == before.keys()

    best = state.best
    nn.init.zeros_(net[0].weight)
    best.clear()
    checkpointer.load_networks(saved)
    state.load_progress(saved)
    assert differs(net, before) == [] and state.best is best
    assert best["set"]["psnr"]["val"] == 1.0


def test_a_checkpointer_writes_the_last_network_as_latest(checkpointer, net, tmp_path):
    checkpointer.save_network({"params": net}, "net_g", -1, {})
    assert (tmp_path / "models/net_g_latest.pth").is_file()


def test_partial_files_of_killed_saves_are_removed(checkpointer, tmp_path):
    for name in ("models/.net_g_5.pth.x.tmp", "training_states/.5.state.x.tmp"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"half")
    checkpointer.remove_partial_files()
    assert not list(tmp_path.glob("*/.*"))


class Grey(Dataset):
    """Three grey images, of which `first` has no ground truth."""

    def __init__(self, without_gt=()):
        self.opt = {"name": "grey", "metrics": PSNR}
        self.without_gt = without_gt

    def __len__(self):
        return 3

    def __getitem__(self, index):
        item = {"lq": torch.full((3, 8, 8), 0.2 * (index + 1)), "lq_path": f"{index}.png"}
        return item if index in self.without_gt else {**item, "gt": torch.full((3, 8, 8), 0.5)}


def brighter(batch):
    """Restore a batch by adding 0.1."""
    return {**batch, "result": batch["lq"] + 0.1}


@pytest.fixture
def validator(tmp_path):
    """Make a Validator around `restore`; its records save the best network to `saved`."""

    def make(restore=brighter, choice=None, saved=None):
        paths = {"experiments_root": str(tmp_path), "visualization": str(tmp_path / "images")}
        opt = {"val": {}, "path": paths, "name": "run", "is_train": True}
        saved = [] if saved is None else saved
        records = ValidationRecords(paths, True, choice, lambda: saved.append("best"))
        written = lambda result, file: saved.append(file)  # noqa: E731
        return Validator(opt, records, restore, written, lambda indices, _: indices, [])

    return make


def test_a_validator_measures_restored_images_and_their_input(validator, tmp_path):
    saved = []
    made = validator(choice=SaveBestOptions(dataset="grey", metric="psnr"), saved=saved)
    made.run(DataLoader(Grey()), 5, None, save_img=True)
    images = [str(tmp_path / f"images/grey/{index}_5.png") for index in range(3)]
    assert [str(file) for file in saved] == [*images, "best"]
    image, gt = (torch.full((8, 8, 3), round(255 * value)).numpy() for value in (0.3, 0.5))
    rows = (tmp_path / "validation/grey.csv").read_text().splitlines()
    assert rows[0] == "iter,image,psnr,psnr_input"
    assert float(rows[1].split(",")[2]) == pytest.approx(calculate_psnr(image, gt, 0), abs=0.1)
    assert made.records.results["psnr"] > made.records.inputs.results["grey"]["psnr"]
    assert made.records.best["grey"]["psnr"]["iter"] == 5


def test_a_set_with_missing_ground_truth_is_validated_without_metrics(validator, tmp_path):
    made = validator()
    made.run(DataLoader(Grey(without_gt=(1,))), 5, None, save_img=False)
    assert made.records.results == {} and not (tmp_path / "validation").exists()


def test_the_best_network_needs_its_metric(validator):
    made = validator(choice=SaveBestOptions(dataset="grey", metric="psnr_rain"))
    with pytest.raises(OptionError, match="grey has no metric 'psnr_rain', but psnr"):
        made.run(DataLoader(Grey()), 5, None, save_img=False)


def test_an_exception_while_restoring_is_raised(validator):
    def fail(batch):
        raise ZeroDivisionError("no light")

    with pytest.raises(ZeroDivisionError, match="no light"):
        validator(fail).run(DataLoader(Grey()), 5, None, save_img=False)


def test_no_validation_is_missed_between_those_that_are_due():
    opt = {"val": {"val_freq": 4}, "datasets": {"val": {"type": "no such set"}}, "num_gpu": 0}
    assert (
        list(missed_loaders(opt, 6)) == [] and list(missed_loaders({**opt, "val": None}, 8)) == []
    )
    with pytest.raises(KeyError, match="no such set"):
        next(missed_loaders(opt, 8))


@pytest.fixture
def guide():
    """A guide whose embedding is the mean of an image; `seen` has the batches it was given."""
    seen = []

    def embed(images, bf16):
        seen.append(images)
        return Context(degradation=images.mean(dim=(1, 2, 3)).view(-1, 1))

    return SimpleNamespace(embed=embed, seen=seen, gives=("degradation",), dim=1)


def test_a_conditioning_embeds_a_tensor_once_until_it_forgets(guide):
    conditioning = Conditioning(guide, GuideOptions(model="toy"), CPU)
    images = torch.rand(2, 3, 4, 4)
    first = conditioning.context(images)
    assert conditioning.context(images) is first and len(guide.seen) == 1
    conditioning.context(images.clone())
    conditioning.forget()
    conditioning.context(images)
    assert len(guide.seen) == 3


def test_a_conditioning_embeds_the_whole_photos_of_its_batch_and_keeps_them(guide):
    options = GuideOptions(model="toy", view="photo", cache_mb=1)
    conditioning = Conditioning(guide, options, CPU)
    crops, photos = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 8, 8)
    batch = {"lq_guide": photos, "lq_guide_key": ["a", "b"]}
    context = conditioning.context(crops, batch)
    assert torch.equal(context.degradation, photos.mean(dim=(1, 2, 3)).view(-1, 1))
    conditioning.forget()
    conditioning.context(crops, {"lq_guide": photos.flip(0), "lq_guide_key": ["b", "a"]})
    assert len(guide.seen) == 1, "both photos come again unchanged"
    conditioning.forget()
    conditioning.context(crops, {"lq_guide": photos, "lq_guide_key": ["a", ""]})
    assert len(guide.seen) == 2, "a photo without a name cannot be recognised"


def test_a_network_without_context_has_no_conditioning():
    opt = {"network_g": {"type": "Toy"}}
    assert Conditioning.load(nn.Conv2d(3, 3, 1), opt, CPU) is None
    with pytest.raises(OptionError, match="takes no context"):
        Conditioning.load(nn.Conv2d(3, 3, 1), {**opt, "guide": {"model": "tiny"}}, CPU)


def test_the_defaults_of_precision_change_nothing():
    precision, net = Precision(WxrTrainOptions()), nn.Conv2d(3, 3, 3)
    image = torch.rand(1, 3, 8, 8)
    precision.prepare(net)
    assert precision.move(image, CPU) is image and precision.move("a", CPU) == "a"
    assert not precision.make_scaler(CPU, distributed=False).is_enabled()
    with precision.autocast(CPU), precision.uncompiled():
        assert net(image).dtype == torch.float32


def test_precision_follows_its_options():
    precision = Precision(WxrTrainOptions(amp="bf16", channels_last=True))
    net, image = nn.Conv2d(3, 3, 3), torch.rand(1, 3, 8, 8)
    precision.prepare(net)
    assert net.weight.is_contiguous(memory_format=torch.channels_last)
    assert precision.move(image, CPU).is_contiguous(memory_format=torch.channels_last)
    with precision.autocast(CPU):
        assert net(image).dtype == torch.bfloat16
