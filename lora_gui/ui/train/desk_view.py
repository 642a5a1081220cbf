"""The picture desk as a component: its cells ask for what they need, and say what was typed, moved, painted, undone."""

import base64
import binascii
import math
import threading
import time
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
from lora_gui.ui.widgets.handlers import LIGHT, Changes
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
        self.outputs = [self.board]
        self._judged = "", NOTHING  # the latest, and of which set
        self._latest: dict[tuple[str, int], float] = {}  # when each caption was typed; ms
        self.writing = threading.Lock()
        self._aim: Callable[[], tuple[PictureSet, Aim] | None] = lambda: None
        self._touched: Callable[[], object] = lambda: None

    def connect(self, aim: Callable[[], tuple[PictureSet, Aim] | None], touched: Callable[[], object]) -> None:
        """`aim` gives the pictures that are chosen and what they are for; `touched` hears that some were changed."""
        self._aim, self._touched = aim, touched
        kept = gr.JSON({}, visible=False)
        every: dict[str, Any] = LIGHT | {"trigger_mode": "multiple"}
        leaves("desk", self.board.tick(self.answered, [kept], [kept], **every))  # the desk's script asks by itself

    def show(self, found: PictureSet, aim: Aim, judgement: Judgement | None = None) -> Changes:
        """All of a set; what was found of it before stays until it is judged again."""
        if judgement is not None:
            self._judged = found.folder.name, judgement
        return {self.board: self._state(found, aim)}

    def answered(self, event: gr.EventData, _: Any = None) -> dict[str, Any]:
        """What was asked of a set, or why it cannot be; `at` tells which answer is newer."""
        folder = self._studio.pictures / Path(str(event.set)).name
        try:
            told = _ASKED.get(str(event.act), DeskView._all)(self, folder, event)
        except UserError as error:
            told = {"problem": f"{error.what} {error.remedy}"}
        return {"set": folder.name, "at": time.time()} | told

    def _state(self, found: PictureSet, aim: Aim) -> str:
        name = found.folder.name
        known = self._judged[1] if self._judged[0] == name else NOTHING
        return desk_state.state(found, aim, known, Thumbnails(self._studio, SMALL))

    def _all(self, folder: Path, event: gr.EventData) -> dict[str, Any]:
        """All of the set, once what was pressed is done. Raises UserError where other pictures are chosen by now."""
        asked = self._aim()
        if asked is None or asked[0].folder.name != folder.name:
            raise planned.gone()
        with self.writing:
            if event.act in ("undo", "redo"):
                set_edits.step(self._studio, folder, event.act)
            elif event.act == "back":
                set_edits.put_back(folder, _number(event.n))
        self._touched()
        return {"state": self._state(pictures.load(folder), asked[1])}

    def _taken_out(self, folder: Path, event: gr.EventData) -> dict[str, Any]:
        with self.writing:
            set_edits.take_out(self._studio, folder, [_number(event.n)])
        self._touched()
        return {"out": desk_state.out(folder, Thumbnails(self._studio, SMALL)), "history": desk_state.history(folder)}

    def _cropped(self, folder: Path, event: gr.EventData) -> dict[str, Any]:
        with self.writing:
            set_edits.crop(folder, _number(event.n), _place(event.crop), str(event.within))
        self._touched()
        return {"n": event.n, "history": desk_state.history(folder)}

    def _masked(self, folder: Path, event: gr.EventData) -> dict[str, Any]:
        with self.writing:
            has_one = _mask(pictures.load(folder), event)
        self._touched()
        return {"n": event.n, "mask": has_one, "history": desk_state.history(folder)}

    def _captioned(self, folder: Path, event: gr.EventData) -> dict[str, Any]:
        """Keep a caption, unless one that was typed later has come first."""
        number, words, when = _number(event.n), str(event.words), float(getattr(event, "at", math.inf))
        with self.writing:
            if when < self._latest.get((folder.name, number), 0.0) <= time.time() * 1000:  # else the clock was set back
                return {}
            kept = set_edits.caption(folder, number, words, str(getattr(event, "within", "")))
            self._latest[folder.name, number] = when
        self._touched()
        asked = self._aim()
        answer = {"n": number, "typed": words, "caption": kept, "unread": asked[1].unread(kept) if asked else 0}
        return answer | {"history": desk_state.history(folder)}

    def _looked(self, folder: Path, event: gr.EventData) -> dict[str, Any]:
        """Where small copies lie, and the picture that a mask is painted over."""
        small, numbers = Thumbnails(self._studio, SMALL), [_number(one) for one in list(event.numbers)[:MOST]]
        told: dict[str, Any] = {"small": {str(number): small(folder / f"{number:04}.png") for number in numbers}}
        if board := getattr(event, "board", 0):
            large, path = Thumbnails(self._studio, LARGE), folder / f"{_number(board):04}.png"
            mask = mask_beside(path)
            told["board"] = {"n": board, "picture": large(path), "mask": large(mask) if mask.is_file() else ""}
        return told


_ASKED: dict[str, Callable[[DeskView, Path, gr.EventData], dict[str, Any]]] = {
    "look": DeskView._looked,
    "caption": DeskView._captioned,
    "crop": DeskView._cropped,
    "mask": DeskView._masked,
    "out": DeskView._taken_out,
}  # whatever else is done changes all of the set


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


def _mask(found: PictureSet, event: gr.EventData) -> bool:
    """Put the mask that was painted on its picture, or take it away where nothing is painted; whether it has one."""
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
    return bool(painted)
