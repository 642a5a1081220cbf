"""Publish a LoRA to the Hugging Face Hub: what exactly is uploaded is shown first, then one button sends it."""

from collections.abc import Iterator
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
from lora_gui.ui.widgets.handlers import HIDDEN, LIGHT, Changes
from lora_gui.ui.widgets.long_work import CANCELLED, Say, Works, shown
from lora_gui.ui.widgets.parts import html

SIGN_IN = "sign in"  # cause
TOKEN = "Kept by huggingface_hub, never by this app. Make one of the kind Write in your settings there."


class PublishView:
    """Lays itself out where it is made; `page` holds the LoRA and the drawings that were picked."""

    def __init__(self, context: Context, page: gr.JSON, key: str) -> None:
        self._context, self._studio, self._page = context, context.studio, page
        self._works = Works()
        self._seen = gr.JSON({}, visible=False)  # what was shown to be uploaded
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
            self._told = html(elem_id=f"{key}publish-told")
            self._cancel = gr.Button("Cancel", size="sm", visible=False, scale=0, min_width=100,
                                     elem_id=f"{key}publish-cancel")  # fmt: skip
            with gr.Row(visible=False, elem_classes="fields") as self._signing:
                self._token = gr.Textbox(label="Token of the Hub", type="password", max_lines=1, info=TOKEN)
                self._sign = gr.Button("Sign in", size="sm", scale=0, min_width=110)
            self._send = gr.Button("Publish exactly this", size="sm", visible=False, scale=0, min_width=170,
                                   elem_id=f"{key}send")  # fmt: skip
        self._changed = [self._told, self._seen, self._send, self._signing, self._cancel]
        self.outputs: list[Any] = self._changed

    def connect(self) -> None:
        asked = [self._page, self._repo, self._public]
        self._show.click(self._showing, asked, self._changed, **HIDDEN)
        self._send.click(self._sent, [self._page, self._seen], self._changed, **HIDDEN)
        self._cancel.click(lambda page: self._works.cancel((page or {}).get("lora", "")), [self._page], None, **LIGHT)
        self._sign.click(self._signed_in, [self._token], [self._told, self._token, self._signing], **HIDDEN)

    def away(self) -> Changes:
        """Nothing is shown yet."""
        hidden = gr.update(visible=False)
        return {self._told: "", self._seen: {}, self._send: hidden, self._signing: hidden, self._cancel: hidden}

    def _showing(self, page: dict[str, Any], repo: str, public: bool) -> Iterator[Changes]:
        found: list[publish.Shown] = []

        def run(say: Say) -> str:
            lora = loras.describe(Path((page or {}).get("lora", "")))
            contracts.require_publishable(lora.path)
            publish.require_place(repo)
            chosen = [self._studio.drawings / name for name in (page or {}).get("picked", ())]
            made = share.share(self._studio, self._context.drawer, lora, chosen, lora.strength or 1.0, say=say)
            found.append(publish.shown(made.folder, made.lora, repo, not public))
            return _listed(found[0], made.proofs)

        yield self.away()
        yield from shown(self._works.told((page or {}).get("lora", ""), run), self._told, self._cancel)
        if found:
            what = found[0]
            seen = {"folder": str(what.folder), "repo": what.repo, "private": what.private, "sums": what.sums}
            yield {self._seen: seen, self._send: gr.update(visible=True)}

    def _sent(self, page: dict[str, Any], seen: dict[str, Any]) -> Iterator[Changes]:
        causes: list[str] = []
        last = [""]

        def run(say: Say) -> str:
            def heard(words: str) -> None:
                last[0] = words or last[0]
                say(words)

            what = publish.again(Path(seen["folder"]), seen["repo"], seen["private"], seen["sums"])
            address = publish.publish(self._studio, what, heard)
            return markup.notice("It is on the Hub.", address, "good")

        def problem(error: UserError) -> str:
            causes.append(error.cause)
            return markup.problem(error)

        def cancelled() -> str:
            causes.append("")
            return _cancelled(seen["repo"], last[0])

        yield {self._send: gr.update(visible=False)}
        told = self._works.told((page or {}).get("lora", ""), run, problem, cancelled)
        yield from shown(told, self._told, self._cancel)
        yield {self._signing: gr.update(visible=SIGN_IN in causes), self._send: gr.update(visible=bool(causes))}

    def _signed_in(self, token: str) -> Changes:
        """The token leaves the field at once, whatever becomes of it."""
        try:
            name = downloads.sign_in(self._studio, token or "")
        except UserError as error:
            return {self._told: markup.problem(error), self._token: ""}
        told = markup.notice(f"Signed in as {name}.", "Now publish it.", "good")
        return {self._told: told, self._token: "", self._signing: gr.update(visible=False)}


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
