"""The content of a report, independent of its format."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from wxr_plugin.benchmark.report.comparison import comparable, side_by_side
from wxr_plugin.benchmark.report.quality import quality_tables
from wxr_plugin.benchmark.report.tables import cost_table, published_tables, title
from wxr_plugin.benchmark.results import INPUT, PROTOCOL, Results
from wxr_plugin.benchmark.results_files import Method
from wxr_plugin.benchmark.tables import Cell, Heading, Table
from wxr_plugin.hub import reference_of

MOST_ROWS = 100
"""Rows of the tables of errors and of overlaps at most; the CSV files have all of them."""
_TextRow = tuple[str, list[str]]
"""Name and cells of a row."""


class Content(msgspec.Struct):
    """The parts of a report. A writer leaves out tables without rows."""

    name: str
    warnings: list[str]
    """Reasons why figures are weaker than they look: missing images, mixed settings."""
    notes: list[str]
    """Notes on the sets, from benchmark.json."""
    quality: list[Table]
    comparison: list[Table]
    """For each table of `quality` the columns with published figures, these and the differences."""
    comparable: list[str]
    """Notes on how far published figures can be compared, and their papers."""
    cost: Table
    facts: list[tuple[str, str]]
    """Name and text of what holds for all methods."""
    protocol: Table
    errors: Table
    overlaps: Table
    published: list[Table]


def content(results: Results) -> Content:
    """Return the content of the report of `results`."""
    quality = quality_tables(results)
    compared = [side_by_side(table) for table in quality]
    return Content(
        name=results.facts.name,
        warnings=list(_warnings(results)),
        notes=results.facts.notes,
        quality=quality,
        comparison=[table for table in compared if table.rows],
        comparable=comparable(quality),
        cost=cost_table(results),
        facts=list(_facts(results)),
        protocol=_protocol(results),
        errors=_errors(results),
        overlaps=_overlaps(results),
        published=list(published_tables(results)),
    )


def _text_table(title: str, corner: str, columns: list[str], rows: list[_TextRow]) -> Table:
    headings = [Heading(name) for name in columns]
    table = Table(title, headings, [], corner=corner, texts=True)
    for name, texts in rows:
        cells = [Cell(text) for text in texts]
        table.rows.append((name, cells))
    return table


def _short(checkpoint: Path) -> str:
    """Return the name of a file, or the reference with its commit of one on the hub."""
    return str(reference_of(checkpoint) or checkpoint.name)


def _protocol(results: Results) -> Table:
    columns = ["Zoo", "Network", "Checkpoint", "sha256", "Precision", "Tile", "Overlap"]
    rows = []
    for name, method in results.methods.items():
        checkpoint = method.checkpoint and _short(Path(method.checkpoint))
        tile: int | str | None = method.tile
        # Methods that run no network have no tiles either.
        if not tile and checkpoint:
            tile = "whole images"
        values = [
            method.zoo,
            _network(method),
            checkpoint,
            method.sha256,
            method.precision,
            tile,
            method.overlap if method.tile else None,
        ]
        texts = ["" if value is None else str(value) for value in values]
        rows.append((title(results, name), texts))
    return _text_table("Methods", "Method", columns, rows)


def _network(method: Method) -> str:
    # benchmark.json has the type of the network, or a whole block of its options.
    if isinstance(method.network, Mapping):
        return method.network.get("type", "")
    return method.network or ""


def _facts(results: Results) -> Iterator[tuple[str, str]]:
    """Yield name and text of what holds for all methods."""
    protocols = [results.protocols(name) for name in results.methods]
    colours = sorted(_values(protocols, "colour"))
    if colours:
        text = ", ".join(colours)
        if any("(Y)" in metric.title for metric in results.metrics.values()):
            text += "; of metrics with (Y) the Y of YCbCr"
        yield "Colour space", text
    crops = sorted(_values(protocols, "crop"))
    if crops:
        yield "Pixels that metrics crop at each edge", ", ".join(crops)
    # The rows name the devices that restored; a benchmark without any has that of the run.
    device = ", ".join(_values(protocols, "device")) or results.facts.device
    if device:
        yield "Device", device
    versions = _values(protocols, "versions")
    # A row may join the digests of two runs, of restoring and of measuring.
    digests = {digest for text in versions for digest in text.split("+")}
    yield from _packages(results, digests)


def _values(protocols: list[dict[str, list[str]]], key: str) -> list[str]:
    """Return the different values of a column that are not empty, in order of appearance."""
    values = []
    for protocol in protocols:
        values += protocol[key]
    different = dict.fromkeys(values)
    return [value for value in different if value]


def _packages(results: Results, digests: set[str]) -> Iterator[tuple[str, str]]:
    """Yield the versions of packages, a line per digest if the rows have more than one."""
    by_digest = {}
    for digest, packages in results.facts.versions_by_digest.items():
        if digest in digests:
            by_digest[digest] = packages
    # A single digest need not be distinguished from others.
    if len(by_digest) < 2:
        packages = next(iter(by_digest.values()), results.facts.versions)
        by_digest = {"": packages}
    for digest, packages in by_digest.items():
        if packages:
            versions = [f"{name} {version}" for name, version in packages.items()]
            yield f"Packages {digest}".strip(), ", ".join(versions)


def _warnings(results: Results) -> Iterator[str]:
    for name in results.methods:
        yield from _mixed(results, name)
        yield from _missing(results, name)
    methods = [name for name in results.methods if name != INPUT]
    if not any(_is_measured(results, name) for name in methods):
        yield "nothing that a method restored has been measured"


def _is_measured(results: Results, method: str) -> bool:
    """Return whether a method has a value of any metric on any set."""
    for name in results.sets:
        for metric in results.metrics:
            if results.mean(method, name, metric).count:
                return True
    return False


def _mixed(results: Results, method: str) -> Iterator[str]:
    """Warn of means over images that were made under several protocols."""
    for key, values in results.protocols(method).items():
        if len(values) > 1 and key in PROTOCOL:
            label = title(results, method)
            different = ", ".join(value or "none" for value in values)
            yield (
                f"{label}: its means mix images made under several values of {key} ({different})"
            )


def _missing(results: Results, method: str) -> Iterator[str]:
    """Warn of sets of which the method has not restored every image."""
    for name, image_set in results.sets.items():
        rows = results.of(method, name)
        done = sum(bool(row.restored) for row in rows)
        expected = image_set.count
        # A method without rows does not restore the set at all.
        if rows and expected and done < expected:
            label = image_set.title or name
            yield f"{title(results, method)}: {done} of {expected} images of {label} exist"


def _errors(results: Results) -> Table:
    rows = []
    for row in results.errors():
        texts = [row.set, row.image, row.error]
        rows.append((title(results, row.method), texts))
    table = _text_table("Errors", "Method", ["Set", "Image", "Error"], rows)
    return _cut(table, "rows.csv")


def _overlaps(results: Results) -> Table:
    overlaps: list[dict[str, Any]] = results.overlaps()
    columns = []
    # The set is the name of a row, the other columns of the file are its cells.
    if overlaps:
        columns = [name for name in overlaps[0] if name != "set"]
    rows = []
    for row in overlaps:
        texts = [str(row[name] or "") for name in columns]
        rows.append((row["set"], texts))
    heads = [name.capitalize() for name in columns]
    table = _text_table("Test images that are training images", "Set", heads, rows)
    return _cut(table, "overlaps.csv")


def _cut(table: Table, file: str) -> Table:
    count = len(table.rows)
    if count > MOST_ROWS:
        table.notes = [f"The first {MOST_ROWS} of {count:,}; {file} has all of them."]
        table.rows = table.rows[:MOST_ROWS]
    return table
