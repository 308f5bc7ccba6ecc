"""Tables of captions, and the dataset that reads them."""

import numpy as np
import pytest
import torch

from wxr_plugin.data.caption_dataset import CaptionedDegradationDataset, middle
from wxr_plugin.data.caption_table import CaptionRow, TableError, read_table, write_table
from wxr_plugin.data.images.io import write_image
from wxr_plugin.data.lmdb.build import build as build_lmdb
from wxr_plugin.errors import OptionError


def photo(seed, height=48, width=64):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def table(tmp_path):
    """Six hazy photos, two rainy ones and one noisy one."""
    rows = []
    for number, word in enumerate(["hazy"] * 6 + ["rainy"] * 2 + ["noisy"]):
        write_image(tmp_path / f"lq/{word}/{number}.png", photo(number))
        rows.append(CaptionRow(f"lq/{word}/{number}.png", f"a photo of {number}: the best", word))
    write_table(tmp_path / "captions.csv", rows)
    return tmp_path / "captions.csv"


def build(table, phase="train", **more):
    block = {
        "name": "set",
        "type": "CaptionedDegradationDataset",
        "phase": phase,
        "scale": 1,
        "size": 32,
        **more,
    }
    return CaptionedDegradationDataset({"captions": str(table)} | block)


def test_a_caption_may_have_a_colon(table):
    assert read_table(table)[2] == CaptionRow("lq/hazy/0.png", "a photo of 0: the best", "hazy")
    assert table.read_text().splitlines()[0] == "filepath\ttitle"


def test_what_is_written_is_read_again(tmp_path):
    rows = [
        CaptionRow("a b.png", 'a "quoted" sign\tand a tab', "hazy"),
        CaptionRow("ü.png", "2: two", "low-light"),
    ]
    write_table(tmp_path / "t.csv", rows)
    assert list(read_table(tmp_path / "t.csv").values()) == rows


def test_the_official_layout_is_read_as_pandas_writes_it(tmp_path):
    """DataFrame.to_csv(sep='\\t', index=False) quotes a cell with a quote and doubles the quote."""
    (tmp_path / "t.csv").write_text('filepath\ttitle\n/x/1.png\t"a ""big"" dog: rainy"\n')
    assert list(read_table(tmp_path / "t.csv").values()) == [
        CaptionRow("/x/1.png", 'a "big" dog', "rainy")
    ]


def test_all_bad_rows_are_named_at_once(tmp_path):
    file = tmp_path / "t.csv"
    lines = [
        "filepath\ttitle",
        "a.png\ta dog: hazy",
        "b.png\tno word",
        "c.png\t: hazy",
        "d.png",
        "e.png\ta: hazzy",
    ]
    file.write_text("\n".join(lines))
    with pytest.raises(TableError) as raised:
        read_table(file, ["hazy", "rainy"])
    said = str(raised.value)
    assert (
        "4 rows" in said
        and all(f"{file}:{line}:" in said for line in (3, 4, 5, 6))
        and f"{file}:2:" not in said
    )
    assert "unknown degradation 'hazzy' (known: hazy, rainy)" in said and "1 of 2 columns" in said


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "filepath\tcaption\nx\ty: z\n"])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(TableError, match="expected the tab-separated columns filepath and title"):
        read_table(tmp_path / "t.csv")


def test_training_takes_all_degradations_equally_often(table):
    words = [build(table)[i]["degradation"] for i in range(18)]
    assert len(build(table)) == 18
    assert all(words.count(word) == 6 for word in ("hazy", "rainy", "noisy"))
    assert len(build(table, balanced=False)) == 9


def test_items(table):
    item = build(table, phase="val")[7]
    assert item["caption"] == "a photo of 7: the best" and item["degradation"] == "rainy"
    assert item["lq_path"].endswith("lq/rainy/7.png")
    assert item["lq"].shape == (3, 32, 32) and item["lq"].dtype == torch.float32
    expected = torch.from_numpy(np.array(middle(photo(7), 32))).permute(2, 0, 1) / 255
    assert torch.equal(item["lq"], expected)


