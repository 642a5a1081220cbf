"""The settings: one list of each choice, from which every other list is derived, and labels in the user's words."""

import ast
import json
import re
from typing import get_args

import pytest

from lora_gui.__main__ import main
from lora_gui.engine.load import device, quantize
from lora_gui.engine.train import optimizers
from lora_gui.errors import SettingError, UserError
from lora_gui.settings import (
    DrawSettings,
    FullPrecision,
    Optimizer,
    Precision,
    Quantised,
    StackEntry,
    TrainSettings,
    check,
)
from tests.sources import nodes, place, sources

LISTS = [set(get_args(kind)) for kind in (FullPrecision, Quantised, Precision, Optimizer)]


def test_every_precision_and_optimizer_of_the_settings_is_known_to_those_that_hold_and_use_them():
    assert all(device.dtype_of(precision).is_floating_point for precision in get_args(Precision))
    assert tuple(quantize.KINDS) == get_args(Quantised)
    assert tuple(optimizers.OPTIMIZERS) == get_args(Optimizer)


def test_the_command_line_takes_the_precisions_of_the_settings_and_names_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LORA_GUI_HOME", str(tmp_path))
    assert main(["draw", "--prompt", "x", "--precision", "eight", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["error"] == "There is no precision 'eight'."
    assert all(precision in told["remedy"] for precision in get_args(Precision))


def test_no_file_holds_a_second_list_of_precisions_or_optimizers_and_every_table_over_them_is_whole():
    """A list is any literal collection of their words; of a table it is the keys."""
    for path in sources():
        for node in nodes(path) if path.name != "settings.py" else ():
            items = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", ())
            words = {item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)}
            if len(words) > 1 and any(words <= whole for whole in LISTS[2:]):
                where = f"{place(path)}:{node.lineno}"
                assert isinstance(node, ast.Dict) and words in LISTS, f"{where} lists {', '.join(sorted(words))}"


def test_labels_and_help_speak_the_words_of_the_window():
    assert TrainSettings.model_fields["learning_rate"].title == "Learning rate"
    for name, field in TrainSettings.model_fields.items():
        assert field.title and field.description and field.title[0].isupper(), name
        assert not any(word in field.title for word in ("State", "_", "offload")), field.title


def test_a_size_between_two_steps_names_both():
    with pytest.raises(UserError, match="Width goes in steps of 8. Use 128 or 136 instead of 133."):
        check(DrawSettings, {"width": 133})
    with pytest.raises(UserError, match="Use 496 or 504"):
        check(TrainSettings, {"resolution": 500})
    for odd in (10**400 + 1, "1" * 400, 1e300, -3):
        with pytest.raises(UserError, match="Width (can|must|goes)"):
            check(DrawSettings, {"width": odd})


@pytest.mark.parametrize("strength", [-2.0, -0.5, 0.0, 2.0])
def test_a_strength_is_taken_as_it_is_from_minus_2_to_2_and_refused_beyond(strength):
    entry = {"lora": "a.safetensors", "strength": strength}
    assert check(DrawSettings, {"stack": [entry]}).stack[0].strength == strength
    with pytest.raises(UserError, match="Strength (can be at most 2|must be at least -2)"):
        check(StackEntry, entry | {"strength": 2.1 if strength > 0 else -2.1})


def test_seeds_of_drawings_are_those_of_other_programs():
    for seed in (-1, 0, 2**64 - 1):
        assert check(DrawSettings, {"seed": seed}).seed == seed
    for seed in (-2, 2**64):
        with pytest.raises(UserError, match="Seed (can|must) be at"):
            check(DrawSettings, {"seed": seed})


@pytest.mark.parametrize(
    ("settings", "name", "value", "sentence", "instead"),
    [
        (DrawSettings, "count", 500, "How many can be at most 16. Use 16 instead of 500.", 16),
        (DrawSettings, "width", 5001, "Width can be at most 2,048. Use 2,048 instead of 5001.", 2048),
        (DrawSettings, "seed", 2**64, "Seed can be at most 18,446,744,073,709,551,615.", 2**64 - 1),
        (TrainSettings, "rank", 0, "Rank must be at least 1. Use 1 instead of 0.", 1),
        (TrainSettings, "rank", 2.6, "Rank must be a whole number. Use 3 instead of 2.6.", 3),
        (TrainSettings, "alpha", 0, "Alpha must be above 0. Use 16 instead of 0.", 16),
        (TrainSettings, "learning_rate", float("nan"), "Learning rate must be a number.", 1e-4),
        (TrainSettings, "optimizer", "adan", "Optimizer must be 'adamw', 'adamw8bit', 'adafactor' or", "adamw"),
        (DrawSettings, "picture", "caf\udce9.png", "Begin with holds bytes that are no letters.", None),
        (TrainSettings, "flip", "maybe", "Mirror pictures is either on or off.", None),
        (TrainSettings, "sample_prompts", ("x",) * 9, "Sample prompts can be at most 8. It has 9.", None),
    ],
)
def test_a_wrong_setting_is_told_by_its_label_and_the_nearest_value_can_be_used(
    settings, name, value, sentence, instead
):
    with pytest.raises(SettingError, match=re.escape(sentence)) as refused:
        check(settings, {name: value})
    assert (refused.value.setting, refused.value.instead) == (name, instead)
    if instead is not None:
        check(settings, {name: instead})


@pytest.mark.parametrize("settings", [TrainSettings, DrawSettings])
def test_every_number_beyond_its_bounds_has_a_nearest_value_and_no_sentence_is_pydantics(settings):
    for name, info in settings.model_fields.items():
        for odd in (-(10**9), 10**20, 0.3, 33.3, "x", None):
            try:
                check(settings, {name: odd})
            except SettingError as error:
                assert error.what.startswith(f"{info.title} ") and "should" not in str(error)
                if info.annotation in (int, float):
                    check(settings, {name: error.instead})


@pytest.mark.parametrize(
    ("said", "meant"),
    [(False, "none"), (True, "blocks"), ("off", "none"), ("True", "blocks"), ("feed_forward", "feed_forward")],
)
def test_recomputing_is_read_as_earlier_versions_and_other_trainers_say_it(said, meant):
    assert check(TrainSettings, {"gradient_checkpointing": said}).gradient_checkpointing == meant
    job = json.dumps({"gradient_checkpointing": said})
    assert TrainSettings.model_validate_json(job).gradient_checkpointing == meant
