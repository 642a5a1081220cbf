"""What is found of runs that are spoilt on purpose, and how often something is found of good ones, with the starter.

Each run is trained once and kept in --folder with its report, so that it can be broken off and go on; with --again the
drawings that are there are judged anew. Quiet, a run and its report take some three minutes on two cores.
"""

import argparse
import shutil
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from lora_gui import files
from lora_gui.studio.insight import report, sheets
from lora_gui.studio.insight.report import Report
from lora_gui.studio.paths import Studio
from lora_gui.studio.stacks.grid import RECORD, Grid
from lora_gui.studio.tasks import learning, runs
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.things import bases, pictures, presets

TOO_FAST = 5  # times the preset's learning rate
MOLTEN = 20  # times that of a style, which at five times draws as well: only its finest blocks learn


@dataclass(frozen=True)
class Trial:
    """A run of a preset's example pictures; `wanted` are kinds of which one is to be found, and none for a good one."""

    name: str
    preset: str
    wanted: tuple[str, ...] = ()
    only: tuple[int, int | None] = (0, None)  # of the pictures, from which one to before which
    caption: str = ""  # in place of all others
    hand: dict[str, Any] = field(default_factory=dict)
    faster: float = 1.0


PLANTED = (
    Trial("three-too-long", "style", ("by heart", "copying"), (0, 3), hand={"steps": 400}),
    Trial("three-others-too-long", "style", ("by heart", "copying"), (9, 12), hand={"steps": 400}),
    Trial("character-too-long", "character", ("by heart", "copying"), hand={"steps": 1000}),
    Trial("concept-too-long", "concept", ("by heart", "copying"), hand={"steps": 1500}),
    Trial("one-caption", "style", ("bleed",), caption="a picture in my style"),
    Trial("one-caption-character", "character", ("bleed",), caption="a cat"),
    Trial("too-fast-character", "character", ("molten", "takes over"), faster=TOO_FAST),
    Trial("too-fast-concept", "concept", ("molten", "takes over"), faster=TOO_FAST),
    Trial("far-too-fast-style", "style", ("molten",), faster=MOLTEN),
    Trial("hardly-trained", "style", ("no effect",), hand={"steps": 20, "learning_rate": 1e-5, "warmup_steps": 0}),
)


def good(count: int) -> list[Trial]:
    """As the presets have it, in turn, from one seed after the other."""
    goals = "style", "character", "concept"
    turns = [(goals[n % len(goals)], 1 + n // len(goals)) for n in range(count)]
    return [Trial(f"good-{goal}-{seed}", goal, hand={"seed": seed}) for goal, seed in turns]


def trained(studio: Studio, trial: Trial) -> runs.Run:
    """The run of a trial, trained unless it was before."""
    for run in runs.all_runs(studio):
        if run.job.name == trial.name and run.status().state == "finished":
            return run
    source = studio.home / "sets" / trial.name
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    for path in sorted(pictures.examples()[trial.preset].glob("*.png"))[slice(*trial.only)]:
        shutil.copy(path, source)
        caption = trial.caption or path.with_suffix(".txt").read_text(encoding="utf-8")
        (source / path.name).with_suffix(".txt").write_text(caption, encoding="utf-8")
    chosen, _ = pictures.import_pictures(studio, [source])
    base, count = bases.find(studio, "starter"), len(chosen.pictures)
    usual = presets.fill(studio, trial.preset, base, count).learning_rate
    hand = {"sample_every": 0, "learning_rate": usual * trial.faster} | trial.hand
    settings = presets.fill(studio, trial.preset, base, count, hand)
    job = runs.new_job(studio, trial.name, "zxy_word", trial.preset, base, chosen.pictures, settings)
    run = runs.start(studio, job)
    runs.follow(studio, run, lambda event: None)
    return run


def told(studio: Studio, drawer: Drawer, run: runs.Run, again: bool) -> Report:
    found = report.read(run)
    if found and again:
        home = run.files.insight
        drawn = sheets.plan(studio, run, home)
        grids = {name: _there(one) for name, one in drawn.grids.items()}
        found = report.judged(studio, run, home, replace(drawn, grids=grids), report.compared_with(run.job))
        files.write_json(home / report.REPORT, found.to_json())
    elif not found:
        for _ in report.make(studio, drawer, run, lambda: False):
            pass
        found = report.read(run)
    assert found
    return found


def _there(planned: Grid) -> Grid:
    """With the drawings that lie in its folder."""
    cells = files.read_json(planned.folder / RECORD)["cells"]
    pairs = zip(planned.cells, cells, strict=True)
    return replace(planned, cells=tuple(replace(cell, drawing=planned.folder / one["drawing"]) for cell, one in pairs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="a studio of its own, which stays")
    parser.add_argument("--good", type=int, default=9, help="how many good runs (default: 9)")
    parser.add_argument("--again", action="store_true", help="judge the drawings that are there anew")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="only these runs")
    options = parser.parse_args()
    studio = Studio(options.folder.resolve())
    studio.prepare()
    drawer, held, alarms = Drawer(studio), 0, 0
    trials = [one for one in (*PLANTED, *good(options.good)) if not options.only or one.name in options.only]
    try:
        for trial in trials:
            run = trained(studio, trial)
            found = [one.kind for one in told(studio, drawer, run, options.again).findings]
            said = learning.said(run.status().measured)  # on the finished page, before there is a report
            is_right = bool({*found} & {*trial.wanted}) if trial.wanted else not found and not said
            held += bool(trial.wanted) and is_right
            alarms += not trial.wanted and not is_right
            wanted = " or ".join(trial.wanted) or "nothing"
            print(f"{trial.name:24} wanted {wanted:24} found {', '.join(found) or 'nothing'}", *said, flush=True)
    finally:
        drawer.close()
    planted = sum(bool(trial.wanted) for trial in trials)
    print(f"{held} of {planted} planted cases found, {alarms} false alarms in {len(trials) - planted} good runs")


if __name__ == "__main__":
    main()
