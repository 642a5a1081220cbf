"""The families of bases: every folder here but `shared` is one; none is listed anywhere."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

from lora_gui.errors import UserError, nearest
from lora_gui.facts import Facts

if TYPE_CHECKING:
    from lora_gui.families.base import Family


def folders() -> list[str]:
    """The package names of all families."""
    return [info.name for info in pkgutil.iter_modules(__path__) if info.ispkg and info.name != "shared"]


@functools.cache
def facts() -> dict[str, Facts]:
    """What is known of every family, by its key; loads no model and does not import torch."""
    modules = (importlib.import_module(f"{__name__}.{name}.facts") for name in folders())
    return {module.FACTS.key: module.FACTS for module in modules}


def facts_of(key: str) -> Facts:
    """The facts of the family called `key`. Raises UserError naming the nearest known one."""
    known = facts()
    if key not in known:
        raise UserError(f"No family of bases is called {key!r}.", nearest(key, known))
    return known[key]


def facts_of_pipeline(class_name: str) -> Facts:
    """The family whose bases name this class in their model_index.json. Raises UserError where none does."""
    for one in facts().values():
        if one.pipeline == class_name:
            return one
    titles = ", ".join(one.title for one in facts().values())
    what = f"This base is made for {class_name!r}, which is not known here."
    raise UserError(what, f"Use a base of one of these: {titles}.")


def configuration(base: str) -> Path | None:
    """The file with the networks' configurations of the known base called `base`; None where there is none."""
    return next(Path(__file__).parent.glob(f"*/configs/{base}.json"), None)


@functools.cache
def family(key: str) -> Family:
    """The family called `key` with its model code, which imports torch. Raises UserError naming the nearest one."""
    wanted = facts_of(key)
    for name in folders():
        if importlib.import_module(f"{__name__}.{name}.facts").FACTS is wanted:
            found: Family = importlib.import_module(f"{__name__}.{name}.model").FAMILY
            return found
    raise AssertionError(key)
