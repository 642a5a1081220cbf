"""What LoRAs do together: whether they get in each other's way, and several mixed into one."""

import argparse
from typing import TYPE_CHECKING, Any

from lora_gui.commands import Register
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio

if TYPE_CHECKING:
    from lora_gui.settings import StackEntry


def add(commands: Any, register: Register) -> None:
    """Put the commands of this file on the command line."""
    fight = register(commands, "fight", run_fight, "whether LoRAs get in each other's way, and what balances them")
    fight.add_argument("loras", nargs="+", metavar="LORA", help="two or more, by name or file")
    fight.set_defaults(show=_fight_lines)

    mix = register(commands, "mix", run_mix, "save several LoRAs as one")
    mix.set_defaults(makes_studio=True)
    mix.add_argument("loras", nargs="+", metavar="LORA=STRENGTH", help="by name or file, such as inkfox=0.8")
    mix.add_argument("--rank", type=int, default=0, help="compress it to this rank (default: exact)")
    wanted = mix.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--out", metavar="NAME", help="what it is called in your studio")
    wanted.add_argument("--kept", action="store_true", help="save nothing; say how much each rank would keep")


def run_fight(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """Cosines, norms, shares of groups of blocks, and strengths that balance where sizes can be compared."""
    from lora_gui.studio.stacks.fight import fight
    from lora_gui.studio.things import loras

    return fight([loras.find(studio, name).path for name in options.loras]).to_json()


def _fight_lines(result: dict[str, Any]) -> list[str]:
    pairs = [f"{pair['sentence']} (cosine {pair['cosine']:+.2f})" for pair in result["pairs"]]
    balanced = ", ".join(f"{name} {value:g}" for name, value in zip(result["names"], result["balance"], strict=False))
    return [*pairs, *result["notes"], *([f"Balanced: {balanced}"] if balanced else [])]


def run_mix(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """The new LoRA, and how much of the others it keeps."""
    from lora_gui.studio.stacks.kept import RANKS, kept
    from lora_gui.studio.stacks.mix import mix

    if options.rank < 0:
        raise UserError("The rank has to be at least 1.", "Leave --rank out for an exact mix.")
    stack = tuple(entry(studio, text) for text in options.loras)
    if options.kept:
        found = kept(stack, (options.rank,) if options.rank else RANKS)
        return {"kept": found.shares, "exact": found.exact}
    made = mix(studio, stack, options.out, options.rank)
    return {"lora": str(made.lora.path), "rank": made.rank, "kept": made.kept, "said": made.sentence}


def entry(studio: Studio, text: str) -> "StackEntry":
    """`NAME=0.8` or `NAME`, as an entry of a stack."""
    from lora_gui import typed
    from lora_gui.settings import StackEntry, check
    from lora_gui.studio.things import loras

    name, equals, strength = text.rpartition("=")
    value: float | str = 1.0
    try:
        name = str(loras.path_of(studio, text))  # a name may hold the sign, too
    except UserError:
        if not equals:
            raise
        value = typed.number(strength)
        if isinstance(value, str):
            raise UserError(f"The strength in {text!r} is not a number.", "Write it as NAME=0.8.") from None
    return check(StackEntry, {"lora": str(loras.find(studio, name).path), "strength": value})
