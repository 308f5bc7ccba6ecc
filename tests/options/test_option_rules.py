"""Checks of options that contradict one another, and the JSON schema for editors."""

import ast
import json
from pathlib import Path

import msgspec
import pytest
import toy_option_files
from toy_option_files import make_folders, problem_texts, problems

from wxr_plugin import schema
from wxr_plugin.cli import schema_text
from wxr_plugin.cli.schema import SHIPPED
from wxr_plugin.options.checks import json_types, stock
from wxr_plugin.options.checks.components import optimizers
from wxr_plugin.options.checks.fields import check_block, check_component
from wxr_plugin.options.checks.report import Report
from wxr_plugin.schema import Block


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    make_folders(folder)
    return folder


@pytest.fixture
def opt(root):
    return toy_option_files.parse(toy_option_files.MSRRESNET, root)


def case(key, words, **changes):
    return pytest.param(changes, key, words, id=words.replace(" ", "-"))


CONTRADICTIONS = [
    case(
        "datasets.train.pin_memory",
        "set pin_memory: true",
        **{"datasets:train:prefetch_mode": "cuda"},
    ),
    case(
        "datasets.train.persistent_workers",
        "there are no workers to keep",
        **{"datasets:train:persistent_workers": True, "datasets:train:num_worker_per_gpu": 0},
    ),
    case("datasets.train", "mean and std go together", **{"datasets:train:mean": [0.5, 0.5, 0.5]}),
    case(
        "datasets.train.batch_size_per_gpu",
        "at least 1",
        **{"datasets:train:batch_size_per_gpu": 0},
    ),
    case("datasets.train.gt_size", "not a multiple of scale 4", **{"datasets:train:gt_size": 30}),
    case(
        "datasets.test_1",
        "no phase 'test' in a file for training",
        **{"datasets:test_1": "MOVE datasets:val"},
    ),
    case("val", "missing, while there are sets to validate on", **{"val": "DELETE"}),
    case("scale", "datasets.train reads it", **{"scale": "DELETE"}),
    case(
        "train.scheduler.periods",
        "3 periods, but 4 restart_weights",
        **{"train:scheduler:periods": [4e5] * 3},
    ),
    case(
        "train.scheduler.periods",
        "the periods end at iteration 400",
        **{"train:scheduler:periods": [100] * 4},
    ),
    case("train.pixel_opt", "no loss", **{"train:pixel_opt": "DELETE"}),
    case(
        "logger.use_tb_logger",
        "wandb reads the files of TensorBoard",
        **{"logger:wandb:project": "x", "logger:use_tb_logger": False},
    ),
    case("train.amp", "does not train on a CPU", **{"model_type": "WxrModel", "train:amp": "fp16"}),
    case(
        "logger.save_checkpoint_freq",
        "use a multiple of 3",
        **{"model_type": "WxrModel", "train:accumulate": 3},
    ),
    case(
        "train.save_best",
        "measured are Set5: psnr, niqe",
        **{"model_type": "WxrModel", "train:save_best": {"dataset": "Set5", "metric": "ssim"}},
    ),
    case("train.amp", "unknown key", **{"train:amp": "bf16"}),
]


@pytest.mark.parametrize(("changes", "key", "words"), CONTRADICTIONS)
def test_a_contradiction_is_named(opt, root, changes, key, words):
    for path, value in changes.items():
        apply(opt, path, value)
    reported = problem_texts(opt, root)
    assert words in reported.pop(key)
    reported.pop("logger.wandb", None)  # on a machine without the package
    assert not reported


def apply(opt: dict, path: str, value: object) -> None:
    *block, key = path.split(":")
    inner = opt
    for name in block:
        inner = inner[name]
    if value == "DELETE":
        del inner[key]
    elif isinstance(value, str) and value.startswith("MOVE "):
        inner[key] = inner.pop(value.split(":")[-1])
        del opt["val"]
        opt["val"] = {"val_freq": 10, "save_img": False}
    else:
        inner[key] = value


