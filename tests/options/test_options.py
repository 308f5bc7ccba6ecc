"""Option files without problems, and faulty blocks."""

import copy
from pathlib import Path

import pytest
import toy_option_files
from toy_option_files import make_folders, problem_texts, problems

from wxr_plugin.errors import OptionError
from wxr_plugin.options import files as option_files

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    make_folders(folder)
    (folder / "net_g.pth").touch()
    (folder / "meta_info.txt").write_text("0000.png\n0001.png\n0002.png\n")
    return folder


@pytest.fixture
def opt(root):
    return toy_option_files.parse(toy_option_files.MSRRESNET, root)


def test_a_stock_file_passes(opt, root):
    assert problems(opt, root) == []


def test_a_stock_gan_file_passes(opt, root):
    assert problems(opt | toy_option_files.parse(toy_option_files.ESRGAN, root), root) == []


def test_a_stock_blind_restoration_file_passes(opt, root):
    opt |= toy_option_files.parse(toy_option_files.DEGRADATION, root)
    opt["datasets"]["train"] = toy_option_files.parse(toy_option_files.BLIND, root)
    assert problems(opt, root) == []


def test_a_stock_file_for_testing_passes(opt, root):
    test = {
        key: opt[key]
        for key in ("name", "model_type", "scale", "num_gpu", "manual_seed", "network_g")
    }
    real = {"name": "photos", "type": "SingleImageDataset", "dataroot_lq": str(root / "val_lq")}
    sets = {"test_1": opt["datasets"]["val"], "test_2": real | {"io_backend": {"type": "disk"}}}
    weights = {
        "pretrain_network_g": str(root / "net_g.pth"),
        "param_key_g": "params_ema",
        "strict_load_g": True,
    }
    metrics = {"niqe": {"type": "calculate_niqe", "crop_border": 4}}
    val = {"save_img": True, "suffix": None, "metrics": metrics}
    assert (
        problems(test | {"datasets": sets, "path": weights, "val": val}, root, is_train=False) == []
    )


@pytest.mark.parametrize(
    "name", ["/elsewhere/run", "../run", "..", ".", "", " ", "group/run", "a\\b", "a\nb", "x" * 201]
)
def test_names_that_become_folders_are_plain(name, opt, root):
    opt["name"] = opt["datasets"]["val"]["name"] = name
    reported = problem_texts(opt, root)
    assert set(reported) == {"name", "datasets.val.name"}
    assert all(
        "write a plain name: it becomes the name of a file or folder" in text
        for text in reported.values()
    )


@pytest.mark.parametrize("name", ["101_MSBDN v1.2 (train)", "épreuve", "..run", "debug_x2"])
def test_plain_names_may_have_spaces_and_dots(name, opt, root):
    opt["name"] = opt["datasets"]["val"]["name"] = name
    assert problems(opt, root) == []


def test_an_unknown_key_gets_its_line_and_the_nearest_name(opt, root):
    train = opt["datasets"]["train"]
    train["gt_siez"] = train.pop("gt_size")
    reported = {problem.key: problem for problem in problems(opt, root)}
    assert set(reported) == {"datasets.train.gt_siez", "datasets.train.gt_size"}
    unknown = reported["datasets.train.gt_siez"]
    assert (unknown.fault, unknown.fix) == ("unknown key", "did you mean gt_size?")
    assert (root / "options.yml").read_text().splitlines()[
        unknown.line - 1
    ].strip() == '"gt_siez": 32'
    assert str(unknown).startswith(
        f"{root / 'options.yml'}:{unknown.line}: datasets.train.gt_siez: unknown key; "
    )


