"""A sheet in the place of the drawing: followed while it is drawn, stopped, opened again; its cells can be used."""

import json
import os
from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.studio.library import folder
from lora_gui.studio.stacks.grid import Grid
from lora_gui.studio.stacks.sheets import GONE, Sheet, Sheets, delete, find, restore
from lora_gui.ui.context import Context
from lora_gui.ui.draft import DrawDraft
from lora_gui.ui.generate import once_more
from lora_gui.ui.generate.desk import Desk
from lora_gui.ui.library.cards import address
from lora_gui.ui.widgets import base_list, markup
from lora_gui.ui.widgets.handlers import Changes
from lora_gui.ui.widgets.parts import PRESSES, html
from lora_gui.ui.widgets.thumbnails import Thumbnails

PLACE = '<div class="sheet" hidden></div>'
SCRIPT = Path(__file__).with_name("sheets.js")
TITLES = {"grid": "Grid", "travel": "Strength travel", "compare": "The same seed, with each LoRA"}


class SheetView:
    """Lays itself out where it is made, within the stage; what is shown is the same for every page."""

    def __init__(self, context: Context) -> None:
        self._context, self._studio = context, context.studio
        self._sheets = Sheets(context.drawer)
        self._small = Thumbnails(context.studio)
        self._shown = ""  # the name of the sheet that is shown; empty while a drawing is
        self._before: Sheet | None = None  # the one that was opened again
        self._binned = ""  # the one that was deleted last
        self._asked = 0  # how often one was asked for, so that the page goes to where it is
        html(PLACE, elem_id="sheet")
        self._state = html("", html_template="", js_on_load=SCRIPT.read_text(encoding="utf-8"), elem_id="sheet-state")
        self._mark = gr.JSON([], visible=False)  # what this page shows

    def below(self) -> None:
        """Lay out the line that tells of a sheet that is being drawn while something else is shown."""
        self._line = html(js_on_load=PRESSES, elem_id="sheet-line")
        self.outputs = [self._state, self._mark, self._line]

    def connect(self, desk: Desk) -> None:
        self._desk = desk
        self._context.waits.append(lambda: self._sheets.goes_on)
        self._context.live.watch(self._look, [self._mark], self.outputs)
        desk.press(self._state.select, self._acted, self.outputs)
        desk.press(self._line.select, self._acted, self.outputs)

    def begin(self, planned: Grid, on_processor: bool) -> Changes:
        """Draw a sheet and show it. Raises UserError where another one is being drawn."""
        self._sheets.begin(planned, on_processor=on_processor)
        latest = self._sheets.latest
        self._show(latest.name if latest else "")
        return self.changes()

    def open(self, name: str) -> Changes:
        """Show a sheet that was drawn before. Raises UserError where it is gone."""
        latest = self._sheets.latest
        self._before = None if latest and latest.name == name else find(self._studio, name)
        self._show(name)
        return self.changes()

    def _show(self, name: str) -> None:
        self._shown, self._asked = name, self._asked + 1

    @property
    def last(self) -> list[Any]:
        """Tells which sheet was drawn last, whether it is being drawn, and which was deleted last."""
        latest = self._sheets.latest
        return [latest.name if latest else "", bool(latest and latest.goes_on), self._binned]

    def aside(self) -> Changes:
        """Make room for a drawing; a sheet in work goes on."""
        self._shown = ""
        return self.changes()

    def changes(self) -> Changes:
        """How everything stands."""
        mark = self._seen()  # first: what changes meanwhile is looked at once more
        sheet, latest = self._now(), self._sheets.latest
        line = _line(latest) if latest and latest.goes_on and not sheet else _back(self._binned)
        return {self._state: self._told(sheet) if sheet else "", self._mark: mark, self._line: line}

    def _look(self, mark: list[Any]) -> Changes:
        return {} if mark == self._seen() else self.changes()

    def _now(self) -> Sheet | None:
        """The sheet that is shown."""
        latest = self._sheets.latest
        if latest and latest.name == self._shown:
            return latest
        return self._before if self._before and self._before.name == self._shown else None

    def _seen(self) -> list[Any]:
        """What changes whenever anything that is shown does."""
        latest = self._sheets.latest
        if latest is None:
            return [self._shown, self._asked]
        tried = sum(bool(drawing or why) for drawing, why in latest.cells)
        goes = [latest.name, tried, *latest.step, latest.goes_on, len(latest.said), bool(latest.moving)]
        return [self._shown, self._asked, *goes]

    def _told(self, sheet: Sheet) -> str:
        """As sheets.js takes it."""
        cells = [
            {"small": self._small(one) or address(one), "whole": address(one), "why": why} if one else
            {"small": "", "whole": "", "why": why}
            for one, why in sheet.cells
        ]  # fmt: skip
        told = {
            "name": sheet.name, "kind": sheet.kind, "title": TITLES.get(sheet.kind, TITLES["grid"]),
            "rows": sheet.rows, "columns": sheet.columns, "cells": cells, "said": _said(sheet), "told": _stands(sheet),
            "asked": self._asked, "draws": sheet.goes_on,
            "whole": address(sheet.whole) if sheet.whole.is_file() else "",
            "moving": address(sheet.moving) if sheet.moving else "",
        }  # fmt: skip
        return json.dumps(told)

    def _acted(self, event: gr.EventData, shown: dict[str, Any]) -> Changes:
        """What was pressed at a sheet."""
        desk, act, word = self._desk, str(event.act), str(event.word)
        problem = desk.take(shown.get("changes"))
        latest, self._binned = self._sheets.latest, ""
        try:
            if act == "stop":
                self._sheets.stop()
            elif act == "close":
                self._shown = ""
            elif act == "show" and latest:
                self._show(latest.name)
            elif act == "folder":
                folder.show(self._required().whole, os.environ)
            elif act == "delete":
                if latest and latest.goes_on and latest.name == self._shown:
                    raise UserError("This sheet is being drawn.", "Stop it first.")
                self._binned, self._shown = delete(self._studio, self._shown), ""
            elif act == "restore":
                self.open(restore(self._studio, word))
            elif act == "use":
                drawing = self._cell(word)
                problem = desk.change(lambda draft: self._used(draft, drawing)) or problem
        except UserError as error:
            problem = error
        return desk.shows(problem) | self.changes()

    def _used(self, draft: DrawDraft, drawing: Path) -> DrawDraft:
        return once_more.used(self._studio, draft, base_list.chosen(self._studio, draft.base), drawing)

    def _required(self) -> Sheet:
        if sheet := self._now():
            return sheet
        raise GONE

    def _cell(self, number: str) -> Path:
        """The drawing of a cell of the sheet that is shown."""
        cells = self._required().cells
        drawing = cells[int(number)][0] if number.isdecimal() and int(number) < len(cells) else None
        if drawing is None:
            raise UserError("This drawing is not there any more.", "Choose another one.")
        return drawing


