"""Tab of the blind study: which of two results of a photo is better."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from wxr_plugin.app.folders import Folders
from wxr_plugin.app.messages import one_line
from wxr_plugin.app.study import ANSWERS, Question, Study
from wxr_plugin.data.images.io import read_image
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.files import write_text


def add_study_tab(gr: Any, folders: Folders) -> None:
    """Add the components of the tab, and what its buttons and keys call."""
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