def test_a_metric_with_ground_truth_on_a_set_without(opt, root):
    real = {"name": "photos", "type": "SingleImageDataset", "dataroot_lq": str(root / "val_lq")}
    opt["datasets"]["val"] = real | {"io_backend": {"type": "disk"}}
    assert problems(opt, root) == problems(opt | {"model_type": "WxrModel"}, root) == []
    assert (
        "needs ground truth"
        in problem_texts(opt | {"model_type": "HiFaceGANModel"}, root)["val.metrics.psnr"]
    )
    opt["model_type"] = "WxrModel"
    opt["datasets"]["val"]["metrics"] = {"niqe": {"type": "calculate_nique", "crop_border": 0}}
    assert list(problem_texts(opt, root)) == ["datasets.val.metrics.niqe.type"]


def test_a_test_file_that_saves_images_needs_the_suffix_key_in_stock_models(opt, root):
    for key in ("train", "logger"):
        del opt[key]
    opt["datasets"] = {"test_1": opt["datasets"]["val"]}
    opt["val"] = {"save_img": True}
    assert list(problem_texts(opt, root, is_train=False)) == ["val.suffix"]
    assert problems(opt | {"model_type": "WxrModel"}, root, is_train=False) == []


def test_a_model_brings_schedules_of_its_own(opt, root):
    opt["train"]["scheduler"] = {"type": "CosineAnnealingLR", "eta_min": 1e-6}
    assert "no scheduler 'CosineAnnealingLR'" in problem_texts(opt, root)["train.scheduler.type"]
    assert problems(opt | {"model_type": "WxrModel"}, root) == []


def test_the_semi_supervised_model_needs_both_streams(opt, root):
    opt["model_type"] = "WResVLMModel"
    assert "use SemiSupervisedDataset" in problem_texts(opt, root)["datasets.train.type"]
    opt["datasets"]["train"]["type"] = "SemiSupervisedDataset"
    assert "datasets.train.type" not in problem_texts(opt, root)


def test_rating_in_context_needs_the_surroundings_from_the_data_set(opt, root):
    opt["model_type"] = "WResVLMModel"
    opt["datasets"]["train"] |= {"type": "SemiSupervisedDataset", "real": {"context": 32}}
    key = "datasets.train.real.context"
    assert "set train.rating.context: 32, or take it out" in problem_texts(opt, root)[key]
    opt["train"]["rating"] = {"context": 48}
    assert "set it to 48" in problem_texts(opt, root)[key]
    opt["train"]["rating"] = {"context": 32}
    assert key not in problem_texts(opt, root)


def test_keys_that_a_block_itself_refuses_together():
    class Pair(Block):
        low: float = 0
        high: float = 1

        def __post_init__(self):
            if self.low > self.high:
                raise ValueError("low is above high; swap them")

    report = Report("x.yml")
    check_block(report, ("pair",), {"low": 0.5}, [Pair])
    assert report.problems == []
    check_block(report, ("pair",), {"low": 2}, [Pair])
    assert [str(problem) for problem in report.problems] == [
        "x.yml: pair: low is above high; swap them"
    ]


# the JSON schema for editors


class Labelled(Block):
    rater: schema.Rater = {}
    panel: list[schema.Rater] = []
    describer: schema.Describer | None = None


@pytest.mark.parametrize(
    ("block", "key", "words"),
    [
        (
            {
                "rater": {"model": "tiny", "batch_size": 4},
                "panel": [{"type": "TransformersRater"}, {}],
            },
            None,
            None,
        ),
        ({"rater": {"modle": "tiny"}}, "rater.modle", "did you mean model?"),
        ({"rater": {"type": "TransformerRater"}}, "rater.type", "did you mean TransformersRater?"),
        ({"rater": {"batch_size": 0}}, "rater.batch_size", "at least 1"),
        ({"rater": "tiny"}, "rater", "where a block with a type belongs"),
        ({"panel": [{}, {"prompt": 3}]}, "panel[1].prompt", "write a text"),
        ({"describer": {"max_token": 5}}, "describer.max_token", "did you mean max_tokens?"),
    ],
)
def test_blocks_of_raters_and_describers_are_checked_by_their_options(block, key, words):
    report = Report("file")
    check_block(report, (), block, [Labelled])
    assert [problem.key for problem in report.problems] == ([key] if key else [])
    assert all(words in str(problem) for problem in report.problems)


