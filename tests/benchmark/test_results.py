"""Reading a benchmark folder, and the means over it."""

import math

import pytest
import report_toys as toys

from wxr_plugin.benchmark.results import Results
from wxr_plugin.errors import WxrError


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return toys.write_benchmark(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def folder(tmp_path):
    return toys.write_benchmark(tmp_path)


def changed(folder, change):
    """Results after `change(row)` on every row; rows for which it gives False are left out."""
    rows = toys.read_rows(folder)
    toys.write_rows(folder, [row for row in rows if change(row) is not False])
    return Results.read(folder)


def test_means_are_over_the_images_of_a_set(whole):
    results = Results.read(whole)
    mean = results.mean("promptir", "rain100h", "psnr")
    assert mean == (pytest.approx((25.00 + 25.01 + 25.02) / 3), 3, 0)
    assert results.average("promptir", ["rain100h", "pairs_haze"], "psnr") == pytest.approx(
        (25.01 + 25.005) / 2
    )
    assert results.mean("mine", "rtts", "psnr").count == 0
    assert math.isnan(results.average("mine", ["rain100h", "rtts"], "psnr"))
    assert results.applies("rain100h", "psnr") and not results.applies("rtts", "psnr")


@pytest.mark.parametrize("bad", ["", "nan", "inf", "refused"])
def test_an_image_without_a_finite_value_does_not_count(folder, bad):
    def spoil(row):
        if (row["method"], row["set"], row["image"]) == ("mine", "rain100h", "9"):
            row["psnr"], row["error"] = bad, "went wrong"

    results = changed(folder, spoil)
    assert results.mean("mine", "rain100h", "psnr") == (pytest.approx((24.51 + 24.52) / 2), 2, 1)
    assert results.mean("mine", "rain100h", "lpips").missing == 0
    assert [(row.image, row.error) for row in results.errors()] == [("9", "went wrong")]


def test_a_benchmark_under_way_counts_what_is_missing(folder):
    results = changed(folder, lambda row: (row["method"], row["image"]) != ("mine", "10"))
    assert results.mean("mine", "rain100h", "psnr")[1:] == (2, 1)
    (folder / "rows.csv").unlink()
    assert Results.read(folder).mean("mine", "rain100h", "psnr")[1:] == (0, 3)


def test_metrics_of_whole_sets_come_from_their_own_file(whole):
    results = Results.read(whole)
    assert results.mean("mine", "rain100h", "fid") == (42.0, 3, 0)
    assert results.mean("mine", "rtts", "fid").count == 0


def test_time_is_all_seconds_by_all_megapixels(folder):
    def slow(row):
        if (row["method"], row["image"]) == ("mine", "9"):
            row["width"], row["height"], row["seconds"] = "2000", "1000", "6"
        if (row["method"], row["image"]) == ("mine", "10"):
            row["seconds"] = ""

    results = changed(folder, slow)
    small = 0.003072  # megapixels of the one photo of rain100h that is left as it was
    seconds = 6 * 4 + small * 100
    assert results.seconds_per_megapixel("mine") == pytest.approx(seconds / (2 * 4 + small))
    assert results.seconds_per_megapixel("promptir") == pytest.approx(10)
    assert math.isnan(results.seconds_per_megapixel("input"))


def test_peak_memory_is_the_largest(whole):
    assert Results.read(whole).peak_mib("mine") == 202
    assert math.isnan(Results.read(whole).peak_mib("input"))


def test_the_last_row_of_an_image_counts_and_strangers_do_not(folder):
    rows = toys.read_rows(folder)
    again = next(row for row in rows if (row["method"], row["set"]) == ("mine", "rtts"))
    toys.write_rows(
        folder,
        [*rows, again | {"musiq": "57"}, again | {"method": "gone"}, again | {"set": "gone"}],
    )
    results = Results.read(folder)
    assert results.mean("mine", "rtts", "musiq") == (pytest.approx((57 + 55.01) / 2), 2, 0)
    assert len(results.rows) == len(rows)


def test_rows_tell_their_protocol(folder):
    results = changed(
        folder, lambda row: row.update(precision="bf16") if row["image"] == "9" else None
    )
    assert results.protocols("mine")["precision"] == ["bf16", "fp32"]
    assert results.protocols("mine")["checkpoint_sha256"] == ["2" * 64]


def test_names_with_signs_and_line_ends_are_read_as_written(folder):
    name = 'a "b",\n\u2028<c>'
    results = changed(folder, lambda row: row.update(image=name) if row["image"] == "9" else None)
    assert {row.image for row in results.rows} == {name, "10", "11"}


def test_overlaps_are_read_where_there_are_any(folder):
    assert Results.read(folder).overlaps() == []
    (folder / "overlaps.csv").write_text("set,image,which\nrtts,9,lq\n")
    assert Results.read(folder).overlaps() == [{"set": "rtts", "image": "9", "which": "lq"}]


def test_a_folder_without_benchmark_says_what_to_name(tmp_path):
    with pytest.raises(WxrError, match=r"no benchmark.json there; name the folder"):
        Results.read(tmp_path / "nowhere")


def test_damaged_files_are_named(folder):
    with (folder / "rows.csv").open("a") as file:
        file.write("mine,rtts,9")
    with pytest.raises(WxrError, match=r"rows.csv, row \d+: not as many columns"):
        Results.read(folder)
    (folder / "benchmark.json").write_text(
        '{"methods": {}, "sets": {}, "metrics": {"psnr": {"better": "up"}}}'
    )
    with pytest.raises(WxrError, match=r"benchmark.json: Invalid enum value 'up'"):
        Results.read(folder)


def test_what_benchmark_json_adds_later_is_passed_over(folder):
    toys.write_facts(folder, later={"a": 1})
    assert Results.read(folder).facts.name == "toy <benchmark>"
