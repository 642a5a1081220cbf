"""What two or more LoRAs do together, under the stack: whether they fight, in turns, and saved as one."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.settings import DrawSettings, StackEntry
from lora_gui.studio.library import scan
from lora_gui.studio.stacks import kept, mix
from lora_gui.studio.stacks.fight import Fight, fight
from lora_gui.studio.things import loras
from lora_gui.studio.things.names import safe_name
from lora_gui.ui.context import Context
from lora_gui.ui.draft import DrawDraft, Entry
from lora_gui.ui.generate import fight_words, stack
from lora_gui.ui.generate.desk import Desk
from lora_gui.ui.widgets import form, markup
from lora_gui.ui.widgets.handlers import Changes
from lora_gui.ui.widgets.long_work import Say, Works
from lora_gui.ui.widgets.parts import PRESSES, html

LEAST = 2  # LoRAs that are on
RANKS = 1024
FIELDS = ("mix_name", "mix_rank")  # what is typed here, by its name in the draft
Key = tuple[tuple[str, str], ...]  # the LoRAs that count, each with what its weights are


class Together:
    """Lays itself out where it is made; in sight while two LoRAs are on. `fields` and `said` are of the form."""

    def __init__(self, context: Context) -> None:
        self._studio, self._works = context.studio, Works()
        self._found: dict[Key, Fight | UserError] = {}  # what was found last
        self._balanced: tuple[fight_words.Strengths, ...] = ()  # the strengths before Balance, and after it
        with gr.Column(elem_id="together"):
            self._fight = html(js_on_load=PRESSES, elem_id="fight")
            self._bar = html(elem_id="fight-bar")
            turns = form.component("turns", DrawSettings.model_fields["turns"], "draw")
            with gr.Accordion("Save this mix as one LoRA", open=False, elem_id="mix"):
                with gr.Row(elem_classes="fields"):
                    name = gr.Textbox("", label="Name", max_lines=1, info="Of the new LoRA.", elem_id="mix-name")
                    rank = gr.Number(
                        None, label="Rank", step=1, elem_id="mix-rank",
                        info="Empty: exact, as large as all of them together. Smaller: a smaller file, less exact.",
                    )  # fmt: skip
                with gr.Row():
                    self._save = gr.Button("Save as one LoRA", size="sm", scale=0, min_width=150, elem_id="mix-save")
                    self._ask = gr.Button("What is kept?", size="sm", scale=0, min_width=130, elem_id="mix-kept")
                self._saved = html(js_on_load=PRESSES, elem_id="mix-said")
        self.fields: dict[str, Any] = {"turns": turns, "mix_name": name, "mix_rank": rank}
        self.said: dict[str, gr.HTML] = {"fight": self._fight}

    def connect(self, desk: Desk, strengths: Callable[[dict[str, Any]], Changes], sheet: list[Any]) -> None:
        """`strengths` draws the first two at several strengths, and changes the `sheet`."""
        self._desk, self._strengths = desk, strengths
        desk.press(self._fight.select, self._pressed, [self._bar, *sheet], "#fight button")
        desk.press(self._saved.select, self._chosen, [self._saved])
        desk.press(self._ask.click, self._asked, [self._saved])
        desk.press(self._save.click, self._mixed, [self._saved])

    def told(self, draft: DrawDraft) -> dict[str, Any]:
        """What is typed here, and what stands here for the stack as it is."""
        return {name: draft.desk.get(name, "") for name in FIELDS} | {"fight": self._fought(draft)}

    def _fought(self, draft: DrawDraft) -> str:
        """Nothing while less than two LoRAs are on."""
        entries = fight_words.used(draft.stack)
        if len(entries) < LEAST:
            return ""
        found = self._found.get(self._key(entries))
        if found is None:
            return fight_words.asks(entries)
        if isinstance(found, UserError):
            return fight_words.unknown(found)
        now = fight_words.strengths(entries)
        before = self._balanced[0] if self._balanced and self._balanced[1] == now else ()
        return fight_words.told(entries, found, before)

    def _key(self, entries: list[Entry]) -> Key:
        def weights(lora: str) -> str:
            try:
                return loras.fingerprint(Path(lora))
            except UserError:
                return ""

        return tuple((entry.lora, weights(entry.lora)) for entry in entries)

    def _pressed(self, event: gr.EventData, shown: dict[str, Any]) -> Iterator[Changes]:
        desk, act = self._desk, str(event.act)
        if act == "strengths":
            yield self._strengths(shown)
            return
        problem = desk.take(shown.get("changes"))
        if act == "fight":
            for words in self._works.told("fight", self._compared):
                yield {self._bar: words}
        elif act == "balance":
            problem = desk.change(self._in_balance) or problem
        elif act == "undo" and self._balanced:
            before = self._balanced[0]
            problem = desk.change(lambda draft: fight_words.with_strengths(draft, before)) or problem
        yield desk.shows(problem) | {self._bar: ""}

    def _compared(self, say: Say) -> str:
        """Compare the LoRAs that count and remember what was found."""
        say("Comparing")
        entries = fight_words.used(self._desk.draft.stack)
        found: Fight | UserError
        try:
            found = fight([Path(entry.lora) for entry in entries])
        except UserError as error:
            found = error
        self._found = {self._key(entries): found}
        return ""

    def _in_balance(self, draft: DrawDraft) -> DrawDraft:
        entries = fight_words.used(draft.stack)
        found = self._found.get(self._key(entries))
        if not isinstance(found, Fight) or not found.balance:
            return draft  # the stack has changed meanwhile
        after = fight_words.proposed(entries, found)
        self._balanced = (fight_words.strengths(entries), after)
        return fight_words.with_strengths(draft, after)

    def _mixed(self, shown: dict[str, Any]) -> Iterator[Changes]:
        problem = self._desk.take(shown.get("changes"))
        for words in self._works.told("mix", self._mix):
            yield {self._saved: words}
        yield self._desk.shows(problem)

    def _mix(self, say: Say) -> str:
        """Save what counts as one LoRA; what is said of it. Raises UserError where it cannot be."""
        draft = self._desk.draft
        entries = stack.settings(draft.stack)
        rank = _rank(draft.desk.get("mix_rank"))
        name = str(draft.desk.get("mix_name") or "").strip() or _name(entries)
        say("Mixing: the window can be used meanwhile")
        made = mix.mix(self._studio, entries, name, rank)
        file = markup.text(made.lora.path.name)
        return (
            f'<div class="notice good" role="status">{markup.text(made.lora.name)} is among your LoRAs. '
            f'{markup.text(made.sentence)} <button type="button" class="chip" data-act="use" data-word="{file}">'
            "Use it in place of these</button></div>"
        )

    def _asked(self, shown: dict[str, Any]) -> Iterator[Changes]:
        """What smaller mixes would keep, before anything is saved."""
        problem = self._desk.take(shown.get("changes"))
        for words in self._works.told("kept", self._kept):
            yield {self._saved: words}
        yield self._desk.shows(problem)

    def _kept(self, say: Say) -> str:
        say("Looking")
        draft = self._desk.draft
        rank = _rank(draft.desk.get("mix_rank"))
        found = kept.kept(stack.settings(draft.stack), tuple(sorted({*kept.RANKS, rank} - {0})))
        return fight_words.kept(found)

    def _chosen(self, event: gr.EventData, shown: dict[str, Any]) -> Changes:
        """A rank that was chosen, or the mix at 1 in place of the rows that it was made of."""
        self._desk.take(shown.get("changes"))
        if event.act == "rank":
            rank = int(event.word)
            return self._desk.shows(self._desk.change(lambda now: replace(now, desk=now.desk | {"mix_rank": rank})))
        path = next((str(one.path) for one in scan.usable(self._studio) if one.path.name == str(event.word)), "")
        if not path:
            return self._desk.shows(UserError("This LoRA is not there any more.", "Save the mix again."))

        def change(draft: DrawDraft) -> DrawDraft:
            off = tuple(entry for entry in draft.stack if not entry.on)
            return replace(draft, stack=(Entry(True, path, 1.0), *off))

        return self._desk.shows(self._desk.change(change)) | {self._saved: ""}


def _rank(typed: Any) -> int:
    """0 for exact. Raises UserError for what is no rank."""
    if typed in (None, ""):
        return 0
    if not isinstance(typed, (int, float)) or not 1 <= typed <= RANKS or int(typed) != typed:
        raise UserError(f"The rank has to be a whole number from 1 to {RANKS:,}.", "Leave it empty for an exact mix.")
    return int(typed)


def _name(entries: tuple[StackEntry, ...]) -> str:
    return safe_name(" ".join(Path(entry.lora).stem for entry in entries)[:50])
