"""The contract card of a LoRA of this studio: begun from what is known, confirmed by its maker, kept in its file."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, get_args

from lora_gui.errors import UserError, nearest
from lora_gui.formats import contract, edit
from lora_gui.formats.contract import IN_WORDS as IN_WORDS
from lora_gui.formats.contract import Contract as Contract
from lora_gui.formats.contract import Kind, People, Rights
from lora_gui.protocol.jobs import TrainJob
from lora_gui.studio.library import changes, origins
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import picture_index, set_changes
from lora_gui.studio.things.loras import LoraInfo

in_words = contract.in_words
_KNOWN = {"owns": get_args(Kind), "rights": get_args(Rights), "people": get_args(People)}
LICENCES = ("", "CC0 1.0", "CC BY 4.0", "CC BY-SA 4.0", "CC BY-NC 4.0", "Apache-2.0", "MIT")


@dataclass(frozen=True)
class Learnt:
    """A picture that a LoRA learnt from, as this studio has it."""

    number: int  # from 1
    label: str
    path: Path
    digest: str
    opted_out: bool = False


@dataclass(frozen=True)
class Answers:
    """What the maker says; `rights` of all pictures but those in `others`, by their numbers."""

    owns: Kind
    rights: Rights
    people: People
    scope: str = ""
    others: Mapping[int, Rights] = field(default_factory=dict)
    licence: str = ""
    allowed_use: str = ""
    is_open: bool = False


def of(path: Path) -> Contract:
    """The card in the file of a LoRA. Raises UserError where it is no whole LoRA."""
    return contract.read(edit.metadata(path))


def begun(studio: Studio, lora: LoraInfo) -> tuple[Contract, tuple[Learnt, ...]]:
    """The card as it stands, what is known filled in, and the pictures; none where this studio has no run of it."""
    found, card = origins.run_of(studio, lora), of(lora.path)
    learnt = _pictures(found[1]) if found else ()
    preset = lora.preset or (found[1].preset if found else "")
    kind = card.owns or (preset if preset in get_args(Kind) else "")
    card = replace(card, owns=kind, base=card.base or lora.base_title)  # type: ignore[arg-type]
    if learnt and all(one.digest for one in learnt):
        dataset = contract.digest_of(one.digest for one in learnt)
        card = replace(card, dataset=dataset, pictures=len(learnt))
    return card, learnt


def record(studio: Studio, lora: LoraInfo, answers: Answers) -> Contract:
    """Write what the maker says into the LoRA's file; tensors and hashes stay as they are. Raises UserError."""
    card, learnt = begun(studio, lora)
    for number in answers.others:
        if not 1 <= number <= max(card.pictures, len(learnt)):
            raise UserError(f"There is no picture {number}.", f"It learnt from {max(card.pictures, len(learnt))}.")
    count = card.pictures or len(learnt)
    each = {number: answers.others.get(number, answers.rights) for number in range(1, count + 1)}
    said = replace(
        card,
        owns=answers.owns,
        scope=" ".join(answers.scope.split())[: contract.LONGEST],
        pictures=count,
        rights=dict(Counter(each.values())) or {answers.rights: 1},
        people=answers.people,
        licence=answers.licence,
        allowed_use=" ".join(answers.allowed_use.split())[: contract.LONGEST],
        confirmed=f"{date.today():%Y-%m-%d}",
        each={one.digest: each[one.number] for one in learnt if one.digest},
    )
    changes.write(studio, lora.path, contract.fields_of(said, answers.is_open))
    return said


def require_publishable(path: Path) -> Contract:
    """The card of a LoRA that may be published. Raises UserError where rights are not known; training never asks."""
    card = of(path)
    if why := card.holds_back:
        raise UserError(" ".join(why), "Say on the LoRA's card whose the pictures are, or keep it to yourself.")
    return card


def answers(**given: Any) -> Answers:
    """What was typed, checked. Raises UserError naming the nearest where it is none of the answers there are."""
    said = [("owns", given["owns"]), ("rights", given["rights"]), ("people", given["people"])]
    for name, answer in [*said, *(("rights", one) for one in given.get("others", {}).values())]:
        if answer not in _KNOWN[name]:
            raise UserError(f"{answer!r} is no answer.", nearest(str(answer), _KNOWN[name]))
    return Answers(**given)


def _pictures(job: TrainJob) -> tuple[Learnt, ...]:
    paths = [Path(one.path) for one in job.pictures]
    sets = {folder: _called(folder) for folder in dict.fromkeys(path.parent for path in paths)}
    return tuple(
        Learnt(number, label, path, one.digest or origins.of_file(path), opted_out)
        for number, (one, path) in enumerate(zip(job.pictures, paths, strict=True), start=1)
        for label, opted_out in [sets[path.parent].get(path.stem, (path.name, False))]
    )


def _called(folder: Path) -> dict[str, tuple[str, bool]]:
    """What a set calls its pictures, by the stems of their files, and whether those forbade to learn from them."""
    try:
        index = set_changes.between(folder, lambda: picture_index.read(folder))
    except UserError:  # the examples of the app, or a set that is gone
        return {}
    return {f"{at:04}": (label, at in index.opted_out) for at, label in enumerate(index.labels, start=1)}
