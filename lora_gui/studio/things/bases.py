"""The bases on this disk: the starter that ships with the app, the user's own, and those found with other programs."""

import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lora_gui
from lora_gui import families, files
from lora_gui.errors import UserError, legible, nearest
from lora_gui.facts import KnownBase
from lora_gui.formats import base_files, noise_kind, single_file
from lora_gui.protocol.jobs import Base
from lora_gui.studio.finding import found
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import base_folder, base_parts, base_places

DOWNLOAD = "python -m lora_gui bases download"
SHIPPED = Path(lora_gui.__file__).parent / "starter" / "model"


def list_bases(studio: Studio) -> list[Base]:
    """Every usable base, the one that ships with the app first; folders and files that are no base are left out."""
    return both(studio)[0]


def passed_over(studio: Studio) -> list[tuple[Path, UserError]]:
    """What lies among the user's bases and is none that can be used, and why."""
    return both(studio)[1]


def both(studio: Studio) -> tuple[list[Base], list[tuple[Path, UserError]]]:
    """The bases, and what is passed over; the path of what has no name in UTF-8 with a ? for each other byte."""
    usable, wrong = list[Base](), list[tuple[Path, UserError]]()
    for path, one in _entries(studio):
        if (named := Path(legible(str(path)))) != path:
            wrong.append((named, UserError(f"The name of {named.name} is not in UTF-8.", "Rename it.")))
        elif isinstance(one, Base):
            usable.append(one)
        else:
            wrong.append((path, one))
    return usable, wrong


def mark(studio: Studio) -> tuple[int, ...]:
    """What changes when a base comes to the studio, or is found or forgotten; read at once."""
    return tuple(_changed(path) for path in (studio.bases, studio.home / found.FILE))


def find(studio: Studio, name: str) -> Base:
    """The base called `name`, or the one in the folder or file `name`. Raises UserError saying what is missing."""
    bases = {base.key: base for base in list_bases(studio)}
    if name in bases:
        return bases[name]
    path = os.path.abspath(os.path.expanduser(name))
    if name and os.path.lexists(path):
        return at(studio, Path(path))
    if name and Path(name).name == name and os.path.lexists(studio.bases / name):
        return at(studio, studio.bases / name)
    known = known_bases().get(name)
    if known and not known.repo:
        raise UserError(f"The base {known.title} did not come with this copy of the app.", "Get the app again, whole.")
    if known:
        how = f"Download {known.repo} ({known.size_gb:g} GB) on the tab Bases"
        raise UserError(f"{known.title} is not on this computer.", f"{how}, or with: {DOWNLOAD} {known.key}")
    raise UserError(f"There is no base {name!r}.", nearest(name, {*bases, *known_bases()}))


def names(studio: Studio) -> set[str]:
    """The keys of all that lies among the user's bases, usable or not."""
    return {base_places.names(path)[0] for path in _places(studio.bases)}


def known_bases() -> dict[str, KnownBase]:
    """Every base that any family knows, installed or not."""
    return {known.key: known for one in families.facts().values() for known in one.bases}


def family_title(family: str) -> str:
    """What a family is called. Raises UserError for one that is not known."""
    return families.facts_of(family).title


def train_defaults(base: Base) -> dict[str, Any]:
    """The family's training defaults with the base's own over them."""
    return families.facts_of(base.family).train_defaults_of(base.known)


def draw_defaults(base: Base) -> dict[str, Any]:
    """The family's drawing defaults with the base's own over them."""
    return families.facts_of(base.family).draw_defaults_of(base.known)


def ships_with_the_app(base: Base) -> bool:
    """Whether it is the starter as it came with the app."""
    return Path(base.path) == SHIPPED


def size(base: Base) -> int:
    """Bytes of the files that are read of the base."""
    path = Path(base.path)
    held = [path] if path.is_file() else [file for part in _files(base).values() for file in part]
    apart = [file for part in base.parts.values() for file in base_parts.files_of(Path(part))]
    return sum(file.stat().st_size for file in {*held, *apart})


def built_like(base: Base) -> Base:
    """The known base whose configuration a base has that is one file; any other as it is."""
    path = Path(base.path)
    if not base.path or not path.is_file():
        return base
    key, like, _ = _identified(*_state(path))
    return Base(key=like, title=base.title, family=key, path="")


def networks(base: Base) -> dict[str, int]:
    """The parameters of each network, by its folder; of one file, what it holds counts as its denoiser.

    Raises UserError where one is damaged."""
    path = Path(base.path)
    if path.is_file():
        denoiser = "transformer" if "transformer" in families.networks(base.family) else "unet"
        apart = {part: base_parts.files_of(Path(held)) for part, held in base.parts.items()}
        counted = {part: sum(_counted(*_state(file)) for file in held) for part, held in apart.items()}
        return {denoiser: _identified(*_state(path))[2]} | counted
    return {part: sum(_counted(*_state(file)) for file in held) for part, held in _files(base).items()}


def _files(base: Base) -> dict[str, tuple[Path, ...]]:
    """The files of each network of a base that is a folder; those it does not need are left out."""
    there = {part: base_files.weights(Path(base.path) / part) for part in families.networks(base.family)}
    return {part: held.files for part, held in there.items() if held}


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _state(file: Path) -> tuple[Path, int, int]:
    stat = file.stat()
    return file, stat.st_size, stat.st_mtime_ns


@functools.lru_cache(maxsize=1024)
def _identified(path: Path, size: int, time: int) -> tuple[str, str, int]:
    """Family, known base of the same build, and number of parameters; read once for each state of the file."""
    contents = single_file.of(path)
    builds = {build: one.key for one in families.facts().values() for build in one.single_files}
    own = single_file.build_of(path, contents, builds)
    family = next(key for build, key in builds.items() if build is own)
    return family, _called(family, own.like, path.stem), contents.values


