"""Families are found by being there: one folder each, and their keys stand nowhere else."""

import ast
import functools
import sys
from pathlib import Path

import pytest

from lora_gui import families
from lora_gui.errors import UserError
from lora_gui.families import facts_of_pipeline, family
from tests.sources import ROOT, nodes, sources


def test_stable_diffusion_1_is_found_with_the_starter_first():
    assert [base.key for base in families.facts()["sd1"].bases] == ["starter", "sd15"]


@pytest.mark.parametrize("folder", families.folders())
def test_a_family_is_one_folder_and_no_other_code_names_it_or_its_bases(folder):
    home = ROOT / "lora_gui" / "families" / folder
    own = next(one for one in families.facts().values() if (home / "facts.py").samefile(_home_of(one)))
    names = {own.key, *(base.key for base in own.bases if base.repo), folder}
    for path, said in _said().items():
        for line, text, module in said if home not in path.parents else ():
            assert text not in names and f"families.{folder}" not in module, f"{path}:{line}"


@functools.cache
def _said() -> dict[Path, list[tuple[int, str, str]]]:
    """By source the lines that say a text or take something from a module, and which."""
    return {
        path: [
            (node.lineno, getattr(node, "value", ""), getattr(node, "module", "") or "")
            for node in nodes(path)
            if isinstance(node, ast.ImportFrom) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
        ]
        for path in sources()
    }


def _home_of(one) -> Path:
    for name in families.folders():
        module = sys.modules[f"lora_gui.families.{name}.facts"]
        if module.FACTS is one:
            return Path(module.__file__)
    raise AssertionError(one.key)


def test_an_unknown_family_names_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'sd1'"):
        family("sd11")


def test_an_unknown_pipeline_is_refused_by_name():
    with pytest.raises(UserError, match="OtherPipeline"):
        facts_of_pipeline("OtherPipeline")
