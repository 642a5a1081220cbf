"""Look through this computer for bases: the models of other programs and the hub's cache, told by their headers.

Nothing is copied, moved or opened further than its header. A drive that does not answer is left, with a sentence.
"""

import functools
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats import parts_alone, single_file
from lora_gui.studio.finding import found, places, walk
from lora_gui.studio.finding.found import BY_HAND, Found, Thing
from lora_gui.studio.finding.patience import SilentError, patiently
from lora_gui.studio.finding.places import Place
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import base_parts, base_places, bases

SECONDS = 120.0  # that a look takes at most
_DAMAGED, _OTHER = "damaged file", "other model"


@dataclass(frozen=True)
class Progress:
    """`program` and `place` are where is being looked; so many `files` were looked at, so many `bases` are found."""

    program: str
    place: str
    files: int
    bases: int


def look(studio: Studio) -> Generator[Progress, None, Found]:
    """Look everywhere, and remember what was found: that is what is returned.

    What was added by hand stays. Raises UserError where the disk refuses to keep it.
    """
    looking = _Looking(studio)
    yield from looking.everywhere()
    result = looking.result()
    found.remember(studio, result)
    return result


def add(studio: Studio, path: Path) -> Thing:
    """Remember a base, or a network of one, that the user names. Raises UserError where it is neither."""
    place = Path(os.path.expanduser(path)).absolute()
    what = _told(place) if base_places.is_checkpoint(place) and os.path.isfile(place) else ""
    if isinstance(what, str):  # no base of one file: a folder, or something that `at` says what it is
        base = bases.at(studio, place)
        place, what = Path(base.path), (base.family, base.known)
    thing = _thing(place, *what, program=BY_HAND)
    found.add(studio, thing)
    return thing


class _Looking:
    """One look: what was met, and what came of it."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._before = found.remembered(studio)
        self._known = {one.path: one for one in self._before.things}
        self._seen, self._places = walk.Seen(), set[Path]()
        self._things: dict[str, Thing] = {}
        self._others: Counter[str] = Counter()
        self._left: list[str] = []
        self._files = 0
        self._until = time.monotonic() + SECONDS

    def everywhere(self) -> Iterator[Progress]:
        """Look into each place as it is found: those that are known first, then drive by drive."""
        yield from self._into("The usual places", lambda: iter((*places.hub_caches(), *places.usual())))
        for drive in places.drives():
            yield from self._into(str(drive), functools.partial(places.on_drive, drive))

    def result(self) -> Found:
        """All that was found, what was added by hand and is there, and what lies on a drive that is silent now."""
        before = found.now(self._before.things)
        by_hand = [one for one in (*before.here, *before.changed) if one.program == BY_HAND]
        for one in (*by_hand, *before.silent):
            self._things.setdefault(one.path, one)
        if old := self._seen.old:
            what = "1 file in an old format" if old == 1 else f"{old} files in old formats"
            self._left.append(f"{what} (.ckpt, .pt, .bin, .gguf) seen, not opened here.")
        looked = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        things = tuple(sorted(self._things.values(), key=lambda one: (one.program, one.path)))
        return Found(looked, things, dict(sorted(self._others.items())), tuple(self._left))

    def _into(self, title: str, there: Callable[[], Iterator[Place]]) -> Iterator[Progress]:
        """Everything in the places that `there` yields; a drive that is silent, or refuses, is named and left."""
        try:
            for place in patiently(there):
                if place.path not in self._places:
                    self._places.add(place.path)
                    yield self._progress(place)
                    yield from self._models(place)
        except SilentError:
            self._left.append(f"{title} did not answer, so nothing was looked for there.")
        except OSError as error:
            self._left.append(f"{title} could not be read ({error.strerror}).")

    def _models(self, place: Place) -> Iterator[Progress]:
        """Every model in a place."""
        try:
            for told in patiently(lambda: self._told_in(place)):
                self._files += 1
                self._take(*told, place.program)
                if self._files % 20 == 0:
                    yield self._progress(place)
                if time.monotonic() > self._until:
                    self._left.append(f"The look took longer than {SECONDS:.0f} seconds and ended in {place.path}.")
                    return
        except SilentError:
            self._left.append(f"{place.path} did not answer, so it was left.")

    def _told_in(self, place: Place) -> Iterator[tuple[Path, tuple[str, str] | str, tuple[int, int]]]:
        """Each model with what it is and its state, read in the thread that may be left."""
        alone = iter([place.path]) if place.path.is_file() else walk.models(place.path, self._seen, self._studio.home)
        for path in alone:
            try:
                stat = found.mark_of(path).stat()
            except OSError:  # gone a moment ago
                continue
            state = stat.st_size, stat.st_mtime_ns
            before = self._known.get(str(path))
            is_same = before and (before.size, before.time) == state and path.is_file()
            yield path, (before.family, before.like) if before and is_same else _told(path), state

    def _take(self, path: Path, what: tuple[str, str] | str, state: tuple[int, int], program: str) -> None:
        if isinstance(what, str):
            self._others[what] += 1
        else:
            self._things[str(path)] = Thing(str(path), *what, *state, program)

    def _progress(self, place: Place) -> Progress:
        count = sum(one.is_base for one in self._things.values())
        return Progress(place.program, str(place.path), self._files, count)


def _told(path: Path) -> tuple[str, str] | str:
    """Family and known base; of a network alone, empty and its key; of anything else, what it is in a word or two."""
    try:
        family, like, _ = bases.identify(path)
        bases.require_known_noise(path)
        return family, like
    except UserError:
        pass
    except files.STRANGE:
        return _DAMAGED
    try:
        if path.is_dir():
            return _OTHER
        if part := base_parts.part_at(path):
            return "", part.key
        return parts_alone.kind(single_file.of(path).shapes) or _OTHER
    except files.STRANGE:
        return _DAMAGED


def _thing(path: Path, family: str, like: str, program: str) -> Thing:
    stat = found.mark_of(path).stat()
    return Thing(str(path), family, like, stat.st_size, stat.st_mtime_ns, program)
