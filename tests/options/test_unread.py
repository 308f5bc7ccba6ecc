"""Keys that another project's model or network would silently ignore, and those that it reads."""

import sys

import pytest
import toy_option_files
from basicsr.utils.registry import ARCH_REGISTRY, MODEL_REGISTRY
from toy_option_files import make_folders, problem_texts, problems

PROJECT = """
from basicsr.archs.srresnet_arch import MSRResNet
from basicsr.models.sr_model import SRModel
from basicsr.models.video_recurrent_model import VideoRecurrentModel
from basicsr.utils.registry import ARCH_REGISTRY, MODEL_REGISTRY


@ARCH_REGISTRY.register()
class SwallowNet(MSRResNet):
    def __init__(self, upscale=4, **kwargs):
        super().__init__(num_feat=4, num_block=1, upscale=upscale)


@ARCH_REGISTRY.register()
class SteeredNet(MSRResNet):
    def __init__(self, **kwargs):
        self.context = kwargs.pop("context")
        super().__init__(**kwargs)


@MODEL_REGISTRY.register()
class TheirModel(SRModel):
    pass


@MODEL_REGISTRY.register()
class TheirVideoModel(VideoRecurrentModel):
    pass


@MODEL_REGISTRY.register()
class RankModel(SRModel):
    def init_training_settings(self):
        super().init_training_settings()
        self.amp = self.opt["train"].get("amp")
"""
NAMES = {
    ARCH_REGISTRY: ("SwallowNet", "SteeredNet"),
    MODEL_REGISTRY: ("TheirModel", "TheirVideoModel", "RankModel"),
}


@pytest.fixture(scope="module", autouse=True)
def project(tmp_path_factory):
    """Import a package of another project, and remove it afterwards."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "swallowing_project.py").write_text(PROJECT)
    sys.path.insert(0, str(folder))
    __import__("swallowing_project")
    yield
    sys.path.remove(str(folder))
    del sys.modules["swallowing_project"]
    for entries, names in NAMES.items():
        for name in names:
            del entries._obj_map[name]


@pytest.fixture
def opt(tmp_path):
    make_folders(tmp_path)
    return toy_option_files.parse(toy_option_files.MSRRESNET, tmp_path) | {
        "model_type": "TheirModel"
    }


@pytest.mark.parametrize(
    ("key", "readers"),
    [
        ("weather_prompt_opt", "WResVLMModel"),
        ("feature_opt", "WResVLMModel"),
        ("semantic_opt", "WResVLMModel"),
        ("srd_opt", "SarCwpModel"),
        ("accumulate", "WxrModel"),
    ],
)
def test_a_key_that_only_our_models_read_is_refused_in_anothers(opt, tmp_path, key, readers):
    assert problems(opt, tmp_path) == []
    opt["train"][key] = {"loss_weight": 1.0}
    expected = (
        "only models of this package read it, not TheirModel; "
        f"use model_type: {readers}, or take it out"
    )
    assert problem_texts(opt, tmp_path) == {f"train.{key}": expected}


def test_a_guide_is_refused_likewise(opt, tmp_path):
    reported = problem_texts(opt | {"guide": {"model": "tiny"}}, tmp_path)
    assert (
        reported.keys() == {"guide"}
        and "use model_type: WxrModel, or take it out" in reported["guide"]
    )


def test_a_key_that_their_code_reads_is_accepted(opt, tmp_path):
    opt["train"]["amp"] = True  # RankModel of the same package reads it
    assert problems(opt | {"model_type": "RankModel"}, tmp_path) == []


def test_a_loss_block_whose_type_nobody_registers(opt, tmp_path):
    opt["train"]["rank_opt"] = {"type": "ModulationRankLoss", "anything": 1}
    expected = (
        "no loss 'ModulationRankLoss' is registered; "
        "list the package that registers it under plugins"
    )
    assert problem_texts(opt, tmp_path) == {"train.rank_opt.type": expected}
    opt["train"]["rank_opt"] = {"type": "L1Loss", "anything": 1}  # their model may read more of it
    opt["train"]["more_opt"] = {"weight": 1}
    assert problems(opt, tmp_path) == []


def test_with_an_unknown_model_the_rest_of_the_file_is_checked(opt, tmp_path):
    opt |= {"model_type": "ImageRestorationModel", "network_g": {"type": "NAFNetLocal"}}
    opt["train"]["scheduler"] = {"type": "TrueCosineAnnealingLR"}
    opt["train"]["pixel_opt"] = {
        "type": "PSNRLoss",
        "loss_weight": 1,
        "reduction": "mean",
        "toY": False,
    }
    opt["datasets"]["train"]["use_flip"] = opt["datasets"]["train"].pop("use_hflip")
    opt["train"]["their_own_key"] = 1
    assert problem_texts(opt, tmp_path).keys() == {
        "model_type",
        "network_g.type",
        "train.scheduler.type",
        "train.pixel_opt.toY",
        "datasets.train.use_flip",
        "datasets.train.use_hflip",
    }


def test_a_context_for_a_network_that_swallows_it(opt, tmp_path):
    opt |= {
        "model_type": "WxrModel",
        "network_g": {"type": "SwallowNet", "context": ["degradation"]},
    }
    expected = (
        "SwallowNet takes no context: its constructor accepts any argument and does not read it"
    )
    for file in (opt, opt | {"guide": {"model": "tiny"}}):
        reported = problem_texts(file, tmp_path)
        assert reported.keys() == {"network_g.context"}
        assert reported["network_g.context"].startswith(expected)


def test_a_guide_for_a_network_that_speaks_of_no_context(opt, tmp_path):
    opt |= {
        "model_type": "WxrModel",
        "network_g": {"type": "SwallowNet"},
        "guide": {"model": "tiny"},
    }
    assert "network_g (SwallowNet) takes no context" in problem_texts(opt, tmp_path)["guide"]


def test_a_network_that_reads_a_context_from_its_keywords_may(opt, tmp_path):
    opt |= {
        "model_type": "WxrModel",
        "network_g": {"type": "SteeredNet", "context": ["degradation"]},
    }
    assert problems(opt, tmp_path) == []


@pytest.mark.parametrize(
    "network", [{"type": "SwallowNet"}, {"type": "MSRResNet", "num_in_ch": 3, "upscale": 4}]
)
def test_a_student_that_enlarges_at_scale_1(opt, tmp_path, network):
    opt |= {"model_type": "WxrModel", "network_g": network}
    assert problems(opt, tmp_path) == []
    kind = network["type"]
    expected = (
        f"{kind} enlarges by 4, but gt is 1 times the size of lq (scale); set network_g.upscale: 1"
    )
    assert problem_texts(opt | {"scale": 1}, tmp_path)["network_g.upscale"].startswith(expected)


def test_a_negative_fix_flow_fixes_nothing(opt, tmp_path):
    opt["train"]["fix_flow"] = -1
    assert problems(opt | {"model_type": "TheirVideoModel"}, tmp_path) == []


def test_the_scale_may_stand_in_the_dataset(opt, tmp_path):
    del opt["scale"]
    assert "scale" in problem_texts(opt, tmp_path)
    for dataset in opt["datasets"].values():
        dataset["scale"] = 4
    assert problems(opt, tmp_path) == []


def test_a_val_block_without_a_set_is_a_warning(opt, tmp_path, caplog):
    del opt["datasets"]["val"]
    with caplog.at_level("WARNING", "basicsr"):
        assert problems(opt, tmp_path) == []
    assert "there is no validation set (datasets.val), so nothing is validated" in caplog.text
