"""What the presets teach the starter, or another base: trained by the real command, drawn, and judged by three judges.

python tests/bench/presets.py [--half report] [--only style] [--set [PRESET:]KEY=VALUE] [--base FOLDER]

Each preset learns picture sets from outside the base, of which half are for choosing a preset's values and half for
reporting what the chosen ones do. Prints one JSON object: each figure as the mean over the sets and judges, with the
lowest and the highest judge; what judges find in a style's own pictures is the most that can be had. What was trained,
drawn or taught to a judge is kept in --work by its content, so that it can be broken off and go on. On one quiet core a
set takes one to two minutes, and a judge four to ten.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from preset_drawing import Drawer, Drawn
from preset_judges import Judges, judges
from preset_sets import TRIALS, TRIGGERS, Trial, asked, others, real, stacked
from preset_training import Trained, Way, train
from starter_quality import MODEL, WORK, add_options, backgrounds, sampling

Figures = dict[str, float]
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


def measured(trial: Trial, trained: Trained, drawer: Drawer, panel: list[Judges]) -> dict[str, list[float]]:
    """Each figure of one LoRA by each judge."""
    word, loras = TRIGGERS[trial.kind], [trained.lora]
    wanted, rest = asked(trial, drawer.count), others(trial, drawer.count)
    drawn = {
        "with": drawer.draw(wanted, [word], loras),
        "without": drawer.draw(rest, [], loras),
        "base": drawer.draw(wanted, [], []),
        "untouched": drawer.draw(rest, [], []),
    }
    if trial.kind == "style":
        drawn["real"] = Drawn(wanted, torch.from_numpy(real(trial, drawer.work, wanted)))
    found = [JUDGED[trial.kind](trial, drawn, judge) for judge in panel]
    followed = mean(a == b for a, b in zip(backgrounds(drawn["with"].pictures), wanted.colours, strict=True))
    by_name = {name: [figures[name] for figures in found] for name in found[0]}
    return by_name | {"prompt_followed": [followed] * len(panel)}


def both(pair: tuple[Trial, Trial], loras: list[Path], drawer: Drawer, panel: list[Judges]) -> dict[str, list[float]]:
    """A style and a concept at once, both at full strength: what each judge finds of them in the same drawings."""
    style, concept = pair
    wanted = stacked(concept, drawer.count // 2)
    pictures = drawer.draw(wanted, [TRIGGERS["style"], TRIGGERS["concept"]], loras).pictures
    found: dict[str, list[float]] = {"both": [], "style": [], "concept": []}
    for judge in panel:
        styled = [look == style.name for look in judge.looks["style"].looks(pictures)]
        shown = [concept.shown in near for near in judge.concepts.nearest(pictures)]
        found["both"].append(mean(a and b for a, b in zip(styled, shown, strict=True)))
        found["style"].append(mean(styled))
        found["concept"].append(mean(shown))
    return found


def over(sets: list[dict[str, list[float]]]) -> dict[str, dict[str, float]]:
    """Mean over sets and judges of each figure, and the judges that find least and most of it."""
    table = {}
    for name in sets[0]:
        of_judges = [mean(column) for column in zip(*(one[name] for one in sets), strict=True)]
        table[name] = {"mean": mean(of_judges), "least": min(of_judges), "most": max(of_judges)}
    return {name: {key: round(value, 3) for key, value in row.items()} for name, row in table.items()}


def results(options: argparse.Namespace, panel: list[Judges]) -> dict:
    way = Way(options.base, tuple(options.set), options.side, options.vram)
    drawer = Drawer(options.model, options.work, options.count, sampling(options))
    chosen = [one for one in TRIALS if one.half == options.half and one.kind in options.only]
    trained = {one: train(one, way, options.work) for one in _told(chosen)}
    sets = {one: measured(one, trained[one], drawer, panel) for one in _told(chosen)}
    pairs = [(a, b) for a in chosen for b in chosen if (a.kind, b.kind) == ("style", "concept")]
    stacks = [both(pair, [trained[one].lora for one in pair], drawer, panel) for pair in pairs]
    by_kind = {kind: over([found for one, found in sets.items() if one.kind == kind]) for kind in options.only}
    return {
        "half": options.half,
        "set": options.set,
        "figures": by_kind | ({"stacked": over(stacks)} if stacks else {}),
        "by_set": {one.name: {name: round(mean(of), 3) for name, of in found.items()} for one, found in sets.items()},
        "steps": {one.name: made.steps for one, made in trained.items()},
        "seconds": {one.name: made.seconds for one, made in trained.items()},
        "judges_right": {look: [round(judge.right[look], 2) for judge in panel] for look in panel[0].right},
    }


def _told(trials: list[Trial]) -> Iterator[Trial]:
    for trial in trials:
        print(trial.name, file=sys.stderr, flush=True)
        yield trial


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=KINDS, help="a preset; may be said again (default: all)")
    parser.add_argument("--half", choices=("choose", "report"), default="choose")
    parser.add_argument("--set", action="append", default=[], metavar="[PRESET:]KEY=VALUE", help="a value to try")
    parser.add_argument("--base", default="starter", help="the folder of another base")
    parser.add_argument("--vram", type=float, default=12, metavar="GB", help="values of the preset for this card")
    parser.add_argument("--side", type=int, default=128, help="px of the pictures that are learnt; larger for a card")
    parser.add_argument("--work", type=Path, default=WORK, help="what is trained, drawn and judged by is kept here")
    parser.add_argument("--judges", type=int, default=3)
    parser.add_argument("--judge-steps", type=int, default=1200, help="of the judges of concepts")
    parser.add_argument("--count", type=int, default=48, help="drawings of each kind with each LoRA")
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
