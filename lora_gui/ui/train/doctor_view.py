"""What the doctor found: the worst in a line before Start, with what mends it, and all of it folded under the desk."""

import json
import threading
from collections.abc import Callable
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Base
from lora_gui.settings import TrainSettings
from lora_gui.studio.doctor import doctor, remedies
from lora_gui.studio.doctor.finding import Judgement, Line
from lora_gui.studio.things import pictures
from lora_gui.ui.context import Context
from lora_gui.ui.draft import TrainDraft
from lora_gui.ui.train import planned
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.handlers import HIDDEN, Changes, takes_long
from lora_gui.ui.widgets.parts import PRESSES, html

Wanted = Callable[[], tuple[pictures.PictureSet, Base, TrainSettings, str, str] | None]
_JUDGES = """
let hangs = null, later = 0;
studio.judges = on => { // one look, a moment after the last change of what a judgement hangs on
  if (on !== hangs) { clearTimeout(later); later = setTimeout(studio.calmly, 700); }
  hangs = on;
};
"""
_LOOKING = "Looking at the pictures"


class DoctorView:
    """Lays itself out where it is made, but for `line`, which its owner places; `draws` shows a set as it was judged.

    The looking goes on in a thread beside the window, one set at a time; Start never waits for it.
    """

    def __init__(self, context: Context, draws: Callable[[pictures.PictureSet, Judgement | None], Changes]) -> None:
        self._context, self._studio, self._draws = context, context.studio, draws
        self._wanted: Wanted = lambda: None
        self._found: dict[str, Judgement | UserError] = {}  # by what was asked; the latest alone is kept
        self._latest = "", Judgement({}, ())  # of which set, and what was found
        self._looking = ""  # at what; empty where at nothing
        self._lock, self.writing = threading.Lock(), threading.Lock()
        self._rest = html(js_on_load=PRESSES + _JUDGES, elem_id="doctor-all")
        self._page = gr.JSON({}, visible=False)  # what this page shows
        self._hangs = gr.Textbox("", visible=False)  # on what a judgement hangs, as the draft has it
        self.line = html(js_on_load=PRESSES, elem_id="doctor", render=False)
        self.outputs = [self.line, self._rest, self._page, self._hangs]

    def connect(self, wanted: Wanted, shows: Callable[..., Changes], shown: Any, outputs: list[Any]) -> Any:
        """`wanted` gives what is to be judged, `shows` the whole draft for a page; the event of a press."""
        self._wanted = wanted
        self._context.waits.append(lambda: bool(self._looking))

        def pressed(event: gr.EventData, shown: dict[str, Any]) -> Changes:
            try:
                self._mend(str(event.of), str(event.set))
            except UserError as error:
                return shows(shown, error)
            found = (self._wanted() or (None,))[0]
            return shows(shown) | (self._draws(found, None) if found else {}) | self._look({})

        events = [one.select(takes_long(pressed), [shown], outputs, **HIDDEN) for one in (self.line, self._rest)]
        for event in events:
            self._context.live.after(event, "#doctor button", "#picture-desk button")
        return events

    def follow(self, edited: Any) -> None:
        """Let the page look a moment after an edit that a judgement hangs on, and after no other."""
        edited.then(None, [self._hangs], None, js="on => { studio.judges(on); return []; }", **HIDDEN)

    def hangs(self, draft: TrainDraft) -> Changes:
        """For the answer to an edit."""
        by_hand = [draft.hand.get(name) for name in ("resolution", "batch_size")]
        return {self._hangs: json.dumps([draft.folder, draft.base, draft.preset, draft.trigger, by_hand])}

    def cleared(self) -> Changes:
        """Nothing, where there are no pictures."""
        return {self.line: "", self._rest: "", self._page: {}}

    def watch(self, outputs: list[Any]) -> None:
        """Look when the window does; after what draws the tiles without words on them."""
        self._context.live.watch(self._look, [self._page], outputs)

    def _mend(self, of: str, name: str) -> None:
        """Do what a button says, to the set that its page shows."""
        asked = self._wanted()
        if asked is None or asked[0].folder.name != name:
            raise planned.gone()
        judgement = self._latest[1] if self._latest[0] == name else Judgement({}, ())
        lines = judgement.lines()
        line = next((one for one in lines if f"{one.kind} {one.word}" == of and one.button), None)
        if line is None:
            raise UserError("The pictures have changed since then.", "Look at what is said of them now.")
        with self.writing:
            remedies.mend(self._studio, asked[0], line)

    def _look(self, page: dict[str, Any]) -> Changes:
        """What is to be shown to a page that shows something else; begins to look where nobody has."""
        asked = self._wanted()
        if asked is None:
            return self.cleared() if page and page.get("mark") else {}
        key, found = _key(*asked), asked[0]
        known = self._found.get(key)
        mark = f"{key} {known is not None}"
        if known is None:
            self._begin(key, asked)
        if page and page.get("mark") == mark:
            return {}
        line, rest = _words(found, known)
        told: Changes = {self.line: line, self._page: {"mark": mark, "set": found.folder.name}}
        if known is not None or (page or {}).get("set") != found.folder.name:
            told[self._rest] = rest  # until it was looked at again, what was found stands, and nothing jumps
        return told | (self._draws(found, known) if isinstance(known, Judgement) else {})

    def _begin(self, key: str, asked: tuple[pictures.PictureSet, Base, TrainSettings, str, str]) -> None:
        with self._lock:
            if self._looking:
                return
            self._looking = key
        threading.Thread(target=self._judge, args=(key, *asked), daemon=True).start()

    def _judge(
        self, key: str, found: pictures.PictureSet, base: Base, settings: TrainSettings, trigger: str, goal: str
    ) -> None:
        asked = doctor.Asked(base, trigger, goal, settings.resolution, settings.batch_size)
        try:
            judgement, _ = doctor.judge(self._studio, doctor.of_set(found), asked)
            self._found, self._latest = {key: judgement}, (found.folder.name, judgement)
        except UserError as error:
            self._found = {key: error}
        finally:
            self._context.stir()
            self._looking = ""


