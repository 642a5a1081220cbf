"""Take back what a packed run has become on another computer: its LoRA, samples, events and newest checkpoint.

The folder counts as a stranger's: only names that are known are read, no link is followed, all sizes have limits, a
picture is decoded and a LoRA is checked before it counts, and nothing is written outside of this studio.
"""

import os
import re
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

from lora_gui import files
from lora_gui.errors import UserError, shown
from lora_gui.protocol import events
from lora_gui.protocol.jobs import Base
from lora_gui.protocol.task_folder import ADAPTER, LAST, MANIFEST, TaskFolder, placed, step_of
from lora_gui.studio.paths import Studio, new_id
from lora_gui.studio.sandbox.picture_sandbox import Decoder
from lora_gui.studio.tasks.launching import all_runs, starting
from lora_gui.studio.tasks.packing import MARK, STUDIO, entry_of
from lora_gui.studio.tasks.run import Run
from lora_gui.studio.things import bases, loras

NO_PACK = "It has to be a folder that 'pack' made, whole but for program/.venv."
_RUN = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4,5}")
_SAMPLE = re.compile(r"(?:base|final|step-\d{6})-[0-9]\.png")
_CHECKPOINT = re.compile(r"ckpt-\d{6}")
_KEPT = {ADAPTER, "optimizer.safetensors", "state.json"}  # of a checkpoint, beside its manifest
_EVENTS, _PICTURE, _WEIGHTS = 64 << 20, 64 << 20, 16 << 30  # bytes at most
_SAMPLES = 2000  # at most


def take(studio: Studio, folder: Path) -> dict[str, Any]:
    """Take a packed folder back, as far as its run has come. Raises UserError where it is none, or not whole."""
    folder = Path(os.path.abspath(folder))
    folder = folder.parent if folder.name == STUDIO and (folder.parent / MARK).is_file() else folder
    said = files.read_json(_plain(folder, MARK, files.SMALL))
    name = said.get("run") if isinstance(said, dict) else None
    if not isinstance(name, str) or not _RUN.fullmatch(name):
        raise UserError(f"{folder.name} is no packed run.", NO_PACK)
    with starting(studio):
        files.make_folder(studio.runs)
        return _Taking(studio, folder, name).done()


