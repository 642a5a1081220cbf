"""Turn what the libraries raise for an incomplete base into one sentence for the user."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from lora_gui import drive
from lora_gui.errors import UserError
from lora_gui.formats import all_tensors
from lora_gui.protocol.jobs import Base


@contextmanager
def opening(base: Base) -> Iterator[None]:
    """Around the loading of parts of a base. Raises UserError where one is missing or damaged, or the disk is full."""
    try:
        yield
    except (OSError, ValueError, SafetensorError) as error:
        if drive.is_full(error):  # of what is written on the way, such as a log or an unpacked copy
            raise drive.DiskFullError(*drive.FULL) from error
        if getattr(error, "errno", None) == errno.ENOMEM:
            raise
        raise UserError(
            f"{base.title} cannot be opened: a part of it is missing or damaged.", "Download or add this base again."
        ) from error


def require_text(folder: Path, title: str) -> None:
    """Raises UserError where the libraries cannot open a folder because bytes of its path are no letters."""
    if not all_tensors.is_text(folder):
        what = f"{title} cannot be opened: the path of its folder holds bytes that are no letters."
        raise UserError(what, "Rename the folder that has them, in plain letters, and try again.")
