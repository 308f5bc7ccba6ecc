"""CSV cells that begin like formulas."""

import csv
import io

import pytest

from wxr_plugin.errors import WxrError
from wxr_plugin.utils.csv_text import dicts_to_csv, escape, read_csv, read_dicts, to_csv, unescape

FORMULAS = [
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "'=1",
    "''+x",
    "-",
    "=",
    "+",
]
HARMLESS = ["rain/1", "", "'quoted'", "a=b", "1e-3", "-3.5", "+2", "-inf", "nan", "it's"]


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_are_escaped_and_read_back(text):
    assert escape(text) == f"'{text}"
    assert unescape(escape(text)) == text


@pytest.mark.parametrize("text", HARMLESS)
def test_other_text_is_unchanged(text):
    assert escape(text) == text and unescape(text) == text


@pytest.mark.parametrize("number", [-1, -0.5, 3, None])
def test_numbers_are_unchanged(number):
    assert escape(number) is number


def test_a_table_comes_back_through_its_file(tmp_path):
    path = tmp_path / "table.csv"
    rows = [[text, "line\nbreak"] for text in FORMULAS + HARMLESS]
    path.write_text(to_csv(["=name", "note"], rows), encoding="utf-8", newline="")
    assert read_csv(path) == [["=name", "note"], *rows]
    assert [row["=name"] for row in read_dicts(path)] == FORMULAS + HARMLESS
    with path.open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not any(cell.startswith(("=", "@", "+1", "-2", "\t", "\r")) for cell in cells)


def test_a_missing_cell_of_a_dict_is_empty():
    text = dicts_to_csv(["a", "b"], [{"a": 1}, {"b": "=x"}])
    assert list(csv.reader(io.StringIO(text))) == [["a", "b"], ["1", ""], ["", "'=x"]]


def test_a_file_in_another_encoding_is_named(tmp_path):
    (tmp_path / "rows.csv").write_bytes("näme\n".encode("latin-1"))
    with pytest.raises(WxrError, match=r"rows\.csv: not a CSV file in UTF-8"):
        read_csv(tmp_path / "rows.csv")
