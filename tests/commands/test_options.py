"""Each command defines the options that it reads, and those that are numbers refuse what is none."""

import argparse
import ast
import importlib.util
import inspect
import re
import textwrap
from pathlib import Path

import pytest

from lora_gui import __main__ as cli
from lora_gui.commands import as_path
from lora_gui.formats import trainers
from lora_gui.studio.paths import HOME, Studio
from lora_gui.studio.stacks import axes
from lora_gui.studio.tasks import runs
from tests import making


def leaves(parser, line=()):
    """Every command that can be typed, with its parser."""
    inner = [action for action in parser._actions if hasattr(action, "choices") and isinstance(action.choices, dict)]
    if not inner or not inner[0].required:
        yield line, parser
    for action in inner:
        for name, one in action.choices.items():
            yield from leaves(one, (*line, name))


def read(function, seen=()):
    """The options that a command reads, itself and by the functions of the commands that it gives them to."""
    if function in seen:
        return set()
    tree, found = ast.parse(textwrap.dedent(inspect.getsource(function))), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "options":
            found.add(node.attr)
        elif isinstance(node, ast.Call) and any(getattr(one, "id", "") == "options" for one in node.args):
            called = named(node.func, tree, function)
            found |= read(called, (*seen, function)) if called else set()
    return found


def named(call, tree, function):
    """The function of the commands that is called, be it of this file, imported above or just there."""
    if isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name):
        module = f"lora_gui.commands.{call.value.id}"
        return getattr(importlib.import_module(module), call.attr) if importlib.util.find_spec(module) else None
    name = getattr(call, "id", "")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and name in [one.name for one in node.names]:
            return getattr(importlib.import_module(node.module), name)
    found = inspect.getmodule(function).__dict__.get(name)
    return found if inspect.isfunction(found) else None


COMMANDS = dict(leaves(cli.parser()))


@pytest.mark.parametrize("line", [line for line in COMMANDS if line], ids=" ".join)
def test_a_command_defines_every_option_that_it_reads(line):
    parser = COMMANDS[line]
    defined = {action.dest for action in parser._actions} | parser._defaults.keys()
    assert read(parser.get_default("command")) <= defined


@pytest.mark.parametrize("sheet", ["grid --columns seed:1,2", "travel", "compare"])
def test_how_many_is_not_asked_of_a_sheet_which_has_as_many_drawings_as_cells(sheet):
    assert cli.parser().parse_args([*sheet.split(), "--prompt", "x"]).count == 1
    with pytest.raises(cli.UsageError, match="--count"):
        cli.parser().parse_args([*sheet.split(), "--prompt", "x", "--count", "2"])


def helps(line, name):
    """What the help says of an option."""
    (found,) = (one.help for one in COMMANDS[line]._actions if one.dest == name or name in one.option_strings)
    return found


def test_the_help_of_a_grid_names_every_axis_and_that_of_settings_files_every_trainer():
    for axis in axes.AXES:
        assert re.search(rf"\b{axis}\b", helps(("grid",), "rows")), axis
    for trainer in ("kohya", "OneTrainer", "ai-toolkit", "LyCORIS", "this app"):
        assert trainer in helps(("settings", "read"), "file") and trainer in trainers.KNOWN


def test_the_help_names_what_is_taken_where_nothing_is_said():
    assert all("default: style" in helps((one,), "goal") for one in ("check", "caption"))
    for line in (("train",), ("pictures", "add")):
        assert "zip" in helps(line, "pictures" if line == ("train",) else "sources")


@pytest.mark.parametrize("topic", ["pictures", "loras", "bases", "presets", "queue"])
def test_the_help_of_a_topic_speaks_of_each_of_its_actions(topic):
    said = cli.parser()._actions[-1].choices[topic].description.replace("your key for Civitai", "civitai-key")
    inner = [line[1] for line in COMMANDS if line[0:1] == (topic,) and len(line) > 1]
    for action in inner:
        assert {"captions": "caption", "redo": "undo", "sign-in": "sign in"}.get(action, action) in said, action


def test_what_is_looked_for_is_found():
    assert {"pictures", "ground", "vram", "processes"} <= read(COMMANDS["settings", "train"].get_default("command"))


@pytest.mark.parametrize("text", ["nan", "inf", "-3", "0", "much"])
@pytest.mark.parametrize("line", ["plan --vram", "plan --ram", "train --vram", "pack x --to y --vram"])
def test_memory_is_a_number_above_nothing(line, text, capsys):
    assert cli.main([*line.split(), text]) == 2
    assert f"memory is a number of GB above 0, such as 12, and not '{text}'" in capsys.readouterr().err


PATHS = {
    line: [one for one in parser._actions if one.type is as_path] for line, parser in COMMANDS.items() if line
}


@pytest.mark.parametrize("line", [line for line, found in PATHS.items() if found], ids=" ".join)
def test_an_empty_path_is_refused_and_not_taken_for_the_folder_one_is_in(line):
    for action in PATHS[line]:
        with pytest.raises(argparse.ArgumentTypeError, match="the path is empty"):
            action.type("")


def test_every_option_that_is_a_path_refuses_an_empty_one(capsys):
    for line, parser in COMMANDS.items():
        for action in parser._actions:
            assert action.type is not Path, (line, action.dest)
    for words in ("caption _ --write", "check _", "train --pictures _ --trigger x --name y", "draw --prompt x --out _",
                  "pack x --to _", "demo --out _", "give x --for forge --out _", "plan --pictures _"):  # fmt: skip
        assert cli.main(["" if one == "_" else one for one in words.split()]) == 2, words
        assert "the path is empty; write . for this folder" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["families --js", "bases list --jso", "queue --j", "plan --vra 1", "check . --t x"])
def test_an_option_is_written_out_since_programs_read_what_it_changes(line, capsys):
    assert cli.main(line.split()) == 2
    assert "unrecognized arguments" in capsys.readouterr().err


@pytest.mark.parametrize(("line", "said"), [
    ("plan --base starter --preset style --resolution 0", "Resolution must be at least 64."),
    ("bases download --cancel", "Nobody says which download is meant."),
    ("contract ink --use everything", "A card says three things."),
])  # fmt: skip
def test_what_is_asked_and_cannot_be_done_is_said(line, said, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(HOME, str(tmp_path))
    making.lora(Studio(tmp_path), "ink")
    assert cli.main(line.split()) == 1
    assert said in capsys.readouterr().err


def test_a_run_that_is_packed_keeps_its_settings_and_that_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(HOME, str(tmp_path))
    monkeypatch.setattr(runs, "find", lambda *_: None)
    assert cli.main(["pack", "x", "--to", str(tmp_path / "p"), "--vram", "24", "--set", "rank=4"]) == 1
    assert "without --vram, --set" in capsys.readouterr().err
