"""The contract card of a LoRA, read and written; and which LoRAs learnt from a picture."""

import argparse
from dataclasses import asdict
from typing import Any

from lora_gui.commands import Register, as_path
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio


def add(commands: Any, register: Register) -> None:
    """Put the commands of this file on the command line."""
    card = register(commands, "contract", run_contract, "what a LoRA owns and whose its pictures are, said or read")
    card.add_argument("name", help="a LoRA of your studio, or its file")
    card.add_argument("--owns", metavar="KIND", help="style, character or concept")
    card.add_argument("--scope", default="", metavar="SENTENCE", help="what it is of, in a sentence")
    card.add_argument("--rights", metavar="RIGHTS",
                      help="own, licensed, permission or unknown: of all pictures but those named next")  # fmt: skip
    card.add_argument("--picture", action="append", default=[], metavar="NUMBER=RIGHTS",
                      help="one picture whose rights are others; may be repeated")  # fmt: skip
    card.add_argument("--people", metavar="WHO", help="who can be recognised: none, self, consented or unknown")
    card.add_argument("--licence", default="", help="that the LoRA is given under")
    card.add_argument("--use", default="", metavar="SENTENCE", help="what it may be used for")
    card.add_argument("--open", action="store_true",
                      help="name each picture by its digest, so that anybody can ask for one")  # fmt: skip
    card.set_defaults(show=_card)
    learnt = register(commands, "learnt", run_learnt, "say which LoRAs learnt from a picture")
    learnt.add_argument("picture", type=as_path)
    learnt.set_defaults(show=_learnt)


def run_contract(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """The card as it stands afterwards, and what holds publishing back."""
    from lora_gui.studio.library import contracts
    from lora_gui.studio.things import loras

    lora = loras.find(studio, options.name)
    asked = (options.owns, options.rights, options.people)
    if any((*asked, options.scope, options.picture, options.licence, options.use, options.open)):
        if not all(asked):
            raise UserError("A card says three things.", "Give --owns, --rights and --people together.")
        answers = contracts.answers(
            owns=options.owns,
            rights=options.rights,
            people=options.people,
            scope=options.scope,
            others=dict(map(_other, options.picture)),
            licence=options.licence,
            allowed_use=options.use,
            is_open=options.open,
        )
        contracts.record(studio, lora, answers)
    card, learnt = contracts.begun(studio, lora)
    said = asdict(card) | {"holds_back": card.holds_back, "words": contracts.in_words(card)}
    return said | {"learnt_from": [{"number": one.number, "picture": one.label, "opted_out": one.opted_out}
                                   for one in learnt]}  # fmt: skip


def run_learnt(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """The LoRAs that learnt from a picture, told by its pixels."""
    from lora_gui.studio.library import origins

    digest = origins.digest_of(options.picture)
    return {"digest": digest, "learnt": [asdict(one) for one in origins.learnt_from(studio, digest)]}


def _other(pair: str) -> tuple[int, str]:
    number, equals, rights = pair.partition("=")
    if equals and number.isdecimal() and len(number) < 6:
        return int(number), rights
    raise UserError(f"{pair!r} says nothing of a picture.", "Write NUMBER=RIGHTS, such as --picture 3=licensed.")


def _card(said: dict[str, Any]) -> list[str]:
    pictures = [f"{one['number']:4} {one['picture']}{', marked as not for training' * one['opted_out']}"
                for one in said["learnt_from"]]  # fmt: skip
    words = said["words"] or ["Nobody has recorded whose the pictures are that it learnt from."]
    return [*words, *(f"Before it is published: {one}" for one in said["holds_back"]), *pictures]


def _learnt(said: dict[str, Any]) -> list[str]:
    if not said["learnt"]:
        return ["No LoRA of your studio learnt from this picture, pixel for pixel."]
    return [
        f"{one['lora'] or 'a run without a LoRA'} ({'its run ' + one['run'] if one['run'] else 'so says its card'})"
        for one in said["learnt"]
    ]
