"""The families of bases: every folder here but `shared` is one; none is listed anywhere."""

from __future__ import annotations

import functools
import importlib
import json
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

from lora_gui.errors import SettingError, UserError, nearest
from lora_gui.facts import Facts, PartFile
from lora_gui.families.shared.licences import LICENCES
from lora_gui.families.shared.samplers import DIFFUSION, FLOW, Solver
from lora_gui.formats import other_pipelines
from lora_gui.settings import Sampler, Schedule

if TYPE_CHECKING:
    from lora_gui.families.base import Family

CLIP_TOKENIZER = Path(__file__).parent / "shared" / "clip_tokenizer"  # its merges, without a model
T5_TOKENIZER = Path(__file__).parent / "shared" / "t5_tokenizer"  # its pieces, as they were published


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
        if class_name in (one.pipeline, *one.same_pipelines):
            return one
    titles = ", ".join(one.title for one in facts().values())
    what = f"This base is made {other_pipelines.described(class_name)}, which is not known here."
    raise UserError(what, f"Use a base of one of these: {titles}.")


def configuration(base: str) -> Path | None:
    """The file with the networks' configurations of the known base called `base`; None where there is none."""
    known = next((one for kind in facts().values() for one in kind.bases if one.key == base), None)
    named = (known and known.built_like) or base
    return next(Path(__file__).parent.glob(f"*/configs/{named}.json"), None)


def licence_says(licence: str) -> str:
    """What a licence allows, in a sentence; empty for one that is not known."""
    return LICENCES.get(licence, "")


@functools.cache
def part_files() -> dict[str, PartFile]:
    """Every network that may lie in a file of its own, by its key."""
    builds = [build for one in facts().values() for build in one.single_files]
    return {part.key: part for build in builds for part in build.apart.values()}


def lie_apart(key: str) -> bool:
    """Whether bases of the family called `key` may be files whose networks lie apart."""
    return any(build.apart for build in facts_of(key).single_files)


@functools.cache
def networks(key: str) -> dict[str, frozenset[str]]:
    """The networks of the bases of the family called `key` by their folders, and the classes each may be of."""
    found: dict[str, set[str]] = {}
    for known in facts_of(key).bases:
        path = configuration(known.key)
        said = json.loads(path.read_text(encoding="utf-8"))["components"] if path else {}
        for name, component in said.items():
            found.setdefault(name, set()).add(component["class"])
    return {name: frozenset(classes) for name, classes in found.items()}


@functools.cache
def is_flow(key: str) -> bool:
    """Whether the bases of the family called `key` are trained by rectified flow, as their schedulers say."""
    paths = [path for known in facts_of(key).bases if (path := configuration(known.key))]
    said = [json.loads(path.read_text(encoding="utf-8"))["scheduler"]["class"] for path in paths]
    return any(name.startswith("FlowMatch") for name in said)


def samplers(key: str) -> dict[Sampler, Solver]:
    """The samplers that the family called `key` draws with beside its own."""
    if facts_of(key).own_sampler:
        return {}
    return FLOW if is_flow(key) else DIFFUSION


def solver(key: str, sampler: Sampler, schedule: Schedule) -> Solver:
    """What draws with this sampler. Raises SettingError where the family has it not, or it takes no such schedule."""
    known = samplers(key)
    if sampler not in known:
        remedy = f"Choose one of {', '.join(known)}." if known else "Choose 'As the base says'."
        raise SettingError(f"{sampler} does not draw with this kind of base.", remedy, "sampler", "base")
    takes = known[sampler].schedules
    if schedule not in ("base", *takes):
        what = f"{sampler} does not take the noise schedule {schedule} with this kind of base."
        remedy = f"It takes {', '.join(takes)}." if takes else "Choose 'As the base says'."
        raise SettingError(what, remedy, "schedule", "base")
    return known[sampler]


@functools.cache
def family(key: str) -> Family:
    """The family called `key` with its model code, which imports torch. Raises UserError naming the nearest one."""
    wanted = facts_of(key)
    for name in folders():
        if importlib.import_module(f"{__name__}.{name}.facts").FACTS is wanted:
            found: Family = importlib.import_module(f"{__name__}.{name}.model").FAMILY
            return found
    raise AssertionError(key)
