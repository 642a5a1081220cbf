"""The settings: one list of each choice, from which every other list is derived, and labels in the user's words."""

import ast
import json
from pathlib import Path
from typing import get_args

import pytest

from lora_gui.__main__ import main
from lora_gui.engine.load import device, quantize
from lora_gui.engine.train import optimizers
from lora_gui.errors import UserError
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

ROOT = Path(__file__).parent.parent
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


def literals(tree: ast.AST) -> list[tuple[int, bool, set[str]]]:
    """Of every literal collection its line, whether it is a table, and the words in it (of a table its keys)."""
    found = []
    for node in ast.walk(tree):
        items = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
        words = {item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)}
        found.append((getattr(node, "lineno", 0), isinstance(node, ast.Dict), words))
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "lora_gui").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_holds_a_second_list_of_precisions_or_optimizers_and_every_table_over_them_is_whole(path):
    if path.name == "settings.py":
        return
    for line, table, words in literals(ast.parse(path.read_text(encoding="utf-8"))):
        for whole in LISTS[2:]:
            if len(words) > 1 and words <= whole:
                assert table and words in LISTS, f"{path.name}:{line} lists {', '.join(sorted(words))}: derive it"


def test_labels_and_help_speak_the_words_of_the_window():
    assert TrainSettings.model_fields["learning_rate"].title == "Learning rate"
    for name, field in TrainSettings.model_fields.items():
        assert field.title and field.description and field.title[0].isupper(), name
        assert not any(word in field.title for word in ("State", "_", "offload")), field.title


def test_a_size_between_two_steps_names_both():
    with pytest.raises(UserError, match="Width cannot be 133. It should be a multiple of 8, such as 128 or 136."):
        check(DrawSettings, {"width": 133})
    with pytest.raises(UserError, match="such as 496 or 504"):
        check(TrainSettings, {"resolution": 500})
    for odd in (10**400 + 1, "1" * 400, 1e300, -3):
        with pytest.raises(UserError, match="Width cannot be"):
            check(DrawSettings, {"width": odd})


@pytest.mark.parametrize("strength", [-2.0, -0.5, 0.0, 2.0])
def test_a_strength_is_taken_as_it_is_from_minus_2_to_2_and_refused_beyond(strength):
    entry = {"lora": "a.safetensors", "strength": strength}
    assert check(DrawSettings, {"stack": [entry]}).stack[0].strength == strength
    with pytest.raises(UserError, match="should be (less|greater) than or equal to -?2"):
        check(StackEntry, entry | {"strength": 2.1 if strength > 0 else -2.1})


def test_seeds_of_drawings_are_those_of_other_programs():
    for seed in (-1, 0, 2**64 - 1):
        assert check(DrawSettings, {"seed": seed}).seed == seed
    for seed in (-2, 2**64):
        with pytest.raises(UserError, match="Seed cannot be"):
            check(DrawSettings, {"seed": seed})
