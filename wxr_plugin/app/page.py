"""The page: its tabs, and what their buttons call."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from wxr_plugin.app import correcting, restoring
from wxr_plugin.app.folders import Folders
from wxr_plugin.app.study import ANSWERS, Question, Study
from wxr_plugin.data.images.io import read_image
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.extras import imported
from wxr_plugin.utils.files import write_text

# Read when gradio is imported.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

KEYS = """
<script>
document.addEventListener("keydown", (event) => {
  if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
  const ids = {ArrowLeft: "study-left", ArrowRight: "study-right", " ": "study-tie"};
  const button = document.getElementById(ids[event.key]);
  if (button && button.offsetParent) { event.preventDefault(); button.click(); }
});
</script>
"""
"""Arrow keys and the space bar answer the question of the study that is shown."""
STYLE = """
footer { display: none !important; }
.gradio-container { width: 100% !important; max-width: 1100px !important; margin: auto !important; }
.gradio-container main { width: 100%; }
"""


class Settings(msgspec.Struct):
    """Settings of the page."""

    folders: list[Path]
    """Folders that the page may read."""
    device: str | None = None
    upload_mb: int = 64
    """Largest upload in megabytes."""


def build(settings: Settings) -> Any:
    """Return the page as gradio's Blocks."""
    gr = imported("gradio")
    folders = Folders(settings.folders)
    with gr.Blocks(title="wxr", analytics_enabled=False) as blocks:
        gr.Markdown(
            "# Clear photos\nRemoves rain, haze and snow. Everything stays on this machine."
        )
        with gr.Tab("Restore"):
            _restore_tab(gr, settings)
        with gr.Tab("Rate"):
            _rate_tab(gr, folders, settings)
        with gr.Tab("Labels"):
            _label_tab(gr, folders)
        with gr.Tab("Study"):
            _study_tab(gr, folders)
    return blocks


def launch(blocks: Any, settings: Settings, host: str, port: int) -> None:
    """Serve the page until the process is stopped.

    Raises:
        WxrError: the port is in use.
    """
    gr = imported("gradio")
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    try:
        blocks.queue(default_concurrency_limit=1).launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            show_error=True,
            enable_monitoring=False,
            ssr_mode=False,
            max_file_size=settings.upload_mb * 2**20,
            allowed_paths=[str(folder.resolve()) for folder in settings.folders],
            theme=gr.themes.Base(**fonts),
            css=STYLE,
            head=KEYS,
        )
    except OSError as error:
        raise WxrError(
            f"port {port} of {host} cannot be used; name another one with --port"
        ) from error


