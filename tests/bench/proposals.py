"""How good the step and the strength are that a report proposes, by judges that the report knows nothing of.

python tests/bench/proposals.py [--half choose] [--only style] [--set [PRESET:]KEY=VALUE]

Each set of `presets.py` is learnt with five steps kept, and looked at by the real command. Of each kept step at each
strength the judges say how well it does: of a look and its subjects, or of a concept and all that is not asked for, the
geometric mean; of a character how often it is recognised. Prints for each set what was proposed and what does best, how
well both do, and at the end the mean of their ratios; `always` is what the last step at strength 1 would have come to.

The best of fifteen is a little lucky, so the ratio is too low. `without_luck` is that to the one which does best in one
half of the drawings, where both are judged by the other half, each way round; it is a little too high, since what does
best in so few need not be the best. The truth lies between.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from math import prod
from pathlib import Path
from statistics import mean

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from preset_drawing import Drawer, Drawn
from preset_judges import CONCEPT_STEPS, Judges, judges
from preset_sets import TRIALS, TRIGGERS, Asked, Trial, asked, others
from preset_training import ROOT, Trained, Way, train
from starter_quality import MODEL, USUAL, WORK

from lora_gui.engine.train.publish import kept
from lora_gui.protocol.events import Done
from lora_gui.protocol.jobs import KeepJob
from lora_gui.protocol.task_folder import ADAPTER, TaskFolder, step_of
from lora_gui.studio.insight.sheets import STRENGTHS
from lora_gui.studio.paths import HOME
from presets import JUDGED, KINDS

KEPT = 5  # steps, evenly apart
# What a proposal is to weigh against each other, of each preset.
WISHES = {
    "style": ("in_style", "subject_kept_of_base"),
    "character": ("recognised",),
    "concept": ("drawn", "others_kept_of_base"),
}


@dataclass(frozen=True)
class Kept:
    """A step that a run kept, at a strength."""

    step: int
    strength: float


Scores = dict[Kept, tuple[float, float, float]]  # in all drawings, and in each half of them
PARTS = (slice(None), slice(0, None, 2), slice(1, None, 2))


def scores(trial: Trial, trained: Trained, drawer: Drawer, panel: list[Judges]) -> Scores:
    """How well each kept step does at each strength, in the mean of the judges."""
    word, found = TRIGGERS[trial.kind], {}
    wanted, rest = asked(trial, drawer.count), others(trial, drawer.count)
    drawn = {"base": drawer.draw(wanted, [word], []), "untouched": drawer.draw(rest, [], [])}
    for folder in sorted((home(trained) / "checkpoints").glob("ckpt-*[0-9]")):
        lora = [published(folder)]
        for strength in STRENGTHS[1:]:
            drawn["with"] = drawn["real"] = drawer.draw(wanted, [word], lora, [strength])
            drawn["without"] = drawer.draw(rest, [], lora, [strength])
            every, even, odd = (score(trial, drawn, part, panel) for part in PARTS)
            found[Kept(step_of(folder), strength)] = every, even, odd
    return found


def score(trial: Trial, drawn: dict[str, Drawn], part: slice, panel: list[Judges]) -> float:
    """The geometric mean of what is wished for, in a part of the drawings."""
    some = {
        name: Drawn(Asked(one.asked.texts[part], one.asked.concepts[part], one.asked.colours[part]), one.pictures[part])
        for name, one in drawn.items()
    }
    figures = [JUDGED[trial.kind](trial, some, judge) for judge in panel]
    parts = [mean(min(one[wish], 1.0) for one in figures) for wish in WISHES[trial.kind]]
    return prod(parts) ** (1 / len(parts))


def without_luck(found: Scores, chosen: Kept) -> float:
    """What is chosen over what does best: found in one half of the drawings, compared in the other, each way round."""
    best = {half: max(found, key=lambda one: found[one][half]) for half in (1, 2)}
    return mean(found[chosen][3 - half] / found[best[half]][3 - half] for half in (1, 2))


def published(checkpoint: Path) -> Path:
    """What was learnt by a kept step, as the file that is published of it."""
    job = TaskFolder(checkpoint.parents[1]).read_job()
    out = checkpoint.parents[1] / "kept"
    out.mkdir(exist_ok=True)
    order = KeepJob(
        run=job.model_copy(update={"publish_to": str(out)}), lora=str(checkpoint / ADAPTER), step=step_of(checkpoint)
    )
    *_, done = kept(order)
    assert isinstance(done, Done)
    return Path(done.lora)


def home(trained: Trained) -> Path:
    """The folder of the run that a LoRA came from."""
    (run,) = (trained.lora.parents[1] / "runs").glob("*/job.json")
    return run.parent


def proposed(trained: Trained) -> tuple[Kept, str]:
    """What the report of the run proposes, and why."""
    run = home(trained)
    command = [sys.executable, "-m", "lora_gui", "insight", "--json", "--again", run.name]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {HOME: str(run.parents[1])}, check=True, capture_output=True
    )
    best = json.loads(done.stdout)["best"]
    return Kept(best["step"], best["strength"]), best["says"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=KINDS)
    parser.add_argument("--half", choices=("choose", "report"), default="report")
    parser.add_argument("--set", action="append", default=[], metavar="[PRESET:]KEY=VALUE")
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--judges", type=int, default=3)
    parser.add_argument("--judge-steps", type=int, default=CONCEPT_STEPS)
    parser.add_argument("--count", type=int, default=48, help="drawings of each kept step at each strength")
    options = parser.parse_args()
    panel = [judges(options.work, seed, options.judge_steps) for seed in range(options.judges)]
    drawer = Drawer(MODEL, options.work, options.count, USUAL)
    ratios: dict[str, list[float]] = {"of_the_best": [], "without_luck": [], "always": []}
    for trial in TRIALS:
        if trial.half != options.half or trial.kind not in (options.only or KINDS):
            continue
        usual = train(trial, Way("starter", tuple(options.set), 128, 12), options.work)
        every = f"checkpoint_every={usual.steps // KEPT}"
        trained = train(trial, Way("starter", (*options.set, every), 128, 12), options.work)
        found = scores(trial, trained, drawer, panel)
        chosen, why = proposed(trained)
        best = max(found, key=lambda one: found[one][0])
        last = Kept(max(one.step for one in found), STRENGTHS[-1])
        ratios["of_the_best"].append(found[chosen][0] / found[best][0])
        ratios["without_luck"].append(without_luck(found, chosen))
        ratios["always"].append(found[last][0] / found[best][0])
        told = {"proposed": chosen, "best": best, "last": last}
        places = {name: f"{one.step} at {one.strength:g}: {found[one][0]:.3f}" for name, one in told.items()}
        print(json.dumps({"set": trial.name} | places | {"says": why}), flush=True)
    figures = {name: mean(of) for name, of in ratios.items()} | {"least": min(ratios["of_the_best"])}
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
