"""Components made the way this window makes them."""

from typing import Any

import gradio as gr


def html(value: str = "", **options: Any) -> gr.HTML:
    """A piece of HTML in the window's own style instead of gradio's; empty ones take no room."""
    return gr.HTML(value, apply_default_css=False, **options)


def leaves(key: str, event: Any) -> None:
    """Let the page ask for `event` by itself while it is left, as `studio.beacon(key, ...)`."""
    html(js_on_load=f"studio.asks('{key}', {event['id']})")
