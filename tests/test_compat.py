"""Repairs of BasicSR: the original, kept as `__wrapped__`, has the fault; the repair has not."""

import importlib
import logging
import os
import pickle
import subprocess
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from basicsr.data import build_dataset, degradations, worker_init_fn
from basicsr.data.data_sampler import EnlargedSampler
from basicsr.data.prefetch_dataloader import CPUPrefetcher, CUDAPrefetcher
from basicsr.metrics import calculate_niqe
from basicsr.models.base_model import BaseModel
from basicsr.models.sr_model import SRModel
from basicsr.utils import FileClient, MessageLogger, dist_util, get_root_logger
from basicsr.utils import options as host_options
from basicsr.utils.lmdb_util import make_lmdb_from_imgs
from hub_toys import NAME, local_hub
from stock_project import free_port, options, train_set, val_set, write_pairs, write_project
from torch.utils.data import DataLoader

from wxr_plugin import compat
from wxr_plugin.compat import machinery, runs
from wxr_plugin.errors import OptionError
from wxr_plugin.options import command_line as arguments
from wxr_plugin.options.command_line import command_line
from wxr_plugin.utils.start_method import worker_method


def python(code, *arguments, **environment):
    """Output of a fresh interpreter that runs `code`."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def image(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


class TestMachinery:
    def test_every_repair_is_in_force_once(self):
        for place, _, function in machinery.REPAIRS:
            module, _, path = place.partition(":")
            found = importlib.import_module(module)
            for name in path.split("."):
                found = getattr(found, name)
            assert found.repaired_by is function, place
            assert not hasattr(found.__wrapped__, "repaired_by"), place
            assert "thread" in function.__doc__ or "#" in function.__doc__, place

    def test_repairing_again_changes_nothing(self):
        before = (
            degradations.add_jpg_compression,
            BaseModel.save_network,
            importlib.import_module("basicsr.train"),
        )
        names = dict(vars(before[2]))
        compat.repair()
        assert (degradations.add_jpg_compression, BaseModel.save_network) == before[:2]
        assert dict(vars(before[2])) == names

    def test_earlier_imports_are_replaced_too(self, monkeypatch):
        host, user = types.ModuleType("some_host"), types.ModuleType("some_project")
        host.double = user.twice = lambda number: number + number
        monkeypatch.setitem(sys.modules, "some_host", host)
        monkeypatch.setitem(sys.modules, "some_project", user)
        repair = machinery.Repair(
            "some_host:double",
            lambda original: True,
            lambda original, number: -original(number),
        )
        machinery.apply_all([repair])
        assert host.double is user.twice and user.twice(2) == -4

    def test_nothing_is_replaced_without_the_fault(self, monkeypatch):
        host = types.ModuleType("sound_host")
        host.double = sound = lambda number: 2 * number
        monkeypatch.setitem(sys.modules, "sound_host", host)
        fault = machinery.uses("current_device")
        repair = machinery.Repair("sound_host:double", fault, lambda original, number: 0)
        machinery.apply_all([repair])
        assert host.double is sound


class TestMovedNames:
    @pytest.mark.slow
    def test_importing_the_package_first_is_enough_without_functional_tensor_and_distutils(self):
        code = """
import sys
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "distutils":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Gone())
for name in [name for name in sys.modules if name.startswith("distutils")]:
    del sys.modules[name]
