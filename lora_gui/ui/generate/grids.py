"""Grids and strengths that travel, asked for; and a drawing once more with each of its LoRAs apart."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gradio as gr

from lora_gui import typed
from lora_gui.errors import UserError
from lora_gui.studio import again
from lora_gui.studio.library import history
from lora_gui.studio.stacks import compare, grid, sheets
from lora_gui.studio.stacks.grid import Grid
from lora_gui.ui.context import Context
from lora_gui.ui.draft import DrawDraft
from lora_gui.ui.generate import axis_words
from lora_gui.ui.generate.desk import Desk
from lora_gui.ui.generate.sheets import TITLES, SheetView
from lora_gui.ui.widgets import base_list, markup
from lora_gui.ui.widgets.handlers import LIGHT, Changes
from lora_gui.ui.widgets.parts import PRESSES, html
from lora_gui.ui.widgets.thumbnails import Thumbnails

STATIONS = 40
SIDE = 96  # px
TRAVELS = "One seed, the strength of your first LoRA from one end to the other."


class Grids:
    """Lays itself out where it is made, folded. `fields` and `said` are of the form."""

    def __init__(self, context: Context) -> None:
        self._context, self._studio = context, context.studio
        choices = [(title, kind) for kind, title in axis_words.TITLES.items()]
        self.fields: dict[str, Any] = {}
        with gr.Accordion("Grid and strength travel", open=False, elem_id="grids") as self._fold:
            with gr.Row(elem_classes="fields"):
                for side, title in (("columns", "Columns"), ("rows", "Rows")):
                    usual = axis_words.USUAL[f"{side}_kind"]
                    self.fields[f"{side}_kind"] = gr.Dropdown(
                        choices, value=usual, label=title, min_width=140, elem_id=f"grid-{side}-kind"
                    )
                    self.fields[side] = gr.Textbox(
                        str(axis_words.USUAL[side]), label="Values", max_lines=1, min_width=140,
                        placeholder="0, 0.5, 1", elem_id=f"grid-{side}",
                    )  # fmt: skip
            plan = html(elem_id="grid-plan")
            self._draw = gr.Button("Draw the grid", size="sm", scale=0, min_width=150, elem_id="grid-draw")
            html('<h3 class="group">Strength travel</h3>')
            with gr.Row(elem_classes="fields"):
                self.fields["travel_first"] = _number("From", 0, "first")
                self.fields["travel_last"] = _number("To", 1, "last")
                self.fields["travel_stations"] = _number("Drawings", 10, "stations")
            travels = html(elem_id="travel-plan")
            self._travel = gr.Button("Draw the strip", size="sm", scale=0, min_width=150, elem_id="travel-draw")
            self._before = html(js_on_load=PRESSES, elem_id="sheets-before")
            self._mark = gr.JSON([], visible=False)  # up to which sheet this page lists them; empty before it does
        self.said: dict[str, gr.HTML] = {"grid_plan": plan, "travel_plan": travels}

    def connect(self, desk: Desk, view: SheetView) -> None:
        self._desk, self._view = desk, view
        outputs = view.outputs
        desk.press(self._draw.click, lambda shown: self._begun(shown, self._grid, "grid_plan"), outputs)
        desk.press(self._travel.click, lambda shown: self._begun(shown, self._strip, "travel_plan"), outputs)
        desk.press(self._before.select, self._opened, outputs)
        self._fold.expand(self._lists, None, [self._before, self._mark], **LIGHT)
        self._context.live.watch(self._look, [self._mark], [self._before, self._mark])

    def told(self, draft: DrawDraft) -> dict[str, Any]:
        """How the fields stand."""
        plans = {"grid_plan": axis_words.told(self._studio, draft), "travel_plan": markup.quiet(TRAVELS)}
        return axis_words.typed(draft) | plans

    def apart(self, shown: dict[str, Any], name: str) -> Changes:
        """A drawing of the history once more: the base, each of its LoRAs alone, and all of them."""

        def plan() -> Grid:
            path, base = history.place(self._studio, name), None
            try:
                found = again.read(self._studio, path)
            except UserError:
                base = base_list.chosen(self._studio, self._desk.draft.base)
                found = again.read(self._studio, path, base)
            planned = compare.plan(self._studio, found.base, found.settings)
            return replace(planned, notes=(*found.left, *planned.notes))

        return self._begun(shown, plan)

    def strengths(self, shown: dict[str, Any]) -> Changes:
        """The first two LoRAs of the stack at several strengths each, so that one sees which show both."""

        def plan() -> Grid:
            base, wanted = self._desk.asked()
            return grid.plan(self._studio, base, wanted, *axis_words.of_two(wanted))

        return self._begun(shown, plan)

    def _begun(self, shown: dict[str, Any], plan: Callable[[], Grid], at: str = "notice") -> Changes:
        """`at` is where a refusal stands: beside what was pressed."""
        desk = self._desk
        try:
            with desk.still:
                problem = desk.take(shown.get("changes"))
                planned, on_processor = plan(), desk.draft.on_processor
            began = self._view.begin(planned, on_processor)
        except UserError as error:
            return desk.shows(error, at=at)
        return desk.shows(problem) | began

    def _grid(self) -> Grid:
        rows, columns = (axis_words.read(self._desk.draft, side) for side in axis_words.SIDES)
        if not (rows.kind or columns.kind):
            raise UserError("Nothing changes in this grid.", "Choose what changes from column to column.")
        base, wanted = self._desk.asked()
        return grid.plan(self._studio, base, wanted, rows, columns)

    def _strip(self) -> Grid:
        said = axis_words.typed(self._desk.draft)
        first, last, stations = (said[f"travel_{name}"] for name in ("first", "last", "stations"))
        if not isinstance(stations, (int, float)) or int(stations) != stations or not 2 <= stations <= STATIONS:
            raise UserError("A strength travels over a whole number of drawings.", f"Use 2 to {STATIONS}.")
        base, wanted = self._desk.asked()
        axis = grid.travel(int(stations), _strength(first), _strength(last))
        return replace(grid.plan(self._studio, base, wanted, columns=axis), kind="travel")

    def _opened(self, event: gr.EventData, shown: dict[str, Any]) -> Changes:
        """A sheet that was drawn before."""
        problem = self._desk.take(shown.get("changes"))
        try:
            return self._desk.shows(problem) | self._view.open(str(event.sheet))
        except UserError as error:
            return self._desk.shows(error)

    def _look(self, mark: list[Any]) -> Changes:
        return self._lists() if mark and mark != self._view.last else {}

    def _lists(self) -> Changes:
        last = self._view.last  # first: what changes meanwhile is looked at once more
        return {self._before: self._listed(), self._mark: last}

    def _listed(self) -> str:
        """The sheets that were drawn before."""
        small, rows = Thumbnails(self._studio, SIDE), []
        for sheet in sheets.before(self._studio):
            first = next((drawing for drawing, _ in sheet.cells if drawing), None)
            title = f"{TITLES.get(sheet.kind, TITLES['grid'])}, {sheet.drawn} of {len(sheet.cells)}"
            rows.append(
                f'<button type="button" data-act="open" data-sheet="{markup.text(sheet.name)}"><span class="small">'
                f'{markup.image(small(first), "") if first else ""}</span><span><b>{markup.text(title)}</b>'
                f"<span>{markup.text(sheet.prompt)}</span></span></button>"
            )
        return f'<h3 class="group">Drawn before</h3><div class="before">{"".join(rows)}</div>' if rows else ""


def _strength(value: Any) -> float:
    found = typed.number(value) if isinstance(value, str) else value
    if not isinstance(found, (int, float)) or not -2 <= found <= 2:
        raise UserError("A strength travels between -2 and 2.", "Go from 0 to 1, for example.")
    return float(found)


def _number(label: str, usual: float, name: str) -> gr.Number:
    step: Any = 1 if name == "stations" else "any"
    return gr.Number(usual, label=label, step=step, min_width=90, elem_id=f"travel-{name}")
