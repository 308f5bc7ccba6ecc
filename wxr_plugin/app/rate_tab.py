"""Tab that rates the photos of a folder and ranks them."""

from typing import Any

from wxr_plugin.app import restoring
from wxr_plugin.app.folders import Folders
from wxr_plugin.app.messages import one_line
from wxr_plugin.app.settings import Settings


def add_rate_tab(gr: Any, folders: Folders, settings: Settings) -> None:
    """Add the components of the tab, and what its button calls."""
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
