"""The picture desk as a component: its cells ask for what they need, and say what was typed, moved, painted, undone."""

import base64
import binascii
import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.framing import Place
from lora_gui.protocol.jobs import mask_beside
from lora_gui.studio.doctor.finding import Judgement
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import masks, pictures, set_edits
from lora_gui.studio.things.pictures import PictureSet
from lora_gui.ui.train import desk_state, planned
from lora_gui.ui.train.desk_state import Aim
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.handlers import HIDDEN, LIGHT, Changes
from lora_gui.ui.widgets.parts import html, leaves
from lora_gui.ui.widgets.thumbnails import Thumbnails

SMALL, LARGE = 320, 1024  # px of small copies, and of the picture that a mask is painted over
MOST = 48  # small copies that are made for one request
SCRIPTS = ("desk.js", "desk_keys.js", "desk_mask.js")  # of one scope
NOTHING = Judgement({}, ())
_CHIP = '<button type="button" class="chip {name}" data-do="{name}"{more}>{words}</button>'
_KEYS = "Arrows move, letters type, Enter: next caption, Esc: leave, Delete: take out, Shift+arrows: move the crop."


def _chip(name: str, words: str, more: str = "") -> str:
    return _CHIP.format(name=name, words=words, more=more)


_MARKUP = f"""
<div class="desk">
  <div class="desk-bar">
    <label>Sort <select class="sort"><option value="added">as added</option><option value="name">by name</option>
      <option value="worst">worst first</option></select></label>
    {_chip("undo", "Undo")}{_chip("redo", "Redo")}<span class="history" role="status"></span>
    <span class="kept" role="status"></span>{_chip("larger", "Larger", ' aria-pressed="false"')}
  </div>
  <div class="pictures" role="list" aria-label="Pictures and their captions. {_KEYS}"></div>
  <div class="about none">
    <p class="facts"></p>
    <p class="found"></p>
    <p class="acts">{_chip("mask", "Mask")}{_chip("middle", "Crop the middle")}{_chip("remove", "Take out")}
      {markup.learn("captions")}<span class="keys">{_KEYS}</span></p>
  </div>
  <div class="easel begin" hidden>
    <p class="whose"></p>
    <div class="board"><img alt=""><canvas></canvas></div>
    <div class="chips tools" role="group" aria-label="Brush">
      <button type="button" class="chip" data-tool="paint" aria-pressed="true">Paint</button>
      <button type="button" class="chip" data-tool="erase" aria-pressed="false">Erase</button>
      <label>Brush <input type="range" min="2" max="40" value="12" aria-label="Size of the brush"></label>
      {_chip("clear", "Learn all of it")}{_chip("close", "Done")}
    </div>
    <p class="quiet says" role="status"></p>
  </div>
  <details class="out" hidden><summary></summary><ul></ul></details>
</div>
"""