@pytest.mark.parametrize(
    ("block", "key", "value", "words"),
    [
        ("datasets.train", "batch_size_per_gpu", "16", "the text '16' has the wrong type or range"),
        ("datasets.train", "batch_size_per_gpu", 0, "write a whole number at least 1"),
        ("datasets.train", "use_hflip", "yes please", "write true or false"),
        ("train.scheduler", "milestones", [100], "unknown key"),
        ("datasets.train", "prefetch_mode", "gpu", "write cpu or cuda"),
        ("datasets.train.io_backend", "type", "disc", "write disk or lmdb or memcached"),
        ("train", "ema_decay", 1.5, "a number at least 0 and below 1"),
        ("train", "total_iter", "1e6", "take the quotes off: 1e6"),
        ("train", "optim_g", "Adam", "where a block with a type belongs"),
        ("train.optim_g", "lr", "low", "the text 'low' has the wrong type"),
        ("network_g", "num_feat", "64", "write a number, such as 64"),
        ("path", "strict_load_g", "true", "write true or false"),
        ("val", "metrics", ["psnr"], "a block of keys"),
        ("", "scale", 2.5, "write a whole number"),
        ("", "num_gpu", "all", "a whole number at least 0 or auto"),
        ("", "logger", None, "missing"),
    ],
)
def test_a_wrong_value_is_named(opt, root, block, key, value, words):
    inside(opt, block)[key] = value
    reported = problem_texts(opt, root)
    assert words in reported.pop(f"{block}.{key}".lstrip("."))
    assert not reported


@pytest.mark.parametrize(
    ("block", "key"),
    [
        ("", "name"),
        ("", "path"),
        ("", "network_g"),
        ("", "train"),
        ("datasets.val", "dataroot_lq"),
        ("datasets.val", "io_backend"),
        ("datasets.train", "use_rot"),
        ("train", "optim_g"),
        ("train", "total_iter"),
        ("train.optim_g", "type"),
        ("logger", "print_freq"),
        ("val", "val_freq"),
        ("val.metrics.psnr", "crop_border"),
    ],
)
def test_a_missing_key_is_named(opt, root, block, key):
    del inside(opt, block)[key]
    path = f"{block}.{key}".lstrip(".")
    assert list(problem_texts(opt, root)) == [path]
    assert "missing" in problem_texts(opt, root)[path]


@pytest.mark.parametrize(
    ("block", "key", "kind", "near"),
    [
        ("", "model_type", "model", "SRModle"),
        ("datasets.val", "type", "dataset", "PairedImagesDataset"),
        ("network_g", "type", "network", "MSRResnet"),
        ("train.pixel_opt", "type", "loss", "L1loss"),
        ("val.metrics.psnr", "type", "metric", "calculate_pnsr"),
        ("train.optim_g", "type", "optimizer", "adam"),
        ("train.scheduler", "type", "scheduler", "CosineAnnealingRestart"),
    ],
)
def test_an_unregistered_type_gets_the_nearest_name(opt, root, block, key, kind, near):
    right = inside(opt, block)[key]
    inside(opt, block)[key] = near
    text = problem_texts(opt, root)[f"{block}.{key}".lstrip(".")]
    assert f"no {kind} '{near}' is registered" in text
    assert "did you mean" in text and right in text


def test_a_type_far_from_all_points_to_plugins(opt, root):
    opt["network_g"]["type"] = "Zzyzx"
    assert (
        "list the package that registers it under plugins"
        in problem_texts(opt, root)["network_g.type"]
    )


@pytest.mark.parametrize(
    ("block", "key", "fix"),
    [
        ("network_g", "num_blocks", "did you mean num_block?"),
        ("train.pixel_opt", "los_weight", "did you mean loss_weight?"),
        ("val.metrics.psnr", "crop_boarder", "did you mean crop_border?"),
        ("train.optim_g", "weight_deacy", "did you mean weight_decay?"),
        ("train.scheduler", "period", "did you mean periods?"),
    ],
)
def test_an_argument_that_a_constructor_does_not_take(opt, root, block, key, fix):
    inside(opt, block)[key] = 1
    assert problem_texts(opt, root) == {f"{block}.{key}": f"unknown key; {fix}"}


def test_required_arguments_of_a_network_are_missed(opt, root):
    opt["network_g"] = {"type": "RRDBNet", "num_in_ch": 3}
    assert problem_texts(opt, root) == {"network_g.num_out_ch": "missing; RRDBNet needs it"}


def test_entries_of_lists_and_dicts_have_places_of_their_own(opt, root):
    opt["datasets"]["train"] |= {
        "mean": [0.5, "0.5", "half"],
        "std": [1, 1, 1],
        "metrics": {"psnr": 3},
    }
    places = {f"datasets.train.{key}" for key in ("mean[1]", "mean[2]", "metrics.psnr")}
    assert problem_texts(opt, root).keys() == places


