"""What a draft comes to."""

from pathlib import Path

import pytest

from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Base, TrainJob, TrainPicture
from lora_gui.settings import TrainSettings
from lora_gui.studio.paths import Studio
from lora_gui.ui.draft import TrainDraft
from lora_gui.ui.train import planned

BASE = Base(key="toy", title="Toy", family="sd1", path="/toy")


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setattr(planned.base_list.bases, "both", lambda studio: ([BASE], []))
    return Studio(tmp_path)


def job(studio, **settings):
    plain = planned.planned(studio, TrainDraft(preset="concept"), 3).settings
    pictures = tuple(TrainPicture(path=str(studio.pictures / "aset" / f"000{n}.png")) for n in range(1, 4))
    return TrainJob(
        name="foxes", trigger="zxy", preset="concept", base=BASE, pictures=pictures, publish_to=str(studio.loras),
        settings=plain.model_copy(update=settings),
    )  # fmt: skip


def test_the_users_hand_goes_over_the_preset_and_a_wrong_setting_leaves_the_rest_in_force(studio):
    plan = planned.planned(studio, TrainDraft(preset="style", hand={"steps": 40, "rank": 9999}), 24)
    assert plan.settings.steps == 40 and plan.wrong["rank"].what == "Rank can be at most 256."
    again = planned.planned(studio, TrainDraft(preset="style"), 24)
    assert again.wrong == {} and again.settings.steps != 40


def test_a_draft_that_names_nothing_or_what_is_gone_has_the_first_there_is(studio):
    for draft in (TrainDraft(), TrainDraft(preset="gone", base="gone", folder="gone")):
        assert planned.chosen_preset(studio, draft) == "style" and planned.chosen_base(studio, draft) == BASE
        assert planned.chosen_pictures(studio, draft) is None


def test_a_wrong_setting_starts_nothing(studio, monkeypatch):
    shown = planned.pictures.PictureSet(Path("/set"), "set", (planned.pictures.Picture(Path("/1.png"), "", "1"),))
    monkeypatch.setattr(planned, "chosen_pictures", lambda studio, draft: shown)
    with pytest.raises(UserError, match="Rank can be at most"):
        planned.job(studio, TrainDraft(trigger="zxy_style", hand={"rank": 9999}))


def test_only_what_differs_from_the_preset_is_told_of_a_run(studio):
    found = planned.differs(studio, job(studio, rank=3, only_layers=("up_blocks",)))
    assert {name: value for name, (_, value) in found.items()} == {"rank": 3, "only_layers": ("up_blocks",)}


def test_a_cloned_run_comes_to_the_same_settings_and_pictures_or_says_that_those_are_gone(studio, monkeypatch):
    made = job(studio, rank=3, sample_prompts=("a fox", "a boat"), steps=77)
    gone = planned.draft_of(studio, made.model_copy(update={"begin_from": "/runs/a/begin/fox.safetensors"}))
    assert gone.begin_from == "/runs/a/begin/fox.safetensors", "what it went on from"
    assert gone.folder == "" and gone.note == "The pictures of foxes are not in your studio any more."
    monkeypatch.setattr(planned, "chosen_pictures", lambda studio, draft: draft.folder)
    draft = planned.draft_of(studio, made)
    assert draft.note == ""
    assert (draft.preset, draft.base, draft.folder) == ("concept", "toy", "aset")
    assert (draft.trigger, draft.name) == ("zxy", "foxes")
    assert planned.planned(studio, draft, 3).settings == made.settings


def test_a_run_whose_preset_is_gone_is_cloned_with_every_setting(studio):
    draft = planned.draft_of(studio, job(studio, rank=3).model_copy(update={"preset": "gone"}))
    assert set(draft.hand) == set(TrainSettings.model_fields)


@pytest.mark.parametrize("minutes, known, large, said", [
    (2.0, 2.0, False, "40 steps, about 2 minutes, fits in memory, on Toy"),
    (2.0, None, False, "40 steps, about 2 minutes with nothing else running, fits in memory, on Toy"),
    (None, None, True, "40 steps, time known after the first steps, on Toy"),
])  # fmt: skip
def test_what_start_will_do_says_no_more_than_is_known(studio, minutes, known, large, said, monkeypatch):
    shown = planned.pictures.PictureSet(Path("/set"), "set", (planned.pictures.Picture(Path("/1.png"), "", "1"),))
    monkeypatch.setattr(planned, "estimate", lambda *asked: minutes)
    monkeypatch.setattr(planned, "measured", lambda *asked: known)
    monkeypatch.setattr(planned.fit, "is_large", lambda base: large)
    plan = planned.planned(studio, TrainDraft(preset="style", hand={"steps": 40}), 1)
    assert f">{said}<" in planned.in_words(studio, plan, shown)
