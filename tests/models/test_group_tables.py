"""Means by degradation, and metrics that only a whole set has, in validation."""

import csv
import io
from dataclasses import dataclass

import numpy as np
import pytest
from basicsr.data import build_dataloader, build_dataset
from basicsr.utils.registry import METRIC_REGISTRY

from wxr_plugin.data.images.io import write_image
from wxr_plugin.metrics.set_share import SetShare
from wxr_plugin.models.base.val_table import by_group, group_of, group_table, is_of, means

PSNR = {"type": "calculate_psnr", "crop_border": 0}


@dataclass(eq=False)
class BrightestShare(SetShare):
    """The brightest of all images, which no mean over images gives."""

    level: float

    @classmethod
    def over(cls, shares):
        return max(share.level for share in shares)


@METRIC_REGISTRY.register()
def calculate_brightest(img, img2, offset: float = 0.0):
    return BrightestShare(float(img.mean()) + offset)


def rows():
    values = {
        "hazy": [1.0, 2.0, 3.0],
        "noisy": [10.0],
        "rainy": [4.0, 6.0],
        "wild": [7.0],
        "": [100.0],
    }
    return [
        {"iter": 5, "degradation": word, "psnr": value}
        for word, group in values.items()
        for value in group
    ]


def test_the_average_over_degradations_is_unweighted():
    averages = by_group(rows(), ["psnr"])
    assert list(averages) == ["psnr_hazy", "psnr_noisy", "psnr_rainy", "psnr_wild", "psnr_overall"]
    assert averages["psnr_overall"] == pytest.approx((2 + 10 + 5 + 7) / 4)
    assert by_group(rows()[:3], ["psnr"]) == {}


def test_the_average_of_the_paper():
    """Average PSNR as DA-CLIP's Table 3 does for IR-SDE: every degradation counts once."""
    counts = {"hazy": 1000, "low-light": 15}
    table = [
        {"degradation": word, "psnr": 20.0 if word == "hazy" else 30.0}
        for word in counts
        for _ in range(counts[word])
    ]
    assert (
        by_group(table, ["psnr"])["psnr_overall"] == 25.0 and means(table, ["psnr"])["psnr"] < 20.2
    )


def test_a_table_has_a_row_a_group():
    table = group_table(rows(), ["psnr"])
    assert [(row["group"], row["images"]) for row in table] == [
        *[("hazy", 3), ("noisy", 1), ("rainy", 2), ("wild", 1), ("overall", 7), ("all", 8)]
    ]
    assert table[-2]["psnr"] == pytest.approx(6.0) and table[0] == {
        "iter": 5,
        "group": "hazy",
        "images": 3,
        "psnr": 2.0,
    }


def test_names_of_values():
    assert (
        is_of("psnr_jpeg-compressed", "psnr")
        and is_of("psnr_overall", "psnr")
        and is_of("psnr_rain", "psnr")
    )
    assert (
        not is_of("psnr_y", "psnr")
        and not is_of("psnr_y_hazy", "psnr")
        and is_of("psnr_y_hazy", "psnr_y")
    )


def test_the_group_of_a_batch():
    assert group_of({"degradation": ["hazy"]}) == {"degradation": "hazy"}
    assert group_of({"weather": [3]}) == {"weather": "snow"} and group_of({}) == {"weather": ""}


@pytest.fixture
def ten(tmp_path):
    """Pairs of two degradations, one with two images and the other with one."""
    rng = np.random.default_rng(0)
    for word, count in {"noisy": 2, "hazy": 1}.items():
        for number in range(count):
            for side in ("LQ", "GT"):
                image = rng.integers(0, 60 if word == "hazy" else 255, (20, 24, 3), dtype=np.uint8)
                write_image(tmp_path / "sets" / "val" / word / side / f"{number}.png", image)
    return {
        "name": "ten",
        "type": "DegradationDataset",
        "phase": "val",
        "dataroot": str(tmp_path / "sets"),
    }


def table(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


def validate(model):
    (block,) = model.opt["datasets"].values()
    model.validation(
        build_dataloader(build_dataset(block), block, num_gpu=0, seed=None), 0, None, save_img=True
    )


def test_validation_has_rows_by_degradation(build, ten, tmp_path):
    model = build(
        val=[{**ten, "metrics": {"psnr": PSNR}}],
        save_best={"dataset": "ten", "metric": "psnr_overall"},
    )
    validate(model)
    images, groups = (
        table(tmp_path / "validation/ten.csv"),
        table(tmp_path / "validation/ten_groups.csv"),
    )
    assert list(images[0]) == ["iter", "image", "degradation", "psnr", "psnr_input"]
    assert [row["degradation"] for row in images] == ["hazy", "noisy", "noisy"]
    assert [row["group"] for row in groups] == ["hazy", "noisy", "overall", "all"]
    best = model.best_metric_results["ten"]
    assert list(best) == ["psnr", "psnr_hazy", "psnr_noisy", "psnr_overall"]
    assert float(groups[2]["psnr"]) == best["psnr_overall"]["val"]
    assert best["psnr_overall"]["val"] == pytest.approx(
        (best["psnr_hazy"]["val"] + best["psnr_noisy"]["val"]) / 2
    )
    assert (tmp_path / "models/net_g_best.pth").is_file()
    assert (tmp_path / "visualization/ten/val/noisy/LQ/1_0.png").is_file()


def test_a_metric_of_the_whole_set_has_a_value_for_it_and_each_group(build, ten, tmp_path):
    metrics = {"psnr": PSNR, "top": {"type": "calculate_brightest", "offset": 1000.0}}
    model = build(val=[{**ten, "metrics": metrics}])
    validate(model)
    results = model.metric_results
    assert results["top"] == max(results["top_hazy"], results["top_noisy"]) > 1000
    assert results["top_overall"] == pytest.approx((results["top_hazy"] + results["top_noisy"]) / 2)
    assert "top" not in table(tmp_path / "validation/ten.csv")[0]
    assert float(table(tmp_path / "validation/ten_groups.csv")[-1]["top"]) == results["top"]


def test_a_set_without_groups_has_a_table_for_metrics_of_the_whole_set_alone(
    build, photos, tmp_path
):
    pairs = {**photos[0], "metrics": {"psnr": PSNR, "top": {"type": "calculate_brightest"}}}
    validate(build(val=[pairs]))
    (row,) = table(tmp_path / "validation/pairs_groups.csv")
    assert row["group"] == "all" and row["images"] == "3" and float(row["top"]) > 0


def test_weathers_get_no_further_file(build, photos, tmp_path):
    validate(build(val=[{**photos[0], "metrics": {"psnr": PSNR}}]))
    assert [path.name for path in (tmp_path / "validation").iterdir()] == ["pairs.csv"]
