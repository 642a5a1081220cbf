"""The captioners on this computer: in the studio's own folder, in the hub's cache, or in a folder that is named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from lora_gui.errors import UserError, nearest
from lora_gui.formats import captioners
from lora_gui.formats.captioners import KINDS, KNOWN, Captioner, Known
from lora_gui.studio.finding import patience, places
from lora_gui.studio.paths import Studio

DOWNLOAD = "python -m lora_gui captioners download"
_CACHED = "models--"  # begins the names of folders in the hub's cache


def here(studio: Studio) -> list[Captioner]:
    """All that can be used, those of the studio first; of one that is there twice the first."""
    found: dict[str, Captioner] = {}
    for folder, name in (*_own(studio), *_cached()):
        try:
            one = captioners.told(folder, name)
        except (UserError, OSError):  # no captioner, or none that can be read; `find` says why where it is named
            continue
        found.setdefault(one.title, one)
    order = [one.title for one in KNOWN.values()]
    return sorted(found.values(), key=lambda one: order.index(one.title) if one.title in order else len(order))


def find(studio: Studio, name: str) -> Captioner:
    """The captioner of a kind, a key or in a folder. Raises UserError saying how it can be had."""
    there = here(studio)
    wanted = KNOWN.get(name)
    for one in there:
        if one.kind == name or (wanted and one.title == wanted.title):
            return one
    if os.path.isdir(path := os.path.expanduser(name)):
        return captioners.told(Path(path).absolute())
    known = wanted or next((one for one in KNOWN.values() if one.kind == name), None)
    if known:
        what = f"{KINDS[known.kind].title if wanted is None else known.title} is not on this computer."
        raise UserError(what, f"Download {said(known)} with: {DOWNLOAD} {known.key}")
    if os.sep in name or "/" in name:
        raise UserError(f"There is no folder {name}.", "Name the folder of a captioner, with its config.json.")
    raise UserError(f"There is no captioner {name!r}.", nearest(name, {*KINDS, *KNOWN}))


def at(studio: Studio, path: str) -> Captioner:
    """One of those that are here, by its folder. Raises UserError where it went meanwhile."""
    found = next((one for one in here(studio) if str(one.path) == path), None)
    if found is None:
        raise UserError("This captioner is not there any more.", "Choose another.")
    return found


def named(typed: str) -> Captioner:
    """The captioner in a folder as somebody types it. Raises UserError where it is none."""
    path = typed.strip().strip('"')
    if not path:
        raise UserError("No folder is named.", "Type the folder of a captioner, with its config.json.")
    return captioners.told(Path(os.path.expanduser(path)).absolute())


def is_asked(one: Captioner) -> bool:
    """Whether it answers a question, which can be another."""
    return KINDS[one.kind].is_asked


def missing(studio: Studio) -> list[Known]:
    """The known ones that are not here."""
    titles = {one.title for one in here(studio)}
    return [one for one in KNOWN.values() if one.title not in titles]


def said(known: Known) -> str:
    """What it is, how large and under which licence, before anything is fetched."""
    return f"{known.repo} (about {known.size_gb:g} GB, {known.licence})"


def _own(studio: Studio) -> Iterator[tuple[Path, str]]:
    there = sorted(studio.captioners.iterdir()) if studio.captioners.is_dir() else []
    for path in there:
        if not path.name.startswith("."):
            yield path, KNOWN[path.name].title if path.name in KNOWN else path.name


def _cached() -> list[tuple[Path, str]]:
    """The newest snapshot of each model in the hub's cache; nothing where its drive does not answer."""
    try:
        return list(patience.patiently(_snapshots))
    except OSError:
        return []


def _snapshots() -> Iterator[tuple[Path, str]]:
    for place in dict.fromkeys(one.path for one in places.hub_caches()):
        for folder in sorted(place.glob(f"{_CACHED}*")):
            repo = folder.name.removeprefix(_CACHED).replace("--", "/")
            known = captioners.known_at(repo)
            there = [path for path in (folder / "snapshots").glob("*") if path.is_dir()]
            if newest := max(there, key=lambda path: path.stat().st_mtime, default=None):
                yield newest, known.title if known else repo