def test_a_sample_depends_on_its_generator_alone(table):
    data = build(table, square_crop=0.5)
    draw = lambda seed: data.draw(0, np.random.default_rng(seed))["lq"]  # noqa: E731
    torch.manual_seed(1)
    first = draw(3)
    torch.manual_seed(2)
    assert torch.equal(first, draw(3)) and not torch.equal(first, draw(4))


def test_training_crops_at_least_the_share_of_scale_range(tmp_path):
    """On a ramp of 200 pixels a crop of at least 0.9 of the area spans most of the values.

    A square crop may not.
    """
    ramp = np.uint8(np.linspace(0, 199, 200))[None, :, None].repeat(200, 0).repeat(3, 2)
    write_image(tmp_path / "ramp.png", ramp)
    write_table(tmp_path / "t.csv", [CaptionRow("ramp.png", "a ramp", "hazy")])

    def spans(data):
        photos = [data.draw(0, np.random.default_rng(seed))["lq"] for seed in range(40)]
        return [float(photo.max() - photo.min()) for photo in photos]

    whole, squares = (
        spans(build(tmp_path / "t.csv")),
        spans(build(tmp_path / "t.csv", square_crop=1.0)),
    )
    assert (
        min(whole) > 0.75 * 199 / 255
        and min(squares) < 0.6 * 199 / 255
        and max(squares) > 0.7 * 199 / 255
    )


def test_an_lmdb_holds_the_same_photos(table, tmp_path):
    build_lmdb(tmp_path / "lq", tmp_path / "lq.lmdb")
    rows = [row._replace(file=row.file.removeprefix("lq/")) for row in read_table(table).values()]
    write_table(tmp_path / "lq.lmdb" / "captions.csv", rows)
    block = {"name": "set", "type": "CaptionedDegradationDataset", "phase": "val", "size": 32}
    packed = CaptionedDegradationDataset({**block, "dataroot": str(tmp_path / "lq.lmdb")})
    files = build(table, phase="val")
    assert len(packed) == 9 and all(torch.equal(packed[i]["lq"], files[i]["lq"]) for i in range(9))
    write_table(
        tmp_path / "lq.lmdb" / "captions.csv", [*rows, CaptionRow("rainy/none.png", "a", "rainy")]
    )
    with pytest.raises(TableError, match=r"captions.csv:11: .*lq.lmdb/rainy/none is not there"):
        CaptionedDegradationDataset({**block, "dataroot": str(tmp_path / "lq.lmdb")})


def test_file_names_may_lead_into_an_lmdb(table, tmp_path):
    for word in ("hazy", "rainy", "noisy"):
        build_lmdb(tmp_path / "lq" / word, tmp_path / f"packed/{word}.lmdb")
    rows = []
    for row in read_table(table).values():
        name = row.file.split("/")[-1]
        rows.append(row._replace(file=f"packed/{row.degradation}.lmdb/{name}"))
    write_table(tmp_path / "packed.csv", rows)
    packed, files = build(tmp_path / "packed.csv", phase="val"), build(table, phase="val")
    assert len(packed) == 9 and all(torch.equal(packed[i]["lq"], files[i]["lq"]) for i in range(9))


def test_missing_photos_are_named_before_training(table):
    (table.parent / "lq/noisy/8.png").unlink()
    with pytest.raises(TableError, match=r"captions.csv:10: .*8.png is not there"):
        build(table)


def test_damaged_photos_are_passed_over(table):
    (table.parent / "lq/hazy/0.png").write_bytes(b"no image")
    data = build(table, max_bad=1)
    item = data[0]
    assert not item["lq_path"].endswith("hazy/0.png") and item["lq"].shape == (3, 32, 32)


def test_options_that_do_not_go_together(tmp_path, table):
    with pytest.raises(Exception, match="give captions"):
        CaptionedDegradationDataset({"name": "s", "type": "x", "phase": "val"})
    with pytest.raises(Exception, match="is not a range"):
        build(table, scale_range=[1.0, 0.5])
    write_table(tmp_path / "none.csv", [])
    with pytest.raises(OptionError, match="has no rows"):
        build(tmp_path / "none.csv")
