"""Errors as the page shows them."""

import functools
from collections.abc import Callable
from typing import Any

from wxr_plugin.errors import WxrError
from wxr_plugin.utils.extras import imported


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
