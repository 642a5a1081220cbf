"""Settings files of other trainers and of ours: sd-scripts, OneTrainer, ai-toolkit, SimpleTuner and more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats.trainers import ai_toolkit, kohya, lycoris, one_trainer, ours, parsing, simple_tuner
from lora_gui.formats.trainers.carried import Carried

READERS: tuple[tuple[Callable[[parsing.Table], bool], Callable[[parsing.Table], Carried]], ...] = (
    (ours.is_it, ours.carried),
    (ai_toolkit.is_it, ai_toolkit.carried),
    (simple_tuner.is_it, simple_tuner.carried),
    (one_trainer.is_it, one_trainer.carried),
    (lycoris.is_it, lycoris.carried),
    (kohya.is_it, kohya.carried),  # the last: it takes what has any of its names
)
KNOWN = "Choose a settings file of kohya's sd-scripts, OneTrainer, ai-toolkit, SimpleTuner, LyCORIS or this app."


def read(path: Path) -> Carried:
    """What a settings file asks for, in our names, and what cannot be carried over.

    Raises UserError where it is no such file, too large, or nested so deep that nobody wrote it.
    """
    try:
        data = files.read_small(path, parsing.LARGEST)
    except FileNotFoundError:
        raise UserError(f"There is no file {path.name}.", KNOWN) from None
    except (OSError, ValueError) as error:
        because = getattr(error, "strerror", None) or "odd name"
        raise UserError(f"{path.name} cannot be read as settings ({because}).", KNOWN) from None
    table = parsing.table(data, path.name)
    for is_it, carried in READERS:
        if is_it(table):
            return carried(table)
    raise UserError(f"{path.name} holds no settings of a training that is known here.", KNOWN)
