"""Download known bases, pause and give that up; sign in to the hub for those that are given to nobody unknown."""

import argparse
import getpass
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lora_gui.commands import EndedEarly, Register, note
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio

if TYPE_CHECKING:
    from lora_gui.studio.tasks.downloads import Download
    from lora_gui.studio.tasks.fetching import Fetching, FetchStatus

_TOLD = 2.0  # seconds between two lines of progress
_SIGN_IN = "python -m lora_gui bases sign-in"


def add(further: Any, register: Register) -> None:
    """Put the commands of this file behind `bases`."""
    fetch = register(further, "download", run_download, "download a known base, or go on with it; Ctrl-C pauses it")
    fetch.add_argument("base", nargs="?", help="its name, as `families` says it; without one the downloads are listed")
    act = fetch.add_mutually_exclusive_group()
    act.add_argument("--pause", action="store_true", help="let it end; what is here stays here")
    act.add_argument("--cancel", action="store_true", help="end it and delete what is here of it")
    fetch.set_defaults(makes_studio=True, show=_lines)
    register(further, "sign-in", run_sign_in, "sign in to the hub with a token, which is asked for or read from input")


def run_download(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """Where the base is, or how the downloads stand."""
    from lora_gui.studio.tasks import downloads
    from lora_gui.studio.things import bases

    if not options.base:
        if options.pause or options.cancel:
            raise UserError("Nobody says which download is meant.", "Add the name of its base.")
        return {"downloads": [_told(one, one.status()) for one in downloads.begun(studio)]}
    if options.pause or options.cancel:
        return _end(_begun(studio, options.base), options.cancel)
    download = downloads.start(studio, options.base)
    last = follow(download, options.base)
    if last.state != "finished":
        remedy = f"{last.remedy} Sign in with: {_SIGN_IN}" if last.cause == "sign in" else last.remedy
        go_on = "Go on with the same command."
        raise EndedEarly(last.what or "The download is paused.", remedy or go_on, _told(download, last, "remedy"))
    return {"base": options.base, "state": "finished", "path": bases.find(studio, options.base).path}


def run_sign_in(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """Whose token it is; it is kept by huggingface_hub alone, and shown nowhere."""
    from lora_gui.studio.tasks import downloads

    return {"signed_in_as": downloads.sign_in(studio, secret("Token of the hub"))}


def secret(what: str) -> str:
    """A line from standard input, which nobody is shown as it is typed; empty where there is none."""
    if not sys.stdin.isatty():
        return sys.stdin.readline(2000)
    try:
        return getpass.getpass(f"{what} (it is not shown): ")
    except EOFError:  # Ctrl-D
        return ""


def _begun(studio: Studio, base: str) -> "Download":
    from lora_gui.studio.tasks import downloads

    found = {one.base: one for one in downloads.begun(studio)}
    if base not in found:
        raise UserError(f"No download of {base!r} was begun.", f"Begun are: {', '.join(found) or 'none'}.")
    return found[base]


def _end(download: "Download", give_up: bool) -> dict[str, Any]:
    if give_up:
        download.cancel()
        return {"base": download.base, "state": "none"}
    download.pause()
    *_, last = download.wait()
    return _told(download, last)


def follow(one: "Fetching", called: str) -> "FetchStatus":
    """Say how something that is fetched goes, to its end; Ctrl-C pauses it."""
    from lora_gui.studio.tasks.download_words import progress

    known, then = ("", "", False), 0.0
    try:
        for status in one.wait():
            now = status.state, status.doing, bool(status.of)
            if now != known or (status.state == "running" and time.monotonic() - then >= _TOLD):
                note(f"{called}: {progress(status)}")
                known, then = now, time.monotonic()
    except KeyboardInterrupt:
        one.pause()
        *_, status = one.wait()
    for sentence in status.notes:
        note(sentence)
    return status


def _told(download: "Download", status: "FetchStatus", but: str = "found") -> dict[str, Any]:
    return {name: value for name, value in {"base": download.base, **asdict(status)}.items() if name != but}


def _lines(result: dict[str, Any]) -> list[str]:
    if "downloads" not in result:
        return [f"{key}: {value}" for key, value in result.items()]
    lines = [f"{one['base']:20} {one['state']}, {one['done'] / 1e9:.1f} of {one['of'] / 1e9:.1f} GB {one['what']}"
             for one in result["downloads"]]  # fmt: skip
    return lines or ["No download is under way."]
