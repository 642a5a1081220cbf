"""Check my studio: read every run, LoRA, picture set and drawing again, say what is damaged, and change nothing."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats.header import all_finite, read_header
from lora_gui.protocol.task_folder import MANIFEST
from lora_gui.studio.paths import Studio
from lora_gui.studio.sandbox.picture_decode import DAMAGED
from lora_gui.studio.tasks.run import QUEUE, Run, queued
from lora_gui.studio.tasks.status import RunStatus, ended
from lora_gui.studio.things import bases, drawings, loras, picture_index, pictures, presets
from lora_gui.studio.things.names import read_lines

PNG_END = b"\0\0\0\0IEND\xaeB`\x82"  # its last part and that part's checksum

Thing = tuple[Path, Callable[[], None]]  # and what raises where it is damaged


def verify(studio: Studio) -> dict[str, Any]:
    """Check everything; `{"checked": how many, "wrong": [{"path", "what", "remedy"}]}`."""
    checked, wrong = 0, []
    for path, check in _everything(studio):
        try:
            check()
        except UserError as error:
            wrong.append({"path": str(path), "what": error.what, "remedy": error.remedy})
        except files.STRANGE as error:
            what = f"{path.name} could not be read ({getattr(error, 'strerror', None) or 'damaged'})."
            wrong.append({"path": str(path), "what": what, "remedy": "Check the disk, or take it from a backup."})
        checked += 1
    return {"checked": checked, "wrong": wrong}


def _everything(studio: Studio) -> Iterator[Thing]:
    """Every single thing of the user's; where a folder cannot be listed, the folder is what is wrong."""
    for folder in sorted(path for path in studio.runs.glob("*") if path.is_dir() and not path.name.startswith(".")):
        yield from _listed(folder, _of_run(Run(folder)))
    if os.path.lexists(studio.runs / QUEUE):
        yield studio.runs / QUEUE, partial(_queue, studio)
    yield from _listed(studio.loras, _of_loras(studio.loras))
    for folder in pictures.picture_sets(studio):
        yield folder / picture_index.FILE, partial(picture_index.check, folder)
        for path in sorted(folder.glob("[0-9]*.png")):
            again = "add the picture again" if path.stem.isdecimal() else "put the mask on its picture again"
            yield path, partial(_picture, path, f"Delete it, and {again}.")
            if path.stem.isdecimal():
                yield path.with_suffix(".txt"), partial(_caption, path.with_suffix(".txt"))
    for path in _pngs(studio.drawings.rglob("*.png")):
        yield path, partial(_drawing, path)
    for path, why in bases.passed_over(studio):
        if path.is_relative_to(studio.bases):  # those of other programs are theirs
            yield path, partial(_say, why)
    for preset in presets.presets(studio).values():
        yield preset.path, partial(_preset, preset.path, studio)


def _listed(folder: Path, things: Iterable[Thing]) -> Iterator[Thing]:
    """The things in a folder, and the folder itself as one that is wrong where they cannot be listed."""
    try:
        yield from things
    except files.STRANGE as error:
        yield folder, partial(_say, error)


def _of_run(run: Run) -> Iterator[Thing]:
    yield run.files.job, partial(_order, run)
    status = run.status()
    if status.lora and os.path.isfile(status.lora):
        yield Path(status.lora), partial(_published, Path(status.lora), status.sha256)
    if os.path.lexists(run.files.result) and status.ended and not run.lives():
        yield run.files.result, partial(_result, run, status)
    for folder in sorted(run.files.checkpoints.glob("ckpt-*[0-9]")):
        manifest = files.read_json(folder / MANIFEST)
        for name in manifest if isinstance(manifest, dict) and manifest else (MANIFEST,):
            yield folder / name, partial(_checkpoint, folder, name)
    for path in _pngs(run.files.samples.glob("*.png")):
        yield path, partial(_picture, path, "Delete it; resuming the run draws it again where it still can.")


def _pngs(found: Iterable[Path]) -> list[Path]:
    """Without what macOS puts beside others on drives that are not its own, `._x.png`, which is no picture."""
    return sorted(path for path in found if not path.name.startswith("."))


def _of_loras(folder: Path) -> Iterator[Thing]:
    for path in loras.lying_in(folder):
        yield path, partial(_lora, path)


