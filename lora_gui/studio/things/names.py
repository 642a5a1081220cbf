"""Names and captions as people type them: checked, and turned into what is safe to store."""

import errno
import re
import unicodedata
from pathlib import Path

from charset_normalizer import from_bytes

from lora_gui import files
from lora_gui.errors import UserError, shown
from lora_gui.protocol.jobs import DEVICES, LONGEST_NAME

LONGEST_CAPTION = 64_000  # bytes
JOINERS = "\u200c\u200d"  # zero-width: they shape words of Persian and Indic scripts and hold some emoji together


def check_name(name: str) -> str:
    """The file name, without suffix, under which a LoRA called `name` is stored: a-z, digits, - _ and dots.

    Accents are dropped and spaces become `-`. Raises UserError where it cannot be stored safely, naming one that can.
    """
    typed = re.sub(r"\.safetensors\s*$", "", unicodedata.normalize("NFC", name), flags=re.IGNORECASE).strip()
    if not typed:
        raise UserError("The name is empty.", "Type a name for the LoRA, such as my-style.")
    plain = unicodedata.normalize("NFKD", typed).encode("ascii", "ignore").decode()
    better = _suggestion(plain)
    if "/" in typed or "\\" in typed or ".." in typed or ":" in typed:
        raise UserError(f"The name {shown(typed)} looks like a path.", f"Use a plain name such as {better}.")
    if {one.split(".")[0].strip().casefold() for one in (typed, plain)} & DEVICES:
        raise UserError(
            f"Windows keeps the name {shown(typed)} for itself.", f"Use another name, such as {safe_name(typed)}."
        )
    if typed.startswith(".") or typed.endswith("."):
        raise UserError(f"The name {shown(typed)} begins or ends with a dot.", f"Use a plain name such as {better}.")
    lost = _lost(typed)
    if lost or not re.fullmatch(r"[\w .\-]+", plain):
        odd = (lost or re.findall(r"[^\w .\-]", plain))[0]
        sign = f"the sign {odd!r}" if odd.isprintable() else "a sign that cannot be seen"
        raise UserError(
            f"The name {shown(typed)} holds {sign}, which not every program can open.",
            f"Use a-z, 0-9, - and _, such as {better}.",
        )
    if len(plain) > LONGEST_NAME:
        raise UserError(f"The name is {len(plain)} characters long.", f"Use at most {LONGEST_NAME}, such as {better}.")
    return re.sub(r"\s+", "-", plain).lower()


def safe_name(name: str) -> str:
    """A name that `check_name` accepts, made from any text."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    found = _suggestion(plain)
    first = found.split(".")[0]
    return f"{first}-lora" if first in DEVICES else found


def called(name: str, here: str) -> str:
    """That what is called `name` elsewhere is called `here`, where letters of the name were lost; else nothing."""
    return f"{shown(name)} is called {here} here: names keep a-z, digits, - and _." if _lost(name) else ""


def read_lines(path: Path) -> tuple[str, ...]:
    """The lines of a caption file, in whatever encoding it is, that say something. Raises UserError if no text."""
    return tuple(line for one in _read(path).splitlines() if (line := clean_caption(one)))


def _read(path: Path) -> str:
    try:
        data = files.read_small(path, LONGEST_CAPTION)
    except (OSError, ValueError) as error:
        if getattr(error, "errno", 0) == errno.EFBIG:
            raise UserError(f"{path.name} is too long for a caption.", "Shorten it to a sentence or two.") from None
        reason = getattr(error, "strerror", None) or "odd name"
        raise UserError(f"{path.name} could not be read ({reason}).", "The picture is used without it.") from None
    text = decoded(data)
    if "\0" in text:
        raise UserError(f"{path.name} is not a text file.", "Write the caption as plain text.")
    return text


def clean_caption(text: str) -> str:
    """One line, NFC, without signs that cannot be seen."""
    line = " ".join(unicodedata.normalize("NFC", text).split())
    return "".join(c for c in line if c.isprintable() or c in JOINERS)


def decoded(data: bytes) -> str:
    """The text of a text file in whatever encoding it is: Unicode where it says so or fits, else what is likeliest."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    return data.decode(encoding(data), errors="replace")


def encoding(data: bytes, western: str = "cp1252", russian: str = "cp1251") -> str:
    """In which 8-bit encoding a text is: UTF-8 where that fits, else what is likeliest."""
    try:
        data.decode("utf-8-sig")
        return "utf-8-sig"
    except UnicodeDecodeError:
        pass
    if sum(byte > 127 for byte in data) * 4 < len(data):  # a few accents among plain letters
        return western
    if _is_japanese(data):
        return "cp932"
    best = from_bytes(
        data, cp_isolation=["gb18030", "big5", "cp949", "euc_jp", russian, "cp1253", "cp1255", "cp1256"]
    ).best()
    return best.encoding if best else western


def _is_japanese(data: bytes) -> bool:
    """Whether it is Shift JIS by its kana, or by kanji that begin with bytes which others have for rare signs only."""
    text = data.decode("cp932", errors="replace")
    if "\ufffd" in text or re.search("[\u3041-\u30ff]", text):
        return "\ufffd" not in text
    kanji = [sign.encode("cp932", "replace") for sign in text if "\u4e00" <= sign <= "\u9fff"]
    common = sum(sign[0] < 0xA0 for sign in kanji)
    return 2 * common > len(kanji) and not re.search("[\uff61-\uff9f]", text)  # half-width, which nobody types


def _lost(name: str) -> list[str]:
    """The signs of which a name that can be stored keeps nothing."""
    composed = unicodedata.normalize("NFC", name)
    return [c for c in composed if not unicodedata.normalize("NFKD", c).encode("ascii", "ignore")]


def _suggestion(plain: str) -> str:
    found = re.sub(r"[^a-z0-9_.]+", "-", plain.lower())
    return re.sub(r"\.+", ".", found).strip("-._")[:LONGEST_NAME].strip("-._") or "my-lora"