def test_a_rater_inside_a_metric_is_checked_too():
    report = Report("file")
    block = {"type": "calculate_vlm_vis", "rater": {"promt": "quality"}, "better": "higher"}
    check_component(report, ("vis",), block, "metric")
    assert [problem.key for problem in report.problems] == ["vis.rater.promt"]


def test_editors_know_the_keys_of_a_rater_with_and_without_a_type():
    rules = {
        json.dumps(rule["if"], sort_keys=True): rule["then"]
        for rule in schema_text.engine("rater")["allOf"]
    }
    absent = rules[json.dumps({"not": {"required": ["type"]}}, sort_keys=True)]
    named = next(then for rule, then in rules.items() if '"TransformersRater"' in rule)
    assert (
        "prompt" in absent["properties"] and absent == named and not absent["additionalProperties"]
    )


def test_the_shipped_schema_is_current():
    is_current = SHIPPED.read_text(encoding="utf-8") == schema_text.text()
    assert is_current, "write it again: wxr schema --write wxr_plugin/options.schema.json"


def test_the_schema_does_not_depend_on_msgspecs_version(monkeypatch):
    def changed(*args, **settings):
        raise AssertionError("the output of msgspec.json.schema changes between versions")

    monkeypatch.setattr(msgspec.json, "schema", changed)
    assert json.loads(schema_text.text()) == json.loads(SHIPPED.read_text(encoding="utf-8"))


def test_suggested_optimizers_are_torchs():
    assert set(schema_text.OPTIMIZERS) <= set(optimizers())


def test_no_block_declares_a_key_twice():
    tree = ast.parse(Path(schema.__file__).read_text(encoding="utf-8"))
    for cls in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        names = [item.target.id for item in cls.body if isinstance(item, ast.AnnAssign)]
        assert len(names) == len(set(names)), cls.name


def test_the_schema_has_descriptions_for_editors():
    shipped = json.loads(SHIPPED.read_text(encoding="utf-8"))
    assert "SRModel" in shipped["properties"]["model_type"]["examples"]
    assert shipped["properties"]["num_gpu"]["description"].startswith("Number of GPUs")
    networks = {
        rule["if"]["properties"]["type"]["const"]: rule["then"]
        for rule in shipped["definitions"]["network"]["allOf"]
    }
    assert networks["MSRResNet"]["properties"]["num_block"] == {"default": 16}
    assert networks["RRDBNet"]["required"] == ["num_in_ch", "num_out_ch"]
    sets = {
        rule["if"]["properties"]["type"]["const"]: rule["then"]
        for rule in shipped["definitions"]["dataset"]["allOf"]
    }
    assert (
        sets["PairedImageDataset"]["properties"]["gt_size"]["description"]
        == "Side of the crop of gt, in pixels."
    )
    models = {
        rule["if"]["properties"]["model_type"]["const"]: rule["then"] for rule in shipped["allOf"]
    }
    assert "amp" in models["WxrModel"]["properties"]["train"]["properties"]
    assert "amp" not in models["SRModel"]["properties"]["train"]["properties"]


def test_every_field_of_the_schemas_has_a_description():
    blocks = [
        item
        for module in (schema, stock)
        for item in vars(module).values()
        if isinstance(item, type(Block))
    ]
    blocks += [stock.of_dataset(item) for item in schema_text.ours("dataset").values()]
    for model in schema_text.ours("model").values():
        blocks += stock.declared(model, "TrainOptions") + stock.declared(model, "TopOptions")
    bare = [
        f"{block.__name__}.{name}"
        for block in blocks
        for name in block.__struct_fields__
        if name not in json_types.descriptions(block)
    ]
    assert len(blocks) > 20 and bare == []
