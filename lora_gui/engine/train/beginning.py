"""The adapter that a run begins with: a new one, or a LoRA that is trained further, weight for weight as its file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from lora_gui import families
from lora_gui.engine.load import lora
from lora_gui.errors import SettingError, UserError
from lora_gui.families.base import Family
from lora_gui.formats import dialects, lycoris
from lora_gui.formats.header import FACTORED_LIMIT
from lora_gui.formats.lora_file import Kronecker, Layers, is_lokr
from lora_gui.protocol.events import Note
from lora_gui.protocol.jobs import TrainJob
from lora_gui.protocol.task_folder import ADAPTER, TaskFolder
from lora_gui.refinements import KINDS
from lora_gui.settings import TrainSettings

# ComfyUI divides by the norms of the plain weights; diffusers leaves magnitudes out of kohya's files, and says so
_DRAWN = "A DoRA is drawn exactly here; ComfyUI draws it a little otherwise, and diffusers only a file of its own kind."
_READ = "A LoKr is drawn exactly here and where LyCORIS is read, as in ComfyUI; diffusers reads it of few families."


def add(job: TrainJob, folder: Path, family: Family, parts: lora.Parts, name: str) -> None:
    """Inject the adapter under `name`, fp32. Raises UserError where the LoRA it begins with cannot learn in this base.

    A LoRA that is trained further keeps its own layers; a change of rank or alpha would be another LoRA.
    """
    if not job.begin_from:
        lora.add_new(parts, family, job.settings, name)
        if job.settings.dora:
            _sayable(lora.get_weights(parts, name), family, _remedy(job.settings.layers, family))
        if job.settings.adapter == "lokr":
            _drawable(lora.get_weights(parts, name))
        return
    path = _file(job, TaskFolder(folder))
    layers = dialects.read(path, lora.shapes(parts), family.facts, families.facts().values(), learns=True)
    _check(job, layers)
    if job.settings.dora:
        _sayable(layers, family, "Begin anew, from the base alone.")
    for root in parts.values():
        root.requires_grad_(False)
    lora.add(parts, layers, name)


def notes(job: TrainJob, folder: Path, family: Family, parts: lora.Parts, name: str) -> Iterator[Note]:
    """What is to be said of a run that trains a LoRA further, and of one that makes a DoRA."""
    if job.settings.dora:
        yield Note(_DRAWN)
    if job.settings.adapter == "lokr":
        yield Note(_READ)
    if not job.begin_from:
        return
    there = {key for key, _ in lora.adapter_layers(parts, name)}
    yield Note(f"It goes on from the weights of {Path(job.begin_from).stem}.")
    if told := dialects.left_out(_file(job, TaskFolder(folder)), lora.shapes(parts), family.facts):
        yield Note(told)
    if there != lora.targeted(parts, family, job.settings):
        yield Note(f"It learns the {len(there)} layers that this LoRA has, not those that 'Layers' names.")


def _file(job: TrainJob, task: TaskFolder) -> Path:
    """Where its weights are: the copy in the run's folder, or what the run kept since. Raises UserError for none."""
    kept = task.newest_checkpoint()
    path = next((one for one in (task.beginning(job), kept and kept / ADAPTER) if one and one.is_file()), None)
    if path is None:
        raise UserError(f"The LoRA {Path(job.begin_from).stem} is not in the run's folder.", "Start a new run from it.")
    return path


def _check(job: TrainJob, layers: Layers) -> None:
    name, settings = Path(job.begin_from).stem, job.settings
    dora = any(layer.magnitude is not None for layer in layers.values())
    if dora != settings.dora:
        what = f"{name} is {'a DoRA' if dora else 'no DoRA'}, and this run asks for {'none' if dora else 'one'}."
        raise SettingError(what, f"Switch DoRA {'on' if dora else 'off'}, or begin anew.", "dora", dora)
    kind = "lokr" if is_lokr(layers) else "lora"
    if kind != settings.adapter:
        what = f"{name} is a {KINDS[kind]}, and this run makes a {KINDS[settings.adapter]}."
        raise SettingError(what, f"Choose {KINDS[kind]}, or begin anew.", "adapter", kind)
    counted = [one for one in layers.values() if not isinstance(one, Kronecker) or one.first is not None]
    if counted:
        _compare(name, "rank", settings, Counter(layer.rank for layer in counted))
        _compare(name, "alpha", settings, Counter(layer.alpha for layer in counted))


def _remedy(layers: str, family: Family) -> str:
    """How a DoRA comes to have all layers that its file fuses."""
    whole = layers in family.facts.layers_of_dora
    return f"{'L' if whole else 'Set Layers to linear and l'}eave 'Only layers named' empty, or switch DoRA off."


def _sayable(layers: Layers, family: Family, remedy: str) -> None:
    """Raises UserError where the file that comes out could not say such a DoRA."""
    try:
        dialects.build(layers, family.facts)
    except UserError as error:
        raise UserError(error.what, remedy) from None


def _drawable(layers: Layers) -> None:
    """Raises UserError where the file that comes out would be refused for what its layers are, multiplied out."""
    shapes = [
        {role: tuple(one.shape) for role, one in layer.tensors().items()}
        for layer in layers.values() if isinstance(layer, Kronecker)
    ]  # fmt: skip
    if sum(map(lycoris.elements, shapes)) > FACTORED_LIMIT:
        raise UserError("This LoKr would be too large to be drawn with.", "Choose a smaller rank, or fewer layers.")


def _compare(name: str, setting: str, settings: TrainSettings, has: Counter[int] | Counter[float]) -> None:
    """Raises SettingError where most layers have another rank or alpha than this run asks for."""
    most, asked = has.most_common(1)[0][0], getattr(settings, setting)
    if most != asked:
        what = f"{name} has {setting} {most:g}, and this run asks for {asked:g}."
        raise SettingError(what, f"Set {setting.capitalize()} to {most:g}, or begin anew.", setting, most)
