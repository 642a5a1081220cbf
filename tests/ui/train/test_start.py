"""From the questions to a run, asked as the page asks them: every answer says how all the fields stand."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from lora_gui.studio.tasks import queue, runs
from lora_gui.studio.things import bases, presets
from lora_gui.ui.train import pictures_view
from tests.studio.tasks.test_runs import job, wait_until
from tests.studio.things.test_loras import SAYS, lora


def type_in(page, **changes):
    return page.take(page.setup._edited(SimpleNamespace(changes=changes), page.shown))


def start(page, coming=False, **changes):
    return page.take(page.setup._started(page.view, page.shown | {"changes": changes, "coming": coming}))


def test_a_page_that_is_opened_shows_what_the_preset_says_of_these_pictures(page):
    page.examples()
    fresh = page.take(page.setup._look({}))
    base = bases.list_bases(page.studio)[0]
    plan = presets.fill(page.studio, "style", base, len(page.pictures()))
    assert len(page.pictures()) == 24 and fresh["steps"] == plan.steps != 1000
    assert "24 pictures, all with captions" in fresh["plan"] and f"{plan.steps} steps" in fresh["plan"]
    assert page.setup._look(page.shown) == {}  # and a page that shows it already is told nothing


def test_an_edit_changes_its_field_and_leaves_the_others_to_the_preset(page):
    before = page.take(page.setup._look({}))
    after = type_in(page, rank=4, trigger="zxy_style")
    assert (after["rank"], after["trigger"]) == (4, "zxy_style") and "good trigger word" in after["verdict"]
    assert {k: v for k, v in after.items() if k in ("steps", "learning_rate")} == {
        k: v for k, v in before.items() if k in ("steps", "learning_rate")
    }
    type_in(page, preset="concept")
    assert page.context.drafts.train.value.hand == {"rank": 4}  # what the hand has set stays, whatever the preset


def test_a_value_out_of_bounds_is_named_with_its_bound_and_nothing_starts(page):
    page.examples()
    assert type_in(page, rank=9999)["notice"] == "" and page.focus == ""  # it stands at its field, nobody is led away
    assert page.wrong == {"rank": {"words": "Rank can be at most 256.", "instead": 256, "use": "Use 256"}}
    assert "Rank can be at most 256" in start(page, trigger="zxy_style")["notice"] and page.focus == "rank"
    assert runs.all_runs(page.studio) == []
    assert "Rank" not in type_in(page, rank=None)["notice"] and not page.wrong  # emptied, it is the preset's again


def test_nothing_starts_without_the_pictures_that_were_dropped_just_before(page):
    page.examples()
    assert "still on their way" in start(page, coming=True, trigger="zxy_style")["notice"]
    assert runs.all_runs(page.studio) == []


@pytest.mark.parametrize("part", ["desk", "_many", "doctor"])
def test_nothing_starts_while_captions_are_written_which_it_would_not_learn(page, monkeypatch, part):
    page.examples()
    monkeypatch.setattr(pictures_view, "MOMENT", 0)
    with getattr(page.setup._pictures, part).writing:
        assert "still being changed" in start(page, trigger="zxy_style")["notice"]
    assert runs.all_runs(page.studio) == []


def test_settings_that_do_not_go_together_and_names_stand_at_their_fields_too(page):
    type_in(page, steps=20, warmup_steps=30)
    assert page.wrong["warmup_steps"]["instead"] == 19
    type_in(page, warmup_steps=None, optimizer="prodigy", learning_rate=1e-4, name="../fox")
    assert page.wrong["learning_rate"]["use"] == "Use 1" and page.wrong["name"]["instead"] == "fox"
    type_in(page, learning_rate=1, name="fox")
    assert page.wrong == {}


def test_a_start_without_a_trigger_word_leads_to_its_field_until_the_first_letter(page):
    page.examples()
    start(page, trigger="")
    assert page.focus == "trigger" and page.wrong["trigger"]["words"].startswith("There is no trigger word.")
    assert type_in(page, trigger="z")["notice"] == "" and page.wrong == {}


def test_back_to_the_preset_takes_back_what_was_set_by_hand_and_keeps_the_words(page):
    before = page.take(page.setup._look({}))
    type_in(page, rank=4, trigger="zxy_style")
    after = page.take(page.setup._back_to_preset(page.shown))
    assert (after["rank"], after["trigger"]) == (before["rank"], "zxy_style")


def test_what_cannot_be_started_is_a_sentence_and_what_was_typed_stays(page):
    page.examples()
    answer = start(page, trigger="zxy", name="../x")
    assert "looks like a path" in answer["notice"] and answer["trigger"] == "zxy"
    assert runs.all_runs(page.studio) == [] and "There are no pictures." not in answer["notice"]


@pytest.mark.parametrize(("typed", "sentence"), [("", "There is no"), ("<b>", "holds signs"), ("x", "a single")])
def test_a_trigger_word_that_start_refuses_has_a_good_one_beside_it(page, typed, sentence):
    page.examples()
    answer = start(page, trigger=typed)
    assert sentence in page.wrong["trigger"]["words"] and page.focus == "trigger"
    assert answer["verdict"] == answer["notice"] == ""  # it is said once
    assert runs.all_runs(page.studio) == []
    assert "is a good trigger word" in type_in(page, trigger=page.wrong["trigger"]["instead"])["verdict"]
    assert page.wrong == {}


def test_the_verdict_is_that_of_the_chosen_base_and_knows_the_loras_that_are_there(page):
    assert "reads it as z · x · y" in type_in(page, trigger="zxy_style")["verdict"]
    type_in(page, trigger="fox")
    fox = page.take(page.setup._look({}))["verdict"]
    assert "verdict doubtful" in fox and "is an ordinary word or name" in fox
    [word] = re.findall('data-take="([a-z]+)"', fox)
    assert "is a good trigger word" in type_in(page, trigger=word)["verdict"]
    page.studio.loras.mkdir(exist_ok=True)
    path = page.studio.loras / "my-foxes.safetensors"
    lora(path, SAYS | {"modelspec.trigger_phrase": word})
    assert "Your LoRA my-foxes answers to" in page.take(page.setup._look({}))["verdict"]
    page.context.drafts.train.change(lambda draft: replace(draft, begin_from=str(path)))
    assert "is a good trigger word" in page.take(page.setup._look({}))["verdict"], "trained further, it keeps its word"


def test_without_pictures_start_says_so(page):
    assert "There are no pictures." in start(page, trigger="zxy_style")["notice"]


def test_start_pressed_twice_is_one_run_of_what_was_last_typed(page):
    page.examples()
    start(page, trigger="zxy_style", steps=7)
    start(page)
    [run] = runs.all_runs(page.studio)
    assert (run.job.trigger, run.job.settings.steps, len(run.job.pictures)) == ("zxy_style", 7, 24)
    assert page.changes[page.view._head]  # the run is shown in place of the form


def test_while_another_trains_a_start_waits_and_says_for_whom(page):
    going_on = runs.start(page.studio, job(page.studio, "foxes"))
    wait_until(lambda: going_on.status().state == "running")
    page.examples()
    answer = start(page, trigger="zxy_style")
    assert "zxy_style waits for foxes; place 1 in Runs." in answer["notice"]
    assert [run.job.trigger for run in queue.waiting(page.studio)] == ["zxy_style"]