class DeskView:
    """Lays itself out where it is made. What changes single pictures is on the disk before it is answered."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        home = Path(__file__).parent
        script = "\n".join((home / name).read_text(encoding="utf-8") for name in SCRIPTS)
        self.board = html("{}", html_template=_MARKUP, js_on_load=script, elem_id="picture-desk")
        self._kept = gr.JSON({}, visible=False)  # short answers, for the desk's script
        self.outputs = [self.board]
        self._judged = "", NOTHING  # the latest, and of which set
        self._latest: dict[tuple[str, int], float] = {}  # when each caption was typed; ms
        self._writing = threading.Lock()
        self._aim: Callable[[], tuple[PictureSet, Aim] | None] = lambda: None

    def connect(self, aim: Callable[[], tuple[PictureSet, Aim] | None], acted: Callable[[gr.EventData], None]) -> Any:
        """`aim` gives the pictures that are chosen and what they are for; `acted` hears of what is typed."""
        self._aim = aim

        def typed(event: gr.EventData, _: Any) -> Changes:
            kept = self._typed(event)
            acted(event)
            return {self._kept: kept}

        took: dict[str, Any] = {"js": "kept => { studio.desk(kept); return []; }"} | HIDDEN
        every: dict[str, Any] = LIGHT | {"trigger_mode": "multiple"}
        wrote = self.board.input(typed, [self._kept], [self._kept], **every)
        wrote.then(None, [self._kept], None, **took)
        leaves("desk", wrote)
        asked = self.board.tick(self._fetched, None, [self._kept], **every)
        asked.then(None, [self._kept], None, **took)
        return wrote

    def show(self, found: PictureSet, aim: Aim, judgement: Judgement | None = None) -> Changes:
        """All of a set; what was found of it before stays until it is judged again."""
        name = found.folder.name
        if judgement is not None:
            self._judged = name, judgement
        known = self._judged[1] if self._judged[0] == name else NOTHING
        return {self.board: desk_state.state(found, aim, known, Thumbnails(self._studio, SMALL))}

    def act(self, event: gr.EventData, found: PictureSet) -> None:
        """Do what was pressed. Raises UserError where it cannot be done, or other pictures are chosen by now."""
        if str(event.set) != found.folder.name:
            raise planned.gone()
        if event.act in ("undo", "redo"):
            set_edits.step(self._studio, found.folder, event.act)
        elif event.act == "out":
            set_edits.take_out(self._studio, found.folder, [_number(event.n)])
        elif event.act == "back":
            set_edits.put_back(found.folder, _number(event.n))
        elif event.act == "crop":
            set_edits.crop(found.folder, _number(event.n), _place(event.crop), str(event.within))
        elif event.act == "mask":
            _mask(found, event)

    def _typed(self, event: gr.EventData) -> dict[str, Any]:
        """Keep a caption, unless one that was typed later has come first; or paint that a page left behind."""
        folder = self._studio.pictures / Path(str(event.set)).name
        if event.act == "mask":
            _mask(pictures.load(folder), event)
            return {}
        number, words, when = _number(event.n), str(event.words), float(getattr(event, "at", math.inf))
        with self._writing:
            if self._latest.get((folder.name, number), 0.0) > when:
                return {}
            kept = set_edits.caption(folder, number, words, str(getattr(event, "within", "")))
            self._latest[folder.name, number] = when
        asked = self._aim()
        unread = asked[1].unread(kept) if asked else 0
        answer = {"set": folder.name, "n": number, "typed": words, "caption": kept, "unread": unread}
        return answer | {"history": desk_state.history(folder)}

    def _fetched(self, event: gr.EventData) -> Changes:
        """Where small copies lie, and the picture that a mask is painted over."""
        folder, small = self._studio.pictures / Path(str(event.set)).name, Thumbnails(self._studio, SMALL)
        numbers = [_number(one) for one in list(event.numbers)[:MOST]]
        kept: dict[str, Any] = {"set": folder.name}
        kept["small"] = {str(number): small(folder / f"{number:04}.png") for number in numbers}
        if board := getattr(event, "board", 0):
            large, path = Thumbnails(self._studio, LARGE), folder / f"{_number(board):04}.png"
            mask = mask_beside(path)
            kept["board"] = {"n": board, "picture": large(path), "mask": large(mask) if mask.is_file() else ""}
        return {self._kept: kept}


def _number(given: Any) -> int:
    """Of a picture. Raises UserError where it is none."""
    try:
        return int(given)
    except (TypeError, ValueError, OverflowError):
        raise planned.gone() from None


def _place(given: Any) -> Place:
    try:
        x, y = (float(one) for one in given)
    except (TypeError, ValueError):
        raise planned.gone() from None
    return x, y


def _mask(found: PictureSet, event: gr.EventData) -> None:
    """Put the mask that was painted on its picture, or take it away where nothing is painted."""
    number = _number(event.n)
    picture = next((one for one in found.pictures if int(one.path.stem) == number), None)
    if picture is None:
        raise planned.gone()
    data = str(event.png).partition(",")[2]
    try:
        painted = base64.b64decode(data, validate=True)
    except binascii.Error:
        raise UserError("The mask is no PNG that can be read.", "Paint it again.") from None
    if painted:
        masks.put_mask(found, picture, painted)
    else:
        masks.remove_mask(found, picture)
