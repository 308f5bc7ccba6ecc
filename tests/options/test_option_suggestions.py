"""Fixes for sets that do not pair, and duplicate keys."""

import pytest
import toy_option_files
from test_option_sets import make_lmdb
from toy_option_files import make_folders, problem_texts, problems

from wxr_plugin.cli import main as cli
from wxr_plugin.options import files as option_files
from wxr_plugin.options.checks.report import Report, add_duplicates
from wxr_plugin.options.checks.suggestions import name_template


@pytest.fixture
def root(tmp_path):
    make_folders(tmp_path)
    return tmp_path


@pytest.fixture
def opt(root):
    return toy_option_files.parse(toy_option_files.MSRRESNET, root)


def rename(folder, template):
    for file in list(folder.iterdir()):
        file.rename(file.with_stem(template.format(file.stem)))


def ours(opt):
    """`opt` with pairs of PairedWeatherDataset."""
    opt["scale"] = opt["network_g"]["upscale"] = 1
    opt["datasets"].pop("val")
    opt.pop("val")
    opt["datasets"]["train"] |= {"type": "PairedWeatherDataset", "max_bad": 10}
    return opt


@pytest.mark.parametrize("template", ["{}_hazy", "rain-{}"])
@pytest.mark.parametrize("make", [lambda opt: opt, ours])
def test_a_template_is_suggested_where_all_names_differ_alike(opt, root, template, make):
    rename(root / "train_lq", template)
    opt = make(opt)
    reported = problem_texts(opt, root)
    assert reported["datasets.train.dataroot_lq"].endswith(f"; set filename_tmpl: '{template}'")
    opt["datasets"]["train"]["filename_tmpl"] = template
    assert problems(opt, root) == []


def test_an_end_of_the_ground_truths_names_is_found_too(opt, root):
    rename(root / "train_gt", "{}_clean")
    opt = ours(opt)
    assert problem_texts(opt, root)["datasets.train.dataroot_lq"].endswith(
        "set gt_tmpl: '{}_clean'"
    )
    opt["datasets"]["train"]["gt_tmpl"] = "{}_clean"
    assert problems(opt, root) == []


@pytest.mark.parametrize("make", [lambda opt: opt, ours])
@pytest.mark.parametrize("template", ["{}", "{}_hazy"])
def test_a_folder_one_level_too_high_is_seen(opt, root, template, make):
    (root / "pairs").mkdir()
    for kind, name in (("gt", "clear"), ("lq", "hazy")):
        (root / f"train_{kind}").rename(root / "pairs" / name)
    rename(root / "pairs" / "hazy", template)
    opt["datasets"]["train"] |= {
        "dataroot_gt": str(root / "pairs/clear"),
        "dataroot_lq": str(root / "pairs"),
    }
    also = "" if template == "{}" else f", with filename_tmpl: '{template}'"
    expected = f"did you mean {root}/pairs/hazy{also}?"
    assert problem_texts(make(opt), root)["datasets.train.dataroot_lq"].endswith(expected)


def test_without_a_pattern_nothing_is_suggested(opt, root):
    (root / "train_lq" / "0001.png").unlink()
    assert problem_texts(opt, root)["datasets.train.dataroot_lq"].endswith(
        "; give each image its partner"
    )
    for kind in ("gt", "lq"):
        make_lmdb(root / f"train_{kind}")
        opt["datasets"]["train"][f"dataroot_{kind}"] = str(root / f"train_{kind}.lmdb")
    opt["datasets"]["train"]["io_backend"]["type"] = "lmdb"
    assert problem_texts(opt, root)["datasets.train.dataroot_lq"].endswith(
        "; give each image its partner"
    )


def test_templates_of_names():
    assert name_template(["1", "12"], ["1_h", "12_h", "extra"]) == "{}_h"
    assert name_template(["1", "2"], ["1_h", "2_r"]) == "" and name_template([], ["a"]) == ""
    assert name_template(["a"], ["x{}a"]) == "x{{}}{}"


def test_a_validation_set_that_is_not_there_may_be_removed(opt, root):
    opt["datasets"]["val_real"] = {
        **opt["datasets"]["val"],
        "name": "real",
        "dataroot_lq": str(root / "nowhere"),
    }
    reported = problem_texts(opt, root)["datasets.val_real.dataroot_lq"]
    assert reported.endswith(
        "nowhere does not exist; correct the path, or remove datasets.val_real"
    )
    opt["datasets"]["train"]["dataroot_lq"] = str(root / "nowhere")
    assert problem_texts(opt, root)["datasets.train.dataroot_lq"].endswith(
        "nowhere does not exist; correct the path"
    )


def test_a_key_that_stands_twice_is_a_problem_with_its_line(root, capsys, recwarn):
    text = toy_option_files.MSRRESNET.replace("ROOT", str(root))
    text = text.replace("    gt_size: 32\n", "    gt_size: 32\n    gt_size: 16\n")
    file = root / "twice.yml"
    file.write_text(text)
    line = text.splitlines().index("    gt_size: 16") + 1
    assert cli.main(["check", str(file)]) == 2
    err = capsys.readouterr().err
    assert (
        f"{file}:{line}: datasets.train.gt_size: given twice, first in line {line - 1}; only the "
        f"last one" in err
    )
    with pytest.raises(option_files.OptionError, match="1 problem; nothing was started"):
        option_files.check_file(file)
    assert not [warning for warning in recwarn if "given twice" in str(warning.message)]


def test_anchors_may_repeat_and_aliases_are_followed_once():
    report = Report("anchors.yml")
    add_duplicates(
        report, "define: &a {x: 1}\ndefine: &b {y: 2}\nextra: &loop {again: *loop, c: 1, c: 2}\n"
    )
    assert [problem.key for problem in report.problems] == ["extra.c"]
