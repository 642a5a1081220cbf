"""The first question, which pictures: dropped, chosen or the examples; then shown small, with captions to edit."""

import functools
import time
from collections.abc import Sequence
from pathlib import Path

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.studio.things import pictures
from lora_gui.ui.context import Context
from lora_gui.ui.widgets import dropzone, markup, thumbnails
from lora_gui.ui.widgets.handlers import HIDDEN, Changes, noticed
from lora_gui.ui.widgets.parts import html

SIDE = 192  # px of the small copies
EDITED = """
element.addEventListener('change', event => {
  const { index } = event.target.dataset;
  if (index) trigger('input', { index: Number(index), caption: event.target.value });
});
"""


class PicturesView:
    """Lays itself out where it is made; `folder` holds the name of the picture set's folder, empty for none."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.folder = gr.State("")
        with gr.Column(elem_id="pictures"):
            html('<h2 class="ask">Pictures</h2>')
            self._zone = dropzone.build()
            with gr.Column(visible=False, elem_id="chosen") as self._chosen:
                self._grid = html()
                self._captions = html(js_on_load=EDITED, elem_id="captions")
                self._others = gr.Button("Choose others", size="sm", scale=0, min_width=130, elem_id="others")
                self._remarks = html()

        self.outputs = [self._zone, self._chosen, self._grid, self._remarks, self._captions, self.folder]

    def connect(self, notice: gr.HTML, preset: gr.Radio) -> None:
        outputs = [notice, *self.outputs]
        freed = self._freed
        self._zone.upload(noticed(notice, self._uploaded, freed), None, outputs, concurrency_limit=4, **HIDDEN)
        self._zone.select(noticed(notice, self._examples, freed), [preset], outputs, concurrency_limit=4, **HIDDEN)
        self._others.click(noticed(notice, self._none), None, outputs, **HIDDEN)
        self._captions.input(noticed(notice, self._caption), [self.folder], [notice], **HIDDEN)

    def load(self, folder: str) -> pictures.PictureSet | None:
        """The set that is shown. Raises UserError where it is gone."""
        return pictures.load(self._context.studio.pictures / Path(folder).name) if folder else None

    def _uploaded(self, event: gr.EventData) -> Changes:
        failed = [f"{name} could not be copied; it may be empty or too large." for name in event.failed]
        return self._bring(dropzone.uploaded(event.paths), failed)

    def _examples(self, preset: str) -> Changes:
        shipped = pictures.examples()
        if not shipped:
            raise UserError("The example pictures did not come with this copy of the app.", "Get the app again, whole.")
        return self._bring([shipped.get(preset) or next(iter(shipped.values()))], [])

    def _bring(self, sources: list[Path], failed: list[str]) -> Changes:
        if not sources and failed:
            raise UserError(failed[0], pictures.DROP)
        found, refused = pictures.import_pictures(self._context.studio, sources)
        return self.show(found, failed + refused)

    def show(self, found: pictures.PictureSet, refused: Sequence[str] = ()) -> Changes:
        """The set in place of the drop zone, with a sentence for each file that was refused."""
        address = functools.partial(thumbnails.address, self._context.studio, side=SIDE)
        left_out = markup.sentences(f"{markup.counted(len(refused), 'file was', 'files were')} left out", refused)
        return {
            self._zone: gr.update(visible=False, value=str(time.time_ns())),
            self._chosen: gr.update(visible=True),
            self._grid: markup.picture_grid(found.pictures, address),
            self._remarks: left_out + markup.sentences("What was done to some of them", found.notes),
            self._captions: markup.caption_rows(found.pictures, address),
            self.folder: found.folder.name,
        }

    def _none(self) -> Changes:
        return {self._zone: gr.update(visible=True), self._chosen: gr.update(visible=False), self.folder: ""}

    def _freed(self) -> Changes:
        """A new value draws the drop zone anew, ready for the next drop."""
        return {self._zone: str(time.time_ns())}

    def _caption(self, event: gr.EventData, folder: str) -> Changes:
        found, index = self.load(folder), int(event.index)
        captions = [picture.caption for picture in found.pictures] if found else []
        if found is None or not 0 <= index < len(captions):
            raise UserError("These pictures are not in the window any more.", "Choose them again.")
        captions[index] = str(event.caption)
        pictures.set_captions(found, captions)
        return {}
