"""Give a LoRA away: for another program, as a folder, for Civitai; each drawn with before it is done.

`build` lays it out within the page of a LoRA; whoever owns that page calls `shown` with the LoRA's file.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.studio.giving import civitai, exports, share
from lora_gui.studio.library import scan
from lora_gui.studio.things import drawings, loras
from lora_gui.studio.things.loras import LoraInfo
from lora_gui.ui.context import Context
from lora_gui.ui.library.publish_view import PublishView, Told, lora_of
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.handlers import HIDDEN, LIGHT, Changes, noticed
from lora_gui.ui.widgets.long_work import Say
from lora_gui.ui.widgets.parts import html
from lora_gui.ui.widgets.thumbnails import Thumbnails

MOST = 12  # drawings to choose from
SIDE = 144  # px
WHY = "Each copy is read back and has to draw what yours draws before it is done. Nothing in it tells of this computer."
PICKS = """
element.addEventListener('change', () => {
  const boxes = [...element.querySelectorAll('input:checked')];
  trigger('select', { picked: boxes.map(box => box.value) });
});
"""
Work = Callable[["GiveView", LoraInfo, list[Path], Say], str]


def build(context: Context, key: str = "") -> "GiveView":
    """Lay it out; `connect` it once the page of the LoRA is whole."""
    return GiveView(context, key)


class GiveView:
    """Lays itself out where it is made; `key` begins the ids of its parts. Hidden until a LoRA is shown."""

    def __init__(self, context: Context, key: str) -> None:
        self._context, self._studio = context, context.studio
        self.page = gr.JSON({}, visible=False)  # {"lora": its path}
        self._picks = gr.JSON([], visible=False)  # the drawings that were picked, within the folder of drawings
        self._buttons: dict[str, gr.Button] = {}
        with gr.Accordion("Give it away", open=False, visible=False, elem_id=f"{key}give") as self.panel:
            html(markup.quiet(WHY))
            with gr.Row(elem_classes="under"):
                for program, title in exports.PROGRAMS.items():
                    self._buttons[program] = gr.Button(
                        f"For {title}", size="sm", scale=0, min_width=130, elem_id=f"{key}for-{program}"
                    )
            self._drawings = html(js_on_load=PICKS, elem_id=f"{key}give-drawings")
            with gr.Row(elem_classes="under"):
                self._share = gr.Button("Share folder", size="sm", scale=0, min_width=130, elem_id=f"{key}share")
                self._civitai = gr.Button("For Civitai", size="sm", scale=0, min_width=130, elem_id=f"{key}civitai")
            self._told = Told(context, f"{key}give-")
            self._publish = PublishView(context, self.page, self._picks, key)
        self.outputs: list[Any] = [self.page, self.panel, self._picks, self._drawings, *self._told.outputs]
        self.outputs += [*self._buttons.values(), *self._publish.outputs]

    def connect(self) -> None:
        self._publish.connect()
        live, told = self._context.live, self._told
        live.watch(self._look, [self.page, told.page], told.outputs)
        self._drawings.select(self._picked, None, [self._picks], **HIDDEN)
        works: list[tuple[gr.Button, Work]] = [(self._share, _shared), (self._civitai, _packed)]
        works += [(button, partial(_for_program, program=one)) for one, button in self._buttons.items()]
        for button, work in works:
            worked = noticed(told.place, partial(self._worked, work))
            live.after(button.click(worked, [self.page, self._picks], told.outputs, **HIDDEN))
        live.after(told.cancel.click(told.give_up, [self.page], None, **LIGHT))

    def shown(self, lora: str) -> Changes:
        """What can be done with the LoRA in a file; hidden where there is none, or none that can be read."""
        try:
            found = loras.describe(Path(lora)) if lora else None
        except UserError:
            found = None
        if found is None:
            return {self.page: {}, self.panel: gr.update(visible=False)}
        read_by = exports.programs_for(found)
        buttons: Changes = {one: gr.update(visible=name in read_by) for name, one in self._buttons.items()}
        return buttons | self._told.shown(lora) | self._publish.shown(lora) | {
            self.page: {"lora": lora},
            self.panel: gr.update(visible=True),
            self._picks: [],
            self._drawings: self._strip(found),
        }

    def _look(self, page: dict[str, Any], mark: list[Any]) -> Changes:
        lora = lora_of(page)
        return {} if mark == self._told.mark(lora) else self._told.shown(lora)

    def _strip(self, lora: LoraInfo) -> str:
        """The newest drawings with it, to choose from."""
        names, _ = scan.drawn(self._studio, None)
        made = [self._studio.drawings / name for name in sorted(names.get(lora.name, ()), reverse=True)][:MOST]
        if not made:
            return markup.quiet("It goes with two sample drawings that are made for it.")
        address = Thumbnails(self._studio, SIDE)
        cells = "".join(_pick(f"{path.parent.name}/{path.name}", address(path), drawings.record(path)) for path in made)
        why = markup.quiet("Drawings that go with it; none chosen: two are made for it.")
        return f'{why}<div class="picks" role="group" aria-label="Drawings that go with it">{cells}</div>'

    def _picked(self, event: gr.EventData) -> Changes:
        given = [Path(str(name)) for name in event.picked] if isinstance(event.picked, list) else []
        names = [f"{one.parent.name}/{one.name}" for one in given][:MOST]  # nothing outside the folder of drawings
        return {self._picks: names}

    def _worked(self, work: Work, page: dict[str, Any], picks: list[str]) -> Changes:
        lora, chosen = lora_of(page), [self._studio.drawings / name for name in picks or ()]
        self._told.begin(lora, lambda say: work(self, loras.describe(Path(lora)), chosen, say))
        return self._told.shown(lora)


def _for_program(view: GiveView, lora: LoraInfo, _: list[Path], say: Say, program: str) -> str:
    given = exports.for_program(view._studio, view._context.drawer, lora, program, None, say)
    return _done(given.file, [given.proof.sentence], [*lora.odd, *_left_out(given.left_out)])


def _shared(view: GiveView, lora: LoraInfo, chosen: list[Path], say: Say) -> str:
    made = share.share(view._studio, view._context.drawer, lora, chosen, lora.strength or 1.0, say=say)
    return _done(made.folder, made.proofs, made.notes, made.files)


def _packed(view: GiveView, lora: LoraInfo, chosen: list[Path], say: Say) -> str:
    made = civitai.pack(view._studio, view._context.drawer, lora, chosen, lora.strength or 1.0, say=say)
    lines = [line for line in made.checklist.splitlines()[2:] if line]
    return _done(made.file, made.proofs, made.notes) + markup.sentences("Before you upload it", lines, folded=True)


def _done(place: Path, proofs: Any, notes: Any, held: dict[str, int] | None = None) -> str:
    listed = [f"{name}, {size / 1e6:.1f} MB" for name, size in (held or {}).items()]
    return (
        markup.notice(f"{place.name} is done.", " ".join(proofs), "good")
        + markup.quiet(str(place))
        + markup.sentences("What is in it", listed, folded=True)
        + markup.sentences("Worth knowing", list(notes))
    )


def _left_out(names: tuple[str, ...]) -> list[str]:
    return [f"Left out of the file's header, as it may tell of a computer: {', '.join(names)}."] * bool(names)


def _pick(name: str, address: str, record: str) -> str:
    alt = record.partition("\n")[0][:200]
    box = f'<input type="checkbox" value="{markup.text(name)}" aria-label="{markup.text(alt)}">'
    return f'<label class="pick">{box}{markup.image(address, alt)}</label>'
