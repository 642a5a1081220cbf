"""Say how much memory a training would need, and what to change where it does not fit."""

import argparse
import itertools
import tempfile
from pathlib import Path
from typing import Any

from lora_gui.commands import Register, as_path, gigabytes, note, settings_of
from lora_gui.studio.paths import Studio

_PICTURES = 20  # they set the steps, which cost time and no memory


def add(commands: Any, register: Register) -> None:
    """Put the commands of this file on the command line."""
    plan = register(commands, "plan", run_plan, "say how much memory a training needs; no base has to be there for it")
    plan.add_argument("--base", help="a base or the folder of one (default: all that are known)")
    plan.add_argument("--preset", help="style, character, concept or one of yours (default: each of them)")
    plan.add_argument(
        "--pictures", type=as_path, nargs="+", metavar="DIR",
        help="say what of these is cropped: folders, pictures, zip archives, or a picture set",
    )
    plan.add_argument("--resolution", type=int, metavar="PX", help="of the pictures (default: the preset's)")
    plan.add_argument("--vram", type=gigabytes, default=12.0, metavar="GB", help="memory of the card (default: 12)")
    plan.add_argument("--ram", type=gigabytes, metavar="GB", help="memory of the computer (default: what this one has)")
    plan.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="change a setting, such as precision=int8; may be repeated",
    )
    plan.set_defaults(show=_lines)


def run_plan(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """One plan where base and preset are given, else {"plans": [...]} of all that are meant."""
    from lora_gui.settings import TrainSettings
    from lora_gui.studio.capacity import plans
    from lora_gui.studio.things import framings, presets

    hand = settings_of(options.set, TrainSettings)
    hand |= {"resolution": options.resolution} if options.resolution is not None else {}
    chosen = [plans.base_of(studio, options.base)] if options.base else plans.all_bases()
    named = [options.preset] if options.preset else list(presets.presets(studio))
    pairs = list(itertools.product(chosen, named))
    sizes = _sizes(options.pictures, studio) if options.pictures else []
    count = len(sizes) or _PICTURES
    filled = [presets.fill(studio, preset, base, count, hand, options.vram) for base, preset in pairs]
    questions = [
        plans.job(studio, base, settings, options.vram, options.ram)
        for (base, _), settings in zip(pairs, filled, strict=True)
    ]
    found = [
        {"base": base.key, "preset": preset, "vram_gib": options.vram} | plan
        for (base, preset), plan in zip(pairs, plans.ask(studio, questions), strict=True)
    ]
    if sizes:
        for (base, _), settings, plan in zip(pairs, filled, found, strict=True):
            each = framings.framed(sizes, base.family, settings)
            plan |= {"pictures": framings.sentence(each, settings.resolution), "each": framings.lines(each)}
    return found[0] if options.base and options.preset else {"plans": found}


def _sizes(given: list[Path], studio: Studio) -> list[tuple[str, Any]]:
    """Name and size of each picture of a set of the studio, or of folders and files, copied for no longer than that."""
    from lora_gui.studio.things import framings, pictures

    known = {place.name: place for place in pictures.picture_sets(studio)}
    if len(given) == 1 and (place := known.get(str(given[0]))):
        return framings.sizes(pictures.load(place).pictures)
    with tempfile.TemporaryDirectory() as folder:
        found, refused = pictures.import_pictures(Studio(Path(folder)), given)
        for sentence in refused:
            note(sentence)
        return framings.sizes(found.pictures)


def _lines(result: dict[str, Any]) -> list[str]:
    lines = []
    for plan in result.get("plans", [result]):
        verdict = "fits" if plan["fits"] else "does not fit"
        lines.append(f"{plan['base']}, {plan['preset']}: {plan['peak_gib']:.1f} of {plan['vram_gib']:g} GB, {verdict}")
        for name, phase in plan["phases"].items():
            lines.append(f"  {name.replace('_', ' '):16}{phase['total_gib']:6.2f} GB")
        lines += [f"  {note}" for note in (*plan["notes"], *plan["gains"])]
        lines += [f"  {plan['pictures']}", *(f"    {one}" for one in plan["each"])] if "pictures" in plan else []
    return lines
