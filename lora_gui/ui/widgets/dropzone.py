"""The place where pictures are dropped. What the browser names is believed only where it lies among its own uploads."""

import os
from collections.abc import Sequence
from pathlib import Path

import gradio as gr

from lora_gui.ui.widgets.parts import html

SCRIPT = Path(__file__).with_name("dropzone.js")
MARKUP = """
<div class="zone" data-turn="${value}">
  <div class="zone-idle">
    <svg viewBox="0 0 48 40" aria-hidden="true"><rect x="4" y="9" width="30" height="26" rx="3"/>
      <path d="M4 29l9-8 7 6 5-4 9 8M14 4h27a3 3 0 0 1 3 3v21"/><circle cx="13" cy="17" r="2.5"/></svg>
    <p class="zone-title">Drop 10 to 50 pictures here, or a folder</p>
    <p class="zone-ways"><button type="button" data-pick="files">Choose pictures</button><i>·</i>
      <button type="button" data-pick="folder">Choose a folder</button><i>·</i>
      <button type="button" data-pick="examples">Use the example pictures</button></p>
  </div>
  <div class="zone-busy" role="status"><span></span><div class="bar"><i></i></div></div>
  <input class="files" type="file" multiple hidden accept="image/*,.txt,.caption" aria-label="Pictures">
  <input class="folder" type="file" webkitdirectory hidden aria-label="Folder with pictures">
</div>
"""


def build() -> gr.HTML:
    """`upload` brings `paths` and `failed`; `select` asks for the examples. A new value makes it ready again."""
    return html("0", html_template=MARKUP, js_on_load=SCRIPT.read_text(encoding="utf-8"), elem_id="dropzone")


def uploaded(paths: Sequence[object]) -> list[Path]:
    """Those of `paths` that are files in gradio's own folder of uploads."""
    root = Path(os.environ["GRADIO_TEMP_DIR"]).resolve()
    found = [Path(path).resolve() for path in paths if isinstance(path, str)]
    return [path for path in found if path.is_relative_to(root) and path.is_file()]
