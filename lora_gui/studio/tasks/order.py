"""What is ordered of a drawing, made ready: tags into the stack, a new seed, sizes and LoRAs that fit the base."""

import random
from pathlib import Path

from lora_gui import families
from lora_gui.errors import SettingError, UserError
from lora_gui.protocol.jobs import Base
from lora_gui.settings import DrawSettings
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import loras, prompt

NEW_SEEDS = 2**32  # as many as other programs draw from


def prepared(studio: Studio, base: Base, settings: DrawSettings) -> tuple[DrawSettings, list[str]]:
    """The settings as they are drawn, and what was made of them. Raises UserError where they do not fit the base."""
    settings, notes = prompt.resolved(studio, settings)
    check_stack(base, settings)
    check_size(base, settings)
    if settings.seed < 0:
        settings = settings.model_copy(update={"seed": random.randrange(NEW_SEEDS)})
        notes.append(f"The new seed is {settings.seed}.")
    return settings, notes


def check_stack(base: Base, settings: DrawSettings) -> None:
    """Raises UserError where a LoRA of the stack is damaged, gone or of another family than the base."""
    for entry in settings.stack:
        lora = loras.describe(Path(entry.lora))
        if lora.family != base.family:
            raise UserError(
                f"The LoRA {lora.name} is for another family of bases than {base.title}.",
                "Switch it off, or choose the base it was made for.",
            )


def check_size(base: Base, settings: DrawSettings) -> None:
    """Raises UserError where the base's family does not draw this size, naming the nearest that it draws."""
    step = families.facts_of(base.family).size_step
    sides = {"width": settings.width, "height": settings.height}
    off = {name: side for name, side in sides.items() if side % step}
    if off:
        wrong = " and ".join(f"a {name} of {side}" for name, side in off.items())
        choose = " and ".join(f"a {name} of {_nearest(side, step)}" for name, side in off.items())
        what, first = f"{base.title} draws in steps of {step} pixels, and not in {wrong}.", next(iter(off))
        near = max(round(off[first] / step), 1) * step
        raise SettingError(what, f"Choose {choose}.", first, near)


def _nearest(side: int, step: int) -> str:
    below = side // step * step
    return f"{below} or {below + step}" if below else str(step)
