"""The tab of the bases: what this computer can do, find what is there, every known base, and the user's own."""

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.studio.capacity import computer, gpu
from lora_gui.studio.capacity.verdicts import Verdicts
from lora_gui.studio.finding import found, look, overview
from lora_gui.studio.tasks import downloads
from lora_gui.studio.things import base_removal, bases
from lora_gui.ui.bases import cards, pages
from lora_gui.ui.context import Context
from lora_gui.ui.runs.lists import ASKS
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.handlers import HIDDEN, LIGHT, Changes, noticed
from lora_gui.ui.widgets.parts import html

_PAUSE = 0.4  # seconds between two states of a look that are shown


def build(context: Context, tab: gr.Tab) -> None:
    """Lay the tab out and connect it; what it lists is read when it is first opened."""
    with gr.Column(elem_classes="page", elem_id="all-bases"):
        view = _Bases(context)
    view.connect(tab)


class _Bases:
    """Lays itself out where it is made."""

    def __init__(self, context: Context) -> None:
        self._context, self._studio = context, context.studio
        self._verdicts = Verdicts(context.studio)
        self._computer = html(elem_id="computer")
        with gr.Row(elem_classes="under"):
            self._find = gr.Button("Find what I have", size="sm", scale=0, min_width=170, elem_id="find-bases")
            html(markup.quiet("Looks through ComfyUI, A1111, Forge, InvokeAI and others; nothing is copied or moved."))
        with gr.Row(elem_classes="under"):
            self._path = gr.Textbox(
                "", label="Path of a base", max_lines=1, show_label=False, elem_id="base-path", scale=1, min_width=200,
                placeholder="Or the path of a base", max_length=4096,
            )  # fmt: skip
            self._add = gr.Button("Add", size="sm", scale=0, min_width=80, elem_id="add-base")
        self._notice = html(elem_id="bases-notice")
        self._own = html(js_on_load=ASKS, elem_id="own-bases")
        self._cards = html(js_on_load=ASKS, elem_id="known-bases")
        with gr.Accordion("Sign in to the model hub", open=False, elem_id="hub-sign-in"):
            html(_how_to_sign_in())
            with gr.Row(elem_classes="under"):
                self._token = gr.Textbox(
                    "", label="Token", type="password", max_lines=1, show_label=False, placeholder="hf_...",
                    elem_id="hub-token", scale=1, min_width=200,
                )  # fmt: skip
                self._sign_in = gr.Button("Sign in", size="sm", scale=0, min_width=110, elem_id="sign-in")
            self._signed = html(elem_id="signed-in")
        self._page = gr.JSON({}, visible=False)  # the mark of what this page lists; empty before it lists anything
        self._outputs = [self._computer, self._own, self._cards, self._page]
        self._acts: dict[str, Callable[[str], Changes]] = {
            "download": self._download,
            "pause": lambda name: self._end(name, "pause"),
            "cancel": lambda name: self._end(name, "cancel"),
            "remove": self._removed,
            "forget": self._forgotten,
            "train": self._train,
            "draw": self._draw,
        }

    def connect(self, tab: gr.Tab) -> None:
        context, live = self._context, self._context.live
        context.waits.append(self._is_going_on)
        opened = tab.select(self._opened, None, self._outputs, **LIGHT)
        live.watch(self._look, [self._page], self._outputs)
        everywhere = [self._notice, *self._outputs, context.tabs, *context.setup]

        def pressed(event: gr.EventData) -> Changes:
            changes = self._acts[str(event.act)](str(event.name)[:4096])
            return changes | self._listed()

        for part in (self._own, self._cards):
            chosen = part.select(noticed(self._notice, pressed), None, everywhere, **HIDDEN)
            live.after(chosen, "#trigger input", "#prompt textarea")
        looked = [self._find, self._notice, *self._outputs]
        live.after(opened)  # memory may be counted from now on
        live.after(self._find.click(self._found, None, looked, **HIDDEN), "#find-bases")
        added, changed = noticed(self._notice, self._added), [self._notice, self._path, *self._outputs]
        for add in (self._add.click, self._path.submit):
            live.after(add(added, [self._path], changed, **HIDDEN))  # it can be chosen on the other tabs from now on
        live.after(opened.then(self._found_first, None, looked, **HIDDEN))
        signed = noticed(self._signed, self._signed_in)
        self._sign_in.click(signed, [self._token], [self._signed, self._token], **HIDDEN)

    def _opened(self) -> Changes:
        self._verdicts.count()
        return self._listed()

    def _look(self, page: dict[str, Any]) -> Changes:
        """The lists anew, where the page shows them and something has come, gone or changed its state."""
        return self._listed() if page and page.get("mark") != self._mark() else {}

    def _listed(self) -> Changes:
        mark = self._mark()
        everything = overview.everything(self._studio, self._verdicts.known())
        suggested = computer.suggestion(self._studio).why
        return {
            self._computer: cards.lines([*computer.lines(self._studio), suggested]),
            self._own: cards.own(everything),
            self._cards: cards.known(everything, gpu.memory(), self._verdicts.is_counting),
            self._page: {"mark": mark},
        }

    def _mark(self) -> str:
        """What the lists depend on, read quickly: they come anew when it changes."""
        fetches = [(one.base, one.status()) for one in downloads.begun(self._studio)]
        told = [(base, now.state, now.done // 50_000_000, now.what) for base, now in fetches]
        changed = [_changed(path) for path in (self._studio.home / found.FILE, self._studio.bases)]
        return json.dumps([told, changed, self._verdicts.is_counting])

    def _is_going_on(self) -> bool:
        return self._verdicts.is_counting or any(one.status().goes_on for one in downloads.begun(self._studio))

    def _found_first(self) -> Iterator[Any]:
        """Look by itself where nobody has looked yet."""
        if found.remembered(self._studio).looked:
            yield gr.skip()
        else:
            yield from self._found()

    def _found(self) -> Iterator[Changes]:
        """Look everywhere, and say where and what comes of it."""
        yield {self._find: gr.update(interactive=False), self._notice: markup.bar(-1.0, "Looking", "")}
        try:
            told = time.monotonic()
            for progress in look.look(self._studio):
                if time.monotonic() - told >= _PAUSE:
                    told = time.monotonic()
                    what = f"{markup.counted(progress.files, 'file')}, {markup.counted(progress.bases, 'base')}"
                    yield {self._notice: markup.bar(-1.0, f"Looking with {progress.program}", what)}
            everything = overview.everything(self._studio, self._verdicts.known())
            yield self._listed() | {self._find: gr.update(interactive=True), self._notice: cards.result(everything)}
        except UserError as error:
            yield {self._find: gr.update(interactive=True), self._notice: markup.problem(error)}

    def _download(self, name: str) -> Changes:
        downloads.start(self._studio, name)
        self._context.stir()
        return {}

    def _end(self, name: str, act: str) -> Changes:
        one = next((one for one in downloads.begun(self._studio) if one.base == name), None)
        if one and act == "pause":
            one.pause()
        elif one:
            one.cancel()
        return {}

    def _removed(self, name: str) -> Changes:
        base_removal.carry_out(self._studio, base_removal.of(self._studio, bases.find(self._studio, name)))
        self._unchosen()
        return {}

    def _forgotten(self, path: str) -> Changes:
        """A base that is gone is not looked after any more."""
        found.forget(self._studio, path)
        self._unchosen()
        return {}

    def _unchosen(self) -> None:
        """Whoever takes a base away need not be told on the other tabs that it is gone."""
        there, drafts = {base.key for base in bases.list_bases(self._studio)}, self._context.drafts
        for held in (drafts.train, drafts.draw):
            held.change(lambda draft: draft if draft.base in there else replace(draft, base=""))

    def _added(self, path: str) -> Changes:
        """A base that the user names by its path, quoted or not; used where it lies."""
        typed = str(path or "").strip().strip("\"'")
        if not typed:
            raise UserError("No base is named.", "Write where the base lies.")
        place = Path(os.path.expanduser(typed))  # of a user who is not known, it stays as it is
        if not place.is_absolute():
            raise UserError("This is no whole path.", "Write where the base lies from the drive or / on.")
        thing = look.add(self._studio, place)
        what = "A base" if thing.is_base else "A part of bases"
        said = markup.notice(f"{what} was added: {Path(thing.path).name}.", "It is used where it lies.", "good")
        return self._listed() | {self._notice: said, self._path: ""}

    def _train(self, name: str) -> Changes:
        """Over to Train, with this base chosen there."""
        draft = self._context.drafts.train.value
        return self._context.over_to_train(replace(draft, base=name, started="", note=""))

    def _draw(self, name: str) -> Changes:
        """Over to Generate, with this base chosen there."""
        problem = self._context.drafts.draw.change(lambda draft: replace(draft, base=name))
        if problem:
            raise problem
        return {self._context.tabs: gr.update(selected="generate")}

    def _signed_in(self, token: str) -> Changes:
        """The token goes to huggingface_hub's own store, and is not kept here."""
        if not str(token or "").strip():
            raise UserError("There is no token yet.", "Copy one from the hub's page and paste it here.")
        who = downloads.sign_in(self._studio, str(token))
        said = f"Signed in as {who}." if who else "Signed in."
        return {self._token: "", self._signed: markup.notice(said, "", "good")}


def _how_to_sign_in() -> str:
    link = f'<a href="{pages.TOKENS}" target="_blank" rel="noopener noreferrer">the hub\'s page of tokens</a>'
    return (
        '<p class="quiet">For bases that need permission: accept the licence on the page of the base, make a token '
        f"that may read on {link}, and paste it here. The hub's own program keeps it; it is shown nowhere.</p>"
    )


def _changed(path: Any) -> int:
    try:
        return int(path.stat().st_mtime_ns)
    except OSError:
        return 0
