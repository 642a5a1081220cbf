"""Publish a LoRA to the Hugging Face Hub: what exactly is uploaded is shown first, then one button sends it."""

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from lora_gui.errors import UserError
from lora_gui.studio.giving import publish, share
from lora_gui.studio.library import contracts
from lora_gui.studio.tasks import downloads
from lora_gui.studio.things import loras
from lora_gui.ui.context import Context
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.handlers import HIDDEN, LIGHT, Changes, noticed
from lora_gui.ui.widgets.long_work import CANCELLED, Say, Works
from lora_gui.ui.widgets.parts import html

SIGN_IN = "sign in"  # cause
TOKEN = "Kept by huggingface_hub, never by this app. Make one of the kind Write in your settings there."


class Told:
    """What comes of the work on each LoRA, seen on that LoRA's page alone; it goes on whatever page is opened."""

    def __init__(self, context: Context, key: str) -> None:
        """Lays itself out where it is made; `key` begins the ids of its parts."""
        self._works, self._times = Works(), itertools.count(1)
        self._said: dict[str, tuple[int, str, int]] = {}  # of each LoRA: which time, the words, the state of its file
        self.place = html(elem_id=f"{key}told")
        self.cancel = gr.Button("Cancel", size="sm", visible=False, scale=0, min_width=100, elem_id=f"{key}cancel")
        self.page = gr.JSON([], visible=False)  # the mark of what this page shows
        self.outputs: list[Any] = [self.place, self.cancel, self.page]
        context.waits.append(lambda: bool(self._works.hearers))

    def begin(
        self,
        lora: str,
        work: Callable[[Say], str],
        problem: Callable[[UserError], str] = markup.problem,
        cancelled: Callable[[], str] = lambda: CANCELLED,
    ) -> None:
        """Let `work` be done, as `Works.begin` does it. Raises UserError where something is already."""
        self._works.begin(lora, work, partial(self._say, lora), problem, cancelled)

    def give_up(self, page: dict[str, Any]) -> None:
        self._works.cancel(lora_of(page))

    def is_done(self, lora: str) -> bool:
        """Whether something came of the work on a LoRA that is as it was then."""
        return bool(self._now(lora)[0]) and lora not in self._works.hearers

    def mark(self, lora: str) -> list[Any]:
        """Changes whenever what there is to be seen of a LoRA does."""
        return [lora, self._now(lora)[0], lora in self._works.hearers]

    def shown(self, lora: str) -> Changes:
        mark = self.mark(lora)  # first: what is said meanwhile is looked at once more
        return {self.page: mark, self.place: self._now(lora)[1], self.cancel: gr.update(visible=mark[2])}

    def _say(self, lora: str, words: str) -> None:
        self._said[lora] = next(self._times), words, _state(lora)

    def _now(self, lora: str) -> tuple[int, str]:
        """Which time something was said, and what; nothing where the file was changed since."""
        time, words, state = self._said.get(lora, (0, "", 0))
        return (time, words) if state == _state(lora) else (0, "")


