"""Presets and settings files at the foot of Details."""

import pytest

from lora_gui.formats import trainers
from lora_gui.studio.things import own_presets, presets
from tests.formats.test_trainers import AI_TOOLKIT, KOHYA


def pressed(page, act, name="", **typed):
    """Press a button with `typed` not sent yet; what is told."""
    view = page.setup._presets
    told = []
    page.take(page.setup._after({"changes": typed}, lambda: told.append(act(view)(name))))
    return told[0]


def keys(page):
    return [key for _, key in page.setup._presets.choices()[page.setup._presets._cards]["choices"]]


def test_what_is_typed_is_kept_as_a_preset_that_stands_beside_the_others_and_is_chosen(page):
    page.take(page.setup._look({}))
    told = pressed(page, lambda view: view._kept, "Ink drawings", rank=44)
    assert "Ink drawings is kept." in told and keys(page)[-1] == "ink-drawings"
    draft = page.context.drafts.train.value
    assert (draft.preset, draft.hand) == ("ink-drawings", {})
    assert page.take(page.setup._look({}))["rank"] == 44
    assert "called Brush now" in pressed(page, lambda view: view._renamed, "Brush")
    assert page.context.drafts.train.value.preset == "brush"
    assert str(page.studio.given) in pressed(page, lambda view: view._shared)
    assert [path.name for path in page.studio.given.iterdir()] == ["brush-preset.toml"]


def test_a_settings_file_fills_the_form_and_what_is_left_is_listed(page, tmp_path):
    file = tmp_path / "fox.toml"
    file.write_text(KOHYA)
    told = pressed(page, lambda view: lambda _: view._taken(file))
    values = page.take(page.setup._look({}))
    assert (values["rank"], values["steps"], values["name"], values["batch_size"]) == (32, 1600, "fox", 4)
    count = len(trainers.read(file).values)
    assert f"{count} settings of kohya&#x27;s sd-scripts are filled in." in told and "clip_skip = 2" in told
    assert "sd_xl_base_1.0, is not on this computer" in told
    (tmp_path / "a.yaml").write_text(AI_TOOLKIT)
    pressed(page, lambda view: lambda _: view._taken(tmp_path / "a.yaml"))
    values = page.take(page.setup._look({}))
    assert (values["trigger"], values["sample_prompts"], values["batch_size"]) == ("zxy", "zxy, a fox; red\na cat", 1)


def test_what_was_written_is_read_to_the_same_settings_elsewhere(page, tmp_path):
    page.take(page.setup._look({}))
    pressed(page, lambda view: view._written, "", rank=21, trigger="qxz", flip=True)
    (file,) = page.studio.given.iterdir()
    before = page.take(page.setup._look({}))
    page.setup._presets._change(hand={}, trigger="")
    pressed(page, lambda view: lambda _: view._taken(file))
    after = page.take(page.setup._look({}))
    assert after == before | {"plan": after["plan"], "memory": after["memory"]} and after["rank"] == 21


def test_a_preset_that_somebody_shared_becomes_one_here(page, tmp_path):
    (tmp_path / "x.toml").write_text('title = "From Bea"\n[all]\nrank = 9\n')
    told = pressed(page, lambda view: lambda _: view._taken(tmp_path / "x.toml"))
    assert "From Bea is one of your presets now." in told
    assert page.take(page.setup._look({}))["rank"] == 9 and "from-bea" in own_presets.own(page.studio)


@pytest.mark.parametrize("name", ["", "Style"])
def test_what_cannot_be_kept_is_told_where_it_was_asked(page, name):
    page.take(page.setup._look({}))
    from lora_gui.ui.train.presets_view import _told

    told = pressed(page, lambda view: lambda text: _told(lambda: view._kept(text)), name, rank=5)
    assert 'role="alert"' in told and len(presets.presets(page.studio)) == 3
