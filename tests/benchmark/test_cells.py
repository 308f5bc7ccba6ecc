"""The journal survives kills, and the latest entry counts."""

from wxr_plugin.benchmark.cells import Cells, Cost, Restored, Score

PROTOCOL = {"checkpoint": "a", "tile": "0"}


def entry(image="a", content="x"):
    return Restored(image, "lq", PROTOCOL, content, 10, 3, 4, 0.5, 12.0, "cpu", "v")


def test_entries_come_back(tmp_path):
    cells = Cells(tmp_path / "m/s.jsonl")
    score, infinite = Score("a", "psnr", "b", "x:y", "20.5"), Score("", "fid", "b", "z", "inf", 2)
    for record in (entry(), score, infinite, Cost(PROTOCOL, 5, 1e9)):
        cells.add(record)
    cells.close()
    again = Cells(tmp_path / "m/s.jsonl")
    assert again.restored == {"a": entry()} and again.cost == Cost(PROTOCOL, 5, 1e9)
    assert again.scores == {("a", "psnr"): score, ("", "fid"): infinite}


def test_the_latest_counts_and_the_older_go_with_the_next_writing(tmp_path):
    file = tmp_path / "s.jsonl"
    for content in ("x", "y", "z"):
        cells = Cells(file)
        cells.add(entry(content=content))
        cells.close()
    assert Cells(file).restored["a"].content == "z"
    assert len(file.read_text().splitlines()) == 2


def test_any_cut_leaves_whole_entries(tmp_path):
    file = tmp_path / "s.jsonl"
    cells = Cells(file)
    for image in "abc":
        cells.add(entry(image))
    cells.close()
    data = file.read_bytes()
    line = len(data) // 3
    for cut in (0, 1, line - 1, line, line + 1, 2 * line + 7, len(data) - 2):
        file.write_bytes(data[:cut])
        cells = Cells(file)
        assert len(cells.restored) == (cut + 1) // line
        cells.add(entry("d"))
        cells.close()
        assert Cells(file).restored.keys() == {*"abc"[: (cut + 1) // line], "d"}


def test_reading_writes_nothing(tmp_path):
    file = tmp_path / "s.jsonl"
    cells = Cells(file)
    cells.add(entry())
    cells.close()
    file.write_bytes(file.read_bytes() * 3 + b'{"type"')
    before = file.read_bytes()
    Cells(file)
    assert file.read_bytes() == before
    assert not Cells(tmp_path / "none.jsonl").restored and not (tmp_path / "none.jsonl").exists()
