"""What a LoRA leads on to: drawn with, trained further, or its settings used again; knows no component."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Base
from lora_gui.studio.library.again import settings_of
from lora_gui.studio.library.shelf import Card
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.run import Run
from lora_gui.studio.things import bases
from lora_gui.ui.draft import DrawDraft, TrainDraft, with_lora
from lora_gui.ui.train import planned


def base_of(studio: Studio, family: str, *wanted: str) -> Base | None:
    """A base of this family that is here: the first of those called `wanted`, else any."""
    fitting = {base.key: base for base in bases.list_bases(studio) if base.family == family}
    return next((fitting[key] for key in wanted if key in fitting), next(iter(fitting.values()), None))


def no_base(card: Card) -> UserError:
    """That nothing here can draw or learn with this LoRA."""
    return UserError(f"{card.name} is for {card.family_title}, and no base of that family is here.", "Get one first.")


def drawn(studio: Studio, draft: DrawDraft, card: Card) -> DrawDraft:
    """With this LoRA first in the stack, at its best strength, and a base that it fits. Raises UserError if none is."""
    assert card.info
    base = base_of(studio, card.family, draft.base, card.info.base_key)
    if base is None:
        raise no_base(card)
    changed = with_lora(draft, str(card.path), card.info.trigger, card.strength)
    return changed if base.key == draft.base else replace(changed, base=base.key, hand={})


def again(studio: Studio, card: Card) -> TrainDraft:
    """What has to be chosen to train with its settings: as its run was, or as far as its file says."""
    folder = studio.runs / Path(card.run).name
    if card.run and folder.is_dir():
        return planned.draft_of(studio, Run(folder).job)
    assert card.info
    hand, odd = settings_of(card.path)
    base = base_of(studio, card.family, card.info.base_key)
    notes = [] if hand else ["Its file does not say how it was trained."]
    notes += [f"What its file says of {', '.join(odd)} is not known here and was left out."] if odd else []
    notes += [] if base else [f"No base of {card.family_title} is here."]
    key, note = base.key if base else "", " ".join(notes)
    return TrainDraft(preset=card.info.preset, base=key, trigger=card.info.trigger, hand=hand, note=note)


def further(studio: Studio, card: Card) -> TrainDraft:
    """A training that begins with its weights: on a base that it fits, with its rank and alpha."""
    assert card.info
    draft, base = again(studio, card), base_of(studio, card.family, card.info.base_key)
    if base is None:
        raise no_base(card)
    hand: dict[str, Any] = draft.hand | {"rank": card.info.rank, "alpha": card.info.alpha}
    hand.pop("seed", None)  # another order of pictures and noise than it has learnt from
    return replace(draft, base=base.key, hand=hand, trigger=card.info.trigger, name="", begin_from=str(card.path))
