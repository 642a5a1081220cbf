"""Measure a style LoRA on the starter: does it draw in its style what it was never shown? Prints one JSON object.

Whether a drawing is in the style is said by three judges that know the base's look and four others: the mean of them.
"""

import argparse
import json
from pathlib import Path
from statistics import mean

import torch
from judge import ConceptJudge, concept_judge
from preset_judges import LookJudge, look_judge
from preset_sets import TRIALS
from starter_quality import MODEL, WORK, add_options, backgrounds, draw, load, sampling, save_grid

from lora_gui.starter.recipe.concepts import caption
from lora_gui.starter.recipe.examples import LIGHT, STYLE, STYLE_SET

LOOK = next(one.name for one in TRIALS if one.kind == "style" and one.shown == STYLE_SET)

# Forty things the base knows and the 24 training pictures do not show.
SUBJECTS = tuple("""
    banana bell bird bus camera carrot castle chair cherries crab crown dolphin door doughnut egg
    eggplant envelope key lemon light-bulb lion mushroom octopus owl panda pear pencil pig-face pineapple pizza
    rabbit-face rose scissors ship snail star snowman tent tiger-face tractor
""".split())  # fmt: skip


def prompts() -> list[str]:
    return [caption(name, LIGHT[i % len(LIGHT)]) for i, name in enumerate(SUBJECTS)]


def judged(drawings: torch.Tensor, concepts: ConceptJudge, looks: list[LookJudge]) -> dict[str, float]:
    right = [found == LIGHT[i % len(LIGHT)] for i, found in enumerate(backgrounds(drawings))]
    shares = [mean(look == LOOK for look in judge.looks(drawings)) for judge in looks]
    return {
        "style_share": round(mean(shares), 3),
        "least": round(min(shares), 3),
        "most": round(max(shares), 3),
        "concept_in_nearest_5": round(concepts.share(drawings, list(SUBJECTS)), 3),
        "background_right": round(sum(right) / len(right), 3),
    }


def measure(options: argparse.Namespace) -> dict:
    """The forty drawings with the LoRA at strength 0 and at 1, same seeds."""
    assert len(SUBJECTS) == 40, "the figure is meant for forty subjects"
    assert not set(SUBJECTS) & set(STYLE), "a subject was trained on"
    looks, rights = zip(*(look_judge(options.work, "style", seed) for seed in range(3)), strict=True)
    concepts = concept_judge(options.work)
    pipe = load(options.model)
    pipe.load_lora_weights(options.lora.parent, weight_name=options.lora.name, adapter_name="style")
    found, all_drawings = {}, []
    for strength in (0.0, options.strength):
        pipe.set_adapters(["style"], [strength])
        texts = [f"{options.trigger} {text}" if strength else text for text in prompts()]
        drawings = draw(pipe, texts, sampling(options))
        found[f"strength_{strength:g}"] = judged(drawings, concepts, looks)
        all_drawings.append(drawings)
    if options.grid:
        save_grid(torch.cat(all_drawings), options.grid, 20)
    base, styled = (part["concept_in_nearest_5"] for part in found.values())
    return found | {
        "concepts_kept": round(styled / base, 3) if base else None,
        "judges_right": [round(right[LOOK], 2) for right in rights],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lora", type=Path, help="a style LoRA of the starter, trained on the example style pictures")
    parser.add_argument("--trigger", default="zxy_style", help="the word it was trained with")
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--work", type=Path, default=WORK, help="icon sets and trained judges are kept here")
    add_options(parser)
    parser.add_argument("--grid", type=Path, help="save the drawings as one picture: base above, LoRA below")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    print(json.dumps(measure(options)))


if __name__ == "__main__":
    main()
