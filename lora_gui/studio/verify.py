"""Check my studio: read every run, LoRA, picture set and drawing again, say what is damaged, and change nothing."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats.header import all_finite, read_header
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.runs import Run, all_runs
from lora_gui.studio.things import loras, picture_index, pictures
from lora_gui.studio.things.names import read_text

PNG_END = b"\0\0\0\0IEND\xaeB`\x82"  # its last part and that part's checksum


@dataclass(frozen=True)
class Wrong:
    """One thing that is not as it was made."""

    path: str
    what: str
    remedy: str


def verify(studio: Studio) -> dict[str, Any]:
    """Check everything; `{"checked": how many, "wrong": [{"path", "what", "remedy"}]}`."""
    checked, wrong = 0, []
    for path, check in _everything(studio):
        try:
            check()
        except UserError as error:
            wrong.append(asdict(Wrong(str(path), error.what, error.remedy)))
        except OSError as error:
            what = f"{path.name} could not be read ({error.strerror or 'damaged'})."
            wrong.append(asdict(Wrong(str(path), what, "Check the disk, or take it from a backup.")))
        checked += 1
    return {"checked": checked, "wrong": wrong}


def _everything(studio: Studio) -> Iterator[tuple[Path, Callable[[], None]]]:
    """Every single thing, and what raises where it is damaged."""
    for run in all_runs(studio):
        yield from _of_run(run)
    for path in sorted(studio.loras.glob("*.safetensors")):
        if not path.name.startswith("."):
            yield path, partial(_lora, path)
    for folder in pictures.picture_sets(studio):
        yield folder / "set.json", partial(picture_index.check, folder)
        for path in sorted(folder.glob("[0-9]*.png")):
            yield path, partial(_picture, path, "Delete it, and add the picture again.")
            yield path.with_suffix(".txt"), partial(_caption, path.with_suffix(".txt"))
    for path in sorted(studio.drawings.rglob("*.png")):
        yield path, partial(_picture, path, "Delete it, and draw it again.")


def _of_run(run: Run) -> Iterator[tuple[Path, Callable[[], None]]]:
    yield run.folder / "job.json", partial(_order, run)
    status = run.status()
    if status.lora and Path(status.lora).exists():
        yield Path(status.lora), partial(_published, Path(status.lora), status.sha256)
    for folder in sorted(run.folder.glob("checkpoints/ckpt-*[0-9]")):
        manifest = files.read_json(folder / "MANIFEST.json")
        for name in manifest if isinstance(manifest, dict) and manifest else ("MANIFEST.json",):
            yield folder / name, partial(_checkpoint, folder, name)
    for path in sorted(run.folder.glob("samples/*.png")):
        yield path, partial(_picture, path, "Delete it; resuming the run draws it again where it still can.")


def _order(run: Run) -> None:
    """What was ordered is readable and is what its child was started with."""
    if run.job and not run.is_as_ordered():
        raise UserError(f"What the run {run.folder.name} was asked to do was changed.", "Start a new one.")


def _published(path: Path, sha256: str) -> None:
    if files.sha256(path) != sha256:
        raise UserError(
            f"{path.name} is not what the run published.", "Delete it; resuming or extending the run publishes again."
        )


def _checkpoint(folder: Path, name: str) -> None:
    manifest, path = files.read_json(folder / "MANIFEST.json"), folder / name
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
    """The header is sound, every value is a number, and the values are those the header's own sum was made of."""
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
    if path.exists():
        read_text(path)


def _picture(path: Path, remedy: str) -> None:
    """A PNG carries a checksum for every part of it; all are checked, and that it ends where it should."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            image.verify()
        with open(path, "rb") as file:
            file.seek(-len(PNG_END), os.SEEK_END)
            whole = file.read() == PNG_END
    except (OSError, SyntaxError, ValueError):
        whole = False
    if not whole:
        raise UserError(f"The picture {path.name} is damaged.", remedy)
