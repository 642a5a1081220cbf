"""The families of bases: every file of this folder that holds one is found by itself; none is listed anywhere."""

import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from lora_gui.errors import UserError, nearest
from lora_gui.families.base import Family

# shared by the families, themselves none
_HELPERS = {
    "autoencoder",
    "base",
    "clip",
    "drawing",
    "efficientnet",
    "flux",
    "kandinsky_prior",
    "losses",
    "originals",
    "preview",
    "reading",
    "unet",
    "wuerstchen_stages",
}


def families(folders: Sequence[Path] = ()) -> dict[str, Family]:
    """Every family by its key, those of further `folders` included; loads no model and does not import torch."""
    found: dict[str, Family] = {}
    for module in (*_own_modules(), *_modules_of(folders)):
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, Family) and kind.__module__ == module.__name__ and hasattr(kind, "facts"):
                found[kind.facts.key] = kind()
    return found


def family(key: str, folders: Sequence[Path] = ()) -> Family:
    """The family called `key`. Raises UserError naming the nearest known one."""
    known = families(folders)
    if key not in known:
        raise UserError(f"No family of bases is called {key!r}.", nearest(key, known))
    return known[key]


def family_of_pipeline(class_name: str, folders: Sequence[Path] = ()) -> Family:
    """The family whose bases name this class in their model_index.json. Raises UserError where none does."""
    known = families(folders)
    for one in known.values():
        if one.facts.pipeline == class_name:
            return one
    titles = ", ".join(one.facts.title for one in known.values())
    what = f"This base is made for {class_name!r}, which is not known here."
    raise UserError(what, f"Use a base of one of these: {titles}.")


def _own_modules() -> Iterator[ModuleType]:
    for info in pkgutil.iter_modules(__path__):
        if info.name not in _HELPERS:
            yield importlib.import_module(f"{__name__}.{info.name}")


def _modules_of(folders: Sequence[Path]) -> Iterator[ModuleType]:
    for path in (path for folder in folders for path in sorted(folder.glob("*.py"))):
        spec = importlib.util.spec_from_file_location(f"lora_gui_family_{path.stem}", path)
        if spec and spec.loader:
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            yield module
