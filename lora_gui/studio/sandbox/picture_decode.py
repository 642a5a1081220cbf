"""Turn one picture file of a stranger into upright RGB pixels, or say in a sentence why not.

Everything is decided by content, never by suffix. Only the child of `picture_sandbox` runs it: what it reads may be
hostile.
"""

import io
import stat
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from lora_gui.errors import UserError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")  # HEIF only where a reader for it is registered
LARGEST_FILE = 300_000_000  # bytes
LARGEST_PICTURE = 89_000_000  # pixels, below the limit from which Pillow warns
KEPT = 2048 * 2048 * 5 // 4  # pixels of what is kept: the highest resolution, and a fifth to crop
_LONG = 8  # longer side by the shorter, beyond which more is cropped
SMALLEST_SIDE = 64  # px, the smallest resolution that can be trained
SAVE_AS_PNG = "Open it in a picture program and save it as PNG."
# What Pillow's readers are known to raise on damaged files.
DAMAGED = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    OverflowError,
    struct.error,
    MemoryError,
    Image.DecompressionBombError,
)
GPS, _ORIENTATION = 0x8825, 0x0112  # EXIF tags
GROUND = "white"  # what transparency is composited on, unless told otherwise
_SIDEWAYS = range(5, 9)  # orientations that change width and height
# The only reader of JPEG XL that there is for Pillow comes under the GPL, which this program cannot ship.
_JPEG_XL = ("in the format JPEG XL, which this app does not read", "Export it as PNG.")
# first bytes -> what the file is
OTHERS = {
    b"PK\x03\x04": ("a zip archive", "Unpack it and drop the folder."),
    b"Rar!": ("a rar archive", "Unpack it and drop the folder."),
    b"7z\xbc\xaf": ("a 7z archive", "Unpack it and drop the folder."),
    b"%PDF": ("a PDF", "Export its pages as PNG."),
    b"%!PS": ("a PostScript drawing", "Export it as PNG."),
    b"8BPS": ("a Photoshop file", "Export it as PNG."),
    b"\x1aE\xdf\xa3": ("a video", "Save single pictures from it as PNG."),
    b"\xff\x0a": _JPEG_XL,
    b"\0\0\0\x0cJXL ": _JPEG_XL,
}
HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevx", b"mif1", b"msf1"}


class Opened(NamedTuple):
    """A picture, upright and RGB; what was done to it, in words; and what its file says of it."""

    picture: Image.Image
    notes: list[str]
    size: tuple[int, int]  # px, upright, where the picture is a smaller one than the file has
    tables: dict[int, list[int]]  # of JPEG, by which it was quantised
    alpha: Image.Image | None = None  # grey, where it is transparent in places and not all over


def opened(path: Path, ground: str = GROUND, side: int = 0, least: int = SMALLEST_SIDE) -> Opened:
    """The picture, upright and RGB; what is transparent is composited on `ground`. With a `side` it may be as small as
    that many px, where its format has smaller ones to read. Raises UserError where it cannot be used, or a side has
    less than `least` px.
    """
    weight = _size(path)
    if weight == 0:
        raise UserError(f"{path.name} is empty.", "Copy it again from where it came.")
    if weight > LARGEST_FILE:
        raise UserError(f"{path.name} is larger than {LARGEST_FILE // 1_000_000} MB.", "Save a smaller version of it.")
    readable()
    try:
        with Image.open(path, formats=[kind for kind in FORMATS if kind in Image.OPEN]) as image:
            _check_size(image, path.name, least)
            size, tables = image.size, getattr(image, "quantization", {})
            if side and image.format == "JPEG":
                image.draft(None, (side, side))
            frames = getattr(image, "n_frames", 1)  # before it is loaded: a TIFF that is asked later is not any more
            image.load()
            gps = GPS in image.getexif()
            orientation = image.getexif().get(_ORIENTATION, 1)
            upright = image if orientation == 1 else ImageOps.exif_transpose(image)
            turned = orientation in _SIDEWAYS
            picture, notes, alpha = _to_rgb(upright, path.name, ground)
    except UnidentifiedImageError:
        raise _not_a_picture(path) from None
    except Image.DecompressionBombError:
        raise _too_large(path.name) from None
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno:  # of the system, not of Pillow: forbidden, or a disk that fails
            raise _unreadable(path, error) from None
        raise UserError(f"{path.name} is damaged or only half there.", "Copy it again from where it came.") from None
    if frames > 1:
        notes.append(f"{path.name} holds {frames} pictures; only the first is used.")
    if gps:
        notes.append(f"{path.name} says where it was taken; the copy in your studio does not.")
    return Opened(picture, notes, size[::-1] if turned else size, dict(tables or {}), alpha)


def kept(picture: Image.Image) -> Image.Image:
    """The picture, or a smaller one where it has more pixels than are ever learnt, however it is cropped."""
    long, short = max(picture.size), min(picture.size)
    scale = (KEPT / (long * short)) ** 0.5
    if scale >= 1 or long > _LONG * short:
        return picture
    size = round(picture.width * scale), round(picture.height * scale)
    return picture.resize(size, Image.Resampling.BICUBIC)


