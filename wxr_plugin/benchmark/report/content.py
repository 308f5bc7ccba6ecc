"""All that a report tells, without a form."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from wxr_plugin.benchmark.report.comparison import comparable, side_by_side
from wxr_plugin.benchmark.report.quality import quality_tables
from wxr_plugin.benchmark.report.tables import cost_table, published_tables, title
from wxr_plugin.benchmark.results import INPUT, PROTOCOL, Results
from wxr_plugin.benchmark.tables import Cell, Heading, Table

MOST_ROWS = 100
"""Rows of the tables of errors and of overlaps; the files have all of them."""


class Content(msgspec.Struct):
    """The parts of a report. Tables without rows are left out by those who write it."""

    name: str
    warnings: list[str]
    """What makes figures less than they look."""
    notes: list[str]
    """What the benchmark says of its sets."""
    quality: list[Table]
    comparison: list[Table]
    """Of each table of `quality` the columns that have published figures, with these and the differences."""
    comparable: list[str]
    """How far published figures can be compared, and where they come from."""
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
        notes=results.facts.notes,
        quality=quality,
        comparison=[found for table in quality if (found := side_by_side(table)).rows],
        comparable=comparable(quality),
        cost=cost_table(results),
        facts=list(_facts(results)),
        protocol=_protocol(results),
        errors=_errors(results),
        overlaps=_overlaps(results),
        published=list(published_tables(results)),
    )


def _text_table(
    title: str, corner: str, columns: list[str], rows: list[tuple[str, list[str]]]
) -> Table:
    cells = [(name, [Cell(text) for text in texts]) for name, texts in rows]
    return Table(title, [Heading(name) for name in columns], cells, corner=corner, texts=True)


def _protocol(results: Results) -> Table:
    columns = ["Zoo", "Network", "Checkpoint", "sha256", "Precision", "Tile", "Overlap"]
    rows = []
    for name, method in results.methods.items():
        network = (
            method.network.get("type", "")
            if isinstance(method.network, Mapping)
            else method.network or ""
        )
        tile = "whole images" if method.tile in (0, None) and method.checkpoint else method.tile
        overlap = method.overlap if method.tile else None
        checkpoint = method.checkpoint and Path(method.checkpoint).name
        told = [method.zoo, network, checkpoint, method.sha256, method.precision, tile, overlap]
        rows.append((title(results, name), ["" if each is None else str(each) for each in told]))
    return _text_table("Methods", "Method", columns, rows)


def _facts(results: Results) -> Iterator[tuple[str, str]]:
    """What holds for all methods, as name and text."""
    found = [results.protocols(name) for name in results.methods]
    in_y = any("(Y)" in metric.title for metric in results.metrics.values())
    for key, words in (
        ("colour", "Colour space"),
        ("crop", "Pixels that metrics crop at each edge"),
    ):
        if values := sorted({value for each in found for value in each[key]} - {""}):
            yield (
                words,
                ", ".join(values)
                + ("; of metrics with (Y) the Y of YCbCr" if key == "colour" and in_y else ""),
            )
    devices = dict.fromkeys(value for each in found for value in each["device"] if value)
    if devices or results.facts.device:
        yield "Device", ", ".join(devices) or results.facts.device
    yield from _packages(
        results,
        {digest for each in found for told in each["versions"] for digest in told.split("+")},
    )


def _packages(results: Results, digests: set[str]) -> Iterator[tuple[str, str]]:
    """The packages of all rows, told apart where they are not the same for all."""
    known = {key: each for key, each in results.facts.versions_by_digest.items() if key in digests}
    if len(known) < 2:
        known = {"": next(iter(known.values()), results.facts.versions)}
    for digest, each in known.items():
        if each:
            told = ", ".join(f"{name} {version}" for name, version in each.items())
            yield f"Packages {digest}".strip(), told


def _warnings(results: Results) -> Iterator[str]:
    for name in results.methods:
        for key, values in results.protocols(name).items():
            if len(values) > 1 and key in PROTOCOL:
                told = ", ".join(value or "none" for value in values)
                yield f"{title(results, name)}: its means mix images made under several values of {key} ({told})"
        for key, each in results.sets.items():
            rows = results.of(name, key)
            done = sum(bool(row.restored) for row in rows)
            if rows and each.count and done < each.count:
                yield f"{title(results, name)}: {done} of {each.count} images of {each.title or key} are there"
    methods = [name for name in results.methods if name != INPUT]
    if not any(
        results.mean(name, key, metric).count
        for name in methods
        for key in results.sets
        for metric in results.metrics
    ):
        yield "nothing that a method restored has been measured"


def _errors(results: Results) -> Table:
    rows = [
        (title(results, row.method), [row.set, row.image, row.error]) for row in results.errors()
    ]
    return _cut(
        _text_table("Errors", "Method", ["Set", "Image", "What went wrong"], rows), "rows.csv"
    )


def _overlaps(results: Results) -> Table:
    found: list[dict[str, Any]] = results.overlaps()
    columns = [name for name in (found[0] if found else ()) if name != "set"]
    rows = [(row["set"], [str(row[name] or "") for name in columns]) for row in found]
    return _cut(
        _text_table(
            "Test images that are training images",
            "Set",
            [name.capitalize() for name in columns],
            rows,
        ),
        "overlaps.csv",
    )


def _cut(table: Table, file: str) -> Table:
    if len(table.rows) > MOST_ROWS:
        table.notes = [f"The first {MOST_ROWS} of {len(table.rows):,}; {file} has all of them."]
        table.rows = table.rows[:MOST_ROWS]
    return table
