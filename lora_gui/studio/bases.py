"""The bases on this disk: the starter that ships with the app and the folders of the user."""

import json
from pathlib import Path
from typing import Any

import lora_gui
from lora_gui.errors import UserError, nearest
from lora_gui.families import families, family, family_of_pipeline
from lora_gui.families.base import KnownBase
from lora_gui.jobs import Base
from lora_gui.settings import DrawSettings, TrainSettings
from lora_gui.studio.paths import Studio

SHIPPED = Path(lora_gui.__file__).parent / "starter" / "model"
WEIGHTS = (".safetensors", ".safetensors.index.json")
PICKLES = {".ckpt", ".pt", ".pth", ".bin"}
WHOLE = "Choose a whole diffusers folder: one with model_index.json and all its parts."


def list_bases(studio: Studio) -> list[Base]:
    """Every usable base, the one that ships with the app first; folders that are no base are left out."""
    found = []
    for one in families().values():
        for known in one.facts.bases:
            if not known.repo and (SHIPPED / "model_index.json").is_file():
                found.append(Base(key=known.key, title=known.title, family=one.facts.key, path=str(SHIPPED)))
    folders = sorted(p for p in studio.bases.iterdir() if p.is_dir()) if studio.bases.is_dir() else []
    for folder in folders:
        try:
            base = _open(folder)
        except UserError:
            continue
        if base.key not in {other.key for other in found}:  # a folder does not hide what ships with the app
            found.append(base)
    return found


def find(studio: Studio, name: str) -> Base:
    """The base called `name`, or the one in the folder `name`. Raises UserError saying what is missing."""
    bases = {base.key: base for base in list_bases(studio)}
    if name in bases:
        return bases[name]
    path = Path(name).expanduser()
    if path.exists():
        return _open(path.resolve())
    if (studio.bases / name).is_dir() and Path(name).name == name:
        return _open(studio.bases / name)
    known = known_bases().get(name)
    if known and not known.repo:
        raise UserError(f"The base {known.title} did not come with this copy of the app.", "Get the app again, whole.")
    if known:
        further = next(one.facts.further for one in families().values() if known in one.facts.bases)
        rest = "".join(f", and {repo} into its folder {inner}" for inner, repo in further.items())
        place = f"{studio.bases / known.key}{rest}"
        raise UserError(
            f"{known.title} is not on this computer.",
            f"Download {known.repo} as a diffusers folder ({known.size_gb:g} GB) into {place}.",
        )
    raise UserError(f"There is no base {name!r}.", nearest(name, {*bases, *known_bases()}))


def known_bases() -> dict[str, KnownBase]:
    """Every base that any family knows, installed or not."""
    return {known.key: known for one in families().values() for known in one.facts.bases}


def train_defaults(base: Base) -> dict[str, Any]:
    """The family's training defaults with the base's own over them; `steps` and `seed` of a base are for drawing."""
    own = {
        k: v for k, v in _own(base).items() if k in TrainSettings.model_fields and k not in DrawSettings.model_fields
    }
    return family(base.family).facts.train_defaults | own


def draw_defaults(base: Base) -> dict[str, Any]:
    """The family's drawing defaults with the base's own over them."""
    own = {k: v for k, v in _own(base).items() if k in DrawSettings.model_fields}
    return family(base.family).facts.draw_defaults | own


def ships_with_the_app(base: Base) -> bool:
    return Path(base.path) == SHIPPED


def size(base: Base) -> int:
    """Bytes of the base on the disk."""
    return sum(p.stat().st_size for p in Path(base.path).rglob("*") if p.is_file())


def _own(base: Base) -> dict[str, Any]:
    known = known_bases().get(base.key)
    return known.defaults if known else {}


def _open(path: Path) -> Base:
    """The base in a folder. Raises UserError where it is none or where a part of it is missing."""
    if path.suffix.lower() in PICKLES:
        raise UserError(f"{path.name} is in an old format that can carry programs, so it is not opened.", WHOLE)
    if not path.is_dir():
        raise UserError(f"{path.name} is not the folder of a base.", WHOLE)
    try:
        index = json.loads((path / "model_index.json").read_text(encoding="utf-8"))
        parts = {
            name: part
            for name, part in index.items()
            if not name.startswith("_") and isinstance(part, list) and part[0]
        }
        pipeline = str(index["_class_name"])
    except FileNotFoundError:
        raise UserError(f"The folder {path.name} is not a base: it has no model_index.json.", WHOLE) from None
    except (OSError, ValueError, KeyError, AttributeError, IndexError):
        raise UserError(f"The model_index.json in {path.name} is damaged.", WHOLE) from None
    found = family_of_pipeline(pipeline)
    for part, (_, kind) in parts.items():
        _check_part(path, part, str(kind))
    for folder, repo in found.facts.further.items():
        if not (path / folder).is_dir():
            what = f"The base {path.name} is not whole: its folder {folder} is missing."
            raise UserError(what, f"Download {repo} into it.")
    known = next((known for known in found.facts.bases if known.key == path.name), None)
    return Base(key=path.name, title=known.title if known else path.name, family=found.facts.key, path=str(path))


def _check_part(base: Path, part: str, kind: str) -> None:
    folder = base / part
    files = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    if not files:
        raise UserError(f"The base {base.name} is not whole: its folder {part} is missing.", WHOLE)
    holds_weights = (folder / "config.json").is_file() and not kind.endswith(
        ("Tokenizer", "Processor", "Extractor", "Scheduler")
    )
    if holds_weights and not any(name.endswith(WEIGHTS) for name in files):
        if any(Path(name).suffix in PICKLES for name in files):
            raise UserError(
                f"The part {part} of {base.name} is in an old format that can carry programs.",
                "Get this base as .safetensors.",
            )
        raise UserError(f"The base {base.name} is not whole: {part} has no weights.", WHOLE)
