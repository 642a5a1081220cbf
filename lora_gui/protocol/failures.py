"""Errors that nobody foresaw, in plain words."""

import errno
from pathlib import Path

from lora_gui import drive

# What runtimes say when memory ran out, in lower case; "not allocated yet" and the like are something else.
_OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory",
                  "invalid buffer size")  # fmt: skip  # the last of a Mac's card


def in_plain_words(error: Exception) -> tuple[str, str, str]:
    """What went wrong, what to do, and the cause that a retry can mend, for an error that nobody foresaw."""
    text = f"{type(error).__name__}: {error}".lower()
    no_memory = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
    if no_memory or (isinstance(error, RuntimeError) and any(words in text for words in _OUT_OF_MEMORY)):
        return (
            "This computer ran out of memory.",
            "Close other programs, or choose a smaller resolution, batch size or size of drawing.",
            "memory",
        )
    if drive.is_full(error):
        return *drive.FULL, ""
    if isinstance(error, OSError) and error.filename:
        name = Path(error.filename).name
        return f"{name} could not be read.", "Check that it is there and whole, then try again.", ""
    return "Something went wrong that was not foreseen.", "Open the log to see what; trying again may help.", ""
