"""The LoRAs of the user: describe, import, find, convert; only headers are read here, never a tensor."""

import functools
import hashlib
import math
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lora_gui import families, files
from lora_gui.drive import folded, require_new
from lora_gui.errors import UserError, nearest
from lora_gui.formats import cache_names, dialects, edit, metadata, peft_settings, programs
from lora_gui.formats.base_files import SUFFIX as SUFFIX
from lora_gui.formats.header import ANOTHER_COPY, all_finite, plain, read_header, state
from lora_gui.formats.metadata import THUMBNAIL, strength_of, trigger_of
from lora_gui.formats.strengths import OF_GROUP, group_of
from lora_gui.formats.summary import summary
from lora_gui.protocol.jobs import ConvertJob
from lora_gui.protocol.lock import Lock
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import process
from lora_gui.studio.things.names import safe_name

_END = 65_536  # bytes
PATIENCE = 120.0  # seconds that whoever brings a LoRA waits for others who do


@dataclass(frozen=True)
class LoraInfo:
    """What a LoRA says of itself; texts come from strangers and are shown as plain text only."""

    path: Path
    name: str
    family: str
    dialect: str
    rank: int
    alpha: float
    trigger: str
    base_title: str
    base_key: str
    preset: str
    steps: int
    odd: tuple[str, ...]  # sentences about what is unusual in it
    layers: int  # how many modules it adapts
    made: str  # when, as ISO text; where the file does not say, when it came
    size: int  # bytes
    title: str = ""
    description: str = ""
    strength: float = 0.0  # the best one; 0 where it does not say
    digest: str = ""  # of its weights, as it says
    pictured: bool = False  # whether it brings a cover


def describe(path: Path) -> LoraInfo:
    """What the header says; quick for a file that was read before. Raises UserError where it is no usable LoRA."""
    path = Path(path)
    if plain(path.name) != path.name:
        shown = plain(path.name)
        raise UserError(f"The name of {shown} holds signs that cannot be shown.", "Rename the file.")
    try:
        return _describe(path, state(path))
    except (OSError, ValueError):  # it may have been deleted a moment ago, or have a name that no disk takes
        remedy = "Look where its file lies now, or choose another one."
        raise UserError(f"There is no LoRA {path.name}.", remedy) from None


def changes(path: Path) -> tuple[frozenset[str], bool]:
    """Which strengths of StackEntry make a difference to a LoRA, by the layers it changes, and whether it is a DoRA.

    Raises UserError where it is no usable LoRA.
    """
    path = describe(path).path
    return _changes(path, state(path))


def fingerprint(path: Path) -> str:
    """Tells its weights from others, by their two ends alone. Raises UserError where it is no usable LoRA."""
    try:
        return _fingerprint(describe(path).path, state(path))
    except OSError:
        raise UserError(f"{path.name} cannot be read.", ANOTHER_COPY) from None


def weights_hash(path: Path) -> str:
    """The hash by which other programs know it; a file that says none is read whole, once. Raises UserError."""
    try:
        return _weights_hash(describe(path).path, state(path))
    except OSError:
        raise UserError(f"{path.name} cannot be read.", ANOTHER_COPY) from None


def import_lora(studio: Studio, path: Path, name: str = "") -> LoraInfo:
    """Copy a LoRA into the studio under a free name: its own, or one like `name`; what peft has put beside it stands in
    the copy. Raises UserError, and keeps nothing, where it is not usable."""
    require_usable(path)
    return take_in(studio, path, name)


def take_in(studio: Studio, path: Path, name: str = "") -> LoraInfo:
    """As `import_lora`, of a file that is known to be usable: whether it is takes reading the whole of it."""
    settings = peft_settings.beside(Path(path))
    with naming(studio):
        target = files.free_name(studio.loras, safe_name(name or Path(path).stem), SUFFIX)
        if settings and peft_settings.FIELD not in edit.metadata(path):
            edit.edit(path, {peft_settings.FIELD: settings}, target)
        else:
            files.copy(Path(path), target)
    return describe(target)


def naming(studio: Studio) -> AbstractContextManager[None]:
    """While nobody else gives a LoRA of the studio a name: from its choice until the file has it, which may take long.
    Raises UserError where others take too long."""
    lock = Lock(studio.cache / cache_names.NAMING)
    return lock.alone(PATIENCE, "Other LoRAs are just being brought here or renamed.")


def require_usable(path: Path) -> None:
    """Raises UserError where a file is no LoRA that can be drawn with."""
    describe(path)
    if not is_finite(path):
        raise UserError("Some of its values are not numbers, so it would spoil every drawing.", "Use another LoRA.")


def find(studio: Studio, name: str) -> LoraInfo:
    """The LoRA called `name`, or the one in the file `name`; a link is itself and not what it points to.

    Raises UserError where there is none, where it may be one of several, or where its file is not usable.
    """
    return describe(path_of(studio, name))


def path_of(studio: Studio, name: str) -> Path:
    """As `find`, also of a file that is not usable."""
    path = Path(os.path.abspath(os.path.expanduser(name)))
    if not name or not os.path.isfile(path):
        return _named(studio, name)
    if os.path.dirname(name) or not (called := _called(studio, name)) or path in called:
        return path
    raise _ambiguous(name, [path, *called])


def named(studio: Studio, name: str) -> LoraInfo:
    """The LoRA of the studio called exactly `name`, whatever files lie elsewhere; upper and lower case are alike where
    that leaves no doubt. Raises UserError otherwise."""
    return describe(_named(studio, name))


def _named(studio: Studio, name: str) -> Path:
    called = _called(studio, name)
    if len(called) > 1:
        raise _ambiguous(name, called)
    if called:
        return called[0]
    wanted, names = name.removesuffix(SUFFIX), {found.stem for found in _files(studio)}
    hint = nearest(wanted, names) if names else "Train one first, or give the path of a file."
    raise UserError(f"There is no LoRA {name!r}.", hint)


