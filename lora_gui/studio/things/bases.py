"""The bases on this disk: the starter that ships with the app, and the folders and single files of the user."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lora_gui
from lora_gui import families, files
from lora_gui.errors import UserError, nearest
from lora_gui.facts import KnownBase
from lora_gui.formats import single_file
from lora_gui.protocol.jobs import Base
from lora_gui.studio.paths import Studio

SHIPPED = Path(lora_gui.__file__).parent / "starter" / "model"
WEIGHTS = (".safetensors", ".safetensors.index.json")
SINGLE = ".safetensors"  # of a base that is one file
PICKLES = {".ckpt", ".pt", ".pth", ".bin"}
_INDEX_LIMIT = 16 << 20  # bytes of the list of a network's weights
_LONGEST = 100  # letters of a part's name or class
WHOLE = "Choose a whole diffusers folder: one with model_index.json and all its parts."


def list_bases(studio: Studio) -> list[Base]:
    """Every usable base, the one that ships with the app first; folders and files that are no base are left out."""
    return [base for _, base in _entries(studio) if isinstance(base, Base)]


def passed_over(studio: Studio) -> list[tuple[Path, UserError]]:
    """What lies among the user's bases and is none that can be used, and why."""
    return [(path, why) for path, why in _entries(studio) if isinstance(why, UserError)]


def find(studio: Studio, name: str) -> Base:
    """The base called `name`, or the one in the folder or file `name`. Raises UserError saying what is missing."""
    bases = {base.key: base for base in list_bases(studio)}
    if name in bases:
        return bases[name]
    path = os.path.abspath(os.path.expanduser(name))
    if name and os.path.exists(path):
        return _open(Path(path))
    if Path(name).name == name and os.path.exists(studio.bases / name):
        return _open(studio.bases / name)
    known = known_bases().get(name)
    if known and not known.repo:
        raise UserError(f"The base {known.title} did not come with this copy of the app.", "Get the app again, whole.")
    if known:
        further = next(one.further for one in families.facts().values() if known in one.bases)
        rest = "".join(f", and {repo} into its folder {inner}" for inner, repo in further.items())
        place = f"{studio.bases / known.key}{rest}"
        first = "Log in to the model hub and accept its licence there, then download" if known.gated else "Download"
        raise UserError(
            f"{known.title} is not on this computer.",
            f"{first} {known.repo} as a diffusers folder ({known.size_gb:g} GB) into {place}.",
        )
    raise UserError(f"There is no base {name!r}.", nearest(name, {*bases, *known_bases()}))


def known_bases() -> dict[str, KnownBase]:
    """Every base that any family knows, installed or not."""
    return {known.key: known for one in families.facts().values() for known in one.bases}


def train_defaults(base: Base) -> dict[str, Any]:
    """The family's training defaults with the base's own over them."""
    return families.facts_of(base.family).train_defaults_of(base.key)


def draw_defaults(base: Base) -> dict[str, Any]:
    """The family's drawing defaults with the base's own over them."""
    return families.facts_of(base.family).draw_defaults_of(base.key)


def ships_with_the_app(base: Base) -> bool:
    """Whether it is the starter as it came with the app."""
    return Path(base.path) == SHIPPED


def size(base: Base) -> int:
    """Bytes of the base on the disk."""
    path = Path(base.path)
    return sum(p.stat().st_size for p in ([path] if path.is_file() else path.rglob("*")) if p.is_file())


def built_like(base: Base) -> Base:
    """The known base whose configuration a base has that is one file; any other as it is."""
    path = Path(base.path)
    if not base.path or not path.is_file():
        return base
    key, like, _ = _identified(path, path.stat().st_size, path.stat().st_mtime_ns)
    return Base(key=like, title=base.title, family=key, path="")


def networks(base: Base) -> dict[str, int]:
    """The parameters of each network, by its folder; `unet` for one file. Raises UserError where one is damaged."""
    path = Path(base.path)
    if path.is_file():
        return {"unet": _identified(path, path.stat().st_size, path.stat().st_mtime_ns)[2]}
    found: dict[str, int] = {}
    for file in path.glob("**/*.safetensors"):
        # what lies beside the parts is the same once more
        if file.parent != path and ".fp16." not in file.name and file.is_file():
            part = file.parent.relative_to(path).as_posix()
            found[part] = found.get(part, 0) + _counted(file, file.stat().st_size, file.stat().st_mtime_ns)
    return found


@functools.lru_cache(maxsize=256)
def _identified(path: Path, size: int, time: int) -> tuple[str, str, int]:
    """Family, known base of the same build, and number of parameters; read once for each state of the file."""
    contents = single_file.read(path)
    builds = {build: one.key for one in families.facts().values() for build in one.single_files}
    found = single_file.build_of(path, contents, builds)
    return next(key for build, key in builds.items() if build is found), found.like, contents.values


