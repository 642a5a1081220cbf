"""The contract card of a LoRA as a short form: what it is, whose the pictures are, who is shown; never in the way."""

from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.studio.library import contracts
from lora_gui.studio.library.contracts import IN_WORDS, LICENCES, Answers, Contract, Learnt
from lora_gui.studio.things import loras
from lora_gui.ui.context import Context
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.handlers import HIDDEN, Changes, noticed
from lora_gui.ui.widgets.parts import html

OWNS = (("A style", "style"), ("A character", "character"), ("A concept", "concept"))
WHOSE = tuple((words[:1].upper() + words[1:], key) for key, words in IN_WORDS.items())
PEOPLE = (("Nobody", "none"), ("Only me", "self"), ("Others, who agreed", "consented"), ("I do not know", "unknown"))
WHY = "Half a minute. Only publishing asks for it; training and drawing never do."


class ContractForm:
    """Lays itself out where it is made; `key` begins the ids of its parts. Hidden until a LoRA is shown."""

    def __init__(self, context: Context, key: str) -> None:
        self._studio = context.studio
        self.page = gr.JSON({}, visible=False)  # the path of the LoRA, and how many pictures it learnt from
        title, licences = "What it is, and whose the pictures are", [(one or "As its base", one) for one in LICENCES]
        with gr.Accordion(title, open=False, visible=False, elem_id=f"{key}contract") as self.panel:
            self._told = html(elem_id=f"{key}contract-told")
            self._owns = gr.Radio(OWNS, label="It is", elem_classes="plain-choice")
            self._scope = gr.Textbox(label="Of what, in a sentence", max_lines=2, placeholder="Ink drawings of foxes.")
            self._rights = gr.Radio(WHOSE, label="The pictures are", elem_classes="plain-choice")
            with gr.Accordion("Some pictures are different", open=False) as self._different:
                self._others = {
                    kind: gr.Dropdown([], label=words, multiselect=True) for words, kind in WHOSE
                }
            self._people = gr.Radio(PEOPLE, label="Who can be recognised in them", elem_classes="plain-choice")
            with gr.Row(elem_classes="fields"):
                self._licence = gr.Dropdown(licences, label="Licence of the LoRA", allow_custom_value=True)
                self._use = gr.Textbox(label="What it may be used for", max_lines=1, placeholder="Anything.")
            self._open = gr.Checkbox(
                False, label="Let others ask whether a picture was learnt",
                info="On: whoever has the file can ask whether it learnt from a picture. The pictures stay here.",
            )  # fmt: skip
            self._write = gr.Button("Write it into the file", size="sm", scale=0, min_width=190, elem_id=f"{key}write")
            self._came = html(elem_id=f"{key}contract-came")  # beside the button, so that it is in sight
        said = [self._people, self._licence, self._use, self._open]
        self._fields = [self._owns, self._scope, self._rights, *self._others.values(), *said]
        self.outputs: list[Any] = [self.page, self.panel, self._told, self._came, self._different, *self._fields]

    def connect(self) -> None:
        written = noticed(self._came, self._written)
        self._write.click(written, [self.page, *self._fields], [self._told, self._came], **HIDDEN)

    def shown(self, lora: str) -> Changes:
        """The card of the LoRA in a file; hidden where there is none, or none that can be read."""
        try:
            card, learnt = contracts.begun(self._studio, loras.describe(Path(lora))) if lora else (None, ())
        except UserError:
            card, learnt = None, ()
        if card is None:
            return {self.page: {}, self.panel: gr.update(visible=False)}
        pictures = [(f"{one.number} {one.label}", one.number) for one in learnt]
        usual = max(card.rights, key=lambda kind: card.rights[kind], default=None)
        people = card.people if card.confirmed else None
        others = {field: gr.update(choices=pictures, value=[]) for field in self._others.values()}
        return others | {
            self.page: {"lora": lora},
            self.panel: gr.update(visible=True, open=bool(card.confirmed) and not learnt),  # of others: to be read
            self._told: _told(card, learnt),
            self._came: "",
            self._different: gr.update(visible=len(pictures) > 1),
            self._owns: card.owns or None,
            self._scope: card.scope,
            self._rights: usual,
            self._people: people,
            self._licence: card.licence,
            self._use: card.allowed_use,
            self._open: bool(card.each),
        }

    def _written(self, page: dict[str, Any], owns: Any, scope: Any, rights: Any, *rest: Any) -> Changes:
        *others, people, licence, use, is_open = rest
        if not (page or {}).get("lora"):
            return {}
        asked = (owns, self._owns), (rights, self._rights), (people, self._people)
        if missing := [f"{field.label} ..." for answer, field in asked if not answer]:
            what = "One answer is missing" if len(missing) == 1 else f"{len(missing)} answers are missing"
            raise UserError(f"{what}: {'; '.join(missing)}", "Choose, then write it into the file.")
        by_kind = zip(self._others, others, strict=True)
        different = {int(number): kind for kind, chosen in by_kind for number in chosen or ()}
        answers = Answers(
            owns=owns, rights=rights, people=people, scope=str(scope or ""), others=different,  # type: ignore[arg-type]
            licence=str(licence or ""), allowed_use=str(use or ""), is_open=bool(is_open),
        )  # fmt: skip
        lora = loras.describe(Path(page["lora"]))
        card = contracts.record(self._studio, lora, answers)
        said = markup.notice("Written into the file.", " ".join(card.holds_back), "good")
        return {self._told: _words(card), self._came: said}


def _told(card: Contract, learnt: tuple[Learnt, ...]) -> str:
    """What the card says already; which pictures forbid to be learnt from."""
    marked = [one.label for one in learnt if one.opted_out]
    remark = ""
    if marked:
        what = f"{markup.counted(len(marked), 'picture')} came with a mark against training: {', '.join(marked[:5])}."
        remark = markup.notice(what, "Say whose they are below.", "note")
    return (_words(card) if card.confirmed else markup.quiet(WHY)) + remark


def _words(card: Contract) -> str:
    return "".join(map(markup.quiet, contracts.in_words(card)))