import wxr_plugin, torchvision
from basicsr.archs.arch_util import LooseVersion
from basicsr.data.degradations import rgb_to_grayscale
assert LooseVersion(torchvision.__version__) >= LooseVersion("0.9.0")
assert LooseVersion("0.10.0") > LooseVersion("0.9.0")
assert rgb_to_grayscale is torchvision.transforms.functional.rgb_to_grayscale
print(sys.modules["distutils"].__spec__)
"""
        assert python(code).strip() == "None"

    def test_a_deformable_convolution_compares_torchvisions_version(self):
        from basicsr.archs.arch_util import DCNv2Pack

        layer = DCNv2Pack(4, 4, 3, padding=1, deformable_groups=1)
        assert layer(torch.rand(1, 4, 8, 8), torch.rand(1, 4, 8, 8)).shape == (1, 4, 8, 8)

    def test_jpeg_quality_may_be_a_float(self):
        photo = image(16).astype(np.float32) / 255
        with pytest.raises(cv2.error):
            degradations.add_jpg_compression.__wrapped__(photo, 40.4)
        assert np.array_equal(
            degradations.add_jpg_compression(photo, 40.4),
            degradations.add_jpg_compression(photo, 40),
        )
        assert degradations.random_add_jpg_compression(photo, (30, 90)).shape == photo.shape

    def test_names_that_basicsr_moved_are_where_they_were(self):
        from basicsr.losses import basic_loss, gan_loss, losses
        from basicsr.losses.losses import GANLoss, L1Loss, r1_penalty
        from basicsr.utils import color_util, matlab_functions

        for name in ("rgb2ycbcr", "bgr2ycbcr", "ycbcr2rgb", "ycbcr2bgr"):
            assert getattr(matlab_functions, name) is getattr(color_util, name)
        assert (L1Loss, GANLoss, r1_penalty) == (
            basic_loss.L1Loss,
            gan_loss.GANLoss,
            gan_loss.r1_penalty,
        )
        assert losses.PerceptualLoss is basic_loss.PerceptualLoss


class TestOptions:
    def parse(self, *line, is_train=True):
        with command_line(line):
            return host_options.parse_options(os.getcwd(), is_train)

    @pytest.fixture
    def file(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        return str(write_project(tmp_path))

    def test_basicsr_does_its_usual_set_up(self, file, tmp_path):
        opt, args = self.parse("-opt", file)
        assert args.opt == file and not args.auto_resume
        assert opt["path"]["training_states"] == str(
            tmp_path / "experiments" / "stock" / "training_states"
        )
        assert opt["datasets"]["train"]["phase"] == "train" and opt["datasets"]["val"]["scale"] == 1
        assert (opt["dist"], opt["rank"], opt["world_size"], opt["is_train"]) == (False, 0, 1, True)
        opt, _ = self.parse("-opt", file, "--debug", is_train=False)
        assert opt["path"]["results_root"] == str(tmp_path / "results" / "debug_stock")

    @pytest.mark.parametrize("flag", ["--local-rank=1", "--local_rank=1"])
    def test_local_rank_in_both_spellings(self, file, flag):
        assert self.parse("-opt", file, flag)[1].local_rank == 1

    def test_overrides_are_in_force_before_the_host_reads(self, file):
        opt, _ = self.parse(
            "-opt", file, "--force_yml", "name=other", "train:optim_g:lr=1e-4", "manual_seed=3"
        )
        assert opt["name"] == "other" and opt["path"]["models"].endswith("other/models")
        assert opt["train"]["optim_g"]["lr"] == 1e-4
        state = torch.initial_seed()
        assert state == 3

    def test_an_override_never_runs_code(self, file, tmp_path):
        with pytest.raises(OptionError, match="the option file has no name"):
            self.parse("-opt", file, "--force_yml", "name'];open('ran','w')#=x")
        self.parse("-opt", file, "--force_yml", "name=[open('ran', 'w')]")
        assert not (tmp_path / "ran").exists()

    def test_an_option_file_never_runs_code(self, file, tmp_path):
        Path(file).write_text("name: !!python/object/apply:os.mkdir ['ran']\n")
        with pytest.raises(OptionError, match="never runs code"):
            self.parse("-opt", file)
        assert not (tmp_path / "ran").exists()

    def test_other_readers_of_the_host_get_the_safe_loader(self):
        import yaml

        loader, dumper = host_options.ordered_yaml()
        assert yaml.load("a: 1e-3", Loader=loader) == {"a": 1e-3}
        assert "x: 1" in yaml.dump({"x": 1}, Dumper=dumper)
        with pytest.raises(yaml.YAMLError, match="never runs code"):
            yaml.load("!!python/name:os.system", Loader=loader)

    def test_without_cuda_a_run_falls_to_the_cpu_with_a_warning(self, file, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.warns(UserWarning, match="num_gpu is 2, but CUDA is not available"):
            assert self.parse("-opt", file, "--force_yml", "num_gpu=2")[0]["num_gpu"] == 0

    def test_auto_means_as_many_gpus_as_there_are(self, file):
        assert (
            self.parse("-opt", file, "--force_yml", "num_gpu=auto")[0]["num_gpu"]
            == torch.cuda.device_count()
        )

    @pytest.fixture
    def four_gpus(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)

    def test_one_process_of_ours_takes_one_gpu(self, file, four_gpus):
        ours = "-opt", file, "--force_yml", "model_type=WxrModel"
        assert self.parse(*ours, "num_gpu=auto")[0]["num_gpu"] == 1
        command = rf"torchrun --nproc_per_node 2 -m wxr_plugin.train -opt {file}"
        fix = rf"num_gpu is 2.*{command}.*or set num_gpu: 1"
        with pytest.raises(OptionError, match=fix):
            self.parse(*ours, "num_gpu=2")

    def test_models_of_basicsr_keep_their_gpus(self, file, four_gpus):
        assert self.parse("-opt", file, "--force_yml", "num_gpu=auto")[0]["num_gpu"] == 4
        assert self.parse("-opt", file, "--force_yml", "num_gpu=2")[0]["num_gpu"] == 2

    def test_under_torchrun_auto_counts_all_gpus(self, file, four_gpus, monkeypatch):
        for name in arguments.RENDEZVOUS:
            monkeypatch.setenv(name, "1")
        monkeypatch.setattr(runs, "_start_group", lambda launcher, options: None)
        monkeypatch.setattr(dist_util, "init_dist", lambda launcher, **params: None)
        monkeypatch.setattr(host_options, "init_dist", lambda launcher, **params: None)
        opt, _ = self.parse("-opt", file, "--force_yml", "model_type=WxrModel", "num_gpu=auto")
        assert opt["dist"] and opt["num_gpu"] == 4

    def test_plugins_are_imported(self, file, tmp_path, monkeypatch):
        (tmp_path / "my_plugin_of_compat.py").write_text("LOADED = True\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        self.parse("-opt", file, "--force_yml", "+plugins=[my_plugin_of_compat]")
        assert sys.modules["my_plugin_of_compat"].LOADED


@pytest.fixture
def lone_group(monkeypatch):
    """Set torchrun's environment for a single process, and end the group after the test."""
    values = {
        "RANK": 0,
        "LOCAL_RANK": 0,
        "WORLD_SIZE": 1,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": free_port(),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))
    yield
    if dist.is_initialized():
        dist.destroy_process_group()


class TestProcesses:
    def test_gloo_without_cuda_and_the_timeout(self, lone_group, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        dist_util.init_dist("pytorch", timeout=77, port=29500)
        assert dist.get_backend() == "gloo"
        assert (
            dist.group.WORLD._get_backend(torch.device("cpu")).options._timeout.total_seconds()
            == 77
        )
        dist_util.init_dist("pytorch")  # a second start does nothing

    @pytest.mark.parametrize("chosen", [None, "spawn", "fork"])
    def test_the_start_method_is_kept(self, lone_group, chosen):
        before = mp.get_start_method(allow_none=True)
        try:
            mp.set_start_method(chosen, force=True)
            expected = chosen or worker_method() or mp.get_all_start_methods()[0]
            dist_util.init_dist("pytorch", backend="gloo")
            assert mp.get_start_method() == expected
        finally:
            mp.set_start_method(before, force=True)

    def test_torchruns_environment_is_enough(self, lone_group, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        file = write_project(
            tmp_path, manual_seed=None, dist_params={"backend": "nccl", "port": 1, "timeout": 60}
        )
        with command_line(["-opt", str(file)]):
            opt, args = host_options.parse_options(str(tmp_path))
        assert dist.is_initialized() and dist.get_backend() == "gloo"
        assert opt["dist"] and args.launcher == "pytorch" and isinstance(opt["manual_seed"], int)

    def test_references_to_the_hub_get_their_commit(self, lone_group, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with local_hub(monkeypatch, tmp_path / "cache") as hub:
            commit = hub.add(NAME, {"net.pth": b"net"})
            path = {"pretrain_network_g": f"hf://{NAME}", "strict_load_g": True}
            file = write_project(tmp_path, path=path)
            with command_line(["-opt", str(file)]):
                opt, _ = host_options.parse_options(str(tmp_path))
        assert opt["path"]["pretrain_network_g"] == f"hf://{NAME}@{commit}/net.pth"

    def test_slurms_environment(self, lone_group, monkeypatch):
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
            monkeypatch.delenv(name)
        for name, value in {"PROCID": 0, "NTASKS": 1, "LOCALID": 0, "NODELIST": "node"}.items():
            monkeypatch.setenv(f"SLURM_{name}", str(value))
        dist_util.init_dist("slurm", port=free_port())
        assert dist_util.get_dist_info() == (0, 1)
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
            monkeypatch.delenv(name)

    def test_a_model_is_distributed_on_the_cpu(self, lone_group):
        dist_util.init_dist("pytorch", backend="gloo")
        model = BaseModel({"num_gpu": 0, "is_train": True, "dist": True})
        net = model.model_to_device(torch.nn.Linear(2, 1))
        net(torch.ones(3, 2)).sum().backward()
        assert isinstance(net, torch.nn.parallel.DistributedDataParallel)
        assert net.module.weight.grad.tolist() == [[3, 3]]


class TestData:
    def test_a_worker_is_seeded_otherwise_at_every_epoch(self):
        class Draws(torch.utils.data.Dataset):
            def __len__(self):
                return 2

            def __getitem__(self, index):
                return np.random.randint(1 << 30)

        def epochs(init):
            from functools import partial

            loader = DataLoader(
                Draws(), num_workers=1, worker_init_fn=partial(init, num_workers=1, rank=0, seed=4)
            )
            return [[int(batch) for batch in loader] for _ in range(2)]

        first, second = epochs(worker_init_fn.__wrapped__)
        assert first == second
        first, second = epochs(worker_init_fn)
        assert not set(first) & set(second)

    def test_the_sampler_honours_a_seed_and_is_stocks_without(self):
        def order(seed, epoch, iterate=EnlargedSampler.__iter__):
            sampler = EnlargedSampler(range(20), 1, 0)
            sampler.seed = seed
            sampler.set_epoch(epoch)
            found = list(iterate(sampler))
            assert sampler.epoch == epoch and sorted(found) == list(range(20))
            return found

        stock = EnlargedSampler.__iter__.__wrapped__
        assert order(1, 3, stock) == order(2, 3, stock) == order(None, 3)
        assert order(1, 3) == order(1, 3)
        assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9

    def test_fetching_starts_no_workers_before_it_is_used(self):
        started = []

        class Loader:
            def __iter__(self):
                started.append(1)
                return iter([1, 2])

        prefetcher = CPUPrefetcher(Loader())
        assert not started
        prefetcher.reset()
        assert (prefetcher.next(), prefetcher.next(), prefetcher.next(), len(started)) == (
            1,
            2,
            None,
            1,
        )
        assert CPUPrefetcher(Loader()).next() == 1

    def test_prefetching_for_cuda_falls_back_without_it(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.warns(UserWarning, match="prefetch_mode cuda without a GPU"):
            prefetcher = CUDAPrefetcher([{"lq": 1}, {"lq": 2}], {"num_gpu": 1})
        prefetcher.reset()
        assert (prefetcher.next(), prefetcher.next(), prefetcher.next()) == (
            {"lq": 1},
            {"lq": 2},
            None,
        )


@pytest.fixture
def lmdb_pairs(tmp_path):
    """Stock LMDBs of pairs, as BasicSR builds them."""
    write_pairs(tmp_path / "train")
    for kind in ("gt", "lq"):
        names = sorted(file.stem for file in (tmp_path / "train" / kind).iterdir())
        folder = tmp_path / "train" / kind
        make_lmdb_from_imgs(str(folder), f"{folder}.lmdb", [f"{name}.png" for name in names], names)
    return tmp_path


def lmdb_set(root, **changes):
    block = train_set(root, io_backend={"type": "lmdb"}, phase="train", scale=1, **changes)
    return build_dataset(
        block | {key: f"{block[key]}.lmdb" for key in ("dataroot_gt", "dataroot_lq")}
    )


class TestLmdb:
    def test_two_sets_read_one_lmdb_in_one_process(self, lmdb_pairs):
        train, val = lmdb_set(lmdb_pairs), lmdb_set(lmdb_pairs, name="val")
        assert train[0]["lq"].shape == val[0]["lq"].shape == (3, 16, 16)

    def test_an_opened_set_can_be_forked_and_pickled(self, lmdb_pairs):
        data = lmdb_set(lmdb_pairs)
        assert data[0]["lq"].shape == (3, 16, 16)
        assert len(list(DataLoader(data, num_workers=2, multiprocessing_context="fork"))) == 6
        assert pickle.loads(pickle.dumps(data))[0]["gt"].shape == (3, 16, 16)

    def test_paths_and_keys_must_be_as_many(self, tmp_path):
        with pytest.raises(ValueError, match="differ in number"):
            FileClient("lmdb", db_paths=[str(tmp_path)], client_keys=["a", "b"])


@pytest.mark.slow
def test_a_spawned_worker_of_a_users_script_is_repaired(tmp_path):
    write_pairs(tmp_path / "train")
    script = tmp_path / "users_script.py"
    script.write_text(f"""
import wxr_plugin
import torch.multiprocessing as mp
from basicsr.data import build_dataloader, build_dataset
from basicsr.data.data_sampler import EnlargedSampler

if __name__ == "__main__":
    mp.set_start_method("spawn")
    block = {train_set(tmp_path, num_worker_per_gpu=1, phase="train", scale=1)!r}
    data = build_dataset(block)
    sampler = EnlargedSampler(data, 1, 0)
    loaders = [build_dataloader(data, block, num_gpu=0, sampler=sampler, seed=1)]
    block = {{**block, "num_worker_per_gpu": 0}}
    loaders += [build_dataloader(data, block, num_gpu=0, sampler=sampler, seed=1)]
    spawned, alone = ([batch["lq"] for batch in loader] for loader in loaders)
    assert len(spawned) == 3 and all(a.equal(b) for a, b in zip(spawned, alone))
    print("same samples")
""")
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=400, cwd=tmp_path
    )
    assert done.returncode == 0 and "same samples" in done.stdout, done.stderr


def base_model(root, **opt):
    folders = {name: str(root / name) for name in ("models", "training_states")}
    return BaseModel(
        {"num_gpu": 0, "is_train": True, "dist": False, "manual_seed": 11, "path": folders, **opt}
    )


class TestModels:
    @pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD", "RMSprop"])
    def test_any_optimizer_of_torch_by_name(self, name, tmp_path):
        weights = [torch.nn.Parameter(torch.zeros(1))]
        found = base_model(tmp_path).get_optimizer(name, weights, lr=0.3)
        assert type(found) is getattr(torch.optim, name) and found.param_groups[0]["lr"] == 0.3

    @pytest.mark.parametrize(
        ("name", "near"), [("Adamm", "Adam"), ("Optimizer", "torch.optim has no"), ("lr", "no")]
    )
    def test_an_unknown_optimizer_is_named_with_its_neighbours(self, name, near, tmp_path):
        with pytest.raises(NotImplementedError, match=near):
            base_model(tmp_path).get_optimizer(name, [torch.nn.Parameter(torch.zeros(1))], lr=0.3)

    def test_betas_may_be_whole_numbers(self, tmp_path):
        """GFPGAN writes 0**1, and YAML reads [0, 0.99] as int and float, which torch refuses."""
        weights = [torch.nn.Parameter(torch.zeros(1))]
        with pytest.raises((TypeError, ValueError), match="betas"):
            torch.optim.Adam(weights, 0.1, betas=(0, 0.99))
        made = base_model(tmp_path).get_optimizer("Adam", weights, 0.1, betas=[0, 0.99])
        assert made.param_groups[0]["betas"] == (0.0, 0.99)

    def test_a_model_of_a_dict_falls_to_the_cpu_without_cuda(self, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        opt = {**options(tmp_path), "num_gpu": 2, "is_train": False, "dist": False}
        with pytest.warns(UserWarning, match="num_gpu is 2, but CUDA is not available"):
            model = SRModel(opt)
        assert model.device.type == "cpu" and model.opt["num_gpu"] == 0 and opt["num_gpu"] == 2
        assert next(model.net_g.parameters()).device.type == "cpu"
        model = SRModel(opt | {"num_gpu": 0})
        assert model.device.type == "cpu"

    def test_networks_are_saved_as_stock_reads_them(self, tmp_path):
        net, average = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
        base_model(tmp_path).save_network(
            [torch.nn.DataParallel(net), average], "net_g", -1, ["params", "params_ema"]
        )
        saved = torch.load(tmp_path / "models" / "net_g_latest.pth", weights_only=True)
        assert torch.equal(saved["params"]["weight"], net.weight)
        assert torch.equal(saved["params_ema"]["bias"], average.bias)
        assert [file.name for file in (tmp_path / "models").iterdir()] == ["net_g_latest.pth"]

    def test_a_state_is_saved_with_its_seed(self, tmp_path):
        model = base_model(tmp_path)
        model.optimizers = [torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)]
        model.save_training_state(2, 30)
        model.save_training_state(3, -1)
        (file,) = (tmp_path / "training_states").iterdir()
        saved = torch.load(file, weights_only=True)
        assert (file.name, saved["epoch"], saved["iter"], saved["manual_seed"]) == (
            "30.state",
            2,
            30,
            11,
        )
        assert len(saved["optimizers"]) == 1 and saved["schedulers"] == []

    def test_a_failed_save_raises_and_keeps_the_old_file(self, tmp_path, monkeypatch):
        model, net = base_model(tmp_path), torch.nn.Linear(2, 1)
        model.save_network(net, "net_g", 5)
        before = (tmp_path / "models" / "net_g_5.pth").read_bytes()

        def full_disk(content, file, *args, **kwargs):
            file.write(b"half of it")
            raise OSError("No space left on device")

        monkeypatch.setattr(torch, "save", full_disk)
        with pytest.raises(OSError, match="No space left"):
            model.save_network(net, "net_g", 5)
        with pytest.raises(OSError, match="No space left"):
            model.save_training_state(0, 5)
        assert (tmp_path / "models" / "net_g_5.pth").read_bytes() == before
        assert len(list(tmp_path.rglob("*.*"))) == 1

    def test_only_rank_0_saves(self, tmp_path, monkeypatch):
        monkeypatch.setattr(dist_util, "get_dist_info", lambda: (1, 2))
        base_model(tmp_path).save_network(torch.nn.Linear(2, 1), "net_g", 5)
        base_model(tmp_path).save_training_state(0, 5)
        assert not list(tmp_path.rglob("*.*"))


class TestMetrics:
    """Stock's SRModel on a paired set, and on one without ground truth."""

    @pytest.fixture
    def model(self, tmp_path):
        write_pairs(tmp_path / "val", count=2, size=200)
        opt = options(tmp_path, is_train=False, dist=False, rank=0)
        opt["val"]["metrics"] = {
            name: {"type": f"calculate_{name}", "crop_border": 0} for name in ("psnr", "niqe")
        }
        opt["path"]["visualization"] = str(tmp_path / "images")
        return SRModel(opt)

    def validate(self, model, block):
        data = build_dataset(block | {"phase": "val", "scale": 1})
        model.validation(DataLoader(data), 1, None)
        return getattr(model, "metric_results", None)

    def single(self, root, **changes):
        lq = str(root / "val" / "lq")
        return {
            "name": "real",
            "type": "SingleImageDataset",
            "dataroot_lq": lq,
            "io_backend": {"type": "disk"},
        } | changes

    def test_a_set_without_ground_truth_gets_the_metrics_that_need_none(self, model, tmp_path):
        model.gt = torch.zeros(1, 3, 9, 9)  # left over from a training batch
        assert set(self.validate(model, self.single(tmp_path))) == {"niqe"}
        assert set(self.validate(model, val_set(tmp_path))) == {"psnr", "niqe"}
        assert set(model.opt["val"]["metrics"]) == {"psnr", "niqe"}

    def test_metrics_of_a_set_go_before_those_of_all(self, model, tmp_path):
        own = {"y": {"type": "calculate_psnr", "crop_border": 0, "test_y_channel": True}}
        assert set(self.validate(model, val_set(tmp_path, metrics=own))) == {"y"}
        assert set(self.validate(model, val_set(tmp_path, name="other"))) == {"psnr", "niqe"}
        assert set(model.best_metric_results) == {"held_out", "other"}
        assert self.validate(model, val_set(tmp_path, name="none", metrics={})) is None

    def test_niqe_says_that_an_image_is_too_small(self):
        with pytest.raises(
            ValueError,
            match=r"at least two textured blocks of 96x96 pixels; this image.* is 128x128",
        ):
            calculate_niqe(image(128), 0)
        assert calculate_niqe(image(200), 0) > 0


class Curves:
    """Stands for TensorBoard's writer: what was written, by tag."""

    def __init__(self):
        self.values = {}

    def add_scalar(self, tag, value, iteration):
        self.values[tag] = value, iteration


class TestLog:
    @pytest.fixture
    def lines(self, caplog):
        logger = get_root_logger()
        logger.addHandler(caplog.handler)
        level, _ = logger.level, logger.setLevel(logging.INFO)
        yield lambda: [record.message for record in caplog.records]
        logger.setLevel(level)
        logger.removeHandler(caplog.handler)

    def log(self, iteration, rates=(1e-3,), curves=None):
        opt = {
            "name": "a run",
            "logger": {"print_freq": 1, "use_tb_logger": True},
            "train": {"total_iter": 40},
        }
        logger = MessageLogger(opt, 0, curves or Curves())
        logger.start_time -= 1000
        logger(
            {
                "epoch": 0,
                "iter": iteration,
                "lrs": list(rates),
                "time": 1.0,
                "data_time": 0.1,
                "l_pix": 0.5,
            }
        )
        assert logger.max_iters == 40

    @pytest.mark.parametrize("iteration", [20, 39, 40, 41])
    def test_the_time_left_is_never_negative(self, lines, iteration):
        self.log(iteration)
        (line,) = lines()
        assert "-1 day" not in line
        assert ("eta: 0:00:00" in line) == (iteration >= 40)

    def test_the_learning_rate_reaches_tensorboard(self):
        curves = Curves()
        self.log(7, curves=curves)
        assert curves.values["learning_rate"] == (1e-3, 7) and curves.values["losses/l_pix"] == (
            0.5,
            7,
        )
        self.log(8, (1e-3, 1e-4), curves)
        assert curves.values["learning_rate/1"] == (1e-4, 8)

    @pytest.mark.parametrize("root", ["experiments_root", None])
    def test_a_network_is_one_line_and_a_file(self, lines, tmp_path, root):
        net = torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(50)))
        model = BaseModel(
            {"num_gpu": 0, "is_train": True, "path": {root: str(tmp_path)} if root else {}}
        )
        model.print_network(net)
        (line,) = lines()
        assert line.startswith("Network: Sequential, 300 parameters") and "\n" not in line
        file = tmp_path / "network_Sequential.txt"
        assert file.is_file() == bool(root)
        assert not root or (file.read_text() == f"{net}\n" and str(file) in line)
