"""What a run has learnt, in sentences and pictures: drawn, measured, and the best of it kept."""

import argparse
from typing import TYPE_CHECKING, Any

from lora_gui.commands import EndedEarly, Register, note
from lora_gui.commands.runs import WHICH, followed
from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio

if TYPE_CHECKING:
    from lora_gui.studio.insight.report import Report
    from lora_gui.studio.tasks.run import Run


def add(commands: Any, register: Register) -> None:
    """Put the commands of this file on the command line."""
    insight = register(commands, "insight", run_insight, "what a run has learnt, what went wrong, and the best of it")
    insight.set_defaults(makes_studio=True, show=_lines)
    insight.add_argument("run", metavar="RUN", help=WHICH)
    insight.add_argument("--again", action="store_true", help="also where it was looked at already")
    insight.add_argument("--keep", action="store_true", help="put the best step among your LoRAs, with its strength")
    insight.add_argument("--mend", metavar="KIND", help="train again without this finding, such as 'by heart'")
    insight.add_argument("--on-processor", action="store_true", help="beside whatever has the card, and slower")


def run_insight(options: argparse.Namespace, studio: Studio) -> dict[str, Any]:
    """The findings, the best step and strength, and the pictures it learnt from."""
    from lora_gui.studio.insight import best, mended, report
    from lora_gui.studio.tasks import runs

    run = runs.find(studio, options.run)
    found = None if options.again else report.read(run)
    if found is None or found.step != run.status().step:
        found = _made(options, studio, run)
    for sentence in found.notes:
        note(sentence)
    told = _told(run, found)
    if options.keep:
        if found.best is None:
            raise UserError("This run has learnt nothing that could be kept.", "Train it again.")
        told["kept"] = str(best.keep(studio, run, found.best))
    if options.mend:
        finding = next((one for one in found.findings if one.kind == options.mend), None)
        if finding is None:
            kinds = ", ".join(repr(one.kind) for one in found.findings) or "nothing"
            raise UserError(f"{options.mend!r} was not found of this run.", f"What was found is: {kinds}.")
        note(mended.in_words(run.job, finding.changes))
        told["mended"] = followed(studio, mended.start(studio, run, finding.changes))
    return told


def _made(options: argparse.Namespace, studio: Studio, run: "Run") -> "Report":
    from lora_gui.studio.insight import report
    from lora_gui.studio.tasks.drawing import Drawer

    drawer = Drawer(studio)
    try:
        for done, of in report.make(studio, drawer, run, lambda: False, on_processor=options.on_processor):
            note(f"{done} of {of} drawn")
    except KeyboardInterrupt:
        raise EndedEarly("Stopped.", "Nothing of the run was changed.", {"run": str(run.folder)}) from None
    finally:
        drawer.close()
    if found := report.read(run):
        return found
    raise UserError("The report of this run cannot be read.", "Check the disk, then look again.")


def _told(run: "Run", found: "Report") -> dict[str, Any]:
    """With whole paths."""
    home = run.files.insight
    told = found.to_json()
    for one in told["findings"]:
        one["picture"] = str(home / one["picture"]) if one["picture"] else ""
    return told | {"run": str(run.folder), "strengths": str(home / "strengths" / "sheet.png")}


def _lines(told: dict[str, Any]) -> list[str]:
    lines = [told["says"]] if told["says"] else []
    lines += [f"{one['says']} {one['remedy']}".strip() for one in told["findings"]]
    if told["best"]:
        best = told["best"]
        lines.append(f"Best: step {best['step']} at strength {best['strength']:g}. {best['says']}")
    return lines + [f"{name}: {told[name]}" for name in ("kept", "mended") if name in told]
