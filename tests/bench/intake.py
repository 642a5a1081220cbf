"""Make a folder of 60 awkward files, bring it in, and print what became of each.

python tests/bench/intake.py [FOLDER] [--json]
"""

import argparse
import io
import json
import os
import struct
import sys
import tempfile
import unicodedata
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from PIL import Image, ImageCms

from lora_gui.studio.paths import Studio
from lora_gui.studio.things.pictures import PictureSet, import_pictures


def picture(kind: str = "PNG", size: tuple[int, int] = (96, 80), mode: str = "RGB", **options) -> bytes:
    """A small picture in that format."""
    data = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(data, kind, **options)
    return data.getvalue()


def moving() -> bytes:
    """Three frames."""
    frames, data = [Image.new("RGB", (96, 80), colour) for colour in ("red", "lime", "blue")], io.BytesIO()
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:])
    return data.getvalue()


def vast() -> bytes:
    """A header that promises 60,000 x 60,000 pixels."""
    data = bytearray(picture())
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def awkward() -> dict[str, bytes]:
    """Name to content, in the order of the groups: pictures, captions, what is never learnt, what is damaged."""
    nfd, nfc = unicodedata.normalize("NFD", "Fähre"), unicodedata.normalize("NFC", "Fähre")
    long, persian = "長い名前" * 15, "می\u200cخواهم"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    turned = Image.Exif()
    turned[0x0112] = 6
    pictures = {
        "01 plain.png": picture(), "02 UPPER.JPG": picture("JPEG"), "03 turned.jpg": picture("JPEG", exif=turned),
        "04 clear.png": picture(mode="RGBA"), "05 ink.tif": picture("TIFF", mode="CMYK"),
        "06 moving.gif": moving(),
        "07 wrong suffix.txt.webp": picture(), "08 grey.png": picture(mode="L"), f"{nfd}.png": picture(),
        f"{long}.png": picture(), f"{persian}.png": picture(), "09 two.png": picture(), "10 table.png": picture(),
        "11 rows.png": picture(), "12 tags.png": picture(), "13 held.png": picture(), "14 apart.png": picture(),
        "twin.png": picture(), "twin.jpg": picture("JPEG"), "10_fox/1.png": picture(),
        "15 deep.png": picture(mode="I;16"), "16 profile.jpg": picture("JPEG", icc_profile=profile),
    }  # fmt: skip
    captions = {
        "01 plain.txt": "a plain ramp", "02 upper.TXT": "a ramp in upper case", "03 turned.jpg.txt": "a turned ramp",
        "04 clear.caption": "[trigger], a clear ramp", f"{nfc}.txt": "a ferry", f"{long}.txt": "a long name",
        f"{persian}.txt": persian, "09 two.txt": "one", "09 two.caption": "another", "twin.txt": "twins",
        "metadata.csv": "\ufefffile_name;text\n10 table.png;a ramp, in a table\ngone.png;nobody\n",
        "metadata.jsonl": '{"file_name": "11 rows.png", "text": "a ramp in a row"}\n',
        "12 tags.json": json.dumps({"tags": ["ramp", "grey"]}), "captions/14 apart.txt": "a ramp apart",
        "10_fox/1.txt": "a fox", "orphan.txt": "nobody's", "13 held.wd14": "ramp, grey",
    }  # fmt: skip
    never = {
        name: picture()
        for name in (
            "01 plain-masklabel.png", "masks/02 UPPER.png", "08 grey_mask.png", "reg/1_animal/1.png", ".hidden.png",
            "$RECYCLE.BIN/S-1-5/3.png", "@eaDir/01 plain.png/THUMB_M.jpg", "Thumbs.db", "samples/step-100.png",
            "._01 plain.png",
        )
    }  # fmt: skip
    damaged = {
        "empty.png": b"", "half.jpg": picture("JPEG", (400, 300))[:3000], "tiny.png": picture(size=(8, 8)),
        "archive.png": b"PK\x03\x04" + bytes(60), "notes.md": b"# Notes",
        "phone.heic": bytes(4) + b"ftypheic" + bytes(8), "bomb.png": vast(), "forbidden.png": picture(),
    }  # fmt: skip
    return pictures | {name: text.encode() for name, text in captions.items()} | never | damaged


def fill(folder: Path) -> list[str]:
    """Write them, and links to a folder, a file and nothing where links can be made; the names."""
    files = awkward()
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    if os.name == "nt":
        return list(files)
    (folder / "forbidden.png").chmod(0)  # the administrator reads it all the same
    links = {"album": "10_fox", "linked.png": "10_fox/1.png", "nowhere.png": "gone.png"}
    for name, to in links.items():
        (folder / name).symlink_to(folder / to)
    return [*files, *links]


def fates(names: list[str], made: PictureSet) -> dict[str, str]:
    """What became of each file."""
    left = {one.file: one.reason for one in made.left}
    learnt: dict[str, list[str]] = {}
    for one in made.pictures:
        times = f", {one.repeats} times" if one.repeats > 1 else ""
        learnt.setdefault(one.label, []).append(f"learnt{times}: {one.caption or 'without a caption'}")
    found = {}
    for name in names:
        reason = next((why for file, why in left.items() if file == name or name.startswith(f"{file}/")), "")
        mine = learnt.get(name.rsplit("/", 1)[-1]) or learnt.get(name.rsplit("/", 1)[-1].replace("\u200c", " "))
        used = "a mask that is used" if name.endswith("-masklabel.png") else "a caption that is used"
        found[name] = reason or (mine.pop(0) if mine else used)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="where they are made, and stay")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.folder or Path(scratch)) / "awkward"
        names = fill(folder)
        made, refused = import_pictures(Studio(Path(scratch) / "studio"), [folder])
        found = fates(names, made)
        if options.json:
            print(json.dumps({"files": found, "sentence": made.sentence, "notes": made.notes, "refused": refused}))
            return
        for name, fate in found.items():
            print(f"{name[:40]:42} {fate}")
        print(f"\n{len(names)} files. {made.sentence}", *made.notes[1:], *refused, sep="\n")


if __name__ == "__main__":
    main()