class PublishView:
    """Lays itself out where it is made; `page` holds the LoRA, `picks` the drawings that were picked."""

    def __init__(self, context: Context, page: gr.JSON, picks: gr.JSON, key: str) -> None:
        self._context, self._studio, self._asked = context, context.studio, [page, picks]
        self._seen: dict[str, publish.Shown] = {}  # what was shown to be uploaded of each LoRA, by its path
        self._unsigned: set[str] = set()  # LoRAs whose upload asked for a token
        with gr.Accordion("Publish to the Hugging Face Hub", open=False, elem_id=f"{key}publish"):
            with gr.Row(elem_classes="fields"):
                self._repo = gr.Textbox(
                    label="Its place there", placeholder="you/my-lora", max_lines=1, elem_id=f"{key}repo"
                )
                self._public = gr.Checkbox(
                    False, label="For everybody", info="Off: only you can see it.", elem_id=f"{key}public"
                )
            self._show = gr.Button(
                "Show what is uploaded", size="sm", scale=0, min_width=180, elem_id=f"{key}show-upload"
            )
            self._told = Told(context, f"{key}publish-")
            with gr.Row(visible=False, elem_classes="fields") as self._signing:
                self._token = gr.Textbox(label="Token of the Hub", type="password", max_lines=1, info=TOKEN)
                self._sign = gr.Button("Sign in", size="sm", scale=0, min_width=110)
            self._send = gr.Button("Publish exactly this", size="sm", visible=False, scale=0, min_width=170,
                                   elem_id=f"{key}send")  # fmt: skip
        self.outputs: list[Any] = [*self._told.outputs, self._send, self._signing]

    def connect(self) -> None:
        live, told, page = self._context.live, self._told, self._asked[0]
        live.watch(self._look, [page, told.page], self.outputs)
        shown, sent = noticed(told.place, self._showing), noticed(told.place, self._sent)
        live.after(self._show.click(shown, [*self._asked, self._repo, self._public], self.outputs, **HIDDEN))
        live.after(self._send.click(sent, [page, told.page], self.outputs, **HIDDEN))
        live.after(told.cancel.click(told.give_up, [page], None, **LIGHT))
        self._sign.click(self._signed_in, [self._token], [told.place, self._token, self._signing], **HIDDEN)

    def shown(self, lora: str) -> Changes:
        """What came of the LoRA at this path so far."""
        is_done = self._told.is_done(lora)
        return self._told.shown(lora) | {
            self._send: gr.update(visible=is_done and lora in self._seen),
            self._signing: gr.update(visible=is_done and lora in self._unsigned),
        }

    def _look(self, page: dict[str, Any], mark: list[Any]) -> Changes:
        lora = lora_of(page)
        return {} if mark == self._told.mark(lora) else self.shown(lora)

    def _showing(self, page: dict[str, Any], picks: list[str], repo: str, public: bool) -> Changes:
        path = lora_of(page)

        def run(say: Say) -> str:
            self._seen.pop(path, None)
            self._unsigned.discard(path)
            lora = loras.describe(Path(path))
            contracts.require_publishable(lora.path)
            publish.require_place(repo)
            chosen = [self._studio.drawings / name for name in picks or ()]
            made = share.share(self._studio, self._context.drawer, lora, chosen, lora.strength or 1.0, say=say)
            self._seen[path] = what = publish.shown(made.folder, made.lora, repo, not public)
            return _listed(what, made.proofs)

        self._told.begin(path, run)
        return self.shown(path)

    def _sent(self, page: dict[str, Any], mark: list[Any]) -> Changes:
        """Upload what this page shows, and nothing else. Raises UserError where it shows that no more."""
        lora, last = lora_of(page), [""]
        seen = self._seen.get(lora) if mark == self._told.mark(lora) else None
        if seen is None:
            raise UserError("This is not what would be uploaded now.", "Look at what is uploaded once more.")

        def run(say: Say) -> str:
            def heard(words: str) -> None:
                last[0] = words or last[0]
                say(words)

            self._unsigned.discard(lora)
            what = publish.again(seen.folder, seen.repo, seen.private, seen.sums)
            address = publish.publish(self._studio, what, heard)
            self._seen.pop(lora, None)
            return markup.notice("It is on the Hub.", address, "good")

        def problem(error: UserError) -> str:
            if error.cause == SIGN_IN:
                self._unsigned.add(lora)
            return markup.problem(error)

        self._told.begin(lora, run, problem, lambda: _cancelled(seen.repo, last[0]))
        return self.shown(lora)

    def _signed_in(self, token: str) -> Changes:
        """The token leaves the field at once, whatever becomes of it."""
        try:
            name = downloads.sign_in(self._studio, token or "")
        except UserError as error:
            return {self._told.place: markup.problem(error), self._token: ""}
        self._unsigned.clear()
        told = markup.notice(f"Signed in as {name}.", "Now publish it.", "good")
        return {self._told.place: told, self._token: "", self._signing: gr.update(visible=False)}


def lora_of(page: dict[str, Any]) -> str:
    """The path of the LoRA that a page shows; empty where it shows none."""
    return str((page or {}).get("lora", ""))


def _state(lora: str) -> int:
    try:
        return Path(lora).stat().st_mtime_ns
    except OSError:
        return 0


def _cancelled(repo: str, last: str) -> str:
    """What is left of an upload that was given up after it had said `last`."""
    if last.startswith("Uploading"):
        return f"Cancelled. At most an empty place is left at {repo} on the Hub."
    return f"Cancelled. It is at {repo} on the Hub already." if last.startswith("Reading") else CANCELLED


def _listed(what: publish.Shown, proofs: Any) -> str:
    whom = "Only you can see it" if what.private else "Everybody can see it"
    listed = [f"{name}, {size / 1e6:.1f} MB" for name, size in what.sizes.items()]
    return (
        markup.notice(f"This is uploaded to {what.repo}. {whom}.", " ".join(proofs), "note")
        + markup.sentences(f"{len(listed)} files", listed)
        + f'<details class="report"><summary>Its card</summary><pre>{markup.text(what.card)}</pre></details>'
    )
