"""Pictures of every kind, as those who made them saw them: a table of files against what has to be seen in them."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from lora_gui.studio.sandbox.picture_decode import opened

SEEN = "Awkward pictures, a quarter at a time: as they were seen by who made them"
HEIC = Path(__file__).parents[2] / "data" / "heic" / "plain.heic"
GROUND, BEHIND = "#204060", (0x20, 0x40, 0x60)
WIDTH, HEIGHT = 80, 64


def gradient() -> Image.Image:
    across, down = np.meshgrid(np.linspace(30, 220, WIDTH), np.linspace(40, 200, HEIGHT))
    return Image.fromarray(np.stack([across, down, 250 - across], axis=-1).astype(np.uint8))


def saved(kind: str, image: Image.Image | None = None, **options) -> bytes:
    data = io.BytesIO()
    (image or gradient()).save(data, kind, **options)
    return data.getvalue()


def quarters(image: Image.Image) -> np.ndarray:
    """The means of its four quarters, (2, 2, 3): turned, mirrored or tinted they are others."""
    each = np.asarray(image, dtype=float)
    return np.array([[half.mean((0, 1)) for half in np.array_split(row, 2, 1)] for row in np.array_split(each, 2)])


# --- Modes, in each format that can hold them -------------------------------------------------------------------------
LOSSLESS = {"WEBP": {"lossless": True, "exact": True}, "TIFF": {}, "PNG": {}, "BMP": {}, "GIF": {}}
MODES = {
    "RGB": "PNG WEBP TIFF BMP", "1": "PNG TIFF BMP GIF", "L": "PNG TIFF BMP GIF", "P": "PNG TIFF BMP GIF",
    "CMYK": "TIFF", "LAB": "TIFF",
}  # fmt: skip


def of_modes():
    for mode, kinds in MODES.items():
        if mode == "LAB":
            profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
            image = ImageCms.profileToProfile(gradient(), *profiles, outputMode="LAB")
            seen, near = gradient(), 3
        else:
            image = gradient().quantize(64) if mode == "P" else gradient().convert(mode)
            seen, near = image.convert("RGB"), 1
        for kind in kinds.split():
            yield f"{mode} in {kind}", saved(kind, image, **LOSSLESS[kind]), seen, near


def of_lossy():
    for name, kind, options in (
        ("plain", "JPEG", {}), ("progressive", "JPEG", {"progressive": True}), ("4:4:4", "JPEG", {"subsampling": 0}),
        ("4:2:2", "JPEG", {"subsampling": 1}), ("RGB", "JPEG", {"keep_rgb": True}), ("plain", "WEBP", {}),
        ("restarting", "JPEG", {"restart_marker_blocks": 3}), ("plain", "AVIF", {}),
        ("4:4:4", "AVIF", {"subsampling": "4:4:4"}), ("YCbCr in", "TIFF", {"compression": "jpeg"}),
    ):  # fmt: skip
        yield f"{name} {kind}", saved(kind, quality=92, **options), gradient(), 4
    for mode in ("L", "CMYK"):
        yield f"{mode} in JPEG", saved("JPEG", gradient().convert(mode), quality=95), gradient().convert(mode), 3


def of_depths():
    """More than eight bits; of grey, counts up to 65535 and fractions of the range."""
    grey = np.asarray(gradient().convert("L"))
    grey16 = np.round(grey / 255 * 65535)
    seen = Image.fromarray(grey)
    for name, array in (("I;16", grey16.astype(np.uint16)), ("I", grey16.astype(np.int32))):
        for kind in ("PNG", "TIFF"):
            yield f"{name} in {kind}", saved(kind, Image.fromarray(array)), seen, 1
    yield "I;16B in TIFF", saved("TIFF", Image.fromarray(grey16.astype(">u2"))), seen, 1
    stretched = np.round((grey - float(grey.min())) / (float(grey.max()) - float(grey.min())) * 255).astype(np.uint8)
    yield "F in TIFF", saved("TIFF", Image.fromarray((grey / 255).astype(np.float32))), Image.fromarray(stretched), 1


# --- What lies on its side --------------------------------------------------------------------------------------------
FLIPS = {
    1: (), 2: ("FLIP_LEFT_RIGHT",), 3: ("ROTATE_180",), 4: ("FLIP_TOP_BOTTOM",), 5: ("TRANSPOSE",), 6: ("ROTATE_90",),
    7: ("TRANSVERSE",), 8: ("ROTATE_270",),
}  # fmt: skip


def of_turns():
    for turn, flips in FLIPS.items():
        stored = gradient()
        for flip in flips:
            stored = stored.transpose(getattr(Image.Transpose, flip))
        exif = Image.Exif()
        exif[0x0112] = turn
        for kind, near in (("JPEG", 3), ("PNG", 0), ("WEBP", 0), ("TIFF", 0)):
            options = {"quality": 95} if kind == "JPEG" else LOSSLESS[kind]
            yield f"turned {turn} in {kind}", saved(kind, stored, exif=exif, **options), gradient(), near


def of_turned_heic():
    """What writes HEIC has a licence that this app has not: the box that turns it is put into a file that lies here."""
    seen = opened(HEIC).picture
    for quarter in (1, 2, 3):
        data = _with_irot(HEIC.read_bytes(), quarter)
        yield f"HEIC turned {quarter}", data, seen.rotate(90 * quarter, expand=True), 1


def _with_irot(data: bytes, quarter: int) -> bytes:
    """ISO/IEC 23008-12, 6.5.10: so many quarters anticlockwise, as the last property of the one picture."""
    made = bytearray(data)

    def grow(name: bytes, by: int, behind: int = -4) -> None:
        at = made.index(name) + behind
        made[at : at + 4] = struct.pack(">I", struct.unpack_from(">I", made, at)[0] + by)

    count = made.index(b"ipma") + 14  # after version, flags, number of items and the item's own
    made[count] += 1
    made.insert(count + made[count], 0x80 | made[count])
    at = made.index(b"ipma") - 4
    made[at:at] = struct.pack(">I4sB", 9, b"irot", quarter)
    for name, by in ((b"ipma", 1), (b"ipco", 9), (b"iprp", 10), (b"meta", 10)):
        grow(name, by)
    grow(b"iloc", 10, behind=4 + 4 + 2 + 2 + 2 + 2)  # where the data begins
    return bytes(made)


# --- What is transparent ----------------------------------------------------------------------------------------------
def over(alpha: np.ndarray, image: Image.Image) -> Image.Image:
    """Porter and Duff 1984: source over the ground, alpha in 0..1, (H, W)."""
    weight = alpha[..., None]
    each = np.asarray(image.convert("RGB"), dtype=float) * weight + np.array(BEHIND) * (1 - weight)
    return Image.fromarray(np.round(each).astype(np.uint8))


def of_transparency():
    alpha = np.tile(np.linspace(0, 255, WIDTH).round().astype(np.uint8), (HEIGHT, 1))
    for mode in ("RGBA", "LA"):
        image = gradient().convert(mode)
        image.putalpha(Image.fromarray(alpha))
        seen = over(alpha / 255, image.convert("RGB"))
        for kind in ("PNG", "TIFF", *(["WEBP"] if mode == "RGBA" else [])):
            yield f"{mode} in {kind}", saved(kind, image, **LOSSLESS[kind]), seen, 1
    yield "RGBA premultiplied in TIFF", _premultiplied(alpha), over(alpha / 255, gradient()), 2
    flat = gradient().quantize(16)
    index = np.asarray(flat)
    each = np.linspace(0, 255, 16).astype(np.uint8)
    data = saved("PNG", flat, transparency=bytes(each))
    yield "P with an alpha for each colour", data, over(each[index] / 255, flat), 1
    for kind in ("PNG", "GIF"):
        clear = int(index[0, 0])
        yield f"P with a clear colour in {kind}", saved(kind, flat, transparency=clear), over(index != clear, flat), 1
    grey = gradient().convert("L").point(lambda value: value // 64 * 64)
    level = np.asarray(grey)
    yield "L with a clear grey", saved("PNG", grey, transparency=int(level[0, 0])), over(level != level[0, 0], grey), 1
    halves = gradient()
    halves.paste((9, 8, 7), (0, 0, WIDTH // 2, HEIGHT))
    left = np.arange(WIDTH)[None].repeat(HEIGHT, 0) < WIDTH // 2
    yield "RGB with a clear colour", saved("PNG", halves, transparency=(9, 8, 7)), over(~left, halves), 1


def _premultiplied(alpha: np.ndarray) -> bytes:
    """TIFF 6.0, ExtraSamples 1: associated alpha."""
    colours = np.round(np.asarray(gradient(), float) * (alpha / 255)[..., None]).astype(np.uint8)
    data = saved("TIFF", Image.fromarray(np.dstack([colours, alpha])))
    entry = struct.pack("<HHIH", 338, 3, 1, 2)
    assert data.count(entry) == 1
    return data.replace(entry, struct.pack("<HHIH", 338, 3, 1, 1))


# --- PNG that Pillow reads and does not write -------------------------------------------------------------------------
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def png(array: np.ndarray, depth: int, colour: int, interlaced: bool = False) -> bytes:
    """ISO/IEC 15948, of samples (H, W, C), without filters."""
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    rows = b"".join(
        b"\0" + _row(line, depth) for x, y, dx, dy in passes for line in array[y::dy, x::dx] if line.size
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], depth, colour, 0, 0, interlaced)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _row(line: np.ndarray, depth: int) -> bytes:
    if depth >= 8:
        return line.astype(">u2" if depth == 16 else np.uint8).tobytes()
    bits = (line.reshape(-1, 1) >> np.arange(depth - 1, -1, -1)) & 1
    return np.packbits(bits.astype(np.uint8).ravel()).tobytes()


def of_rare_pngs():
    rgb = np.asarray(gradient())
    grey = np.asarray(gradient().convert("L"))[..., None]
    yield "interlaced RGB", png(rgb, 8, 2, interlaced=True), gradient(), 0
    yield "interlaced grey", png(grey, 8, 0, interlaced=True), Image.fromarray(grey[..., 0]), 0
    yield "interlaced RGB of 16 bits", png(rgb.astype(int) * 257, 16, 2, interlaced=True), gradient(), 1
    yield "RGB of 16 bits", png(rgb.astype(int) * 257, 16, 2), gradient(), 1
    half = np.dstack([rgb, np.full((HEIGHT, WIDTH), 128)]).astype(int)
    yield "RGBA of 16 bits", png(half * 257, 16, 6), over(np.full((HEIGHT, WIDTH), 128 / 255), gradient()), 1
    for depth in (1, 2, 4):
        few = grey.astype(int) >> (8 - depth)
        seen = Image.fromarray((few[..., 0] * 255 // (2**depth - 1)).astype(np.uint8))
        yield f"grey of {depth} bits", png(few, depth, 0), seen, 1


# --- Several pictures in one file -------------------------------------------------------------------------------------
def of_many():
    others = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in ("red", "blue")]
    for kind, near in (("GIF", 6), ("WEBP", 0), ("PNG", 0), ("TIFF", 0), ("AVIF", 4), ("MPO", 4)):
        options = LOSSLESS.get(kind, {})
        data = saved(kind, save_all=True, append_images=others, **options)
        yield f"the first of three in {kind}", data, gradient(), near


# --- Colour profiles --------------------------------------------------------------------------------------------------
# Columns: red, green, blue in XYZ under D50 (Bruce Lindbloom; Display P3 by Apple's own profile); and the gamma.
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)), 2.2
P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)), 2.2
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))


def profile(primaries: tuple, gamma: float) -> bytes:
    """ICC.1:2001-04, of three primaries and a gamma, or of grey where there are none."""
    curve = b"curv" + struct.pack(">IIH2x", 0, 1, round(gamma * 256))
    white = b"XYZ " + struct.pack(">Iiii", 0, 63190, 65536, 54061)
    tags = {b"wtpt": white} | ({} if primaries else {b"kTRC": curve})
    for letter, xyz in zip(b"rgb", primaries, strict=False):
        tags[bytes([letter]) + b"XYZ"] = b"XYZ " + struct.pack(">Iiii", 0, *(round(one * 65536) for one in xyz))
        tags[bytes([letter]) + b"TRC"] = curve
    at, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"\0" * 4, 0x02400000, b"mntr", b"RGB " if primaries else b"GRAY",
                       b"XYZ ")  # fmt: skip
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28 + struct.pack(">iii", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + body


def in_srgb(image: Image.Image, primaries: tuple, gamma: float) -> Image.Image:
    """IEC 61966-2-1, by the numbers alone."""
    linear = (np.asarray(image, float) / 255) ** gamma
    if primaries:
        linear = linear @ np.array(primaries) @ np.linalg.inv(np.array(SRGB))
    linear = linear.clip(0, 1)
    coded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return Image.fromarray(np.round(coded * 255).astype(np.uint8))


def of_profiles():
    dull = Image.fromarray((np.asarray(gradient(), float) * 0.3 + 90).astype(np.uint8))  # within every gamut
    for name, told in (("Adobe RGB", ADOBE), ("Display P3", P3)):
        for kind in ("PNG", "TIFF", "JPEG"):
            options = {"quality": 98, "subsampling": 0} if kind == "JPEG" else {}
            yield f"{name} in {kind}", saved(kind, dull, icc_profile=profile(*told), **options), in_srgb(dull, *told), 2
    grey = gradient().convert("L")
    yield "grey of gamma 1.8", saved("PNG", grey, icc_profile=profile((), 1.8)), in_srgb(grey, (), 1.8), 2
    yield "grey with a profile for colours", saved("PNG", grey, icc_profile=profile(*P3)), grey, 0


TABLE: list[Callable] = [
    of_modes, of_lossy, of_depths, of_turns, of_turned_heic, of_transparency, of_rare_pngs, of_many, of_profiles,
]  # fmt: skip


@pytest.mark.parametrize("rows", TABLE, ids=lambda rows: rows.__name__)
def test_a_picture_is_learnt_as_it_is_seen(rows, tmp_path, tell):
    path, row, wrong = tmp_path / "a picture", tell(SEEN), []
    for name, data, seen, near in rows():
        path.write_bytes(data)
        expected = seen.convert("RGB")
        found, notes, *_ = opened(path, GROUND)
        off = np.abs(quarters(found) - quarters(expected)).max() if found.size == expected.size else 255
        fine = found.mode == "RGB" and off <= near + 0.5 and not any("damaged" in note for note in notes)
        row.add(1, int(fine))
        if not fine:
            wrong.append(f"{name}: {off:.1f} away, {found.size}, {notes}")
    assert not wrong