def one_line(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` with errors that a user can put right shown as one line on the page."""
    gr = imported("gradio")

    @functools.wraps(function)
    def shown(*args: Any) -> Any:
        try:
            return function(*args)
        except (WxrError, OSError) as error:
            raise gr.Error(str(error), duration=None, print_exception=False) from None

    return shown


def _restore_tab(gr: Any, settings: Settings) -> None:
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


def _rate_tab(gr: Any, folders: Folders, settings: Settings) -> None:
    folder = gr.Textbox(label="Folder of photos", placeholder="/photos/rain")
    rater = gr.Textbox("tiny", label="Rater: tiny, llava-1.5-7b, pyiqa:musiq, a server, a file")
    button = gr.Button("Rate", variant="primary", elem_id="rate")
    table = gr.Dataframe(headers=["rank", "photo", "rating"], interactive=False, label="Ranking")
    gallery = gr.Gallery(label="Best first", columns=4, object_fit="contain")

    def run(text: str, spec: str) -> Any:
        photos = folders.photos(text)
        rated = restoring.ranked(photos, spec.strip(), settings.device)
        rows = [[n, path.name, round(rating, 3)] for n, (path, rating) in enumerate(rated, 1)]
        return rows, [(str(path), f"{rating:.2f}") for path, rating in rated]

    button.click(one_line(run), [folder, rater], [table, gallery])


def _label_tab(gr: Any, folders: Folders) -> None:
    with gr.Row():
        path = gr.Textbox(label="Label store", placeholder="/photos/rain.labels.lmdb", scale=3)
        button = gr.Button("Open", variant="primary", elem_id="open-store", scale=1)
    heads = ["photo", "rating", "source", "iteration"]
    table = gr.Dataframe(headers=heads, interactive=False, label="Pseudo-labels in force")
    key = gr.Dropdown([], label="Photo", interactive=True)
    versions = gr.Gallery(label="Stored versions, newest first", columns=4, object_fit="contain")
    votes = gr.Dataframe(
        headers=["image", "rating", "rater", "state"], interactive=False, label="Votes"
    )
    with gr.Accordion("Correct this label", open=False):
        image = gr.Image(label="The better restoration, of the same size", type="numpy")
        with gr.Row():
            rating = gr.Slider(1, 5, value=5, step=0.1, label="Rating")
            who = gr.Textbox(label="Your name")
        save = gr.Button("Save the correction", elem_id="correct")

    def store(text: str) -> Path:
        return folders.checked(text)

    def load(text: str) -> Any:
        rows = correcting.rows(store(text))
        keys = [row.key for row in rows]
        return [list(row) for row in rows], gr.Dropdown(keys, value=keys[0] if keys else None)

    def show(text: str, name: str | None) -> Any:
        if not name:
            return [], []
        return correcting.versions(store(text), name), correcting.votes(store(text), name)

    def correct(text: str, name: str, new: np.ndarray | None, value: float, person: str) -> Any:
        if new is None:
            raise WxrError("drop the better restoration first")
        correcting.correct(store(text), name, new, value, person)
        gr.Info(f"{name} is corrected; what it replaces is kept next to the store")
        rows = [list(row) for row in correcting.rows(store(text))]
        return rows, *show(text, name)

    button.click(one_line(load), path, [table, key])
    key.change(one_line(show), [path, key], [versions, votes])
    save.click(one_line(correct), [path, key, image, rating, who], [table, versions, votes])


def _study_tab(gr: Any, folders: Folders) -> None:
    with gr.Accordion("The study", open=True):
        gr.Markdown("Results of each method in a folder of its own, with equal names of photos.")
        where = gr.Textbox(label="Folders of results, one a line: NAME=FOLDER", lines=3)
        answers = gr.Textbox(label="Folder for the answers; the same one resumes")
        with gr.Row():
            person = gr.Textbox(label="Your name")
            seed = gr.Number(0, label="Seed", precision=0)
        start = gr.Button("Start or resume", variant="primary", elem_id="study-start")
    status = gr.Markdown(elem_id="study-status")
    quiet = {"interactive": False, "type": "numpy", "buttons": ["fullscreen"]}
    with gr.Row():
        left = gr.Image(label="Left", elem_id="left-image", **quiet)
        right = gr.Image(label="Right", elem_id="right-image", **quiet)
    with gr.Row():
        pick_left = gr.Button("← left is better", elem_id="study-left")
        tie = gr.Button("no difference (space)", elem_id="study-tie")
        pick_right = gr.Button("right is better →", elem_id="study-right")
    finish = gr.Button("Scores of all answers so far", elem_id="study-scores")
    heads = ["method", "wins", "comparisons", "score", "low", "high"]
    table = gr.Dataframe(headers=heads, interactive=False, label="Bradley-Terry scores, 95 %")
    file = gr.File(label="CSV", interactive=False, visible=False)
    question = gr.State(None)
    setting = [where, answers, person, seed]

    def study(text: str, folder: str, name: str, number: float) -> Study:
        methods = {}
        for line in filter(None, map(str.strip, text.splitlines())):
            method, _, path = line.rpartition("=")
            title = method.strip() or Path(path.strip()).name
            if title in methods:
                raise WxrError(f"two methods are named {title}: write NAME=FOLDER for each")
            methods[title] = folders.checked(path)
        return Study(answer_folder(folders, folder), methods, name, int(number or 0))

    def ask(current: Study) -> Any:
        asked = current.next()
        done, total = current.progress()
        if asked is None:
            return None, None, None, f"All {total} questions are answered. Thank you."
        # As pixels: the address of a file would name its method.
        sides = [read_image(current.files[name][asked.photo]) for name in asked[1:]]
        return asked, *sides, f"Question {done + 1} of {total}: which photo is better?"

    def begin(*values: Any) -> Any:
        return ask(study(*values))

    def choose(choice: str) -> Callable[..., Any]:
        def chosen(asked: Question | None, *values: Any) -> Any:
            current = study(*values)
            if asked is not None:
                current.answer(Question(*asked), choice)
            return ask(current)

        return one_line(chosen)

    def summary(*values: Any) -> Any:
        current = study(*values)
        path = current.folder / "scores.csv"
        write_text(path, current.csv())
        rows = [
            [s.method, s.wins, s.shown, *(round(v, 3) for v in s[3:])] for s in current.scores()
        ]
        return rows, gr.File(str(path), visible=True)

    shown = [question, left, right, status]
    start.click(one_line(begin), setting, shown)
    for button, choice in ((pick_left, "left"), (tie, "tie"), (pick_right, "right")):
        button.click(choose(choice), [question, *setting], shown)
    finish.click(one_line(summary), setting, [table, file])


def answer_folder(folders: Folders, text: str) -> Path:
    """Return the folder of the answers, which need not exist but lies below an allowed one."""
    path = Path(text.strip()).expanduser()
    if not text.strip():
        raise WxrError("name a folder for the answers")
    if not path.exists():
        return folders.checked(str(path.parent)) / path.name
    if (path / ANSWERS).is_symlink():
        folders.checked(str(path / ANSWERS))
    return folders.checked(text)
