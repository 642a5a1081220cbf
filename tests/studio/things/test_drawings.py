"""The drawings on the disk, whatever else lies among them."""

import os
import struct
import zlib

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lora_gui.studio.library import scan
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import drawings


@pytest.fixture
def day(tmp_path):
    folder = tmp_path / "drawings" / "2026-01-01"
    folder.mkdir(parents=True)
    return folder


def drawing(path, says="a cat\nSteps: 4"):
    texts = PngInfo()
    texts.add_text("parameters", says)
    Image.new("RGB", (8, 8)).save(path, pnginfo=texts)
    return path


def listed(studio):
    return {studio.drawings / name for name in scan.drawings_states(studio)}


def test_previews_and_what_is_being_written_are_left_out(tmp_path, day):
    later = day.with_name("2026-01-02")
    later.mkdir()
    found = [drawing(later / "2.png"), drawing(later / "1.png"), drawing(day / "9.png")]
    drawing(later / "3-preview.png")
    drawing(later / ".4.png")
    assert listed(Studio(tmp_path)) == set(found)
    assert drawings.record(found[0]) == "a cat\nSteps: 4"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes in folders")
def test_pipes_devices_and_bombs_among_them_hang_nobody_and_say_nothing(tmp_path, day):
    whole = drawing(day / "whole.png")
    os.mkfifo(day / "pipe.png")
    for name, target in (("device", "/dev/zero"), ("itself", day / "itself.png"), ("gone", "/nowhere")):
        (day / f"{name}.png").symlink_to(target)
    size = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + size + struct.pack(">I", zlib.crc32(size))
    (day / "bomb.png").write_bytes(head)
    (day / "words.png").write_text("words")
    assert {path.name for path in listed(Studio(tmp_path))} == {"whole.png", "bomb.png", "words.png"}
    for path in day.iterdir():
        assert bool(drawings.record(path)) == (path == whole)
