"""The files of a report: report.html, report.md and report.tex."""

from pathlib import Path

from wxr_plugin.benchmark.report.content import content
from wxr_plugin.benchmark.report.html import to_html
from wxr_plugin.benchmark.report.images import Shown, viewer_data
from wxr_plugin.benchmark.report.latex import to_latex
from wxr_plugin.benchmark.report.markdown import to_markdown
from wxr_plugin.benchmark.results import Results
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.files import write_text

PAGE, MARKDOWN, LATEX = "report.html", "report.md", "report.tex"
MAX_IMAGES, MAX_SIDE = 12, 1024


def write_report(
    folder: str | Path,
    output: str | Path | None = None,
    max_images: int = MAX_IMAGES,
    max_side: int = MAX_SIDE,
) -> Path:
    """Write the report of the benchmark in `folder` and return the path of the page.

    A benchmark that still runs gives the report of the results so far.

    Args:
        folder: folder that `wxr benchmark` wrote.
        output: folder for report.html, report.md and report.tex; `folder` itself if None.
        max_images: photos that the page carries, with the results of all methods; it links the
            files of the others.
        max_side: longest side of these, in pixels.

    Raises:
        WxrError: no benchmark in the folder, files that cannot be read, or numbers out of range.
    """
    if max_images < 0 or max_side < 16:
        raise WxrError(
            f"max_images {max_images} and max_side {max_side}: take 0 or more, and 16 or more"
        )
    folder = Path(folder)
    output = Path(output) if output else folder
    results = Results.read(folder)
    parts = content(results)
    shown = Shown(max_images, max_side, output)
    data = viewer_data(results, shown)
    write_text(output / MARKDOWN, to_markdown(parts))
    write_text(output / LATEX, to_latex(parts))
    write_text(output / PAGE, to_html(parts, results, data, max_side))
    return output / PAGE
