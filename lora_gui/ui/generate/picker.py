"""The shelf from which LoRAs are added to the stack: cover, name, trigger, family; what does not fit is greyed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.studio.library import covers, shelf
from lora_gui.studio.library.shelf import Card, Wish
from lora_gui.studio.things import bases
from lora_gui.ui.context import Context
from lora_gui.ui.draft import DrawDraft, Entry
from lora_gui.ui.widgets import base_list, markup
from lora_gui.ui.widgets.handlers import LIGHT, Changes, noticed
from lora_gui.ui.widgets.parts import html
from lora_gui.ui.widgets.thumbnails import Thumbnails

MOST = 24  # that are listed at once
SIDE = 96  # px
PICK = """
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-pick]');
  if (button) trigger('select', { pick: button.dataset.pick });
});
"""


class Picker:
    """Lays itself out where it is made. `picks.select` brings the name of the file that was `pick`ed."""

    def __init__(self, context: Context) -> None:
        self._context, self._studio = context, context.studio
        with gr.Column(visible=False, elem_id="picker") as self._panel:
            self._words = gr.Textbox(
                "", label="Search", show_label=False, placeholder="Search your LoRAs", max_lines=1,
                elem_id="picker-search",
            )  # fmt: skip
            self.picks = html(js_on_load=PICK, elem_id="picks")
            self._close = gr.Button("Close", size="sm", scale=0, min_width=90, elem_id="picker-close")
        self.outputs = [self._panel, self.picks]

    def connect(self) -> None:
        listed = noticed(self.picks, lambda words: {self.picks: self._listed(words)})
        self._words.change(listed, [self._words], self.outputs, **LIGHT)
        self._context.live.after(self._close.click(self.hidden, None, self.outputs, **LIGHT), "#add-lora")

    def shown(self) -> Changes:
        """Your LoRAs, those with a star first. Raises UserError where there is none."""
        if not shelf.shelf(self._studio).cards:
            raise UserError("There is no LoRA yet.", "Train one, or import a file.")
        return {self._panel: gr.update(visible=True), self.picks: self._listed("")}

    def hidden(self) -> Changes:
        return {self._panel: gr.update(visible=False)}

    def added(self, draft: DrawDraft, name: str) -> DrawDraft:
        """The draft with the LoRA in the file `name`, at its best strength. Raises UserError if broken."""
        card = shelf.named(self._studio, shelf.shelf(self._studio), Path(name).name)
        if not card.info:
            raise shelf.broken(card)
        return replace(draft, stack=(*draft.stack, Entry(True, str(card.path), card.strength)))

    def _listed(self, words: str) -> str:
        draft = self._context.drafts.draw.value
        used = {entry.lora for entry in draft.stack}
        found = [card for card in shelf.shelf(self._studio).cards if card.info and str(card.path) not in used]
        found = shelf.wanted(found, Wish(words=words or "", sort="used"))
        found.sort(key=lambda card: not card.notes.star)
        if not found:
            return markup.quiet("None of your LoRAs is called so." if words else "All your LoRAs are in use.")
        address = Thumbnails(self._studio, SIDE)
        rows = "".join(self._row(card, address, draft) for card in found[:MOST])
        more = markup.quiet(f"{len(found) - MOST} more: search for them.") if len(found) > MOST else ""
        return f'<ul class="picks">{rows}</ul>{more}'

    def _row(self, card: Card, address: Thumbnails, draft: DrawDraft) -> str:
        assert card.info
        picture = covers.cover(self._studio, card)
        initial = f'<i aria-hidden="true">{markup.text(card.name[:1].upper())}</i>'
        image = markup.image(address(picture), "") if picture else initial
        why, words = self._fits(card, draft.stack)
        state = " disabled" if why and not words else ""
        told = f'<span class="why">{markup.text(why)} {f"<u>{words}</u>" if words else ""}</span>' if why else ""
        trigger = markup.text(f"{card.info.trigger or 'no trigger word'}, {card.family_title}")
        file = markup.text(card.path.name)
        return (
            f'<li><button type="button" data-pick="{file}"{state}><span class="small">{image}</span>'
            f"<span><b>{markup.text(card.name)}</b><span>{trigger}</span>{told}</span>"
            "</button></li>"
        )

    def _fits(self, card: Card, stack: Sequence[Entry]) -> tuple[str, str]:
        """Why a LoRA cannot be drawn as things are, and what a press does about it; nothing where it can."""
        draft = self._context.drafts.draw.value
        base = base_list.chosen(self._studio, draft.base)
        if base.family == card.family:
            return "", ""
        if not any(one.family == card.family for one in bases.list_bases(self._studio)):
            return f"For {card.family_title}; no such base is here.", ""
        if any(entry.on and entry.lora for entry in stack):
            return f"For {card.family_title}, which cannot be drawn together with those in use.", ""
        return f"For {card.family_title}:", "use that base"
