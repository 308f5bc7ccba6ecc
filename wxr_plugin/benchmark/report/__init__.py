"""The HTML, Markdown and LaTeX reports of a benchmark."""
