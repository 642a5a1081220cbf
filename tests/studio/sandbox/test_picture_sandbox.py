"""Pictures are decoded by a child: whatever happens to it, the window and the other pictures go on."""

import os
import struct
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio
from lora_gui.studio.sandbox import picture_sandbox
from lora_gui.studio.sandbox.picture_decode import opened
from lora_gui.studio.sandbox.picture_sandbox import Decoder
from lora_gui.studio.things.pictures import import_pictures


@pytest.fixture(autouse=True)
def real(monkeypatch):
    """As the app starts it; other tests fork."""
    monkeypatch.setattr(picture_sandbox, "COMMAND", (sys.executable, "-m", picture_sandbox.__name__))


@pytest.fixture
def unruly(monkeypatch):
    command = sys.executable, str(Path(__file__).with_name("unruly_decoder.py"))
    monkeypatch.setattr(picture_sandbox, "COMMAND", command)


@pytest.fixture
def inbox(tmp_path):
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def painted(path, size=(80, 64), **options):
    Image.linear_gradient("L").convert("RGB").resize(size).save(path, **options)
    return path


def bomb(path, side):
    """A PNG that says it is `side` pixels wide and high, in a few bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    return path


def test_one_child_decodes_a_whole_import_and_ends_with_it(inbox):
    with Decoder() as child:
        first, *_ = child.decode(painted(inbox / "a.png"))
        process = child._child
        child.decode(painted(inbox / "b.jpg"))
        assert child._child is process and process.poll() is None
    assert process.returncode == 0
    (inbox / "stored.png").write_bytes(first)
    with Image.open(inbox / "stored.png") as stored, Image.open(inbox / "a.png") as given:
        assert np.array_equal(np.asarray(stored), np.asarray(given))


def test_what_cannot_be_used_is_a_sentence_and_the_child_goes_on(inbox):
    (inbox / "cut.jpg").write_bytes(painted(inbox / "a.jpg", (400, 300)).read_bytes()[:3000])
    with Decoder() as child:
        for path, word in ((inbox / "cut.jpg", "half there"), (bomb(inbox / "bomb.png", 60_000), "million pixels")):
            with pytest.raises(UserError, match=word):
                child.decode(path)
        process = child._child
        child.decode(inbox / "a.jpg")
        assert child._child is process


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limits of this kind")
def test_a_decoder_that_eats_memory_or_writes_files_is_held(unruly, inbox):
    with Decoder() as child:
        with pytest.raises(UserError, match="damaged|memory"):
            child.decode(painted(inbox / "eats.png"))
        with pytest.raises(UserError):
            child.decode(painted(inbox / "writes.png"))
        child.decode(painted(inbox / "fine.png"))
    assert (inbox / "written").stat().st_size == 0


def test_a_picture_that_hangs_or_kills_the_decoder_costs_only_itself(unruly, inbox, tmp_path, monkeypatch):
    decode = Decoder.decode

    def decoded(child, path, *how):
        child._seconds = 3.0 if path.stem == "hangs" else 60.0  # the others have time, on a busy computer too
        return decode(child, path, *how)

    monkeypatch.setattr(Decoder, "decode", decoded)
    for name in ("a", "dies", "hangs", "z"):
        painted(inbox / f"{name}.png")
    made, refused = import_pictures(Studio(tmp_path / "studio"), [inbox])
    assert [picture.label for picture in made.pictures] == ["a.png", "z.png"]
    assert [sentence.split()[0] for sentence in refused] == ["dies.png", "hangs.png"]
    assert all("too long or too much memory" in sentence for sentence in refused)


def test_a_child_that_is_suspended_costs_one_picture_and_no_longer_than_its_limit(inbox, monkeypatch):
    """SIGSTOP stands for a driver or a network drive that does not answer: the child can keep no time then."""
    pictures = [painted(inbox / f"{n}.png") for n in range(4)]
    real, started = picture_sandbox._start, []

    def start():
        started.append(real())
        if len(started) == 1:
            psutil.Process(started[0].pid).suspend()
        return started[-1]

    monkeypatch.setattr(picture_sandbox, "_start", start)
    with Decoder(0.5) as child:
        with pytest.raises(UserError, match=r"0\.png takes too long"):
            child.decode(pictures[0])
        assert started[0].returncode is not None  # and it is gone
        child._seconds = 60.0  # not to be missed by a computer that is busy
        for path in pictures[1:]:
            child.decode(path)
    assert len(started) == 2


def test_a_child_that_grows_is_ended_where_no_limit_of_the_system_holds_it(unruly, inbox, monkeypatch):
    monkeypatch.setattr(picture_sandbox, "MEMORY", 200_000_000)
    with Decoder(600.0) as child, pytest.raises(UserError, match="too much memory"):  # it would stay for a minute
        child.decode(painted(inbox / "grows.png"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes in folders")
def test_a_pipe_or_a_device_is_never_opened(inbox):
    os.mkfifo(inbox / "pipe.png")
    (inbox / "endless.png").symlink_to("/dev/zero")
    with Decoder() as child:
        for name in ("pipe.png", "endless.png"):
            with pytest.raises(UserError, match=f"{name} is not a file"):
                child.decode(inbox / name)
        with pytest.raises(UserError, match="gone.png could not be read"):
            child.decode(inbox / "gone.png")


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps who may read what in another way")
def test_a_picture_that_may_not_be_read_or_a_disk_that_fails_is_not_called_damaged(monkeypatch):
    folder = Path(tempfile.mkdtemp())  # that another user may enter, too
    folder.chmod(0o755)
    path = painted(folder / "a.png")
    opened(path)
    path.chmod(0)
    me = os.geteuid()
    try:
        os.seteuid(me or 65534)
        with pytest.raises(UserError) as caught:
            opened(path)
    finally:
        os.seteuid(me)
        path.chmod(0o644)
    assert (caught.value.what, caught.value.remedy) == (
        "a.png could not be read (Permission denied).",
        "Check that you may read it.",
    )

    def fails(*_, **__):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Image, "open", fails)
    with pytest.raises(UserError, match=r"could not be read \(Input/output error\)"):
        opened(path)