def _called(family: str, like: str, name: str) -> str:
    """The known base of a build: one that is built alike and told by its name where it is called so."""
    alike = [one for one in families.facts_of(family).bases if one.built_like == like and one.called]
    return next((one.key for one in alike if re.search(one.called, name, re.I)), like)


@functools.lru_cache(maxsize=256)
def _marks(path: Path, size: int, time: int) -> frozenset[str]:
    """The tensors of a checkpoint that say something of its noise; read once for each state of the file."""
    return frozenset(filter(noise_kind.is_mark, single_file.of(path).shapes))


@functools.lru_cache(maxsize=1024)
def _counted(path: Path, size: int, time: int) -> int:
    return single_file.read(path).values


def _entries(studio: Studio) -> Iterator[tuple[Path, Base | UserError]]:
    """What ships with the app, what lies among the user's bases and what was found elsewhere, with what is wrong where
    it is no base."""
    seen = set[str]()
    for one in families.facts().values():
        for known in one.bases:
            if not known.repo and (SHIPPED / base_folder.INDEX).is_file():
                seen.add(known.key)
                yield SHIPPED, Base(key=known.key, title=known.title, family=one.key, path=str(SHIPPED), like=known.key)
    shelf = base_parts.Shelf(studio)
    for path in _places(studio.bases):
        base = _read(path, shelf)
        if isinstance(base, Base) and base.key in seen:
            base = UserError(f"Another base is called {base.key}, too.", f"Give {path.name} another name.")
        elif isinstance(base, Base):
            seen.add(base.key)
        yield path, base
    yield from _found(studio, seen, shelf)


def _found(studio: Studio, seen: set[str], shelf: base_parts.Shelf) -> Iterator[tuple[Path, Base | UserError]]:
    """The bases that were found elsewhere on this computer and are there now, each called as no other is."""
    known = found.remembered(studio).bases
    now = found.now(known)
    same, there = {one.path for one in now.here}, {one.path for one in (*now.here, *now.changed)}
    for thing in (one for one in known if one.path in there):
        path = Path(thing.path)
        base = _as_found(path, thing, shelf) if thing.path in same and path.is_file() else _read(path, shelf)
        if isinstance(base, Base):
            base = base_places.named_apart(base, thing.program, seen)
            seen.add(base.key)
        yield Path(thing.path), base


def _as_found(path: Path, thing: found.Thing, shelf: base_parts.Shelf) -> Base | UserError:
    """The base in a file that is as it was found: its header is not read again, but where parts of it lie apart."""
    try:
        parts = shelf.parts_of(path, thing.family) if families.lie_apart(thing.family) else {}
    except UserError as error:
        return error
    except files.STRANGE as error:
        return _unreadable(path, error)
    title = base_folder.title_of(known_bases().get(thing.like), [path.stem])
    return Base(key=path.stem, title=title, family=thing.family, path=thing.path, like=thing.like, parts=parts)


def require_known_noise(path: Path) -> None:
    """Raises UserError where a checkpoint says of its noise what nothing can be drawn with."""
    if path.is_file():
        noise_kind.of_checkpoint(path, _marks(*_state(path)))


def _places(folder: Path) -> Iterator[Path]:
    """What in the folder of bases is one, or was meant to be."""
    try:
        for path in base_places.candidates(folder):
            yield from base_places.within(path)
    except OSError:  # a folder that may not be listed
        return


def _read(path: Path, shelf: base_parts.Shelf) -> Base | UserError:
    """The base at a path, or why there is none."""
    try:
        base = _open(path, shelf)
        require_known_noise(path)
        return base
    except UserError as error:
        return error
    except files.STRANGE as error:
        return _unreadable(path, error)


def _unreadable(path: Path, error: BaseException) -> UserError:
    return UserError(f"The base {path.name} cannot be read ({type(error).__name__}).", base_folder.WHOLE)


def at(studio: Studio, path: Path) -> Base:
    """The base at or in a path. Raises UserError where there is none, or more than one."""
    there = base_places.within(path)
    if len(there) > 1:
        names = ", ".join(sorted(one.name for one in there)[:5])
        raise UserError(f"The folder {path.name} holds several bases.", f"Name one of them: {names}.")
    return _open(there[0], base_parts.Shelf(studio))


def _open(path: Path, shelf: base_parts.Shelf) -> Base:
    """The base at a path. Raises UserError saying what is wrong or missing, or what it is instead."""
    family, known, names = identify(path)
    title = base_folder.title_of(known_bases().get(known), names)
    parts = shelf.parts_of(path, family) if path.is_file() else {}
    return Base(key=names[0], title=title, family=family, path=str(path), like=known, parts=parts)


def identify(path: Path) -> tuple[str, str, list[str]]:
    """Family, known base and names of the base at a path; whether its parts that lie apart are there is not looked at.

    Raises UserError as `at` does."""
    base_places.refuse(path)
    names = base_places.names(path)
    what = _opened(path, base_places.state(path))
    if isinstance(what, UserError):
        said = what.what.replace("The base is", f"The base {names[0]} is", 1)
        raise UserError(said.replace("This base", f"The base {names[0]}", 1), what.remedy)
    return (*what, names)


@functools.lru_cache(maxsize=1024)
def _opened(path: Path, state: tuple[tuple[str, int, int], ...]) -> tuple[str, str] | UserError:
    """Family and known base, or why there is none; read once for each state of the files."""
    try:
        if path.is_dir():
            facts, known = base_folder.opened(path, base_places.names(path))
            return facts.key, known
        return _identified(*_state(path))[:2]
    except UserError as error:
        return error