def _key(found: pictures.PictureSet, base: Base, settings: TrainSettings, trigger: str, goal: str) -> str:
    """What a judgement hangs on."""
    each = [(one.path.name, one.digest, one.caption) for one in found.pictures]
    return json.dumps([found.folder.name, each, base.key, settings.resolution, settings.batch_size, trigger, goal])


def _words(found: pictures.PictureSet, known: Judgement | UserError | None) -> tuple[str, str]:
    """The one thing most worth mending, and all there is, folded."""
    if known is None:
        return markup.quiet(_LOOKING), ""
    if isinstance(known, UserError):
        return markup.problem(known), ""
    lines, name = known.lines(), found.folder.name
    if not lines:
        return markup.quiet(f"Nothing to mend in {markup.counted(len(found.pictures), 'picture')}."), ""
    line = f'<div class="doctor-line" role="status">{_line(lines[0], name)}</div>'
    if len(lines) == 1:
        return line + _each(lines[0]), ""
    rows = "".join(f"<li>{_line(one, name)}{_each(one)}</li>" for one in lines)
    title = f"<summary>{len(lines)} things to look at</summary>"
    return line, f'<details class="notice note">{title}<ul>{rows}</ul></details>'


def _line(line: Line, name: str) -> str:
    button = f" {_button(line, name)}" if line.button else ""
    if not line.matters:
        return f'<span class="quiet">{markup.text(line.says)} {markup.text(line.remedy)}</span>{button}'
    return f"<span><b>{markup.text(line.says)}</b> {markup.text(line.remedy)}</span>{button}"


def _each(line: Line) -> str:
    return markup.sentences("Which ones", line.each, folded=True)


def _button(line: Line, name: str) -> str:
    data = f'data-act="mend" data-set="{markup.text(name)}" data-of="{markup.text(f"{line.kind} {line.word}")}"'
    return f'<button type="button" class="chip" {data}>{markup.text(line.button)}</button>'