def test_all_problems_come_at_once(opt, root):
    opt["naem"] = "x"
    opt["network_g"]["type"] = "MSRResnet"
    opt["datasets"]["val"]["dataroot_gt"] = "nowhere"
    opt["train"]["total_iter"] = "many"
    opt["logger"]["print_frequency"] = 10
    del opt["datasets"]["train"]["gt_size"]
    expected = {
        "naem",
        "network_g.type",
        "datasets.val.dataroot_gt",
        "train.total_iter",
        "logger.print_frequency",
    }
    reported = problems(opt, root)
    assert {problem.key for problem in reported} == expected | {"datasets.train.gt_size"}
    assert [problem.line for problem in reported] == sorted(problem.line for problem in reported)


def test_garbage_in_any_place_is_reported_and_never_raises(opt, root):
    def places(value, keys=()):
        yield from [keys] if keys else []
        for key in value if isinstance(value, dict) else ():
            yield from places(value[key], (*keys, key))

    for *block, key in places(opt):
        for garbage in (None, 7, "{", [None], {None: {}}):
            broken = copy.deepcopy(opt)
            inside(broken, ".".join(block))[key] = garbage
            option_files.check(broken, "in memory")


def test_overrides_count_before_the_check(opt, root):
    opt["network_g"]["type"] = "MSRResnet"
    opt["datasets"]["val"]["dataroot_gt"] = "nowhere"
    problems(opt, root)
    changes = [
        "network_g:type=MSRResNet",
        f"datasets:val:dataroot_gt={root}/val_gt",
        "train:optim_g:lr=1e-3",
    ]
    assert (
        option_files.check_file(root / "options.yml", True, changes)["train"]["optim_g"]["lr"]
        == 1e-3
    )
    with pytest.raises(OptionError, match=r"(?s)nmae.*did you mean name.*without_value"):
        option_files.check_file(root / "options.yml", True, ["nmae=x", "without_value"])


def test_check_file_prints_every_problem_on_rank_0_and_raises(opt, root, capsys, monkeypatch):
    opt["network_g"]["typ"] = opt["network_g"].pop("type")
    problems(opt, root)
    with pytest.raises(OptionError, match="1 problem; nothing was started") as caught:
        option_files.check_file(root / "options.yml")
    assert capsys.readouterr().err.splitlines() == [
        str(problem) for problem in caught.value.problems
    ]
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(option_files, "PATIENCE", 0)
    with pytest.raises(OptionError):
        option_files.check_file(root / "options.yml")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        ("name: [", "line 1"),
        ("- a\n- b\n", "top level is not a block"),
        ("name: !!python/object/apply:os.system ['touch owned']", "never runs code"),
        (b"\xff\xfe\x00", "not an option file"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_line(tmp_path, monkeypatch, content, words):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "o.yml"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(OptionError, match=words) as caught:
        option_files.load(file)
    assert "\n" not in str(caught.value) and str(file) in str(caught.value)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "file", sorted((REPOSITORY / "options").rglob("*.yml")), ids=lambda file: file.name
)
def test_every_option_file_of_this_repository_passes_apart_from_data(file, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    opt = option_files.load(file)
    if "model_type" not in opt:
        pytest.skip("not an option file of BasicSR")
    reported = option_files.check(opt, file, option_files.is_for_training(opt))
    assert [str(problem) for problem in reported if "does not exist" not in problem.fault] == []


def inside(opt: dict, block: str) -> dict:
    for key in filter(None, block.split(".")):
        opt = opt[key]
    return opt


def test_datasets_that_are_no_block_are_a_problem(tmp_path):
    (tmp_path / "mine.yml").write_text("name: mine\nmodel_type: WxrModel\ndatasets: 2001-01-01\n")
    opt = option_files.load(tmp_path / "mine.yml")
    assert not option_files.is_for_training(opt)
    with pytest.raises(OptionError, match="problem"):
        option_files.check_file(str(tmp_path / "mine.yml"), is_train=False)


def test_a_key_that_is_a_list_is_named(tmp_path):
    (tmp_path / "mine.yml").write_text("? [a, b]\n: 1\n")
    with pytest.raises(OptionError, match=r"mine\.yml: not an option file: .*unhashable key"):
        option_files.load(tmp_path / "mine.yml")
