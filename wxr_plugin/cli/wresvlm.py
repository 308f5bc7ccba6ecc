"""`wxr wresvlm`: the whole method, from folders of photos to a report."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wxr_plugin.cli.parsers import add_command, add_group, add_offline, add_overrides
from wxr_plugin.utils.json_output import add_json, json_result, print_json
from wxr_plugin.utils.plans import add_dry_run, print_plan
from wxr_plugin.utils.tables import print_table

if TYPE_CHECKING:
    from wxr_plugin.wresvlm.run import Run

DESCRIPTION = """
Train WResVLM in rounds: each round labels real photos, learns prompts and trains the network on
both.
"""
RUN = """
Run every stage that is not done or whose inputs changed. An interrupted run resumes.
"""
RUN_EXAMPLES = """examples:
  wxr wresvlm run -opt options/tiny/wresvlm_run.yml
  wxr wresvlm run -opt options/tiny/wresvlm_run.yml --list
  wxr wresvlm run -opt options/tiny/wresvlm_run.yml --until round_1
  wxr wresvlm run -opt options/tiny/wresvlm_run.yml --redo prompts
"""
REPORT_EXAMPLES = """example:
  wxr wresvlm report -opt options/tiny/wresvlm_run.yml
"""
CHECK = """
Report every problem of the option file of a run and of the training files that it names.
"""
CHECK_EXAMPLES = """example:
  wxr wresvlm check -opt options/tiny/wresvlm_run.yml
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add `wresvlm` with `run`, `report` and `check` to the `wxr` command."""
    summary = "run all of WResVLM, from folders of photos to a report"
    actions = add_group(subparsers, "wresvlm", summary, DESCRIPTION, RUN_EXAMPLES)
    _add_run(actions)
    summary = "write the report of the stages that are done"
    parser = add_command(actions, "report", summary, report, examples=REPORT_EXAMPLES)
    _add_file(parser)
    add_json(parser, "the path of the report")
    summary = "check the option file of a run"
    _add_file(add_command(actions, "check", summary, check, CHECK, CHECK_EXAMPLES))


def _add_run(actions: argparse._SubParsersAction) -> None:
    parser = add_command(actions, "run", "run or resume all stages", run, RUN, RUN_EXAMPLES)
    _add_file(parser)
    parser.add_argument("--until", metavar="STAGE", help="last stage to run")
    parser.add_argument(
        "--redo", nargs="+", metavar="STAGE", default=[], help="stages to run again, done or not"
    )
    parser.add_argument(
        "--list", action="store_true", help="list the stages and their states; run nothing"
    )
    add_dry_run(parser)
    add_json(parser, "the stages, the plan or the path of the report")
    add_offline(parser)


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-opt", required=True, metavar="FILE", help="option file of the run")
    add_overrides(parser, "name=other")


def run(args: argparse.Namespace) -> int:
    """Run the stages, or list them."""
    from wxr_plugin.wresvlm.report.pages import judge_note

    job = _job(args)
    if args.dry_run:
        print_plan(planned(job, args.until, args.redo), args.json)
        return 0
    if args.list:
        _print_states(job, args.json)
        return 0
    with json_result(args.json) as result:
        # Printed first: a judge that is also the rater would flatter its own training.
        if note := judge_note(job.settings):
            print(note)
        job.make(args.until, args.redo)
        # Other stages have no page.
        if args.until in (None, "report"):
            result["report"] = job.settings.folder("report") / "index.html"
            print(f"\nOpen {result['report']}")
    return 0


def _print_states(job: "Run", as_json: bool) -> None:
    """Print the stages and their states."""
    headings = ("stage", "state", "reason")
    states = job.states()
    if as_json:
        print_json([dict(zip(headings, state)) for state in states])
    else:
        print_table(headings, states)


def planned(job: "Run", until: str | None, redo: Sequence[str]) -> dict[str, Any]:
    """Return the plan of `wxr wresvlm run`, for `--dry-run`.

    Raises:
        WxrError: there is no such stage.
    """
    from wxr_plugin.wresvlm.report.pages import judge_note

    last = job.index(until) if until else len(job.stages) - 1
    again = {job.stages[job.index(name)].name for name in redo}
    stages = {}
    for state in job.states()[: last + 1]:
        is_done = state.word == "done" and state.name not in again
        action = "skip" if is_done else "make again" if state.name in again else "make"
        reason = f" ({state.word}{', ' if state.why else ''}{state.why})"
        stages[state.name] = action + reason
    return {
        "work_folder": job.settings.work,
        "stages": stages,
        "photos": job.settings.real,
        "device": job.settings.device or "the default of each stage",
        "warning": judge_note(job.settings),
    }


def report(args: argparse.Namespace) -> int:
    """Write the report of the stages that are done."""
    with json_result(args.json) as result:
        result["report"] = _job(args).report_now()
        print(f"\nOpen {result['report']}")
    return 0


def check(args: argparse.Namespace) -> int:
    """Check the file; its problems are printed to stderr."""
    from wxr_plugin.wresvlm.checking import load_run

    load_run(args.opt, args.force_yml)
    print(f"{args.opt}: no problems")
    return 0


def _job(args: argparse.Namespace) -> "Run":
    from wxr_plugin.wresvlm.checking import load_run
    from wxr_plugin.wresvlm.run import Run

    settings = load_run(args.opt, args.force_yml)
    return Run(settings, say=lambda line: print(line, flush=True))
