"""A picture that the drawing begins with, dropped, picked or a drawing, and the part of it that may change."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Base
from lora_gui.settings import DrawSettings
from lora_gui.studio.library import history
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import inputs, ratios
from lora_gui.ui.draft import DrawDraft
from lora_gui.ui.generate import once_more
from lora_gui.ui.library.cards import address
from lora_gui.ui.widgets import dropzone
from lora_gui.ui.widgets.handlers import Changes
from lora_gui.ui.widgets.parts import html

SCRIPT = Path(__file__).with_name("begin.js")
SETTINGS = ("denoising", "mask_blur")  # that stand here
GONE = "The picture to begin with is not there any more."
_HELP = "Down: nearly the same picture. Up: a new one, loosely like it. 0.3 touches it up, 0.75 paints it anew."
_SOFT = "In pixels. Up: what is painted runs further into what stays."
_MARKUP = """
<div class="begin">
  <p class="none">Drop a picture or a drawing here, or
    <button type="button" class="link" data-do="pick">choose one</button>. The drawing then begins with it.</p>
  <div class="with" hidden>
    <div class="board"><img alt="The picture that the drawing begins with"><canvas></canvas></div>
    <div class="chips tools" role="group" aria-label="Brush">
      <button type="button" class="chip" data-tool="paint" aria-pressed="true">Paint</button>
      <button type="button" class="chip" data-tool="erase" aria-pressed="false">Erase</button>
      <label>Brush <input type="range" min="2" max="40" value="12" aria-label="Size of the brush"></label>
    </div>
    <p class="quiet says" role="status"></p>
    <div class="chips">
      <button type="button" class="chip" data-do="clear">Let all of it change</button>
      <button type="button" class="chip" data-do="mask">Use a mask file</button>
      <button type="button" class="chip" data-do="away">Take the picture away</button>
    </div>
  </div>
  <input type="file" hidden accept="image/*" aria-label="Choose a picture">
</div>
"""


class Begin:
    """Lays itself out where it is made. `board.upload` brings the `paths` of what is a `kind`, picture or mask, with
    their `names`; `board.select` what is to be done (`act`) without one."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        told = DrawSettings.model_fields
        with gr.Accordion("Start from a picture", open=False, elem_id="begin") as self.fold:
            self.board = html("{}", html_template=_MARKUP, js_on_load=SCRIPT.read_text(encoding="utf-8"))
            strength = gr.Slider(
                0, 1, told["denoising"].default, step=0.05, label="How much may change", info=_HELP, buttons=[],
                elem_id="draw-denoising",
            )  # fmt: skip
            soft = gr.Number(
                told["mask_blur"].default, label="Softness of the edge", info=_SOFT, step=1, elem_id="draw-mask_blur"
            )
        self._came = 0  # answers to the board, which waits for each
        self.fields: dict[str, Any] = {"denoising": strength, "mask_blur": soft}
        self.said: dict[str, gr.HTML] = {"begin": self.board}

    def unfolded(self, draft: DrawDraft) -> Changes:
        """Opened where there is a picture, so that nobody draws over one unawares."""
        return {self.fold: gr.update(open=True)} if draft.picture else {}

    def told(self, draft: DrawDraft) -> dict[str, str]:
        """What the board shows."""
        picture, mask = (inputs.found(self._studio, name) for name in (draft.picture, draft.mask))
        shown = {"picture": picture and address(Path(picture)), "mask": mask and address(Path(mask))}
        lost = GONE if draft.picture and not picture else ""
        return {"begin": json.dumps(shown | {"lost": lost, "came": self._came})}

    def came(self, draft: DrawDraft, base: Base, event: Any) -> DrawDraft:
        """The draft with what the browser has sent. Raises UserError where it is no picture, or did not come."""
        self._came += 1
        path = dropzone.one(event)
        return self._masked(draft, path) if event.kind == "mask" else self.with_picture(draft, base, path)

    def with_picture(self, draft: DrawDraft, base: Base, path: Path) -> DrawDraft:
        """The draft begun with a picture, in the size that suits it and the base."""
        name, size, notes = inputs.take(self._studio, path, draft.picture)
        inputs.forget(self._studio, draft.mask)
        width, height = ratios.like(base, size)
        if (width, height) != size:
            notes = [*notes, f"The picture is {size[0]} x {size[1]}; it is drawn at {width} x {height}."]
        hand = draft.hand | {"width": width, "height": height}
        return replace(draft, picture=name, mask="", hand=hand, note=" ".join(notes))

    def changing(self, draft: DrawDraft, base: Base, name: str) -> DrawDraft:
        """The draft that makes another drawing of a drawing. Raises UserError where it is gone."""
        path = history.place(self._studio, name)
        with contextlib.suppress(UserError):  # it may not say how it was made, which is no need here
            draft = once_more.used(self._studio, draft, base, path)
        hand = {key: value for key, value in draft.hand.items() if key not in (*SETTINGS, "upscale")}
        begun = self.with_picture(replace(draft, hand=hand, note=""), base, path)
        # Its own noise would be found again in it, and burn in.
        return replace(begun, random=True)

    def acted(self, draft: DrawDraft, base: Base, act: str) -> DrawDraft:
        """The draft once its mask was cleared, or its picture taken away: then the base's own size, where it was set
        by the picture."""
        self._came += 1
        inputs.forget(self._studio, draft.mask)
        if act == "clear":
            return replace(draft, mask="", note="")
        hand, size = draft.hand, inputs.size_of(self._studio, draft.picture)
        if size and ratios.like(base, size) == (hand.get("width"), hand.get("height")):
            hand = {name: value for name, value in hand.items() if name not in ("width", "height")}
        inputs.forget(self._studio, draft.picture)
        return replace(draft, picture="", mask="", note="", hand=hand)

    def settings(self, draft: DrawDraft) -> dict[str, str]:
        """The pictures as an order takes them. Raises UserError where one is gone."""
        wanted = {"picture": draft.picture, "mask": draft.mask if draft.picture else ""}
        found = {key: inputs.found(self._studio, name) for key, name in wanted.items() if name}
        if not all(found.values()):
            raise UserError(GONE, "Choose it again, or take it away.")
        return found

    def _masked(self, draft: DrawDraft, path: Path) -> DrawDraft:
        """With a mask, which lies stretched over the picture where it has another size."""
        if not draft.picture:
            raise UserError("A mask needs a picture to lie over.", "Choose a picture to begin with.")
        taken = inputs.take(self._studio, path, draft.mask, over=draft.picture)
        return replace(draft, mask=taken.name, note=" ".join(taken.notes))
