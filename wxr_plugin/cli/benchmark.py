"""`wxr benchmark`: methods × sets × metrics, each cell computed once."""

import argparse
from typing import TYPE_CHECKING, Any

from wxr_plugin.cli.downloading import add_download, after_download
from wxr_plugin.cli.parsers import add_command, add_offline, add_overrides
from wxr_plugin.cli.sharding import add_shard, named_shard
from wxr_plugin.utils.json_output import add_json, json_result, print_json
from wxr_plugin.utils.plans import add_dry_run, print_plan

if TYPE_CHECKING:
    from wxr_plugin.benchmark.run import Run

DESCRIPTION = """
Restore every test set with every method, measure the results, and write tables and a report.
Results that exist are kept: only missing cells are computed, and an interrupted run resumes. With
--shard, photos are restored and measured in FOLDER/shards/I-of-N; the call without --shard takes
these results over and makes the tables.
"""
EXAMPLES = """examples:
  wxr benchmark -opt options/tiny/benchmark.yml
  wxr benchmark -opt options/benchmark/real_weather.yml --available
  wxr benchmark -opt options/benchmark/real_weather.yml --download
  wxr benchmark -opt options/benchmark/real_weather.yml --list
  wxr benchmark -opt options/benchmark/real_weather.yml --json > results.json
  wxr benchmark -opt options/benchmark/real_weather.yml --shard 1/4
  wxr benchmark --sets
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `benchmark` to the `wxr` command."""
    summary = "compare restoration methods on test sets under one protocol"
    parser = add_command(subparsers, "benchmark", summary, run, DESCRIPTION, EXAMPLES)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("-opt", metavar="FILE", help="option file of the benchmark")
    source.add_argument(
        "--sets", action="store_true", help="list the test sets and their folder layouts"
    )
    source.add_argument("--metrics", action="store_true", help="list the metrics")
    add_overrides(parser, "device=cpu")
    parser.add_argument(
        "--available", action="store_true", help="skip methods and sets whose files are missing"
    )
    parser.add_argument(
        "--list", action="store_true", help="list finished and missing cells; compute nothing"
    )
    add_shard(parser)
    add_dry_run(parser)
    add_json(parser, "the results, or what is listed,")
    add_download(parser, "published methods")
    parser.set_defaults(func=after_download(run, downloads))
    add_offline(parser)


def run(args: argparse.Namespace) -> int:
    """Run the benchmark; return 1 if something could not be restored or measured."""
    from wxr_plugin.benchmark import summary

    if args.sets or args.metrics:
        _print_known(args)
        return 0
    # Not needed for the lists above, and slow to import.
    from wxr_plugin.benchmark.checking import load_benchmark
    from wxr_plugin.benchmark.run import Run
    from wxr_plugin.benchmark.shards import plan_of_shard, write_shared

    shard = named_shard(args)
    plan = load_benchmark(args.opt, args.force_yml, args.available)
    if shard:
        whole = plan
        plan = plan_of_shard(plan, shard)
        if not args.dry_run and not args.list:
            write_shared(whole)
    job = Run(plan, say=lambda line: print(line, flush=True))
    if args.dry_run:
        print_plan(planned(job), args.json)
        return 0
    if args.list and args.json:
        print_json([state._asdict() for state in job.states()])
        return 0
    with json_result(args.json) as result:
        # With --available: methods and sets whose files are missing.
        for line in plan.left_out:
            print(line)
        if args.list:
            summary.print_states(job.states())
            return 0
        result.update(_make_shard(job) if shard else _make(job))
    return 1 if job.failures else 0


def _print_known(args: argparse.Namespace) -> None:
    """Print the known sets or metrics."""
    from wxr_plugin.benchmark import summary
    from wxr_plugin.benchmark.metrics import known_metrics
    from wxr_plugin.benchmark.sets import known_sets

    if args.json:
        print_json(known_sets() if args.sets else known_metrics())
    elif args.sets:
        summary.print_sets()
    else:
        summary.print_metrics()


def _make(job: "Run") -> dict[str, Any]:
    """Run the benchmark, print its results, and return them for JSON."""
    from wxr_plugin.benchmark import summary
    from wxr_plugin.benchmark.report.write import write_report

    job.make()
    summary.print_results(job)
    page = write_report(job.folder)
    print(f"\nOpen {page}")
    return {
        "folder": job.folder,
        "results": summary.results(job),
        "notes": job.notes(),
        "left_out": job.plan.left_out,
        "failures": job.failures,
        "report": page,
    }


def _make_shard(job: "Run") -> dict[str, Any]:
    """Restore and measure the photos of a shard, and return what was done for JSON."""
    count = sum(len(test_set.photos) for test_set in job.plan.sets.values())
    if count:
        job.make()
    for line in job.failures:
        print(f"failed: {line}")
    print(f"{count} photos in {job.folder}; the same command without --shard makes the tables")
    return {"folder": job.folder, "photos": count, "failures": job.failures}


def planned(job: "Run") -> dict[str, Any]:
    """Return the plan of a benchmark, for `--dry-run`."""
    states = [state._asdict() for state in job.states()]
    return {
        "folder": job.folder,
        "device": job.device_name,
        "metrics": list(job.plan.metrics),
        "cells": states,
        "photos_to_restore": sum(state["total"] - state["done"] for state in states),
        "left_out": job.plan.left_out,
    }


def downloads(args: argparse.Namespace) -> list[str]:
    """Return the published methods whose files `--download` fetches: those of the option file."""
    from wxr_plugin.benchmark.checking import published_names
    from wxr_plugin.zoo.rows import rows

    names = published_names(args.opt, args.force_yml) if args.opt else []
    # The checks of the option file report unknown names.
    return [name for name in names if name in rows()]
