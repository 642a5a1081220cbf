"""The sets that presets are measured on: halves apart, and nothing asked that was shown; figures over judges."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from preset_sets import TRIALS, Trial, asked, named, others, rows
from preset_training import Way

from lora_gui.starter.recipe.concepts import CONCEPTS, KEPT_OUT
from lora_gui.starter.recipe.pictures import BASE_SETS, IconSet
from presets import KINDS, over

OF_KIND = {kind: [trial for trial in TRIALS if trial.kind == kind] for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_half_of_the_sets_are_for_choosing_and_no_set_is_in_both_halves(kind):
    halves = [{(one.shown, one.look) for one in OF_KIND[kind] if one.half == half} for half in ("choose", "report")]
    assert len(halves[0]) == len(halves[1]) > 1 and not halves[0] & halves[1]


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.name)
def test_what_is_asked_with_the_trigger_word_was_not_shown_so(trial: Trial):
    shown = {f"{text} on a {colour} background" for _, _, text, colour, _ in rows(trial)}
    texts = asked(trial, 16).texts
    assert len(texts) == 16
    if trial.kind == "concept":  # ten backgrounds only: each of twelve pictures stood on one of them
        assert set(asked(trial, 16).concepts) == {trial.shown} <= set(KEPT_OUT)
    else:
        assert not shown & set(texts)


@pytest.mark.parametrize("trial", OF_KIND["style"] + OF_KIND["character"], ids=lambda trial: trial.name)
def test_the_base_saw_none_of_the_looks_and_knows_what_is_asked_without_the_word(trial: Trial):
    assert trial.shown not in BASE_SETS
    assert set(others(trial, 16).concepts) <= set(CONCEPTS)


def test_names_of_newer_sets_are_found_by_those_of_older_ones():
    newer = IconSet({"icons": {"crying-cat": {}, "cat-with-wry-smile": {}, "cat-face": {}}})
    older = ("crying-cat-face", "cat-face-with-wry-smile", "cat-face")
    assert [named(newer, name) for name in older] == ["crying-cat", "cat-with-wry-smile", "cat-face"]


def test_a_figure_is_the_mean_of_all_and_its_spread_is_over_judges_and_over_seeds():
    found = over([[{"drawn": [0.4, 0.6]}, {"drawn": [0.6, 1.0]}], [{"drawn": [0.2, 0.4]}, {"drawn": [0.4, 0.8]}]])
    assert found == {"drawn": {"mean": 0.55, "least": 0.4, "most": 0.7, "least_run": 0.45, "most_run": 0.65}}


def test_a_value_is_tried_on_all_presets_or_on_one():
    way = Way("starter", ("concept:steps=9", "steps=5", "style:rank=4"), 128, 12)
    tried = {kind: [text for text in way.by_hand(kind) if text.startswith(("steps", "rank"))] for kind in KINDS}
    assert tried == {"style": ["steps=5", "rank=4"], "character": ["steps=5"], "concept": ["steps=5", "steps=9"]}