def mask(alpha: Image.Image, size: tuple[int, int]) -> bytes:
    """A picture's transparency as the mask that it is, a grey PNG of this size."""
    data = io.BytesIO()
    (alpha if alpha.size == size else alpha.resize(size, Image.Resampling.BOX)).save(data, "PNG", compress_level=1)
    return data.getvalue()


def readable() -> None:
    """Let Pillow know every format that can be read here."""
    Image.init()
    try:
        import pi_heif
    except ImportError:  # a computer for which there is no wheel of it
        return
    pi_heif.register_heif_opener()


def _size(path: Path) -> int:
    """Bytes of a regular file; a pipe or a device is never opened, since reading it may not end."""
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path.name} is not a file.", "Drop PNG, JPEG or WebP pictures.")
    return found.st_size


def _unreadable(path: Path, error: OSError | ValueError) -> UserError:
    """What the system does not give; whether it is a picture, and a whole one, is not known then."""
    reason = getattr(error, "strerror", None) or "odd name"
    remedy = "Check that you may read it." if isinstance(error, PermissionError) else "Check that it is still there."
    return UserError(f"{path.name} could not be read ({reason}).", remedy)


def _check_size(image: Image.Image, name: str, least: int) -> None:
    if image.width * image.height > LARGEST_PICTURE:
        raise _too_large(name)
    if min(image.size) < least:
        raise UserError(
            f"{name} is only {image.width} x {image.height} pixels.",
            f"Use pictures of at least {least} pixels on each side.",
        )


def _too_large(name: str) -> UserError:
    return UserError(
        f"{name} has more than {LARGEST_PICTURE // 1_000_000} million pixels.", "Save a smaller version of it."
    )


def _to_rgb(image: Image.Image, name: str, ground: str) -> tuple[Image.Image, list[str], Image.Image | None]:
    """8-bit sRGB without metadata: alpha composited on `ground`, ICC profile applied, higher bit depths scaled; and
    the alpha, where there is any."""
    notes: list[str] = []
    alpha = None
    if image.mode.startswith("I") or image.mode == "F":
        return _grey(image), notes, None
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image, found = _composited(image, ground)
        least, most = found.getextrema()
        alpha = found if most == 255 and least != 255 else None
        if most == 0:
            notes.append(f"{name} is transparent all over: nothing but {ground} is learnt of it. Take it out again.")
        elif least != 255:
            notes.append(f"{name} is transparent in places; there it is learnt as {ground}.")
    if image.mode in ("CMYK", "RGB", "L") and (profile := image.info.get("icc_profile")):
        try:
            source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            if image.mode != "L" or source.profile.xcolor_space == "GRAY":  # grey pictures often carry one for colours
                image = ImageCms.profileToProfile(image, source, target, outputMode="RGB") or image
        except (ImageCms.PyCMSError, OSError):
            notes.append(f"The colour profile of {name} is damaged, so its colours may differ a little.")
    plain = image.convert("RGB") if image.mode != "RGB" else image
    plain.info = {}
    return plain, notes, alpha


def _grey(image: Image.Image) -> Image.Image:
    """16-bit greyscale to 8-bit; convert("RGB") would clip it to nearly white. Floats are scaled by their own range."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    low, high = float(values.min()), float(values.max())
    if image.mode != "F" and low >= 0 and high <= 65535:
        low, high = 0, 65535
    values = (values - low) * np.float32(255 / max(high - low, 1e-12))
    return Image.fromarray(np.rint(values).astype(np.uint8)).convert("RGB")


def _composited(image: Image.Image, colour: str) -> tuple[Image.Image, Image.Image]:
    """Alpha composited on a colour, and the alpha itself, in grey; convert("RGB") would show hidden colours."""
    profile = image.info.get("icc_profile")
    layer = image.convert("RGBA")
    ground = Image.new("RGBA", layer.size, colour)
    ground.alpha_composite(layer)
    opaque = ground.convert("RGB")
    if profile and image.mode not in ("LA", "La"):  # a profile for grey does not fit the colours any more
        opaque.info["icc_profile"] = profile
    return opaque, layer.getchannel("A")


def _not_a_picture(path: Path) -> UserError:
    with open(path, "rb") as file:
        start = file.read(4096)
    for magic, (kind, remedy) in OTHERS.items():
        if start.startswith(magic):
            return UserError(f"{path.name} is {'' if kind.startswith('in ') else 'not a picture but '}{kind}.", remedy)
    if start[4:8] == b"ftyp" and start[8:12] in HEIC_BRANDS:
        return UserError(
            f"{path.name} is in the iPhone's own format HEIC.",
            "Export it as JPEG, or set the camera to Most Compatible for the next ones.",
        )
    if start[4:8] == b"ftyp":
        return UserError(f"{path.name} is not a picture but a video.", "Save single pictures from it as PNG.")
    if b"<svg" in start.lower():
        return UserError(f"{path.name} is a drawing made of lines (SVG), not of pixels.", "Export it as PNG.")
    if b"\0" not in start:
        return UserError(f"{path.name} is a text file, not a picture.", "Drop PNG, JPEG or WebP pictures.")
    return UserError(f"{path.name} is not a picture that can be opened.", SAVE_AS_PNG)