def _stands(sheet: Sheet) -> str:
    """How far it is, in words."""
    step, of = sheet.step
    count = len(sheet.cells)
    if sheet.goes_on:
        return f"{sheet.drawn} of {count} drawn{f', step {step} of {of}' if of else ''}"
    if sheet.drawn < count:
        return f"{sheet.drawn} of {count} drawn; what is drawn stays."
    return markup.counted(count, "drawing")


def _said(sheet: Sheet) -> list[str]:
    """What its drawings show, and why some are not there."""
    why = [why for _, why in sheet.cells if why]
    missing = f"{markup.counted(len(why), 'drawing')} could not be made: {why[0]}" if why else ""
    return [*sheet.said, *filter(None, [missing])]


def _back(binned: str) -> str:
    """That a sheet is in the bin, and the way back."""
    if not binned:
        return ""
    return (
        '<div class="aside" role="status"><span>The sheet and its drawings are in the bin.</span><button type="button" '
        f'class="chip" data-act="restore" data-word="{markup.text(binned)}">Have it back</button></div>'
    )


def _line(sheet: Sheet) -> str:
    title = TITLES.get(sheet.kind, TITLES["grid"])
    buttons = "".join(
        f'<button type="button" class="chip" data-act="{act}">{words}</button>'
        for act, words in (("show", "Show"), ("stop", "Stop"))
    )
    return f'<div class="aside" role="status"><span>{title}: {markup.text(_stands(sheet))}</span>{buttons}</div>'
