"""Bring LoRAs from the hub and from Civitai; keep the user's key for the latter."""

import argparse
import os
from pathlib import Path
from typing import Any

from lora_gui.commands import EndedEarly, Register
from lora_gui.commands.downloads import follow, secret
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio

_LINK = (
    "owner/name on the hub, the address of a page there or on Civitai, or a path here; HF_ENDPOINT and LORA_GUI_CIVITAI"
    " name mirrors"
)
_KEY = "python -m lora_gui loras civitai-key"
_SIGN_IN = {True: f"Keep one with: {_KEY}", False: "Sign in with: python -m lora_gui bases sign-in"}


def add(topics: Any, register: Register) -> None:
    """Put the commands of this file behind `loras`."""
    bring = register(topics, "bring", run_bring, "bring a LoRA from the hub, from Civitai or from a file or folder")
    bring.add_argument("link", help=_LINK)
    bring.add_argument("--file", default="", metavar="NAME", help="which, where there are several")
    bring.set_defaults(makes_studio=True)
    key = register(topics, "civitai-key", run_key, "keep your key for Civitai, which is asked for or read from input")
    key.add_argument("--forget", action="store_true", help="forget the key that is kept")


def run_bring(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """The LoRA that came, and what was said of it where it came from; of a path, the LoRAs that were taken in."""
    from lora_gui.studio.tasks import bringing

    if os.path.exists(path := os.path.expanduser(options.link)):
        return _taken(studio, Path(path))
    one = bringing.start(studio, options.link, options.file)
    last = follow(one, "bringing")
    if last.state != "finished":
        from_civitai = "ivitai" in last.what
        remedy = f"{last.remedy} {_SIGN_IN[from_civitai]}" if last.cause == "sign in" else last.remedy
        saved = {"state": last.state, "cause": last.cause, "files": last.found.get("files", {})}
        if last.cause == "choose":
            one.cancel()
            remedy = f"{last.remedy} Name it with --file."
        raise EndedEarly(last.what or "It is paused.", remedy or "Go on with the same command.", saved)
    if not (brought := bringing.take_in(studio, one)):
        return {"lora": "", "taken in by": "another window"}
    about = brought.about
    return {
        "lora": str(brought.lora.path), "family": brought.lora.family, "trigger": brought.lora.trigger,
        "words": list(about.words), "base": about.base, "from": about.page, "sha256": about.sha256,
        "cover": brought.pictured, "called": brought.called,
    }  # fmt: skip


def _taken(studio: Studio, path: Path) -> dict[str, Any]:
    from lora_gui.studio.library import dropped

    found = dropped.take(studio, [path])
    if not found.taken:
        raise UserError(found.left[0], "Choose another file.")
    return {"loras": [str(one.path) for one in found.taken], "called": found.called, "left": found.left}


def run_key(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """Whether a key is kept; it is shown nowhere."""
    from lora_gui import civitai_key

    given = "" if options.forget else secret("Key of Civitai").strip()
    if not (given or options.forget):
        raise UserError("No key was given.", "Paste it whole, or forget the one that is kept by --forget.")
    civitai_key.keep(given)
    return {"kept": bool(civitai_key.read()), "in": str(civitai_key.place())}
