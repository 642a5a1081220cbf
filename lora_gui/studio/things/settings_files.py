"""Settings files of other trainers and of ours in this studio: read for a draft, written for a run."""

from pathlib import Path

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats import trainers
from lora_gui.formats.trainers import ours
from lora_gui.formats.trainers.carried import Carried
from lora_gui.protocol.jobs import TrainJob
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases, presets


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
    if out.exists():
        raise UserError(f"{out.name} is there already.", "Give another name; nothing is overwritten.")
    files.write_text(out, ours.written(job))
    return out


def _base(studio: Studio, name: str) -> str:
    """The key of the base of this computer that is called so anywhere; empty where there is none."""
    wanted, known = name.casefold(), bases.known_bases()
    for base in bases.list_bases(studio):
        like = known.get(base.known)
        names = [base.key, base.title, base.known, *((like.repo, like.repo.rpartition("/")[2]) if like else ())]
        if wanted in (one.casefold() for one in names if one):
            return base.key
    return ""
