"""What a run learnt, as HTML: the hero with its strip of prompts, the findings, the best step; knows no component."""

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from lora_gui.protocol.jobs import TrainJob
from lora_gui.studio.insight import mended
from lora_gui.studio.insight.at_work import Standing
from lora_gui.studio.insight.best import Best
from lora_gui.studio.insight.finding import Finding
from lora_gui.studio.insight.report import STOPPED, Report
from lora_gui.ui.widgets import markup

Address = Callable[[Path], str]
BY_HAND = {"bleed": ("captions", "Write its captions")}  # what no setting mends: what its button does and says
FOUND = {"high": "Worth mending", "medium": "Worth a look", "low": "Good to know"}


class Shown(NamedTuple):
    """A prompt drawn by the base and with the LoRA, from the same seed."""

    prompt: str
    base: Path
    learnt: Path


def hero(pairs: Sequence[Shown], large: Address, small: Address) -> str:
    """The first pair large with a handle between, its prompt under it, and all of them in a strip."""
    addressed = [(one, large(one.base), large(one.learnt)) for one in pairs]
    there = [(one, base, learnt) for one, base, learnt in addressed if base and learnt]
    if not there:
        return ""
    first, base, learnt = there[0]
    strip = "".join(
        f'<button type="button" data-base="{escape(b)}" data-learnt="{escape(yours)}" '
        f'data-prompt="{markup.text(one.prompt)}" aria-pressed="{"true" if one is first else "false"}">'
        f"{markup.image(small(one.learnt), one.prompt, lazy=False)}</button>"
        for one, b, yours in there
    )
    row = f'<div class="strip" role="group" aria-label="Prompts">{strip}</div>' if len(there) > 1 else ""
    return markup.compared(base, learnt, first.prompt) + row


def stands(now: Standing) -> str:
    """How far the report has come."""
    if now.problem:
        kind = "note" if now.problem is STOPPED else "problem"
        return markup.notice(now.problem.what, now.problem.remedy, kind)
    if not now.goes_on:
        return ""
    share = now.done / now.of if now.of else -1.0
    words = f"Drawing {now.done} of {now.of}" if now.done else "Getting ready to draw"
    return markup.bar(share, "Stopping" if now.stopping else words, "you can go on meanwhile")


def told(report: Report, job: TrainJob, home: Path, steps: Sequence[int], address: Address) -> str:
    """The findings, or the good sentence; the best step and strength; all strengths and kept `steps` side by side."""
    rows = "".join(_finding(one, job, home, address) for one in report.findings)
    good = markup.notice(report.says, kind="good")
    best = _best(report.best, report.step) if report.best else ""
    sheets = _sheet("Strength by strength", home / "strengths" / "sheet.png", address)
    sheets += _sheet("Step by step", home / "steps" / "sheet.png", address, steps)
    return f"{good}{rows}{best}{sheets}{markup.sentences('Worth knowing', report.notes)}"


def _finding(one: Finding, job: TrainJob, home: Path, address: Address) -> str:
    picture = markup.image(address(home / one.picture), one.says, lazy=False) if one.picture else ""
    differs = mended.in_words(job, one.changes)
    act, words = ("mend", "Train again without this") if one.changes else BY_HAND.get(one.kind, ("", ""))
    button = (
        f'<p class="mend"><button type="button" class="chip" data-act="{act}" data-word="{markup.text(one.kind)}">'
        f"{words}</button><span>{markup.text(differs)}</span></p>"
        if act
        else ""
    )
    return (
        f'<article class="finding {one.severity}"><div>{picture}</div><div><p class="quiet">{FOUND[one.severity]}</p>'
        f"<p><b>{markup.text(one.says)}</b></p><p>{markup.text(one.remedy)}</p>{button}</div></article>"
    )


def _best(best: Best, last: int) -> str:
    step = f"Step {best.step}" if best.step != last else "The last step"
    return (
        f'<article class="best"><p><b>{step} at strength {best.strength:g}.</b> {markup.text(best.says)}</p>'
        '<button type="button" class="chip" data-act="keep" data-word="">Keep this one</button></article>'
    )


def _sheet(title: str, path: Path, address: Address, steps: Sequence[int] = ()) -> str:
    if not path.is_file():
        return ""
    keep = "".join(
        f'<button type="button" class="chip" data-act="step" data-word="{step}">Keep step {step}</button>'
        for step in steps
    )
    chips = f'<p class="chips">{keep}</p>' if keep else ""
    shown = markup.image(address(path), title)
    return f'<details class="notice note"><summary>{title}</summary>{shown}{chips}</details>'
