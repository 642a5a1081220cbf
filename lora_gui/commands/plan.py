"""Say how much memory a training would need, and what to change where it does not fit."""

import argparse
import itertools
from typing import Any

from lora_gui.commands import Register, settings_of
from lora_gui.studio.paths import Studio

_PICTURES = 20  # they set the steps, which cost time and no memory


def add(commands: Any, register: Register) -> None:
    """Put the commands of this file on the command line."""
    plan = register(commands, "plan", run_plan, "say how much memory a training needs; no base has to be there for it")
    plan.add_argument("--base", help="a base or the folder of one (default: all that are known)")
    plan.add_argument("--preset", help="style, character, concept or one of yours (default: each of them)")
    plan.add_argument("--resolution", type=int, metavar="PX", help="of the pictures (default: the preset's)")
    plan.add_argument("--vram", type=float, default=12.0, metavar="GB", help="memory of the card (default: 12)")
    plan.add_argument("--ram", type=float, metavar="GB", help="memory of the computer (default: what this one has)")
    plan.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting, such as precision=int8"
    )
    plan.set_defaults(show=_lines)


def run_plan(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """One plan where base and preset are given, else {"plans": [...]} of all that are meant."""
    from lora_gui.settings import TrainSettings
    from lora_gui.studio.capacity import plans
    from lora_gui.studio.things import presets

    hand = settings_of(options.set, TrainSettings)
    hand |= {"resolution": options.resolution} if options.resolution else {}
    chosen = [plans.base_of(studio, options.base)] if options.base else plans.all_bases()
    named = [options.preset] if options.preset else list(presets.presets(studio))
    pairs = list(itertools.product(chosen, named))
    filled = [presets.fill(studio, preset, base, _PICTURES, hand, options.vram) for base, preset in pairs]
    questions = [
        plans.job(studio, base, settings, options.vram, options.ram)
        for (base, _), settings in zip(pairs, filled, strict=True)
    ]
    found = [
        {"base": base.key, "preset": preset, "vram_gib": options.vram} | plan
        for (base, preset), plan in zip(pairs, plans.ask(studio, questions), strict=True)
    ]
    return found[0] if options.base and options.preset else {"plans": found}


def _lines(result: dict[str, Any]) -> list[str]:
    lines = []
    for plan in result.get("plans", [result]):
        verdict = "fits" if plan["fits"] else "does not fit"
        lines.append(f"{plan['base']}, {plan['preset']}: {plan['peak_gib']:.1f} of {plan['vram_gib']:g} GB, {verdict}")
        for name, phase in plan["phases"].items():
            lines.append(f"  {name.replace('_', ' '):16}{phase['total_gib']:6.2f} GB")
        lines += [f"  {note}" for note in plan["notes"]]
    return lines
