"""`wxr wresvlm`: the whole method from folders of photos to a report."""

import argparse

EXAMPLE = """example:
  wxr wresvlm run -opt options/tiny/wresvlm_run.yml
  wxr wresvlm run -opt options/tiny/wresvlm_run.yml --list
  wxr wresvlm run -opt options/tiny/wresvlm_run.yml --until round_1
  wxr wresvlm run -opt options/tiny/wresvlm_run.yml --redo prompts
  wxr wresvlm report -opt options/tiny/wresvlm_run.yml
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `wresvlm` with `run`, `report` and `check` to the `wxr` command."""
    parser = _new(
        subparsers,
        "wresvlm",
        "all of WResVLM, from folders to a report",
        "Train WResVLM in rounds.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="{run,report,check}")
    purpose = (
        "Make every stage that is not done or whose inputs changed. A run that was killed goes on."
    )
    run_parser = _add_file(_new(actions, "run", "make all stages", purpose))
    run_parser.add_argument("--until", metavar="STAGE", help="stop after this stage")
    run_parser.add_argument(
        "--redo", nargs="+", metavar="STAGE", default=[], help="make these again, done or not"
    )
    run_parser.add_argument(
        "--list", action="store_true", help="print the stages with their state and make nothing"
    )
    run_parser.set_defaults(func=run)
    purpose = "Make the report of the stages that are done so far."
    _add_file(_new(actions, "report", "report on what is done so far", purpose)).set_defaults(
        func=report
    )
    purpose = (
        "Look for all problems of a run's option file and of the training files that it names."
    )
    _add_file(_new(actions, "check", "check a run's option file", purpose)).set_defaults(func=check)


def run(args: argparse.Namespace) -> int:
    """Make the stages, or list them."""
    from wxr_plugin.wresvlm.checking import load_run
    from wxr_plugin.wresvlm.report.pages import judge_note
    from wxr_plugin.wresvlm.run import Run

    settings = load_run(args.opt, args.force_yml or ())
    job = Run(settings, say=lambda line: print(line, flush=True))
    if args.list:
        for state in job.states():
            print(f"{state.name:<12} {state.word:<9} {state.why}".rstrip())
        return 0
    if note := judge_note(settings):
        print(note)
    job.make(args.until, args.redo)
    page = settings.folder("report") / "index.html"
    if args.until in (None, "report"):
        print(f"\nOpen {page}")
    return 0


def report(args: argparse.Namespace) -> int:
    """Make the report of what is done."""
    from wxr_plugin.wresvlm.checking import load_run
    from wxr_plugin.wresvlm.run import Run

    job = Run(load_run(args.opt, args.force_yml or ()), say=lambda line: print(line, flush=True))
    print(f"\nOpen {job.report_now()}")
    return 0


def check(args: argparse.Namespace) -> int:
    """Check the file; its problems go to stderr."""
    from wxr_plugin.wresvlm.checking import load_run

    load_run(args.opt, args.force_yml or ())
    print(f"{args.opt}: no problems")
    return 0


def _new(
    subparsers: argparse._SubParsersAction, name: str, purpose: str, description: str
) -> argparse.ArgumentParser:
    style = argparse.RawDescriptionHelpFormatter
    return subparsers.add_parser(
        name, help=purpose, description=description, epilog=EXAMPLE, formatter_class=style
    )


def _add_file(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("-opt", required=True, metavar="FILE", help="option file of the run")
    parser.add_argument(
        "--force_yml", nargs="+", metavar="KEY=VALUE", help="change options: rounds=[…] name=other"
    )
    return parser
