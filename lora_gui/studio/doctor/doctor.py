"""The doctor: judge the pictures and captions of a set, or of any folder, for a base, a trigger word and a goal."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lora_gui import families
from lora_gui.errors import UserError
from lora_gui.facts import Facts
from lora_gui.protocol.jobs import Base
from lora_gui.protocol.learnt import filled_in, with_trigger
from lora_gui.studio.doctor import looks, reading, single, together, wording
from lora_gui.studio.doctor.finding import Finding, Judgement
from lora_gui.studio.doctor.look import Look
from lora_gui.studio.paths import Studio
from lora_gui.studio.things.captions import Captions
from lora_gui.studio.things.intake import gather
from lora_gui.studio.things.picture_index import MOST
from lora_gui.studio.things.pictures import PictureSet
from lora_gui.studio.things.sorting import sort


@dataclass(frozen=True)
class Patient:
    """A picture to be judged; `file` is what the user calls it, `digest` that of its pixels, if it is known."""

    path: Path
    file: str
    caption: str
    digest: str = ""


@dataclass(frozen=True)
class Asked:
    """What the pictures are for; 0 is the resolution that the base was made for."""

    base: Base | None = None
    trigger: str = ""
    goal: str = "style"
    resolution: int = 0
    batch: int = 1

    @property
    def facts(self) -> Facts:
        """Of the base's family; without a base, of the one that asks least of pictures."""
        if self.base:
            return families.facts_of(self.base.family)
        return min(families.facts().values(), key=lambda one: one.train_defaults["resolution"])


def of_set(found: PictureSet) -> list[Patient]:
    """The pictures of a set of the studio; two of one name are told apart by their numbers."""
    count = Counter(one.label for one in found.pictures)
    patients = []
    for one in found.pictures:
        name = one.label if count[one.label] == 1 else f"{one.label} ({one.path.stem})"
        patients.append(Patient(one.path, name, one.caption, one.digest))
    return patients


def of_folder(folder: Path) -> list[Patient]:
    """The pictures of any folder, as an import would find them; nothing is copied. Raises UserError as that does."""
    intake = gather([folder])
    found, texts, _ = sort(intake.files)
    if not found:
        raise UserError(f"There are no pictures in {folder.name}.", "Name a folder with pictures.")
    if len(found) > MOST:
        raise UserError(f"These are {len(found)} pictures.", f"Choose at most {MOST}.")
    captions = Captions(found, texts, intake.loose).texts
    return [Patient(one.path, str(one.name), text) for one, text in zip(found, captions, strict=True)]


def judge(studio: Studio, patients: Sequence[Patient], asked: Asked) -> tuple[Judgement, list[str]]:
    """What is wrong with the pictures, and a sentence for each that cannot be used and was not judged."""
    seen = looks.at(studio, [(one.path, one.digest) for one in patients])
    good = [(one, look) for one, look in zip(patients, seen, strict=True) if isinstance(look, Look)]
    refused = [f"{error.what} {error.remedy}" for error in seen if isinstance(error, UserError)]
    return judged([one for one, _ in good], [look for _, look in good], asked), refused


def judged(patients: Sequence[Patient], seen: Sequence[Look], asked: Asked) -> Judgement:
    """As `judge`, for pictures that were looked at."""
    names, trigger = [one.file for one in patients], asked.trigger.strip()
    captions = [filled_in(trigger, one.caption) for one in patients]
    facts, how_read = asked.facts, reading.of_base(asked.base)
    resolution = asked.resolution or facts.resolution
    found = together.checks(names, seen)
    each: dict[str, tuple[Finding, ...]] = {}
    for at, (one, look) in enumerate(zip(patients, seen, strict=True)):
        mine = [*single.checks(one.file, look, seen, facts, resolution, asked.batch), *found.each.get(at, ())]
        if any(finding.kind == "blurred" for finding in mine):
            mine = [finding for finding in mine if finding.kind != "outlier"]
        mine += wording.too_long(one.file, with_trigger(trigger, one.caption), how_read, trigger)
        each[one.file] = tuple(mine)
    of_captions = wording.checks(captions, trigger, asked.goal) if patients else ()
    return Judgement(each, (*found.set, *of_captions))
