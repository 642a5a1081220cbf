"""One quiet line under the pictures: the worst that the doctor found and what mends it; the rest folded; undo."""

import json
import threading
from collections.abc import Callable
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Base
from lora_gui.settings import TrainSettings
from lora_gui.studio.doctor import doctor, remedies
from lora_gui.studio.doctor.finding import KINDS, Judgement, Line
from lora_gui.studio.things import pictures, set_changes
from lora_gui.ui.context import Context
from lora_gui.ui.draft import TrainDraft
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.handlers import HIDDEN, Changes
from lora_gui.ui.widgets.parts import html

GOALS = ("style", "character", "concept")
Wanted = Callable[[], tuple[pictures.PictureSet, Base, TrainSettings, str, str] | None]
_PRESSED = """
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-act]');
  if (button) trigger('select', { act: button.dataset.act, of: button.dataset.of || '', set: button.dataset.set });
});
let hangs = null, later = 0;
studio.judges = on => { // one look, a moment after the last change of what a judgement hangs on
  if (on !== hangs) { clearTimeout(later); later = setTimeout(studio.after, 700, []); }
  hangs = on;
};
"""
_LOOKING = "Looking at the pictures"


class DoctorView:
    """Lays itself out where it is made; `draws` shows the tiles of a set, with a word on those that have something.

    The looking goes on in a thread beside the window, one set at a time; Start never waits for it.
    """

    def __init__(self, context: Context, draws: Callable[[pictures.PictureSet, dict[str, str]], Changes]) -> None:
        self._context, self._studio, self._draws = context, context.studio, draws
        self._wanted: Wanted = lambda: None
        self._found: dict[str, Judgement | UserError] = {}  # by what was asked; the latest alone is kept
        self._latest = "", Judgement({}, ())  # of which set, and what was found
        self._looking = ""  # at what; empty where at nothing
        self._lock = threading.Lock()
        self._line = html(js_on_load=_PRESSED, elem_id="doctor")
        self._page = gr.JSON({}, visible=False)  # what this page shows
        self._hangs = gr.Textbox("", visible=False)  # on what a judgement hangs, as the draft has it
        self.outputs = [self._line, self._page, self._hangs]

    def connect(self, wanted: Wanted, shows: Callable[..., Changes], shown: Any, outputs: list[Any]) -> Any:
        """`wanted` gives what is to be judged, `shows` the whole draft for a page; the event of a press."""
        self._wanted = wanted
        self._context.waits.append(lambda: bool(self._looking))

        def pressed(event: gr.EventData, shown: dict[str, Any]) -> Changes:
            try:
                self._act(str(event.act), str(event.of), str(event.set))
            except UserError as error:
                return shows(shown, error)
            found = (self._wanted() or (None,))[0]
            return shows(shown) | (self._draws(found, {}) if found else {}) | self._look({})

        event = self._line.select(pressed, [shown], outputs, **HIDDEN)
        self._context.live.after(event, "#doctor button")
        return event

    def follow(self, edited: Any) -> None:
        """Let the page look a moment after an edit that a judgement hangs on, and after no other."""
        edited.then(None, [self._hangs], None, js="on => { studio.judges(on); return []; }", **HIDDEN)

    def hangs(self, draft: TrainDraft) -> Changes:
        """For the answer to an edit."""
        by_hand = [draft.hand.get(name) for name in ("resolution", "batch_size")]
        return {self._hangs: json.dumps([draft.folder, draft.base, draft.preset, draft.trigger, by_hand])}

    def watch(self, outputs: list[Any]) -> None:
        """Look when the window does; after what draws the tiles without words on them."""
        self._context.live.watch(self._look, [self._page], outputs)

    def _act(self, act: str, of: str, name: str) -> None:
        """Do what a button says, to the set that its page shows."""
        asked = self._wanted()
        if asked is None or asked[0].folder.name != name:
            raise UserError("These pictures are not in the window any more.", "Choose them again.")
        if act in ("undo", "redo"):
            pictures.require_free(self._studio, asked[0].folder)
            {"undo": set_changes.undo, "redo": set_changes.redo}[act](asked[0].folder)
            return
        judgement = self._latest[1] if self._latest[0] == name else Judgement({}, ())
        lines = judgement.lines()
        line = next((one for one in lines if f"{one.kind} {one.word}" == of and one.button), None)
        if line is None:
            raise UserError("The pictures have changed since then.", "Look at what is said of them now.")
        remedies.mend(self._studio, asked[0], line)

    def _look(self, page: dict[str, Any]) -> Changes:
        """What is to be shown to a page that shows something else; begins to look where nobody has."""
        asked = self._wanted()
        if asked is None:
            return {self._line: "", self._page: {}} if page and page.get("mark") else {}
        key, found = _key(*asked), asked[0]
        known = self._found.get(key)
        mark = f"{key} {known is not None}"
        if known is None:
            self._begin(key, asked)
        if page and page.get("mark") == mark:
            return {}
        told = {self._line: _words(found, known), self._page: {"mark": mark}}
        if not isinstance(known, Judgement):
            return told
        badges = {}
        for patient, picture in zip(doctor.of_set(found), found.pictures, strict=True):
            worst = known.worst(patient.file)
            badges[picture.path.name] = KINDS[worst.kind].badge if worst else ""
        return told | self._draws(found, badges)

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


def _words(found: pictures.PictureSet, known: Judgement | UserError | None) -> str:
    name = found.folder.name
    undone = _history(found)
    if known is None:
        return markup.quiet(_LOOKING) + undone
    if isinstance(known, UserError):
        return markup.problem(known) + undone
    lines = known.lines()
    if not lines:
        return markup.quiet(f"Nothing to mend in {markup.counted(len(found.pictures), 'picture')}.") + undone
    rest = "".join(f"<li>{_line(one, name)}{_each(one)}</li>" for one in lines[1:])
    more = markup.counted(len(lines) - 1, "more thing", "more things")
    title = f"<summary>{more} to look at</summary>"
    folded = f'<details class="notice note">{title}<ul>{rest}</ul></details>' if rest else ""
    return f'<div class="doctor-line" role="status">{_line(lines[0], name)}</div>{_each(lines[0])}{folded}{undone}'


def _line(line: Line, name: str) -> str:
    button = f" {_button('mend', line.button, name, f'{line.kind} {line.word}')}" if line.button else ""
    return f"<span><b>{markup.text(line.says)}</b> {markup.text(line.remedy)}</span>{button}"


def _each(line: Line) -> str:
    return markup.sentences("Which ones", line.each, folded=True)


def _history(found: pictures.PictureSet) -> str:
    """What was changed last, and the way back and forth."""
    past = set_changes.history(found.folder)
    done, undone = [one for one in past if one.done], [one for one in past if not one.done]
    said = f"<span>{markup.text(done[-1].says)}</span> {_button('undo', 'Undo', found.folder.name)}" if done else ""
    said += f" {_button('redo', 'Redo', found.folder.name)}" if undone else ""
    return f'<div class="doctor-past quiet">{said}</div>' if said else ""


def _button(act: str, words: str, name: str, of: str = "") -> str:
    data = f'data-act="{act}" data-set="{markup.text(name)}" data-of="{markup.text(of)}"'
    return f'<button type="button" class="chip" {data}>{markup.text(words)}</button>'
