"""Tab that restores photos by one restorer or several, and fetches published methods."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from wxr_plugin.app import restoring
from wxr_plugin.app.messages import one_line
from wxr_plugin.app.settings import Settings


def add_restore_tab(gr: Any, settings: Settings) -> None:
    """Add the components of the tab, and what its buttons call."""
    with gr.Row():
        with gr.Column(scale=1):
            types = ["image"]
            files = gr.File(label="Photos", file_count="multiple", file_types=types, height=160)
            choices = restoring.choices()
            names = gr.Dropdown(choices, value=["small"], multiselect=True, label="Restorers")
            with gr.Accordion("Settings", open=False):
                tile = gr.Number(0, label="Tile in pixels, 0: chosen by memory", precision=0)
                precision = gr.Radio(["fp32", "bf16", "fp16"], value="fp32", label="Precision")
            button = gr.Button("Restore", variant="primary", elem_id="restore")
            archive = gr.File(label="All results", interactive=False, visible=False)
            _download_row(gr, names)
        with gr.Column(scale=2):
            slider = gr.ImageSlider(label="Before and after", type="filepath", max_height=640)
            result = gr.Dropdown([], label="Result", visible=False)
            facts = gr.Dataframe(
                headers=["photo", "version", "rating", "degradation", "description"],
                label="What the packaged models say",
                interactive=False,
                wrap=True,
            )
    outcome = gr.State([])

    def run(
        paths: list[str], chosen: list[str], side: float, kind: str, progress: Any = None
    ) -> Any:
        job = restoring.Job(chosen or [], int(side or 0), kind, settings.device)
        results = restoring.restore([Path(path) for path in paths or []], job, progress)
        labels = [item.label for item in results]
        table = [row for item in results for row in item.facts]
        first = results[0]
        return (
            results,
            (str(first.before), str(first.after)),
            gr.Dropdown(labels, value=labels[0], visible=True),
            table,
            gr.File(str(restoring.zipped(results)), visible=True),
        )

    def show(results: list[Any], label: str) -> Any:
        item = next(item for item in results if item.label == label)
        return str(item.before), str(item.after)

    inputs = [files, names, tile, precision]
    button.click(
        _with_progress(gr, one_line(run)), inputs, [outcome, slider, result, facts, archive]
    )
    result.input(show, [outcome, result], slider)


def _with_progress(gr: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    # gradio finds the bar by the default of an argument.
    def run(a: Any, b: Any, c: Any, d: Any, progress: Any = gr.Progress()) -> Any:  # noqa: B008
        return function(a, b, c, d, progress)

    return run


def _download_row(gr: Any, names: Any) -> None:
    """Add the choice of published methods, their licence and a button that fetches them."""
    with gr.Accordion("Get a published method", open=False):
        method = gr.Dropdown(restoring.missing(), label="Method", value=None)
        licence = gr.Markdown()
        accepted = gr.Checkbox(label="I accept this licence")
        get = gr.Button("Download")

    def show(name: str | None) -> Any:
        return restoring.licence(name) if name else "", False

    def fetch(name: str | None, is_accepted: bool) -> Any:
        restoring.fetch(name, is_accepted)
        return gr.Dropdown(restoring.choices()), gr.Dropdown(restoring.missing(), value=None)

    method.change(show, method, [licence, accepted])
    get.click(one_line(fetch), [method, accepted], [names, method])
