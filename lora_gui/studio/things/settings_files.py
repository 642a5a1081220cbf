"""Settings files of other trainers and of ours in this studio: read for a draft, written for a run."""

import tomllib
from pathlib import Path

from lora_gui import files
from lora_gui.drive import require_new
from lora_gui.formats import trainers
from lora_gui.formats.trainers import ours
from lora_gui.formats.trainers.carried import Carried
from lora_gui.protocol.jobs import Base, TrainJob
from lora_gui.settings import TrainSettings
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases, presets
from lora_gui.studio.things.names import safe_name


def read(studio: Studio, file: Path) -> Carried:
    """What a settings file asks for; a base and a preset by their keys here, or left where this studio has none such.

    Raises UserError where it is no settings file.
    """
    found = trainers.read(file)
    if found.base:
        key = _base(studio, found.base)
        if not key:
            found.left.append(f"Its base, {found.base}, is not on this computer: choose one that is like it.")
        found.base = key
    if found.preset and found.preset not in presets.presets(studio):
        found.left.append(f"Its preset, {found.preset}, is not here; every setting of it that was written is.")
        found.preset = ""
    return found


def write(job: TrainJob, out: Path) -> Path:
    """The settings of a run as one file. Raises UserError where something is there already."""
    require_new(out)
    files.write_text(out, ours.written(job))
    return out


def keep(studio: Studio, said: dict[str, str], base: Base, settings: TrainSettings) -> Path:
    """Settings that are no run yet as a file among what was given away; `said` are name, trigger and preset."""
    name = safe_name(said.get("name") or said.get("trigger") or "settings")
    target = files.free_name(studio.given, f"{name}-settings", ".toml")
    files.write_text(target, ours.text(said | {"base": base.known or base.key}, settings))
    return target


def is_preset(file: Path) -> bool:
    """Whether a file is written as presets are, whatever is wrong with it."""
    try:
        found = tomllib.loads(files.read_small(file).decode("utf-8-sig")) if file.suffix.lower() == ".toml" else {}
    except (OSError, ValueError, RecursionError):
        return False
    return "all" in found or ("title" in found and ours.MARK not in found)


def _base(studio: Studio, name: str) -> str:
    """The key of the base of this computer that is called so anywhere; empty where there is none."""
    wanted, known = name.casefold(), bases.known_bases()
    for base in bases.list_bases(studio):
        like = known.get(base.known)
        names = [base.key, base.title, base.known, *((like.repo, like.repo.rpartition("/")[2]) if like else ())]
        if wanted in (one.casefold() for one in names if one):
            return base.key
    return ""
