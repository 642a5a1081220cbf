"""Convert a base of one file to a diffusers folder, once, so that all else need only know folders.

The configuration is the app's own, never one that came with the file, and nothing is asked of any network.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Collection, Generator
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.loaders.single_file import load_single_file_sub_model
from diffusers.loaders.single_file_utils import SingleFileComponentError

from lora_gui import families, files
from lora_gui.engine.load import assemble, checkpoint_file, tokenizers
from lora_gui.engine.load.opening import opening, require_text
from lora_gui.errors import UserError
from lora_gui.formats import cache_names, noise_kind, single_file
from lora_gui.protocol.events import Event, Note, Phase
from lora_gui.protocol.jobs import Base
from lora_gui.protocol.lock import Lock

_MARK = "model_index.json"  # without it a folder does not count
_SOURCE = "unpacked_from.json"  # the file that a folder was made of
_SHARD = "512MB"  # so much more memory than the file is needed
_SPARE = 500_000_000  # bytes


def as_folder(base: Base, cache: str) -> Generator[Event, None, Base]:
    """The base as it is, or where it is one file, its folder in `cache`, made unless it is there and whole.

    Raises UserError where the file is damaged or not whole, its path is no text, or the disk has no room.
    """
    source = Path(base.path)
    require_text(source, base.title)
    if not source.is_file():
        return base
    folder = Path(cache) / cache_names.UNPACKED / _name(base)
    require_text(folder, base.title)
    if not _is_whole(folder):
        if folder.exists():
            yield Note(f"The unpacked copy of {base.title} was damaged, so it is made again.")
        yield Phase(f"Unpacking {base.title}, which is done once")
        if said := noise_kind.beside(source):
            yield Note(f"What {said.name} says of the noise of {source.name} is heeded.")
        files.make_folder(folder.parent)
        with Lock(folder.parent / ".lock"):  # drawing and training may begin at once
            if not _is_whole(folder):
                files.sweep(folder.parent, alone=True)
                files.remove_folder(folder)
                _evict(folder.parent)
                _unpack(base, source, folder)
    return base.model_copy(update={"path": str(folder), "parts": {}})


def _name(base: Base) -> str:
    """What the folder of a base is called. Raises UserError where one of its files is gone."""
    try:
        return cache_names.unpacked(Path(base.path), base.parts.values())
    except OSError as error:
        what = f"A file of {base.title} is not there any more: {error.filename}."
        raise UserError(what, "Put it back, or look for your bases again.") from error


def _is_whole(folder: Path) -> bool:
    """Whether a folder has its mark and none of its weights is cut short; only headers are read."""
    try:
        for file in folder.rglob("[!.]*.safetensors"):
            single_file.read(file)
    except UserError:
        return False
    return (folder / _MARK).is_file()


def _evict(unpacked: Path) -> None:
    """Delete the folders whose file is gone or has changed since: nothing asks for them any more."""
    for folder in (one for one in unpacked.iterdir() if one.is_dir()):
        named = files.read_json(folder / _SOURCE)
        source, *parts = named if isinstance(named, list) and named else [named]
        if not isinstance(source, str) or not _is_made_of(folder, source, parts):
            files.remove_folder(folder)


def _is_made_of(folder: Path, source: str, parts: list[str]) -> bool:
    try:
        return folder.name == cache_names.unpacked(Path(source), parts)
    except OSError:
        return False


def _unpack(base: Base, source: Path, folder: Path) -> None:
    contents = single_file.read(source)
    build = single_file.build_of(source, contents, families.facts_of(base.family).single_files)
    converted = max(source.stat().st_size, 2 * contents.values)  # fp8 comes to 16 bits
    _require_room(base, folder.parent, assemble.size(base, build) if build.apart else converted)
    configuration = families.configuration(build.like)
    assert configuration, build.like
    found = json.loads(configuration.read_text(encoding="utf-8"))
    noise = noise_kind.of_checkpoint(source, contents.shapes, contents.prediction)
    new = files.half_made(folder)  # swept where this is cut short
    absent = build.apart.keys() - assemble.parts_of(base, build).keys()
    _lay_out(found, noise, new, absent)
    with opening(base), _as_value_error():
        if build.apart:
            assemble.write(base, build, found, new)
        else:
            _convert(source, found, new, assemble.DTYPES[contents.dtype])
        for name, one in tokenizers.of(found).items():
            one.save_pretrained(new / name)
    files.write_json(new / _SOURCE, [str(source.absolute()), *base.parts.values()])
    files.sync_files(new)
    files.move(new, folder)


def _convert(source: Path, found: dict[str, Any], folder: Path, dtype: torch.dtype) -> None:
    """Write the networks of a checkpoint as diffusers converts them, one after the other, into `folder`, where their
    configurations lie already."""
    held = checkpoint_file.whole(source)
    for name, part in found["components"].items():
        network = load_single_file_sub_model(
            part["library"], part["class"], name, held, diffusers.pipelines, False, str(folder),
            local_files_only=True, torch_dtype=dtype,
        )  # fmt: skip
        network.save_pretrained(folder / name, max_shard_size=_SHARD)
    place = folder / "scheduler"  # all of its configuration, so that other samplers take it from there
    getattr(diffusers, found["scheduler"]["class"]).from_pretrained(place).save_pretrained(place)


def _require_room(base: Base, folder: Path, size: int) -> None:
    needed, free = size + _SPARE, shutil.disk_usage(folder).free
    if free < needed:
        what = f"Unpacking {base.title} needs {needed / 1e9:.1f} GB on your disk; {free / 1e9:.1f} GB are free."
        raise UserError(what, "Make some space, or use the base as a diffusers folder, which is read where it lies.")


def _lay_out(found: dict[str, Any], noise: tuple[str, bool], folder: Path, absent: Collection[str]) -> None:
    """Write the app's own configuration as a diffusers folder without weights; `absent` networks leave `found`."""
    gone = {part: found["components"].pop(part) for part in sorted(absent)}
    empty = [name for part in gone for name in (part, tokenizers.beside(part))]
    kinds: dict[str, list[str | None]] = {name: [None, None] for name in empty}
    kinds |= {name: [part["library"], part["class"]] for name, part in found["components"].items()}
    kinds |= {name: ["transformers", type(one).__name__] for name, one in tokenizers.of(found).items()}
    kinds["scheduler"] = ["diffusers", found["scheduler"]["class"]]
    named = {"_class_name": found["pipeline"]["class"], **found["pipeline"]["config"]}
    files.write_json(folder / _MARK, named | kinds)
    for name, part in found["components"].items():
        files.write_json(folder / name / "config.json", {"_class_name": part["class"], **part["config"]})
    prediction, to_zero = noise
    said = {"_class_name": found["scheduler"]["class"], **found["scheduler"]["config"]}
    said |= {"prediction_type": prediction} if prediction else {}
    said |= {"rescale_betas_zero_snr": True} if to_zero else {}
    files.write_json(folder / "scheduler" / "scheduler_config.json", said)


@contextlib.contextmanager
def _as_value_error() -> Generator[None, None, None]:
    """What diffusers raises where a checkpoint's tensors are not those of the configuration, as a ValueError."""
    try:
        yield
    except (SingleFileComponentError, KeyError, NotImplementedError) as error:  # the last where one is missing
        raise ValueError(str(error)) from error
