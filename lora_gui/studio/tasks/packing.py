"""Pack a run into one folder for another computer: its pictures, its order, the program, and one command to start it.

The folder is a small studio beside a copy of the program. Of the base it holds a reference, unless told otherwise: its
name, and the size and sha256 of each of its files, by which the other computer's copy is checked.
"""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lora_gui
from lora_gui import __version__, files
from lora_gui.drive import require_new
from lora_gui.errors import UserError
from lora_gui.formats import base_files
from lora_gui.protocol import events
from lora_gui.protocol.jobs import Base, TrainJob, mask_beside
from lora_gui.protocol.task_folder import VERSION, TaskFolder
from lora_gui.studio.paths import Studio, new_id
from lora_gui.studio.tasks.launching import starting
from lora_gui.studio.tasks.run import Run
from lora_gui.studio.things import bases

ROOT = Path(lora_gui.__file__).parent.parent
MARK = "pack.json"  # in the packed folder
STUDIO = "studio"  # folder in it
PROGRAM = "program"  # likewise
_PROGRAM = ("app.py", "launch.sh", "launch.bat", "pyproject.toml", "requirements.txt", "requirements.lock", "LICENSE",
            "README.md", "presets", "lora_gui")  # fmt: skip
_HEAVY = {".safetensors", ".bin", ".ckpt", ".pt", ".pth", ".msgpack", ".onnx", ".gguf", ".h5"}
_README = """This folder holds one training of LoRA Studio, ready to run on another computer.

1. Copy the whole folder there. It needs Python 3.11 to 3.14, and the internet the first time.
2. {base}
3. Run there:   bash start.sh
   With two cards:   PROCESSES=2 bash start.sh
   Closing the terminal does not stop it; the same command follows it, or goes on with it.
4. To watch it at home, copy the run now and then into the runs of your studio:
   rsync -a THERE:{folder}/studio/runs/{run} STUDIO/runs/
5. When it is done, copy this folder back (program/.venv is not needed) and say at home:
   python -m lora_gui take {folder}

Your pictures are in this folder, unencrypted: whoever runs the other computer can see them.
"""
_START = """#!/usr/bin/env bash
# Train what is packed here, or go on with it, or follow it. PROCESSES=N trains with N cards.
set -euo pipefail
cd "$(dirname "$0")"
export LORA_GUI_HOME="$PWD/studio"
exec bash program/launch.sh --do resume {run} --processes "${{PROCESSES:-0}}"
"""


def pack(studio: Studio, run: Run, to: Path, with_base: bool = False) -> dict[str, Any]:
    """Pack a run that is in the studio and not going on. Raises UserError, and leaves nothing, where it cannot be."""
    with starting(studio):
        if run.lives():
            raise UserError("This run is going on.", "Pause it first; what it has learnt is packed too.")
        if run.status().state == "waiting":
            raise UserError("This run waits for its turn here.", "Take it out of the queue, and pack its picture set.")
        if run.status().state == "finished":
            raise UserError("This run is finished.", "Train it further, or start a new one.")
        found = _packed(run.job, run.folder.name, to, with_base, run)
        said = f"Packed into {to.name} for another computer. Take it back with: python -m lora_gui take FOLDER"
        files.append_line(run.files.events, events.to_line(events.Note(said)))
        return found


def pack_new(studio: Studio, job: TrainJob, to: Path, with_base: bool = False) -> dict[str, Any]:
    """Pack a training that is no run here yet; it becomes one when it is taken back."""
    return _packed(job, new_id(studio.runs), to, with_base)


def entry_of(file: Path) -> dict[str, Any]:
    """What tells whether a file is the same somewhere else, as manifests of checkpoints have it."""
    return {"size": file.stat().st_size, "sha256": files.sha256(file)}


def base_differs(studio: Studio, base: Base) -> list[str]:
    """Sentences about files of a base that are not those it was packed with; for a studio that was packed.

    Raises UserError where the base is not there.
    """
    said = files.read_json(studio.home.parent / MARK)
    told = said.get("base") if isinstance(said, dict) else None
    if studio.home.name != STUDIO or not isinstance(told, dict) or not isinstance(told.get("files"), dict):
        return []
    if not os.path.exists(base.path):
        raise UserError(f"The base {base.title} is not here yet.", f"Copy it to {base.path}, then start again.")
    here = dict(_files_of(Path(base.path)))
    wrong = [
        name
        for name, entry in told["files"].items()
        if name not in here or entry_of(here[name]) != entry
    ]
    return [f"{name} of the base is not the file it was packed with, so the result may differ." for name in wrong]


