"""Tab that shows a label store and lets a person correct its pseudo-labels."""

from collections.abc import Callable
from typing import Any

import numpy as np

from wxr_plugin.app import correcting
from wxr_plugin.app.folders import Folders
from wxr_plugin.app.messages import one_line
from wxr_plugin.errors import WxrError

LABEL_HEADS = ["photo", "rating", "source", "iteration"]
VOTE_HEADS = ["image", "rating", "rater", "state"]
FACT_HEADS = ["fact", "value"]


def add_label_tab(gr: Any, folders: Folders) -> None:
    """Add the components of the tab, and what its buttons and keys call."""
    with gr.Row():
        path = gr.Textbox(label="Label store", placeholder="/photos/rain.labels.lmdb", scale=3)
        button = gr.Button("Open", variant="primary", elem_id="open-store", scale=1)
    labels = _table(gr, LABEL_HEADS, "Pseudo-labels in force")
    key = gr.Dropdown([], label="Photo", interactive=True)
    details = _details(gr)
    with gr.Accordion("Correct this label", open=False):
        image = gr.Image(
            label="The better restoration, of the same size", type="numpy", elem_id="better"
        )
        with gr.Row():
            rating = gr.Slider(1, 5, value=5, step=0.1, label="Rating")
            who = gr.Textbox(label="Your name", elem_id="corrector")
        save = gr.Button("Save the correction", elem_id="correct")

    opened = [labels, key, *details]
    # The key Enter opens a store as the button does.
    for event in (button.click, path.submit):
        event(one_line(_opening(gr, folders)), path, opened)
    # `input`, not `change`: opening a store sets the photo and its details at once.
    key.input(one_line(_showing(folders)), [path, key], details)
    correction = [path, key, image, rating, who]
    save.click(one_line(_correcting(gr, folders)), correction, [labels, *details])


def _details(gr: Any) -> list[Any]:
    """Add and return the components that show one label: versions, votes and provenance."""
    versions = gr.Gallery(label="Stored versions, newest first", columns=4, object_fit="contain")
    votes = _table(gr, VOTE_HEADS, "Votes", elem_id="votes")
    facts = _table(gr, FACT_HEADS, "Provenance of the label in force", elem_id="provenance")
    return [versions, votes, facts]


def _table(gr: Any, heads: list[str], label: str, **settings: Any) -> Any:
    return gr.Dataframe(headers=heads, label=label, interactive=False, wrap=True, **settings)


def _opening(gr: Any, folders: Folders) -> Callable[[str], Any]:
    """Return the function that opens a store and shows its first label."""
    show = _showing(folders)

    def open_store(text: str) -> Any:
        rows = correcting.rows(folders.checked(text))
        keys = [row.key for row in rows]
        first = keys[0] if keys else None
        return [list(row) for row in rows], gr.Dropdown(keys, value=first), *show(text, first)

    return open_store


def _showing(folders: Folders) -> Callable[[str, str | None], tuple[Any, Any, Any]]:
    """Return the function that shows the label of a photo."""

    def show(text: str, key: str | None) -> tuple[Any, Any, Any]:
        if not key:
            return [], [], []
        store = folders.checked(text)
        return (
            correcting.versions(store, key),
            correcting.votes(store, key),
            correcting.provenance(store, key),
        )

    return show


def _correcting(gr: Any, folders: Folders) -> Callable[..., Any]:
    """Return the function that replaces the label of a photo by an uploaded image."""
    show = _showing(folders)

    def correct(
        text: str, key: str | None, image: np.ndarray | None, rating: float, who: str
    ) -> Any:
        if not key:
            raise WxrError("open a label store and choose a photo first")
        if image is None:
            raise WxrError("drop the better restoration first")
        store = folders.checked(text)
        correcting.correct(store, key, image, rating, who)
        gr.Info(f"{key} is corrected; the replaced label is kept next to the store")
        return [list(row) for row in correcting.rows(store)], *show(text, key)

    return correct
