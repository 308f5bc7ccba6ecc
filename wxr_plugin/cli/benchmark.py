"""`wxr benchmark`: methods × sets × metrics, each cell made once."""

import argparse

EXAMPLE = """examples:
  wxr benchmark -opt options/tiny/benchmark.yml
  wxr benchmark -opt options/benchmark/real_weather.yml --available
  wxr benchmark -opt options/benchmark/real_weather.yml --list
  wxr benchmark --sets
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `benchmark` to the `wxr` command."""
    parser = subparsers.add_parser(
        "benchmark",
        help="restore test sets with many methods and measure them under one protocol",
        description="Restore every set with every method, measure it, and write tables and a report. What is there is "
        "kept: only missing cells are made, and a run that was killed goes on.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("-opt", metavar="FILE", help="option file of the benchmark")
    what.add_argument(
        "--sets", action="store_true", help="print the known sets, and how their folders look"
    )
    what.add_argument("--metrics", action="store_true", help="print the known metrics")
    parser.add_argument(
        "--force_yml", nargs="+", metavar="KEY=VALUE", default=(), help="change options: device=cpu"
    )
    parser.add_argument(
        "--available",
        action="store_true",
        help="leave out methods and sets whose files are not here",
    )
    parser.add_argument(
        "--list", action="store_true", help="print what is there and what is missing; make nothing"
    )
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Make the benchmark; 1 if something could not be restored or measured."""
    from wxr_plugin.benchmark import summary

    if args.sets or args.metrics:
        summary.print_sets() if args.sets else summary.print_metrics()
        return 0
    from wxr_plugin.benchmark.checking import load_benchmark
    from wxr_plugin.benchmark.report.write import write_report
    from wxr_plugin.benchmark.run import Run

    plan = load_benchmark(args.opt, args.force_yml, args.available)
    job = Run(plan, say=lambda line: print(line, flush=True))
    for line in plan.left_out:
        print(line)
    if args.list:
        print(*job.states(), sep="\n")
        return 0
    job.make()
    summary.print_results(job)
    print(f"\nOpen {write_report(job.folder)}")
    return 1 if job.failures else 0
