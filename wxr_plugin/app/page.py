"""The page: its tabs, its style, and the server."""

import os
from typing import Any

from wxr_plugin.app.folders import Folders
from wxr_plugin.app.label_tab import add_label_tab
from wxr_plugin.app.rate_tab import add_rate_tab
from wxr_plugin.app.restore_tab import add_restore_tab
from wxr_plugin.app.settings import Settings
from wxr_plugin.app.study_tab import add_study_tab
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.extras import imported

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


def build(settings: Settings) -> Any:
    """Return the page as gradio's Blocks."""
    gr = imported("gradio")
    folders = Folders(settings.folders)
    with gr.Blocks(title="wxr", analytics_enabled=False) as blocks:
        gr.Markdown(
            "# Clear photos\nRemoves rain, haze and snow. Everything stays on this machine."
        )
        with gr.Tab("Restore"):
            add_restore_tab(gr, settings)
        with gr.Tab("Rate"):
            add_rate_tab(gr, folders, settings)
        with gr.Tab("Labels"):
            add_label_tab(gr, folders)
        with gr.Tab("Study"):
            add_study_tab(gr, folders)
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