def _called(studio: Studio, name: str) -> list[Path]:
    """The files of the studio that `name` may mean: those called exactly so, else those that differ in case only."""
    found = _files(studio)
    exact = [path for path in found if name in (path.stem, path.name)]
    return exact or [path for path in found if folded(name) in (folded(path.stem), folded(path.name))]


def _ambiguous(name: str, candidates: list[Path]) -> UserError:
    several = ", ".join(sorted(map(str, candidates)))
    return UserError(f"{name!r} may be one of several LoRAs: {several}.", "Name it exactly, or give its whole path.")


def of_one_family(paths: Iterable[Path], to_be: str) -> list[LoraInfo]:
    """What each LoRA says of itself. Raises UserError where they are for several families of bases."""
    known = [describe(path) for path in paths]
    if len({one.family for one in known}) > 1:
        told = ", ".join(f"{one.name} is for {families.facts_of(one.family).title}" for one in known)
        raise UserError(f"LoRAs for different families cannot be {to_be}: {told}.", "Choose those of one family.")
    return known


def dialect_for(path: Path, program: str) -> str:
    """The dialect in which `program` reads all of the LoRA in a file. Raises UserError where it reads none so."""
    return programs.dialect_for(program, families.facts_of(describe(path).family))


def convert(
    studio: Studio, path: Path, dialect: str, out: Path, fields: dict[str, str] | None = None
) -> LoraInfo:
    """Write the LoRA in a file once more in another dialect; a child does it. Raises UserError where it cannot.

    `fields` are those of its header, where they are to be others than it has.
    """
    describe(path)
    require_new(out)
    here = os.path.abspath(path)  # not where a link leads, as peft's settings lie beside the link
    job = ConvertJob(file=here, to=dialect, out=os.path.realpath(out), fields=fields)
    process.done("convert", job, studio.cache / "convert.txt")
    return describe(out)


def is_finite(path: Path) -> bool:
    """Whether every value in the file is finite; reads the whole file."""
    return all_finite(path, read_header(path))


def lying_in(folder: Path) -> list[Path]:
    """What is called a LoRA file in a folder, by name, also with its ending in capitals; what is half made is not.

    Raises UserError where the folder cannot be listed."""
    try:
        there = [*folder.iterdir()] if folder.is_dir() else []
    except OSError as error:
        raise UserError(f"{folder} could not be read ({error.strerror}).", "Check that you may read it.") from None
    return sorted(path for path in there if path.suffix.lower() == SUFFIX and not path.name.startswith("."))


def place(studio: Studio, name: str) -> Path:
    """The file of the LoRA called exactly `name`, whether it is there or not."""
    usual = studio.loras / f"{name}{SUFFIX}"
    return usual if os.path.lexists(usual) else next((p for p in lying_in(studio.loras) if p.stem == name), usual)


def _files(studio: Studio) -> list[Path]:
    """Every LoRA file of the studio, the newest first; what is still being written begins with a dot."""
    return sorted(filter(os.path.isfile, lying_in(studio.loras)), key=_changed, reverse=True)


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # deleted a moment ago
        return 0


@functools.lru_cache(maxsize=64)
def _fingerprint(path: Path, now: tuple[int, ...]) -> str:
    tensors = read_header(path).tensors.values()
    first, last = min(one.start for one in tensors), max(one.end for one in tensors)
    digest = hashlib.sha256(f"{last - first}".encode())
    with open(path, "rb") as file:
        for place in (first, max(first, last - _END)):
            file.seek(place)
            digest.update(file.read(min(_END, last - place)))
    return digest.hexdigest()


@functools.lru_cache(maxsize=64)
def _weights_hash(path: Path, now: tuple[int, ...]) -> str:
    return metadata.weights_hash(path, read_header(path))


@functools.lru_cache(maxsize=64)
def _changes(path: Path, now: tuple[int, ...]) -> tuple[frozenset[str], bool]:
    info = _describe(path, now)
    roles = dialects.roles(read_header(path), families.facts_of(info.family), info.dialect)
    return frozenset(OF_GROUP[group_of(name)] for name, _ in roles), any(role == "magnitude" for _, role in roles)


@functools.lru_cache(maxsize=1024)
def _describe(path: Path, now: tuple[int, ...]) -> LoraInfo:
    """`now` tells one state of the file from the next."""
    *_, size, changed, _ = now
    header = read_header(path)
    what = summary(path, header, families.facts().values())
    if not math.isfinite(what.alpha):
        raise UserError(f"The alpha of {path.name} is not a number.", ANOTHER_COPY)
    says = header.metadata
    steps = says.get("ss_steps", "")
    return LoraInfo(
        path=path,
        name=path.stem,
        family=what.family,
        dialect=what.dialect,
        rank=what.rank,
        alpha=what.alpha,
        trigger=trigger_of(says)[:200],
        base_title=says.get("ss_sd_model_name", "")[:200],
        base_key=says.get("lora_studio.base", ""),
        preset=says.get("lora_studio.preset", ""),
        steps=int(steps) if steps.isdecimal() and len(steps) < 10 else 0,
        odd=what.odd,
        layers=header.layers,
        made=says.get("modelspec.date", "")[:40] or f"{datetime.fromtimestamp(changed / 1e9):%Y-%m-%dT%H:%M:%S}",
        size=size,
        title=says.get("modelspec.title", "")[:200],
        description=says.get("modelspec.description", ""),
        strength=strength_of(says),
        digest=says.get("sshs_model_hash", "")[:64],
        pictured=says.get(THUMBNAIL, "").startswith("data:image/"),
    )
