"""Presets of the user's own and settings files, at the foot of Details: kept, renamed, shared; read and written."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.studio.things import own_presets, presets, settings_files
from lora_gui.ui.context import Context
from lora_gui.ui.draft import TrainDraft
from lora_gui.ui.train import planned
from lora_gui.ui.widgets import form, markup
from lora_gui.ui.widgets.handlers import Changes
from lora_gui.ui.widgets.parts import html

Act = Callable[[str], str]  # takes what stands in the field, returns what is told


class PresetsView:
    """Lays itself out where it is made; `cards` is the choice of presets, which follows."""

    def __init__(self, context: Context, cards: gr.Radio) -> None:
        self._context, self._studio, self._cards = context, context.studio, cards
        with gr.Accordion("Presets and settings files", open=False, elem_id="own-presets"):
            with gr.Row(elem_classes="under"):
                self._name = gr.Textbox(
                    label="Name of a preset of your own", placeholder="Ink drawings", max_lines=1, elem_id="preset-name"
                )
            with gr.Row(elem_classes="under"):
                self._acts: list[tuple[gr.Button, Act]] = [
                    (_button("Keep what is set as a preset", "keep-preset", 210), self._kept),
                    (_button("Rename", "rename-preset", 90), self._renamed),
                    (_button("Share", "share-preset", 90), self._shared),
                    (_button("Delete", "delete-preset", 90), self._deleted),
                ]
            with gr.Row(elem_classes="under"):
                self._read = gr.UploadButton(
                    "Read a settings file", size="sm", scale=0, min_width=170, elem_id="read-settings",
                    file_types=[".toml", ".json", ".yaml", ".yml"],
                )  # fmt: skip
                self._acts.append((_button("Write these settings as a file", "write-settings", 230), self._written))
            whose = "Of kohya, OneTrainer, ai-toolkit, SimpleTuner or this app"
            html(markup.quiet(f"{whose}; or a preset that somebody shared."))
            self._told = html(elem_id="presets-told")
        self.outputs: list[Any] = [self._told, cards]

    def connect(
        self, after: Callable[[dict[str, Any], Callable[[], None]], Changes], shown: Any, carried: dict[str, Any],
        more: list[Any],
    ) -> list[Any]:  # fmt: skip
        """Connect the buttons; the events, after which the form is filled. `after` takes what was typed into the draft,
        does what it is given, and gives the draft as it stands then."""

        def done(given: dict[str, Any], act: Callable[[], str]) -> Changes:
            told: list[str] = []
            changes = after(given, lambda: told.append(_told(act)))
            return self.choices() | changes | {self._told: "".join(told)}

        def acting(act: Act) -> Callable[..., Changes]:
            return lambda given, name: done(given, lambda: act(name or ""))

        def read(given: dict[str, Any], file: str) -> Changes:
            return done(given, lambda: self._taken(Path(file)))

        outputs = [*more, *self.outputs]
        pressed = [button.click(acting(act), [shown, self._name], outputs, **carried) for button, act in self._acts]
        return [*pressed, self._read.upload(read, [shown, self._read], outputs, **carried)]

    def choices(self) -> Changes:
        """The presets that there are now."""
        return {self._cards: gr.update(choices=cards(presets.presets(self._studio)))}

    @property
    def _draft(self) -> TrainDraft:
        return self._context.drafts.train.value

    def _chosen(self) -> str:
        return planned.chosen_preset(self._studio, self._draft)

    def _kept(self, name: str) -> str:
        hand, wrong = form.usable(self._draft.hand)
        for error in wrong.values():
            raise error
        made = own_presets.save(self._studio, name, self._chosen(), hand)
        self._change(preset=made.key, hand={})
        return markup.notice(f"{made.title} is kept.", "It stands beside the others above.", "good")

    def _renamed(self, name: str) -> str:
        made = own_presets.rename(self._studio, self._chosen(), name)
        self._change(preset=made.key)
        return markup.notice(f"It is called {made.title} now.", "", "good")

    def _shared(self, _: str) -> str:
        return _lies("The preset", own_presets.share(self._studio, self._chosen()))

    def _deleted(self, _: str) -> str:
        gone = own_presets.delete(self._studio, self._chosen())
        self._change(preset="")
        return markup.notice(f"{gone.name} is in the bin.", "", "good")

    def _written(self, _: str) -> str:
        draft = self._draft
        found = planned.chosen_pictures(self._studio, draft)
        plan = planned.planned(self._studio, draft, len(found.pictures) if found else 0)
        said = {"name": draft.name, "trigger": draft.trigger, "preset": plan.preset}
        return _lies("The file", settings_files.keep(self._studio, said, plan.base, plan.settings))

    def _taken(self, file: Path) -> str:
        """A preset of somebody else becomes one here; any other file fills the form."""
        if settings_files.is_preset(file):
            made = own_presets.bring(self._studio, file)
            self._change(preset=made.key, hand={})
            return markup.notice(f"{made.title} is one of your presets now.", "", "good")
        found = settings_files.read(self._studio, file)
        hand = {name: form.as_typed(one) for name, one in found.values.items()}
        words = {"trigger": found.trigger, "name": found.name, "base": found.base, "preset": found.preset}
        self._change(hand=hand, **{name: text for name, text in words.items() if text})
        told = markup.notice(f"{len(hand)} settings of {found.program} are filled in.", "", "good")
        own = [f"Seen to by this app in its own way: {', '.join(found.own_way)}."] if found.own_way else []
        left = markup.sentences("Not carried over", found.left)
        return told + left + markup.sentences("Worth knowing", own, folded=True)

    def _change(self, **values: Any) -> None:
        if problem := self._context.drafts.train.change(lambda draft: replace(draft, started="", note="", **values)):
            raise problem


def cards(known: dict[str, presets.Preset]) -> list[tuple[str, str]]:
    """Title and sentence in one label; the style sheet sets the first line as the title."""
    return [(f"{preset.title}\n{preset.problem or preset.description}", key) for key, preset in known.items()]


def _told(act: Callable[[], str]) -> str:
    try:
        return act()
    except UserError as error:
        return markup.problem(error)


def _button(words: str, name: str, width: int) -> gr.Button:
    return gr.Button(words, size="sm", scale=0, min_width=width, elem_id=name)


def _lies(what: str, place: Path) -> str:
    return markup.notice(f"{what} lies in your studio.", str(place), "good")
