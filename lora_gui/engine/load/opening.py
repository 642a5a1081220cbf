"""Turn what the libraries raise for an incomplete base into one sentence for the user."""

from collections.abc import Iterator
from contextlib import contextmanager

from safetensors import SafetensorError

from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Base


@contextmanager
def opening(base: Base) -> Iterator[None]:
    """Around the loading of parts of a base. Raises UserError where one is missing or damaged."""
    try:
        yield
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(
            f"{base.title} cannot be opened: a part of it is missing or damaged.", "Download or add this base again."
        ) from error