def _packed(job: TrainJob, name: str, to: Path, with_base: bool, run: Run | None = None) -> dict[str, Any]:
    to = Path(os.path.abspath(to))
    require_new(to)
    if job.base.parts:
        what = f"{job.base.title} is made of several files of other programs, which cannot be packed."
        raise UserError(what, "Get the base as a diffusers folder, and train with that.")
    partial = files.half_made(to)
    try:
        home = partial / STUDIO
        task = TaskFolder(home / "runs" / name)
        told = _with_base(job.base, home, with_base)
        task.write_job(_here(job, home))
        if run:
            _copy_state(run, task)
        _copy_program(partial / PROGRAM)
        for file, text in _texts(job.base, told, name, to.name, with_base).items():
            files.write_text(partial / file, text)
        files.write_json(partial / MARK, {"version": VERSION, "run": name, "program": __version__, "base": told})
        files.move(partial, to)
    except OSError as error:
        raise UserError(f"The run could not be packed ({error.strerror}).", "Check the disk.") from error
    finally:
        files.remove_folder(partial)  # what was packed has its name by then
    size = sum(path.stat().st_size for path in to.rglob("*") if path.is_file())
    return {"folder": str(to), "run": name, "bytes": size, "start": "bash start.sh"}


def _here(job: TrainJob, home: Path) -> TrainJob:
    """The order with its pictures copied into another studio, and its base where that studio has it."""
    pictures = []
    for number, one in enumerate(job.pictures, start=1):
        source = Path(one.path)
        if source.is_relative_to(ROOT):  # comes with the program
            pictures.append(one)
            continue
        target = home / "pictures" / source.parent.name / source.name
        if target.exists():
            target = home / "pictures" / f"more-{number:04}" / source.name
        files.copy(source, target)
        files.write_text(target.with_suffix(".txt"), one.caption)
        if one.mask and mask_beside(source).is_file():
            files.copy(mask_beside(source), mask_beside(target))
        pictures.append(one.model_copy(update={"path": str(target)}))
    path = job.base.path if bases.ships_with_the_app(job.base) else str(home / "bases" / Path(job.base.path).name)
    base = job.base.model_copy(update={"path": path})
    places = {"publish_to": str(home / "loras"), "cache": str(home / "cache")}
    return job.model_copy(update={"base": base, "pictures": tuple(pictures), **places})


def _with_base(base: Base, home: Path, copied: bool) -> dict[str, Any]:
    """The reference to a base; its files too, where they are to be `copied`."""
    told = {"key": base.key, "title": base.title, "family": base.family, "place": "", "files": {}}
    if bases.ships_with_the_app(base):
        return told
    path = Path(base.path)
    found = dict(_files_of(path))
    entries = {name: entry_of(file) for name, file in found.items()}
    if copied:
        place = home / "bases" / path.name
        for name, file in found.items():
            files.copy(file, place if path.is_file() else place / name)
    return told | {"place": f"{STUDIO}/bases/{path.name}", "files": entries}


def _files_of(path: Path) -> Iterator[tuple[str, Path]]:
    """The files of a base that are read, by their names within it: of weights one variant, and all that is light."""
    if path.is_file():
        yield path.name, path
        return
    for folder, below, names in os.walk(path):
        place = Path(folder)
        below[:] = sorted(one for one in below if not base_files.is_hidden(place / one))
        held = base_files.weights(place)
        weights = set(held.files) | ({held.index} if held.index else set()) if held else set()
        for file in sorted(place / name for name in names):
            if file in weights or not (base_files.is_hidden(file) or file.suffix.lower() in _HEAVY):
                yield file.relative_to(path).as_posix(), file


def _copy_state(run: Run, task: TaskFolder) -> None:
    """What a run has learnt and said so far."""
    copied = [run.files.events, *sorted(run.files.samples.glob("*.png"))]
    if newest := run.checkpoint():
        copied += sorted(path for path in newest.iterdir() if path.is_file())
    for path in copied:
        if path.is_file() and not path.is_symlink():
            files.copy(path, task.path / path.relative_to(run.folder))


def _copy_program(to: Path) -> None:
    for name in _PROGRAM:
        source = ROOT / name
        found = [source] if source.is_file() else sorted(source.rglob("*"))
        for path in found:
            if path.is_file() and "__pycache__" not in path.parts and not base_files.is_hidden(path):
                files.copy(path, to / path.relative_to(ROOT))


def _texts(base: Base, told: dict[str, Any], run: str, folder: str, with_base: bool) -> dict[str, str]:
    place = f"Put the base {base.title} there as {told['place']}; pack.json lists its files."
    here = f"The base {base.title} is in this folder already."
    step = here if with_base or not told["place"] else place
    return {
        "README.txt": _README.format(base=step, folder=folder, run=run),
        "start.sh": _START.format(run=shlex.quote(run)),  # a folder from a stranger can be called anything
    }
