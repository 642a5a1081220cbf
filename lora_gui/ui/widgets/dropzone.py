"""The place where pictures are dropped. What the browser names is believed only where it lies among its own uploads."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.errors import UserError, shown
from lora_gui.studio.things import sorting
from lora_gui.ui.widgets.parts import html

SCRIPT = Path(__file__).with_name("dropzone.js")
_ICON = """
    <svg viewBox="0 0 48 40" aria-hidden="true"><rect x="4" y="9" width="30" height="26" rx="3"/>
      <path d="M4 29l9-8 7 6 5-4 9 8M14 4h27a3 3 0 0 1 3 3v21"/><circle cx="13" cy="17" r="2.5"/></svg>"""
_TITLE = (
    '<span class="first">Drop 10 to 50 pictures here, or a folder</span><span class="more">Drop more pictures</span>'
)
_EXAMPLES = """<i class="first">·</i>
      <button type="button" class="first" data-pick="examples">Use the example pictures</button>"""
MARKUP = """
<div class="zone{kind}" data-turn="${value}" data-looking="Looking at the {things}">
  <div class="zone-idle">{icon}
    <p class="zone-title">{title}</p>
    <p class="zone-ways"><button type="button" data-pick="files">Choose {things}</button><i>·</i>
      <button type="button" data-pick="folder">Choose a folder</button>{examples}</p>
  </div>
  <div class="zone-busy"><span></span><div class="bar"><i></i></div></div><span class="aloud" role="status"></span>
  <input class="files" type="file" multiple hidden accept="{accept}" aria-label="Choose {things}">
  <input class="folder" type="file" webkitdirectory hidden aria-label="Folder with {things}">
</div>
"""
_ANYWHERE = """
const ELSEWHERE = 'Nothing is taken in here. Drop pictures on the form in Train, and LoRAs on the list in Library.';
const PATIENCE = 3000; // ms until what is unfolded stands there
const isStray = event => event.dataTransfer?.types.includes('Files') && !event.defaultPrevented
  && !document.querySelector('#prompt')?.checkVisibility(); // Generate takes it everywhere
const inSight = () => [...document.querySelectorAll('.zone')].find(one => one.checkVisibility());
let unfolding = null; // one for all that is dropped meanwhile: a second press would fold it again

async function unfold() {
  const fold = document.querySelector('#bring'), until = performance.now() + PATIENCE;
  if (!fold?.checkVisibility()) return null;
  fold.querySelector('.label-wrap').click();
  while (!inSight() && performance.now() < until) await new Promise(requestAnimationFrame);
  return inSight();
}
// What is dropped can be read only now, and the zone may come later.
function held({ items, files }) {
  const entries = Array.from(items, item => item.webkitGetAsEntry?.());
  return { types: [], files: [...files], items: entries.map(entry => ({ webkitGetAsEntry: () => entry })) };
}
window.addEventListener('dragover', event => { if (isStray(event)) event.preventDefault(); });
window.addEventListener('drop', async event => {
  if (!isStray(event)) return;
  event.preventDefault();
  const dataTransfer = held(event.dataTransfer);
  const zone = inSight() ?? await (unfolding ??= unfold().finally(() => { unfolding = null; }));
  if (zone) zone.dispatchEvent(Object.assign(new Event('drop', { bubbles: true, cancelable: true }), { dataTransfer }));
  else studio.say(ELSEWHERE);
});
"""


def anywhere() -> None:
    """Let the zone in sight take what is dropped beside it, or that for LoRAs, which may be folded; where there is
    none, a sentence says where to. Never does the browser open it in place of the window.

    Make it outside of the tabs: gradio begins with the open one alone.
    """
    html(js_on_load=_ANYWHERE)


def build() -> gr.HTML:
    """`upload` brings `paths` with the `names` that the user knows, what was `skipped` by its name, and what `failed`.

    `select` asks for the examples. A new value makes it ready again.
    """
    accept = ",".join(["image/*", ".zip", *sorted(sorting.TEXTS | sorting.TABLES)])
    words = {"kind": "", "icon": _ICON, "examples": _EXAMPLES, "things": "pictures", "accept": accept}
    return _zone("dropzone", words | {"title": _TITLE})


def for_loras() -> gr.HTML:
    """As `build`, for LoRA files, and without examples."""
    words = {"kind": " slim", "icon": "", "examples": "", "things": "LoRAs", "accept": ".safetensors,image/*"}
    return _zone("lora-dropzone", words | {"title": "Drop LoRA files here, or a folder"})


def _zone(name: str, words: dict[str, str]) -> gr.HTML:
    made = MARKUP
    for word, text in words.items():
        made = made.replace(f"{{{word}}}", text)
    return html("0", html_template=made, js_on_load=SCRIPT.read_text(encoding="utf-8"), elem_id=name)


def uploaded(paths: Sequence[object], names: Sequence[object]) -> tuple[list[Path], list[str]]:
    """Those of `paths` that are files in gradio's own folder of uploads, and their names: words, and never paths."""
    root = Path(os.environ["GRADIO_TEMP_DIR"]).resolve()
    found = [
        (Path(path).resolve(), str(name)) for path, name in zip(paths, names, strict=False) if isinstance(path, str)
    ]
    kept = [(path, name) for path, name in found if path.is_relative_to(root) and path.is_file()]
    return [path for path, _ in kept], [name for _, name in kept]


def one(event: Any, at: int = 0) -> Path:
    """The file that the page has just copied and names in `event`, as the first of them or the one `at` that place.

    Raises UserError where none came, or no such one.
    """
    paths = event.paths if isinstance(event.paths, list) else []
    names = [str(name) for name in event.names] if isinstance(event.names, list) else []
    found, _ = uploaded(paths[at : at + 1], names[at : at + 1])
    if not found:
        what = f"{shown(names[at]) if names else 'The file'} could not be copied."
        raise UserError(what, str(event.why)[:300] or "Try it again.")
    return found[0]