def _say(error: Exception) -> None:
    raise error


def _preset(path: Path, studio: Studio) -> None:
    presets.read(path, studio)


def _queue(studio: Studio) -> None:
    """The list of waiting runs is readable, and the runs are there."""
    said = files.read_json(studio.runs / QUEUE)
    order = said.get("order") if isinstance(said, dict) else None
    if not isinstance(order, list) or queued(studio.runs) != order:
        raise UserError("The list of the runs that wait is damaged.", "Queue them again; they themselves are whole.")
    for name in order:
        if not (studio.runs / name).is_dir():
            raise UserError(f"The run {name} waits for its turn and is not there.", "Take it out of the queue.")


def _result(run: Run, status: RunStatus) -> None:
    """The short result says what the run said at its end; of one that died without a word, that it did."""
    found = run.files.read_result()
    short = ended(RunStatus(of=found[1].of, first=found[1].first), found[0]) if found else RunStatus()
    told = ("state", "of", "first", "step", "lora", "sha256", "seconds", "what", "remedy")
    same = told[:1] if status.state == "failed" else told
    if any(getattr(short, name) != getattr(status, name) for name in same):
        what = f"The short result of the run {run.folder.name} is damaged."
        raise UserError(what, f"Delete {run.files.result.name} in its folder; it is written anew.")


def _order(run: Run) -> None:
    """What was ordered is readable and is what its child was started with."""
    if run.job and not run.is_as_ordered():
        raise UserError(f"What the run {run.folder.name} was asked to do was changed.", "Start a new one.")


def _published(path: Path, sha256: str) -> None:
    if files.sha256(path) != sha256:
        raise UserError(
            f"{path.name} is not what the run saved.", "Delete it; resuming or extending the run saves it again."
        )


def _checkpoint(folder: Path, name: str) -> None:
    manifest, path = files.read_json(folder / MANIFEST), folder / name
    entry = manifest.get(name) if isinstance(manifest, dict) else None
    step = folder.name.removeprefix("ckpt-").lstrip("0")
    if (
        not isinstance(entry, dict)
        or not path.is_file()
        or {"size": path.stat().st_size, "sha256": files.sha256(path)} != entry
    ):
        raise UserError(
            f"{name} of the checkpoint of step {step} is damaged.",
            "Nothing to do: the run goes on from the one before by itself.",
        )


def _lora(path: Path) -> None:
    """The header is sound, every value is finite, and the sum in the header is that of the values."""
    loras.describe(path)
    header = read_header(path)
    if not all_finite(path, header):
        raise UserError(f"{path.name} holds values that are not numbers.", "Delete it, or get it again.")
    ours = any(key.startswith("lora_studio.") for key in header.metadata)  # other programs' sums are often wrong
    if ours and header.metadata.get("sshs_model_hash") != _sum_of_values(path):
        raise UserError(f"{path.name} is damaged.", "Delete it, and train or import it again.")


def _sum_of_values(path: Path) -> str:
    """sha256 of what follows the header, as sd-scripts' sshs_model_hash has it."""
    with open(path, "rb") as file:
        file.seek(8 + int.from_bytes(file.read(8), "little"))
        return hashlib.file_digest(file, "sha256").hexdigest()


def _caption(path: Path) -> None:
    if os.path.lexists(path):
        read_lines(path)


def _drawing(path: Path) -> None:
    _picture(path, "Delete it, and draw it again.")
    if not drawings.is_ours(path):
        what = f"{path.name} is a link, or a file that also lies elsewhere, so the window does not show it."
        raise UserError(what, "Put a copy in its place.")


def _picture(path: Path, remedy: str) -> None:
    """A PNG carries a checksum for every part of it; all are checked, and that it ends where it should."""
    if not (path.is_file() and _is_whole(path)):  # a pipe would be waited for
        raise UserError(f"The picture {path.name} is damaged.", remedy)


def _is_whole(png: Path) -> bool:
    try:
        with Image.open(png, formats=("PNG",)) as image:
            image.verify()
        with open(png, "rb") as file:
            file.seek(-len(PNG_END), os.SEEK_END)
            return file.read() == PNG_END
    except DAMAGED:
        return False
