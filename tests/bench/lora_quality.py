"""Measure a style LoRA on the starter: does it draw in its style what it was never shown? Prints one JSON object."""

import argparse
import json
from pathlib import Path

import torch
from judge import ConceptJudge, concept_judge, style_judge
from starter_quality import MODEL, WORK, add_options, backgrounds, draw, load, sampling, save_grid

from lora_gui.starter.recipe.concepts import caption
from lora_gui.starter.recipe.examples import LIGHT, STYLE, STYLE_SET

# Forty things the base knows and the 24 training pictures do not show.
SUBJECTS = tuple("""
    banana bell bird bus camera carrot castle chair cherries crab crown dolphin door doughnut egg
    eggplant envelope key lemon light-bulb lion mushroom octopus owl panda pear pencil pig-face pineapple pizza
    rabbit-face rose scissors ship snail star snowman tent tiger-face tractor
""".split())  # fmt: skip


def prompts() -> list[str]:
    return [caption(name, LIGHT[i % len(LIGHT)]) for i, name in enumerate(SUBJECTS)]


def judged(drawings: torch.Tensor, concepts: ConceptJudge, style: list[bool]) -> dict[str, float]:
    right = [found == LIGHT[i % len(LIGHT)] for i, found in enumerate(backgrounds(drawings))]
    return {
        "style_share": round(sum(style) / len(style), 3),
        "concept_in_nearest_5": round(concepts.share(drawings, list(SUBJECTS)), 3),
        "background_right": round(sum(right) / len(right), 3),
    }


def measure(options: argparse.Namespace) -> dict:
    """The forty drawings with the LoRA at strength 0 and at 1, same seeds."""
    assert len(SUBJECTS) == 40, "the figure is meant for forty subjects"
    assert not set(SUBJECTS) & set(STYLE), "a subject was trained on"
    judge, accuracy = style_judge(options.work, STYLE_SET)
    concepts = concept_judge(options.work)
    pipe = load(options.model)
    pipe.load_lora_weights(options.lora.parent, weight_name=options.lora.name, adapter_name="style")
    found, all_drawings = {}, []
    for strength in (0.0, options.strength):
        pipe.set_adapters(["style"], [strength])
        texts = [f"{options.trigger} {text}" if strength else text for text in prompts()]
        drawings = draw(pipe, texts, sampling(options))
        found[f"strength_{strength:g}"] = judged(drawings, concepts, judge.is_style(drawings))
        all_drawings.append(drawings)
    if options.grid:
        save_grid(torch.cat(all_drawings), options.grid, 20)
    base, styled = (part["concept_in_nearest_5"] for part in found.values())
    return found | {
        "concepts_kept": round(styled / base, 3) if base else None,
        "judge_accuracy": round(accuracy, 3),
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