class _Taking:
    """One run that is being taken back."""

    def __init__(self, studio: Studio, folder: Path, name: str) -> None:
        self._studio, self._folder, self._name = studio, folder, name
        self._place = f"{STUDIO}/runs/{name}"
        self._said = _plain(folder, f"{self._place}/events.jsonl", _EVENTS).read_bytes()
        self._left: list[str] = []  # names of what was not taken
        self._notes: list[str] = []  # sentences about its base
        self.run = self._own()

    def done(self) -> dict[str, Any]:
        samples, checkpoint = self._samples(), self._checkpoint()
        said = self._events()
        lora = self._published(said)
        if not said or not isinstance(said[-1], events.Last):
            what = "It had not ended on the other computer when it was taken back."
            said.append(events.Paused(self.run.files.reached(), what, "Resume it to go on here."))
        self._write(said)
        told = {"run": str(self.run.folder), "lora": lora, "samples": samples, "checkpoint": checkpoint}
        return told | {"left": self._left, "notes": self._notes}

    def _published(self, said: list[events.Event]) -> str:
        """The path here of the LoRA that was published last, put into its event; earlier ones are not looked for."""
        lora = ""
        for n in range(len(said) - 1, -1, -1):
            event = said[n]
            if isinstance(event, events.Done):  # how long it took there tells nothing of this computer
                said[n] = replace(event, lora=lora or self._lora(event), seconds=0.0)
            elif isinstance(event, events.Stopped) and event.lora:
                said[n] = replace(event, lora=lora or self._lora(event))
            else:
                continue
            lora = lora or said[n].lora  # type: ignore[union-attr]
        return lora

    def _own(self) -> Run:
        """The run it belongs to: the one it was packed from, where that has not gone on by itself; else a new one."""
        for known in all_runs(self._studio):
            if known.files.read_started().get("taken") == self._name and not known.lives():
                return known  # taken before, and nothing was done with it since
        run = Run(self._studio.runs / self._name)
        if run.folder.is_dir():
            if run.lives():
                raise UserError("This run is going on here, too.", "Pause it first, then take the other one back.")
            own = run.files.events.read_bytes() if run.files.events.is_file() else b""
            lines = [line for line in own.splitlines() if b'"Packed into ' not in line]
            if run.files.job.is_file() and lines == self._said.splitlines()[: len(lines)]:
                return run
            run = Run(self._studio.runs / new_id(self._studio.runs))
        theirs = TaskFolder(self._folder / self._place)
        _plain(self._folder, f"{self._place}/job.json", 50_000_000)
        job = theirs.read_job()
        pictures = tuple(
            one.model_copy(update={"path": one.path.replace(str(theirs.studio), str(self._studio.home))})
            for one in job.pictures
        )
        places = {"publish_to": str(self._studio.loras), "cache": str(self._studio.cache)}
        base = self._base(job.base.path.replace(str(theirs.studio), str(self._studio.home)), job.base)
        run.files.write_job(job.model_copy(update={"base": base, "pictures": pictures, **places}))
        return run

    def _base(self, path: str, there: Base) -> Base:
        """The base at a path here; else the one of this studio that is called as it was there."""
        if os.path.exists(path):
            return there.model_copy(update={"path": path, "parts": {}})  # where they lay there says nothing of here
        alike = (one for one in bases.list_bases(self._studio) if (one.key, one.family) == (there.key, there.family))
        if found := next(alike, None):
            self._notes.append(f"Here it goes on with the base {found.key}, in {found.path}.")
            return found
        place = shown(path, 200)
        self._notes.append(f"The base {shown(there.key)} is not here. To go on on this computer, put it at {place}.")
        return there.model_copy(update={"path": path, "parts": {}})

    def _samples(self) -> int:
        source, taken = self._folder / self._place / "samples", 0
        names = sorted(one.name for one in source.iterdir()) if _is_folder(source) else []
        with Decoder() as decoder:
            for name in names[:_SAMPLES]:
                staged = files.half_made(self.run.files.samples / name)
                try:
                    if not _SAMPLE.fullmatch(name):
                        raise UserError(f"{name} is no sample.", "")
                    files.copy(_plain(self._folder, f"{self._place}/samples/{name}", _PICTURE), staged)
                    decoder.decode(staged)
                    files.move(staged, self.run.files.samples / name)
                    taken += 1
                except UserError:
                    self._left.append(f"samples/{name}"[:100])
                    files.remove(staged)
        return taken

    def _checkpoint(self) -> int:
        """The step of the newest whole checkpoint, which the run can go on from here; 0 where there is none."""
        source = self._folder / self._place / "checkpoints"
        names = sorted((one.name for one in source.iterdir()), reverse=True) if _is_folder(source) else []
        for name in filter(_CHECKPOINT.fullmatch, names):
            target = self.run.files.checkpoints / name
            if target.is_dir():
                return step_of(target)
            staged = files.half_made(target)
            try:
                self._copy_checkpoint(f"{self._place}/checkpoints/{name}", staged)
                files.move(staged, target)
                return step_of(target)
            except UserError:
                self._left.append(f"checkpoints/{name}")
                files.remove_folder(staged)
        return 0

    def _copy_checkpoint(self, place: str, staged: Path) -> None:
        """Raises UserError where it is not exactly what its manifest says."""
        manifest = files.read_json(_plain(self._folder, f"{place}/{MANIFEST}", files.SMALL))
        if not isinstance(manifest, dict) or set(manifest) - {LAST} != _KEPT:
            raise UserError("A checkpoint is damaged.", NO_PACK)
        for name in sorted(manifest):
            files.copy(_plain(self._folder, f"{place}/{name}", _WEIGHTS), staged / name)
            if manifest[name] != entry_of(staged / name):
                raise UserError("A checkpoint is damaged.", NO_PACK)
        loras.describe(staged / ADAPTER)
        files.write_json(staged / MANIFEST, manifest)

    def _events(self) -> list[events.Event]:
        """What was said, with paths of this studio; of files that were not taken nothing is said."""
        lines = self._said.decode("utf-8", errors="replace").split("\n")
        found: list[events.Event] = []
        for event in map(events.from_line, lines):
            if event is None or isinstance(event, events.Preview | events.Drawn | events.Planned):
                continue
            if isinstance(event, events.Sample):
                path = self.run.files.samples / _last(event.path)
                if not _SAMPLE.fullmatch(path.name) or not path.is_file():
                    continue
                event = replace(event, path=str(path))
            elif isinstance(event, events.Saved):
                event = replace(event, path=str(self.run.files.checkpoint(event.step)))
            found.append(event)
        return found

    def _lora(self, event: events.Done | events.Stopped) -> str:
        """Import the LoRA that the run has published; its path here. Raises UserError where it is not whole."""
        name = _last(event.lora)
        source = _plain(self._folder, f"{STUDIO}/loras/{name}", _WEIGHTS)
        staged = files.half_made(self._studio.loras / name) / name
        try:
            files.copy(source, staged)
            digest = files.sha256(staged)
            if digest != event.sha256:
                raise UserError(f"{name} is not the LoRA that the run has published.", "Copy the folder back again.")
            for path in loras.lying_in(self._studio.loras):  # it was taken before
                if path.is_file() and path.stat().st_size == staged.stat().st_size and files.sha256(path) == digest:
                    return str(path)
            return str(loras.import_lora(self._studio, staged).path)
        finally:
            files.remove_folder(staged.parent)

    def _write(self, said: list[events.Event]) -> None:
        """Last of all, so that a run that was half taken back is taken again."""
        task = self.run.files
        task.clear()
        lines = [events.to_line(events.relocated(one, lambda path: placed(path, task.studio))) for one in said]
        files.write_bytes(task.events, "".join(f"{line}\n" for line in lines).encode("utf-8", errors="replace"))
        files.write_json(task.started, task.start_note() | {"in": True, "taken": self._name})


def _plain(folder: Path, place: str, most: int) -> Path:
    """A file within a folder. Raises UserError where it, or a folder on the way, is missing, a link or too large."""
    path = folder
    for part in Path(place).parts:
        path = path / part
        if part in ("..", ".") or os.path.islink(path):  # which a name too long for a disk is not either
            raise UserError(f"{part} in {folder.name} is a link, which may lead to other places.", NO_PACK)
    try:
        found = path.lstat()
    except (OSError, ValueError):
        raise UserError(f"{place[:200]} is missing in {folder.name}.", NO_PACK) from None
    if not stat.S_ISREG(found.st_mode) or found.st_size > most:
        raise UserError(f"{place[:200]} in {folder.name} is no file, or too large.", NO_PACK)
    return path


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not any(one.is_symlink() for one in (path, path.parent))


def _last(path: str) -> str:
    """The name at the end of a path of any system, plain."""
    name = re.split(r"[/\\]", path)[-1]
    return name if name and not name.startswith(".") and "\0" not in name and len(name) < 200 else "unnamed"

