"""Bring LoRAs: dropped files and folders, an id or link of the hub, a link to Civitai; and the key for the latter."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import gradio as gr

from lora_gui import civitai_key
from lora_gui.errors import UserError
from lora_gui.studio.library import dropped
from lora_gui.studio.tasks import bringing
from lora_gui.studio.tasks.bringing import Bringing
from lora_gui.ui.context import Context
from lora_gui.ui.library import bring_words
from lora_gui.ui.runs.lists import ASKS
from lora_gui.ui.widgets import dropzone, markup
from lora_gui.ui.widgets.handlers import HIDDEN, Changes, noticed
from lora_gui.ui.widgets.parts import html

_HELP = (
    "An id on the hub (owner/name), or the address of a page there or on Civitai. "
    "Nothing is looked up until you press."
)
_KEY = (
    "Civitai gives some LoRAs only to those who have an account. Make a key in its settings and keep it here: in a "
    "file that you alone can read. It is sent to Civitai and nowhere else, and shown nowhere."
)


class BringView:
    """Lays itself out where it is made; `connect` once everything is there that it changes."""

    def __init__(self, context: Context) -> None:
        self._context, self._studio = context, context.studio
        self._taking: set[str] = set()  # folders whose LoRA is being put among the user's
        self._waiting: set[str] = set()  # what has come and could not be taken in yet, as where the disk is full
        self._said: tuple[int, str] = (0, "")  # what came of the latest that were taken in, and which time it is
        with gr.Accordion("Bring LoRAs", open=False, elem_id="bring"):
            self._zone = dropzone.for_loras()
            with gr.Row(elem_classes="under"):
                self._link = gr.Textbox(
                    "", label="Id or link", show_label=False, max_lines=1, scale=1, min_width=200,
                    placeholder="owner/name, or a link", elem_id="bring-link",
                )  # fmt: skip
                self._bring = gr.Button("Bring", size="sm", scale=0, min_width=90, elem_id="bring-press")
            html(markup.quiet(_HELP))
            self._notice = html(elem_id="bring-notice")
            self._came = html(elem_id="bring-came")
            self._rows = html(js_on_load=ASKS, elem_id="bringing")
            with gr.Accordion("Key for Civitai", open=False, elem_id="civitai-key"):
                html(markup.quiet(_KEY))
                with gr.Row(elem_classes="under"):
                    self._key = gr.Textbox(
                        "", label="Key", show_label=False, type="password", max_lines=1, scale=1, min_width=200,
                        placeholder="Key", elem_id="civitai-key-text",
                    )  # fmt: skip
                    self._keep = gr.Button("Keep", size="sm", scale=0, min_width=90, elem_id="keep-key")
                    self._forget = gr.Button("Forget", size="sm", scale=0, min_width=90, elem_id="forget-key")
                self._kept = html(elem_id="key-kept")
        self._page = gr.JSON({}, visible=False)  # the mark of what this page shows
        self._acts: dict[str, Callable[[str], None]] = {
            "pause": lambda name: self._named(name).pause(),
            "cancel": lambda name: self._named(name).cancel(),
            "go-on": self._go_on,
            "choose": self._choose,
        }

    def connect(self) -> None:
        live, outputs = self._context.live, [self._notice, self._came, self._rows, self._page, self._link, self._zone]
        self._context.waits.append(self.is_going_on)
        live.watch(self._look, [self._page], outputs)
        bring = noticed(self._notice, self._brought)
        for event in (self._bring.click, self._link.submit):
            live.after(event(bring, [self._link], outputs, **HIDDEN), "#bring-link input")

        def pressed(event: gr.EventData) -> Changes:
            self._acts[str(event.act)](str(event.name)[:1000])
            return self._shown()

        live.after(self._rows.select(noticed(self._notice, pressed), None, outputs, **HIDDEN), "#bring-link input")
        fresh = lambda: {self._zone: str(time.time_ns())}  # noqa: E731
        drop = noticed(self._notice, self._dropped, fresh)
        each: dict[str, Any] = HIDDEN | {"trigger_mode": "multiple"}  # also while another drop is looked at
        live.after(self._zone.upload(drop, None, outputs, **each), "#lora-dropzone button")
        self._keep.click(noticed(self._kept, self._key_kept), [self._key], [self._kept, self._key], **HIDDEN)
        self._forget.click(noticed(self._kept, self._key_forgotten), None, [self._kept], **HIDDEN)

    def is_going_on(self) -> bool:
        """Whether anything comes, or is being taken in."""
        return bool(self._taking) or any(one.status().goes_on for one in self._all())

    def _look(self, page: dict[str, Any]) -> Changes:
        """The rows anew where something has moved; what has come is put among the LoRAs."""
        for one in self._all():
            if one.status().state == "finished" and one.task.path.name not in self._waiting:
                self._take_in(one)
        if (page or {}).get("mark") == self._mark():
            return {}
        count, said = self._said
        told = {self._came: said} if count != (page or {}).get("count", 0) else {}
        return self._shown() | told

    def _shown(self) -> Changes:
        mark, found = self._mark(), [(one, one.status()) for one in self._all()]
        if any(status.goes_on for _, status in found):
            self._context.stir()
        waiting = [(one, status) for one, status in found if one.task.path.name in self._waiting]
        rows = bring_words.under_way([*waiting, *((one, now) for one, now in found if now.state != "finished")])
        return {self._rows: rows, self._page: {"mark": mark, "count": self._said[0]}}

    def _mark(self) -> str:
        told = [(one.task.path.name, now.state, now.done // 1_000_000, now.doing, now.what)
                for one in self._all() if (now := one.status())]  # fmt: skip
        return json.dumps([told, self._said[0], sorted(self._taking)])

    def _all(self) -> list[Bringing]:
        return bringing.begun(self._studio)

    def _named(self, name: str) -> Bringing:
        for one in self._all():
            if one.task.path.name == name:
                return one
        raise UserError("This is not on its way any more.", "Bring it again.")

    def _brought(self, link: str) -> Changes:
        bringing.start(self._studio, str(link or ""))
        return {self._link: ""} | self._shown()

    def _go_on(self, name: str) -> None:
        one = self._named(name)
        self._waiting.discard(name)
        bringing.start(self._studio, one.link, one.file)

    def _choose(self, named: str) -> None:
        name, _, file = named.partition("/")
        one = self._named(name)
        link = one.link
        one.cancel()
        bringing.start(self._studio, link, file)

    def _take_in(self, one: Bringing) -> None:
        """In a thread: a large file is copied for a while."""
        name = one.task.path.name
        if name not in self._taking:
            self._taking.add(name)
            threading.Thread(target=self._put, args=(one, name), daemon=True).start()

    def _put(self, one: Bringing, name: str) -> None:
        said = ""
        try:
            if brought := bringing.take_in(self._studio, one):
                said = bring_words.taken(brought)
        except UserError as error:
            said = markup.problem(error)
            self._waiting |= {name} if one.is_here() else set()
        self._said = (self._said[0] + 1, said)
        self._taking.discard(name)

    def _dropped(self, event: gr.EventData) -> Changes:
        paths, names = dropzone.uploaded(event.paths, event.names)
        why = itertools.chain(getattr(event, "why", ()), itertools.repeat(""))
        failed = [f"{name} could not be copied. {reason}" for name, reason in zip(event.failed, why, strict=False)]
        if not paths:
            raise UserError(failed[0] if failed else "There is nothing in what was dropped.", "Drop LoRA files.")
        found = dropped.take(self._studio, paths, names)
        found.left += failed
        return {self._notice: bring_words.dropped(found), self._zone: str(time.time_ns())} | self._shown()

    def _key_kept(self, key: str) -> Changes:
        if not str(key or "").strip():  # as of who presses twice, whose key is kept already
            raise UserError("No key was typed.", "Paste it whole, or press Forget to be without one.")
        civitai_key.keep(str(key))
        return {self._key: "", self._kept: markup.notice("The key is kept.", "", "good")}

    def _key_forgotten(self) -> Changes:
        civitai_key.keep("")
        said = f"{civitai_key.VARIABLE} still holds one." if civitai_key.read() else "No key is kept."
        return {self._kept: markup.notice(said, "", "good")}
