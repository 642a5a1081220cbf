"""Say what a file is by its beginning that is called .safetensors and is none: a web page, a pointer, an archive."""

from lora_gui.errors import UserError

ENOUGH = 512  # bytes of the beginning
_AGAIN = "Download the file itself; its page may want you to log in or to accept a licence first."
_UNPACK = "Unpack it, and use what is in it."
_BEGINNINGS = (  # lower case, what that is, what helps
    (b"version https:", "is a pointer of Git LFS, not the file itself", "Run git lfs pull, or download it."),
    (b"<!doctype", "is a web page that was saved under this name", _AGAIN),
    (b"<html", "is a web page that was saved under this name", _AGAIN),
    (b"<?xml", "is a web page that was saved under this name", _AGAIN),
    (b"<head", "is a web page that was saved under this name", _AGAIN),
    (b"gguf", "is in the GGUF format, which is not read here", "Get it as .safetensors."),
    (b"7z\xbc\xaf", "is an archive", _UNPACK),
    (b"rar!", "is an archive", _UNPACK),
    (b"\x1f\x8b", "is an archive", _UNPACK),
)


def refuse(beginning: bytes, name: str) -> None:
    """Raises UserError where the first bytes of the file called `name` are those of something else."""
    if not beginning:
        raise UserError(f"{name} is empty, not a whole .safetensors file.", _AGAIN)
    if not beginning.strip(b"\0"):
        raise UserError(f"{name} begins with nothing but zeros: its download was cut off.", "Download it again.")
    text = beginning.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for start, what, remedy in _BEGINNINGS:
        if text.startswith(start):
            raise UserError(f"{name} {what}.", remedy)
    words = beginning.decode("ascii", "replace")
    if len(words) > 8 and all(letter.isprintable() or letter.isspace() for letter in words) and "\ufffd" not in words:
        raise UserError(f"{name} holds a text instead of weights: {' '.join(words.split())[:60]!r}.", _AGAIN)
