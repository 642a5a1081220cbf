"""The captioners of this computer, and those that can be downloaded, with their sizes and licences."""

import argparse
from typing import Any

from lora_gui.commands import EndedEarly, Register, downloads
from lora_gui.studio.paths import Studio


def add(commands: Any, register: Register) -> None:
    """Put the commands of this file on the command line; without a further word the captioners are listed."""
    top = register(commands, "captioners", run_list, "what can describe pictures: list, download")
    top.set_defaults(show=_here)
    further = top.add_subparsers(metavar="ACT", parser_class=type(top))
    here = register(further, "list", run_list, "say which are on this computer, and which can be had")
    here.set_defaults(show=_here)
    fetch = register(further, "download", run_download, "download one, or go on with it; Ctrl-C pauses it")
    fetch.add_argument("captioner", help="its name, as `captioners` says it")
    fetch.add_argument("--cancel", action="store_true", help="end it and delete what is here of it")
    fetch.set_defaults(makes_studio=True)


def run_list(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """The captioners that are here, and the known ones that are not."""
    from lora_gui.studio.things import captioners

    here = [{"kind": one.kind, "title": one.title, "path": str(one.path), "size": one.size}
            for one in captioners.here(studio)]  # fmt: skip
    more = [{"key": one.key, "kind": one.kind, "title": one.title, "repo": one.repo, "licence": one.licence,
             "size_gb": one.size_gb, "good_at": one.good_at} for one in captioners.missing(studio)]  # fmt: skip
    return {"here": here, "to_download": more}


def run_download(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """Where it is, or how far it came."""
    from lora_gui.studio.tasks.downloads import CaptionerDownload, start_captioner
    from lora_gui.studio.things import captioners

    if options.cancel:
        CaptionerDownload(studio, options.captioner).cancel()
        return {"captioner": options.captioner, "state": "none"}
    download = start_captioner(studio, options.captioner)
    last = downloads.follow(download, options.captioner)
    told = {"captioner": options.captioner, "state": last.state, "done": last.done, "of": last.of}
    if last.state != "finished":
        go_on = "Go on with the same command."
        raise EndedEarly(last.what or "The download is paused.", last.remedy or go_on, told)
    return told | {"path": str(captioners.find(studio, options.captioner).path)}


def _here(found: dict[str, Any]) -> list[str]:
    here = [f"{one['title']:20} {one['kind']}, {one['path']}" for one in found["here"]]
    more = [f"{one['key']:20} {one['title']}, about {one['size_gb']:g} GB, {one['licence']}. {one['good_at']}"
            for one in found["to_download"]]  # fmt: skip
    return [*(here or ["No captioner is on this computer."]), *(["To be downloaded:", *more] if more else [])]
