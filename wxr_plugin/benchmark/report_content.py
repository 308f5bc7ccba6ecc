"""All that a report tells, without a form."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from wxr_plugin.benchmark.published import published
from wxr_plugin.benchmark.report_quality import quality_tables
from wxr_plugin.benchmark.report_tables import cost_table, published_tables, title
from wxr_plugin.benchmark.results import INPUT, PROTOCOL, Results
from wxr_plugin.benchmark.tables import Cell, Heading, Table

MOST_ROWS = 100
"""Rows of the tables of errors and of overlaps; the files have all of them."""


class Content(msgspec.Struct):
    """The parts of a report. Tables without rows are left out by those who write it."""

    name: str
    warnings: list[str]
    quality: list[Table]
    comparison: Table
    cost: Table
    facts: list[tuple[str, str]]
    protocol: Table
    errors: Table
    overlaps: Table
    published: list[Table]


def content(results: Results) -> Content:
    """What the results tell."""
    quality = quality_tables(results)
    return Content(
        name=results.facts.name,
        warnings=list(_warnings(results)),
        quality=quality,
        comparison=_comparison(quality),
        cost=cost_table(results),
        facts=list(_facts(results)),
        protocol=_protocol(results),
        errors=_errors(results),
        overlaps=_overlaps(results),
        published=list(published_tables(results)),
    )


def _text_table(title: str, corner: str, columns: list[str], rows: list[tuple[str, list[str]]]) -> Table:
    cells = [(name, [Cell(text) for text in texts]) for name, texts in rows]
    return Table(title, [Heading(name) for name in columns], cells, corner=corner, texts=True)


def _comparison(quality: list[Table]) -> Table:
    """Every figure that has a published one, a row each."""
    rows, papers, fewer = [], {}, {}
    for table in quality:
        for name, cells in table.rows:
            for heading, cell in zip(table.columns, cells):
                if figure := cell.published:
                    theirs = f"{figure.value:.{figure.digits}f}"
                    where = [figure.set, heading.title, cell.text + "†" * cell.partial]
                    rows.append((name, [*where, theirs, cell.difference, figure.paper]))
                    papers[figure.paper] = f"{figure.paper}: {published().papers[figure.paper]}"
                    if figure.count and cell.count and figure.count != cell.count:
                        fewer[figure.set] = f"{figure.set}: {cell.count:,} images here, {figure.count:,} there"
    table = _text_table(
        "Beside the published figures", "Method", ["Set", "Metric", "Ours", "Published", "Difference", "Paper"], rows
    )
    notes = [published().methods[name].note for name in _published_methods(quality) if name in published().methods]
    unlike = [f"Not the same images, so not the same figure: {'; '.join(fewer.values())}."] if fewer else []
    table.notes = [*unlike, *(f"{note[:1].upper()}{note[1:]}." for note in notes if note), *papers.values()]
    return table


def _published_methods(quality: list[Table]) -> list[str]:
    shown = (cell.published for table in quality for _, cells in table.rows for cell in cells)
    return list(dict.fromkeys(figure.method for figure in shown if figure))


def _protocol(results: Results) -> Table:
    columns = ["Zoo", "Network", "Checkpoint", "sha256", "Precision", "Tile", "Overlap"]
    rows = []
    for name, method in results.methods.items():
        network = method.network.get("type", "") if isinstance(method.network, Mapping) else method.network or ""
        tile = "whole images" if method.tile in (0, None) and method.checkpoint else method.tile
        overlap = method.overlap if method.tile else None
        told = [method.zoo, network, method.checkpoint, method.sha256, method.precision, tile, overlap]
        rows.append((title(results, name), ["" if each is None else str(each) for each in told]))
    return _text_table("Methods", "Method", columns, rows)


def _facts(results: Results) -> Iterator[tuple[str, str]]:
    """What holds for all methods, as name and text."""
    found = [results.protocols(name) for name in results.methods]
    for key, words in (("colour", "Colour space of the metrics"), ("crop", "Pixels cropped at each edge")):
        if values := sorted({value for each in found for value in each[key]} - {""}):
            yield words, ", ".join(values)
    if results.facts.device:
        yield "Device", results.facts.device
    versions = results.facts.versions
    nested = [each for each in versions.values() if isinstance(each, Mapping)]
    for each in nested or ([versions] if versions else []):
        yield "Packages", ", ".join(f"{name} {version}" for name, version in each.items())


def _warnings(results: Results) -> Iterator[str]:
    for name in results.methods:
        for key, values in results.protocols(name).items():
            if len(values) > 1 and key in PROTOCOL:
                told = ", ".join(value or "none" for value in values)
                yield f"{title(results, name)}: its means mix images made under several values of {key} ({told})"
        for key, each in results.sets.items():
            done = sum(bool(row.restored) for row in results.of(name, key))
            if each.count and done < each.count:
                yield f"{title(results, name)}: {done} of {each.count} images of {each.title or key} are there"
    if results.methods.keys() <= {INPUT}:
        yield "no method has been measured"


def _errors(results: Results) -> Table:
    rows = [(title(results, row.method), [row.set, row.image, row.error]) for row in results.errors()]
    return _cut(_text_table("Errors", "Method", ["Set", "Image", "What went wrong"], rows), "rows.csv")


def _overlaps(results: Results) -> Table:
    found: list[dict[str, Any]] = results.overlaps()
    columns = [name for name in (found[0] if found else ()) if name != "set"]
    rows = [(row["set"], [str(row[name] or "") for name in columns]) for row in found]
    return _cut(
        _text_table("Test images that are training images", "Set", [name.capitalize() for name in columns], rows),
        "overlaps.csv",
    )


def _cut(table: Table, file: str) -> Table:
    if len(table.rows) > MOST_ROWS:
        table.notes = [f"The first {MOST_ROWS} of {len(table.rows):,}; {file} has all of them."]
        table.rows = table.rows[:MOST_ROWS]
    return table
