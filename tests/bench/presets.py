"""What the presets teach the starter, or another base: trained by the real command, drawn, and judged by three judges.

python tests/bench/presets.py [--half report] [--only style] [--set [PRESET:]KEY=VALUE] [--base FOLDER]

Each preset learns picture sets from outside the base, of which half are for choosing a preset's values and half for
reporting what the chosen ones do, each from several seeds. Prints one JSON object: each figure as the mean over the
sets, judges and seeds, with the lowest and the highest judge and seed; what judges find in a style's own pictures is
the most that can be had. What was trained, drawn or taught to a judge is kept in --work by its content, so that it can
be broken off and go on. On one quiet core a set takes one to two minutes a seed, and a judge four to twenty.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from preset_drawing import Drawer, Drawn
from preset_judges import CONCEPT_STEPS, Judges, judges
from preset_sets import TRIALS, TRIGGERS, Trial, asked, others, real, stacked
from preset_training import Trained, Way, train
from starter_quality import MODEL, WORK, add_options, backgrounds, sampling

Figures = dict[str, float]
Table = dict[str, list[float]]  # each figure by each judge
KINDS = tuple(TRIGGERS)


def of_style(trial: Trial, drawn: dict[str, Drawn], judge: Judges) -> Figures:
    kept = {name: judge.concepts.share(one.pictures, list(one.asked.concepts)) for name, one in drawn.items()}
    return {
        "in_style": _looks(trial, drawn["with"], judge),
        "in_style_by_the_base": _looks(trial, drawn["base"], judge),
        "subject": kept["with"],
        "subject_kept_of_base": kept["with"] / max(kept["base"], 0.01),
        "bleed": _looks(trial, drawn["without"], judge),
        "in_style_of_real_pictures": _looks(trial, drawn["real"], judge),
        "subject_of_real_pictures": kept["real"],
    }


def of_character(trial: Trial, drawn: dict[str, Drawn], judge: Judges) -> Figures:
    return {
        "recognised": _looks(trial, drawn["with"], judge),
        "recognised_in_the_base": _looks(trial, drawn["base"], judge),
        "bleed": _looks(trial, drawn["without"], judge),
    }


def of_concept(trial: Trial, drawn: dict[str, Drawn], judge: Judges) -> Figures:
    kept = {n: judge.concepts.share(drawn[n].pictures, list(drawn[n].asked.concepts)) for n in ("without", "untouched")}
    return {
        "drawn": judge.concepts.share(drawn["with"].pictures, [trial.shown] * len(drawn["with"].pictures)),
        "drawn_nearest_of_all": _nearest(trial, drawn["with"], judge),
        "drawn_by_the_base": judge.concepts.share(drawn["base"].pictures, [trial.shown] * len(drawn["base"].pictures)),
        "bleed": _nearest(trial, drawn["without"], judge),
        "others_kept_of_base": kept["without"] / max(kept["untouched"], 0.01),
    }


def _looks(trial: Trial, drawn: Drawn, judge: Judges) -> float:
    return mean(look == trial.name for look in judge.looks[trial.kind].looks(drawn.pictures))


def _nearest(trial: Trial, drawn: Drawn, judge: Judges) -> float:
    return judge.concepts.share(drawn.pictures, [trial.shown] * len(drawn.pictures), 1)


JUDGED = {"style": of_style, "character": of_character, "concept": of_concept}


def measured(trial: Trial, trained: Trained, drawer: Drawer, panel: list[Judges], strength: float) -> Table:
    """Each figure of one LoRA by each judge."""
    word, loras = TRIGGERS[trial.kind], [trained.lora]
    wanted, rest = asked(trial, drawer.count), others(trial, drawer.count)
    drawn = {
        "with": drawer.draw(wanted, [word], loras, [strength]),
        "without": drawer.draw(rest, [], loras, [strength]),
        "base": drawer.draw(wanted, [], []),
        "untouched": drawer.draw(rest, [], []),
    }
    if trial.kind == "style":
        drawn["real"] = Drawn(wanted, torch.from_numpy(real(trial, drawer.work, wanted)))
    found = [JUDGED[trial.kind](trial, drawn, judge) for judge in panel]
    followed = mean(a == b for a, b in zip(backgrounds(drawn["with"].pictures), wanted.colours, strict=True))
    by_name = {name: [figures[name] for figures in found] for name in found[0]}
    return by_name | {"prompt_followed": [followed] * len(panel)}


def both(
    pair: tuple[Trial, Trial], loras: list[Path], drawer: Drawer, panel: list[Judges], strengths: Sequence[float]
) -> Table:
    """A style and a concept at once, at their strengths: what each judge finds of them in the same drawings."""
    style, concept = pair
    wanted = stacked(concept, drawer.count // 2)
    pictures = drawer.draw(wanted, [TRIGGERS["style"], TRIGGERS["concept"]], loras, strengths).pictures
    found: Table = {"both": [], "style": [], "concept": []}
    for judge in panel:
        styled = [look == style.name for look in judge.looks["style"].looks(pictures)]
        shown = [concept.shown in near for near in judge.concepts.nearest(pictures)]
        found["both"].append(mean(a and b for a, b in zip(styled, shown, strict=True)))
        found["style"].append(mean(styled))
        found["concept"].append(mean(shown))
    return found


def over(runs: list[list[Table]]) -> dict[str, dict[str, float]]:
    """Each figure's mean over runs, sets and judges, and the judges and the runs that find least and most of it."""
    table = {}
    for name in runs[0][0]:
        found = torch.tensor([[one[name] for one in run] for run in runs], dtype=torch.float64)  # run, set, judge
        by_judge, by_run = found.mean((0, 1)), found.mean((1, 2))
        table[name] = {
            "mean": found.mean(), "least": by_judge.min(), "most": by_judge.max(),
            "least_run": by_run.min(), "most_run": by_run.max(),
        }  # fmt: skip
    return {name: {key: round(float(value), 3) for key, value in row.items()} for name, row in table.items()}


