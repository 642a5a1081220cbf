"""Components made the way this window makes them."""

from typing import Any

import gradio as gr


def html(value: str = "", **options: Any) -> gr.HTML:
    """A piece of HTML in the window's own style instead of gradio's; empty ones take no room."""
    return gr.HTML(value, apply_default_css=False, **options)
