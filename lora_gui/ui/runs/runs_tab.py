"""The tab of all runs: those that wait, the one that goes on, those that were; and the picture sets they learn from."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.studio.tasks import queue, runs
from lora_gui.studio.tasks.run import is_queue_held, queued
from lora_gui.studio.things import pictures
from lora_gui.ui.context import Context
from lora_gui.ui.runs import lists
from lora_gui.ui.runs.past_run import PastRun
from lora_gui.ui.train import run_words
from lora_gui.ui.widgets.handlers import HIDDEN, LIGHT, Changes, noticed
from lora_gui.ui.widgets.parts import html
from lora_gui.ui.widgets.thumbnails import Thumbnails

SIDE = 96  # px of a set's first pictures


def build(context: Context, tab: gr.Tab) -> None:
    """Lay the tab out and connect it; what it lists is read when it is first opened."""
    with gr.Column(elem_classes="page"):
        with gr.Column(elem_id="all-runs") as listed:
            lists_view = _Lists(context)
        past = PastRun(context, listed)
    past.connect()
    context.to_run = lambda name: {context.tabs: gr.update(selected="runs")} | past.show(name)
    context.past_run = [context.tabs, *past.outputs]
    lists_view.connect(tab, past)


class _Lists:
    """Lays itself out where it is made."""

    def __init__(self, context: Context) -> None:
        self._context, self._studio = context, context.studio
        self._notice = html(elem_id="runs-notice")
        self._runs = html(js_on_load=lists.ASKS, elem_id="runs-list")
        self._sets = html(js_on_load=lists.ASKS, elem_id="sets-list")
        self._page = gr.JSON({}, visible=False)  # the mark of what this page lists; empty before it lists anything
        self._outputs = [self._notice, self._runs, self._sets, self._page]
        self._acts: dict[str, Callable[[str], Changes]] = {
            "up": lambda name: self._moved(name, -1),
            "down": lambda name: self._moved(name, 1),
            "remove": self._taken_out,
            "go-on": self._let_go_on,
            "use": self._used,
            "delete": self._set_deleted,
        }

    def connect(self, tab: gr.Tab, past: PastRun) -> None:
        live, context = self._context.live, self._context
        tab.select(lambda: {self._notice: ""} | self._listed(), None, self._outputs, **LIGHT)
        live.watch(self._look, [self._page], self._outputs)
        outputs = [*self._outputs, *past.outputs, context.tabs, *context.setup]

        def pressed(event: gr.EventData) -> Changes:
            act, name = str(event.act), Path(str(event.name)).name
            if act == "open":
                return past.show(name)
            return self._acts[act](name) | self._listed()

        for part in (self._runs, self._sets):
            chosen = part.select(noticed(self._notice, pressed), None, outputs, **HIDDEN)
            live.after(chosen, "#past-run .run-name", "#runs-list button", "#trigger input")

    def _look(self, page: dict[str, Any]) -> Changes:
        """The lists anew, where the page shows them and something has come, gone or changed its state."""
        return self._listed() if page and page.get("mark") != self._mark() else {}

    def _listed(self) -> Changes:
        mark, wait = self._mark(), queued(self._studio.runs)
        found = runs.summaries(self._studio)
        titles = run_words.preset_titles(self._studio, {run.preset for run in found})
        found = [replace(run, preset=titles[run.preset]) for run in found]
        by_name = {run.folder.name: run for run in found}
        waiting = [by_name[name] for name in wait if name in by_name]
        rest = [run for run in found if run.folder.name not in wait]
        address = Thumbnails(self._studio, SIDE)
        sets = lists.sets(pictures.sets(self._studio), address)
        return {
            self._runs: lists.waiting(waiting, is_queue_held(self._studio.runs)) + lists.past(rest),
            self._sets: sets + address.remark(),
            self._page: {"mark": mark},
        }

    def _mark(self) -> str:
        """What the lists depend on, read quickly: they come anew when it changes."""
        name = self._context.running()
        status = self._context.run(name).status() if name else None
        tenth = 10 * status.step // status.of if status and status.of else 0
        there = [_count(place) for place in (self._studio.runs, self._studio.pictures)]
        held = is_queue_held(self._studio.runs)
        return json.dumps([queued(self._studio.runs), held, name, status and status.state, tenth, there])

    def _moved(self, name: str, by: int) -> Changes:
        names = queued(self._studio.runs)
        place = names.index(name) + 1 if name in names else 0
        queue.move(self._studio, self._context.run(name), place + by)
        return {}

    def _taken_out(self, name: str) -> Changes:
        queue.remove(self._studio, self._context.run(name))
        return {}

    def _let_go_on(self, _: str) -> Changes:
        queue.hold(self._studio, False)
        return {}

    def _used(self, folder: str) -> Changes:
        """Over to Train, with these pictures in place of those chosen there."""
        draft = self._context.drafts.train.value
        return self._context.over_to_train(replace(draft, folder=folder, started="", note=""))

    def _set_deleted(self, folder: str) -> Changes:
        pictures.delete_set(self._studio, self._studio.pictures / folder)
        return {}


def _count(folder: Path) -> int:
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0