@functools.lru_cache(maxsize=1024)
def _counted(path: Path, size: int, time: int) -> int:
    return single_file.read(path).values


def _entries(studio: Studio) -> Iterator[tuple[Path, Base | UserError]]:
    """What ships with the app and what lies among the user's bases, with what is wrong where it is no base."""
    seen = set()
    for one in families.facts().values():
        for known in one.bases:
            if not known.repo and (SHIPPED / "model_index.json").is_file():
                seen.add(known.key)
                yield SHIPPED, Base(key=known.key, title=known.title, family=one.key, path=str(SHIPPED))
    for path in sorted(studio.bases.glob("*")):
        if path.name.startswith(".") or not (path.is_dir() or path.suffix.lower() == SINGLE):
            continue
        try:
            base = _open(path)
        except UserError as error:
            yield path, error
        except files.STRANGE as error:
            yield path, UserError(f"The base {path.name} cannot be read ({type(error).__name__}).", WHOLE)
        else:
            twin = UserError(f"Another base is called {base.key}, too.", f"Give {path.name} another name.")
            yield path, twin if base.key in seen else base
            seen.add(base.key)


def _open(path: Path) -> Base:
    """The base in a folder. Raises UserError where it is none or where a part of it is missing."""
    if path.suffix.lower() in PICKLES:
        what = f"{path.name} is in an old format that can carry programs, so it is not opened."
        raise UserError(what, "Get this base as .safetensors.")
    if path.is_file() and path.suffix.lower() == SINGLE:
        key, _, _ = _identified(path, path.stat().st_size, path.stat().st_mtime_ns)
        known = known_bases().get(path.stem)
        return Base(key=path.stem, title=known.title if known else path.stem, family=key, path=str(path))
    if not path.is_dir():
        raise UserError(f"{path.name} is not the folder of a base.", WHOLE)
    pipeline, parts = _index(path)
    found = families.facts_of_pipeline(pipeline)
    for part, kind in parts.items():
        _check_part(path, part, kind)
    for folder, repo in found.further.items():
        if not (path / folder).is_dir():
            what = f"The base {path.name} is not whole: its folder {folder} is missing."
            raise UserError(what, f"Download {repo} into it.")
    known = next((known for known in found.bases if known.key == path.name), None)
    return Base(key=path.name, title=known.title if known else path.name, family=found.key, path=str(path))


def _index(base: Path) -> tuple[str, dict[str, str]]:
    """What model_index.json says: the pipeline's class, and the class of each part that there is."""
    if not os.path.lexists(base / "model_index.json"):
        raise UserError(f"The folder {base.name} is not a base: it has no model_index.json.", WHOLE)
    said = files.read_json(base / "model_index.json")
    said = said if isinstance(said, dict) else {}
    listed = {name: part for name, part in said.items() if not name.startswith("_") and isinstance(part, list)}
    parts = {name: part for name, part in listed.items() if any(isinstance(word, str) for word in part)}
    words = [said.get("_class_name"), *parts, *(word for part in parts.values() for word in part)]
    sound = all(isinstance(word, str) and 0 < len(word) <= _LONGEST for word in words)
    if not sound or any(len(part) != 2 or Path(name).name != name for name, part in parts.items()):
        raise UserError(f"The model_index.json in {base.name} is damaged.", WHOLE)
    return said["_class_name"], {name: kind for name, (_, kind) in parts.items()}


def _check_part(base: Path, part: str, kind: str) -> None:
    folder = base / part
    there = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    if not there:
        raise UserError(f"The base {base.name} is not whole: its folder {part} is missing.", WHOLE)
    holds_weights = (folder / "config.json").is_file() and not kind.endswith(
        ("Tokenizer", "Processor", "Extractor", "Scheduler")
    )
    if holds_weights and not any(name.endswith(WEIGHTS) for name in there):
        if any(Path(name).suffix in PICKLES for name in there):
            raise UserError(
                f"The part {part} of {base.name} is in an old format that can carry programs.",
                "Get this base as .safetensors.",
            )
        raise UserError(f"The base {base.name} is not whole: {part} has no weights.", WHOLE)
    lists = [set(_shards(folder / name)) for name in there if name.endswith(".safetensors.index.json")]
    if lists and all(shards - set(there) for shards in lists):
        missing = min(lists[0] - set(there))
        raise UserError(f"The base {base.name} is not whole: {missing} of its {part} is missing.", WHOLE)


def _shards(index: Path) -> list[str]:
    """The files that weights are spread over. Raises UserError where the list of them is damaged."""
    said = files.read_json(index, _INDEX_LIMIT)
    named = said.get("weight_map") if isinstance(said, dict) else None
    if not isinstance(named, dict):
        raise UserError(f"{index.name} in {index.parent.name} is damaged.", "Download this base again.")
    return [str(name) for name in named.values()]