@dataclass(frozen=True)
class Run:
    """What was trained from one seed, and what is found in its drawings."""

    trained: dict[Trial, Trained]
    sets: dict[Trial, Table]
    stacks: list[Table]


def run(
    chosen: list[Trial], way: Way, drawer: Drawer, panel: list[Judges], strength: float, strengths: Sequence[float]
) -> Run:
    """Train each set and look at what it draws, alone and with the others."""
    trained = {one: train(one, way, drawer.work) for one in _told(chosen)}
    sets = {one: measured(one, trained[one], drawer, panel, strength) for one in _told(chosen)}
    pairs = [(a, b) for a in chosen for b in chosen if (a.kind, b.kind) == ("style", "concept")]
    stacks = [both(pair, [trained[one].lora for one in pair], drawer, panel, strengths) for pair in pairs]
    return Run(trained, sets, stacks)


def results(options: argparse.Namespace, panel: list[Judges]) -> dict:
    drawer = Drawer(options.model, options.work, options.count, sampling(options))
    chosen = [one for one in TRIALS if one.half == options.half and one.kind in options.only]
    ways = [Way(options.base, (*options.set, f"seed={seed}"), options.side, options.vram) for seed in options.seeds]
    runs = [run(chosen, way, drawer, panel, options.strength, options.stacked) for way in ways]
    of_kind = {kind: [one for one in chosen if one.kind == kind] for kind in options.only}
    by_kind = {kind: over([[a.sets[one] for one in of] for a in runs]) for kind, of in of_kind.items()}
    return {
        "half": options.half,
        "set": options.set,
        "seeds": options.seeds,
        "strength": options.strength,
        "stacked": options.stacked,
        "figures": by_kind | ({"stacked": over([one.stacks for one in runs])} if runs[0].stacks else {}),
        "by_set": {one.name: _means([a.sets[one] for a in runs]) for one in chosen},
        "steps": {one.name: runs[0].trained[one].steps for one in chosen},
        "seconds": {one.name: mean(a.trained[one].seconds for a in runs) for one in chosen},
        "judges_right": {look: [round(judge.right[look], 2) for judge in panel] for look in panel[0].right},
    }


def _means(found: list[Table]) -> dict[str, float]:
    return {name: row["mean"] for name, row in over([[one] for one in found]).items()}


def _told(trials: list[Trial]) -> Iterator[Trial]:
    for trial in trials:
        print(trial.name, file=sys.stderr, flush=True)
        yield trial


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=KINDS, help="a preset; may be said again (default: all)")
    parser.add_argument("--half", choices=("choose", "report"), default="choose")
    parser.add_argument("--set", action="append", default=[], metavar="[PRESET:]KEY=VALUE", help="a value to try")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="each set is learnt from each")
    parser.add_argument("--base", default="starter", help="the folder of another base")
    parser.add_argument("--vram", type=float, default=12, metavar="GB", help="values of the preset for this card")
    parser.add_argument("--side", type=int, default=128, help="px of the pictures that are learnt; larger for a card")
    parser.add_argument("--work", type=Path, default=WORK, help="what is trained, drawn and judged by is kept here")
    parser.add_argument("--judges", type=int, default=3)
    parser.add_argument("--judge-steps", type=int, default=CONCEPT_STEPS, help="of the judges of concepts")
    parser.add_argument("--count", type=int, default=48, help="drawings of each kind with each LoRA")
    parser.add_argument("--strength", type=float, default=1.0, help="of a LoRA alone in its drawings")
    stacked_at = {"nargs": 2, "default": [1.0, 1.0], "metavar": ("STYLE", "CONCEPT")}
    parser.add_argument("--stacked", type=float, **stacked_at, help="the strengths of two that are stacked")
    add_options(parser)
    options = parser.parse_args()
    options.only = list(dict.fromkeys(options.only or KINDS))
    options.model = MODEL if options.base == "starter" else Path(options.base)
    options.work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    panel = [judges(options.work, seed, options.judge_steps) for seed in range(options.judges)]
    print(json.dumps(results(options, panel)))


if __name__ == "__main__":
    main()
