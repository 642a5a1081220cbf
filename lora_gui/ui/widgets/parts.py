"""Components made the way this window makes them."""

from typing import Any

import gradio as gr

# Of pieces of HTML that hold buttons with a `data-act`: what `select` brings is the data of the one that was pressed.
PRESSES = """
element.addEventListener('click', ({ target }) => {
  const button = target.closest('button[data-act]');
  if (button) trigger('select', { word: '', name: '', ...button.dataset });
});
"""
# Of lists whose rows have a `data-name`: the name of the row comes along, and `ask` shows what is asked before.
ACTS = """
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-act]'), row = button?.closest('[data-name]');
  if (!button) return;
  const { act } = button.dataset;
  if (act === 'ask' || act === 'keep') {
    row.classList.toggle('asked', act === 'ask');
    row.querySelector(`[data-act=${act === 'ask' ? 'keep' : 'ask'}]`).focus();
  } else trigger('select', { act, name: row?.dataset.name || button.dataset.name || '' });
});
"""


def html(value: str = "", **options: Any) -> gr.HTML:
    """A piece of HTML in the window's own style instead of gradio's; empty ones take no room."""
    return gr.HTML(value, apply_default_css=False, **options)


def leaves(key: str, event: Any) -> None:
    """Let the page ask for `event` by itself while it is left, as `studio.beacon(key, ...)`."""
    html(js_on_load=f"studio.asks('{key}', {event['id']})")
