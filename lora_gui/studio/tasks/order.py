"""What is ordered of a drawing, made ready: tags into the stack, a new seed, sizes and LoRAs that fit the base."""

import random
from pathlib import Path

from lora_gui import families
from lora_gui.errors import SettingError, UserError
from lora_gui.protocol.jobs import Base
from lora_gui.settings import SEEDS, DrawSettings, check
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import inputs, loras, prompt, wildcards

NEW_SEEDS = 2**32  # as many as other programs draw from


def prepared(studio: Studio, base: Base, settings: DrawSettings) -> tuple[DrawSettings, list[str]]:
    """The settings as they are drawn, and what was made of them. Raises UserError where they do not fit the base."""
    facts = families.facts_of(base.family)
    settings, notes = prompt.resolved(studio, settings, base.family)
    check_stack(base, settings)
    check_size(base, settings)
    if settings.sampler != "base":
        families.solver(base.family, settings.sampler, settings.schedule)
    if (settings.picture or settings.upscale > 1) and not facts.draws_over:
        what = f"{facts.title} draws from words alone: no picture can be begun with, and none is upscaled."
        raise UserError(what, "Leave the picture out and upscale by 1, or choose another base.")
    settings, said = inputs.prepared(studio, settings)
    notes += said
    if settings.seed < 0:
        settings = settings.model_copy(update={"seed": random.randrange(NEW_SEEDS)})
        notes.append(f"The new seed is {settings.seed}.")
    if settings.clip_skip > 1 and not facts.skips_layers:
        notes.append("Clip skip does nothing with this base.")
    return settings, notes


def shots(studio: Studio, settings: DrawSettings) -> tuple[DrawSettings, ...]:
    """Each drawing of prepared settings by itself, with its seed and one of each choice in its prompts.

    Raises UserError where a list that a prompt asks for cannot be read, or names a LoRA.
    """
    return tuple(_shot(studio, settings, number) for number in range(settings.count))


def _shot(studio: Studio, settings: DrawSettings, number: int) -> DrawSettings:
    """Where there is a variation, that goes on from drawing to drawing and the seed stays, as in A1111."""
    seed, variation = settings.seed, settings.variation_seed
    if settings.seeds == "random" and number:
        seed = random.randrange(NEW_SEEDS)
    elif settings.seeds == "walk" and settings.variation:
        variation = (variation + number) % SEEDS
    elif settings.seeds == "walk":
        seed = (seed + number) % SEEDS
    stays = settings.seeds == "fixed" or bool(settings.variation)
    dice = f"{seed} {number if stays else 0}"
    texts = {name: wildcards.chosen(studio, getattr(settings, name), dice) for name in ("prompt", "negative_prompt")}
    for text in texts.values():
        prompt.check_words(text)
    own = {"seed": seed, "variation_seed": variation, "count": 1, "seeds": "walk"}
    return check(DrawSettings, settings.model_dump() | own | texts)


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
