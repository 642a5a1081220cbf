"""Let a base predict what the user says it does, where a merge lost the mark of it; flow models have no such choice."""

from __future__ import annotations

from typing import Any

from lora_gui.families.base import Noising
from lora_gui.protocol.events import Note
from lora_gui.settings import Prediction

NAMES = {"epsilon": "epsilon", "v": "v_prediction"}  # as diffusers has them


def applied(noising: dict[str, Noising], prediction: Prediction) -> dict[str, Noising]:
    """The noise processes, with `prediction` in place of the base's own where it is one of the two."""
    name = NAMES.get(prediction, "")
    return {part: one.predicting(name) if name else one for part, one in noising.items()}


def apply_to_schedulers(schedulers: dict[str, Any], prediction: Prediction) -> None:
    """The same for the schedulers that are drawn with."""
    for scheduler in schedulers.values():
        if prediction in NAMES and scheduler.config.get("prediction_type") in NAMES.values():
            scheduler.register_to_config(prediction_type=NAMES[prediction])


def unused(noising: dict[str, Noising], prediction: Prediction) -> list[Note]:
    """A note where a prediction was chosen and the base has no such choice."""
    changed = applied(noising, prediction)
    chosen = prediction in NAMES
    if not chosen or any(getattr(one, "prediction", "") == NAMES[prediction] for one in changed.values()):
        return []
    return [Note("What this base predicts cannot be chosen; the setting in Details changes nothing here.")]
