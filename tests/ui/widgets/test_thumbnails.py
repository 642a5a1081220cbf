"""The small copies that the window shows."""

import errno
import os
from pathlib import Path
from urllib.parse import unquote

import pytest
from PIL import Image

from lora_gui import files
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import process
from lora_gui.ui.widgets import thumbnails
from lora_gui.ui.widgets.thumbnails import Thumbnails


def test_a_copy_is_made_once_and_anew_when_the_picture_changes(tmp_path):
    studio, picture = Studio(tmp_path / "a studio"), tmp_path / "big.png"
    Image.new("RGB", (800, 400), "red").save(picture)
    first = Thumbnails(studio, 100)(picture)
    small = Path(unquote(first.removeprefix("/gradio_api/file=")))
    with Image.open(small) as copy:
        assert copy.size == (100, 50)
    assert Thumbnails(studio, 100)(picture) == first
    Image.new("RGB", (300, 300), "blue").save(picture)
    assert Thumbnails(studio, 100)(picture) != first


def test_what_is_no_picture_has_no_address(tmp_path):
    text = tmp_path / "text.png"
    text.write_text("no picture")
    assert Thumbnails(Studio(tmp_path))(text) == ""
    assert Thumbnails(Studio(tmp_path))(tmp_path / "gone.png") == ""
    assert thumbnails.inline(text) == ""


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_where_no_copy_can_be_kept_the_look_goes_on_without_pictures_and_says_why(tmp_path, monkeypatch, number):
    studio, shown = Studio(tmp_path / "studio"), Thumbnails(Studio(tmp_path / "studio"))
    Image.new("RGB", (80, 40), "red").save(tmp_path / "one.png")
    assert shown.remark() == ""

    def refuse(act, path):
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(files, "about_to", refuse)
        assert shown(tmp_path / "one.png") == ""
        assert "Some pictures cannot be shown" in shown.remark()
        assert ("the disk is full" in shown.remark()) is (number in (errno.ENOSPC, errno.EDQUOT))
        log = process.open_log(studio.cache / "log.txt")
        log.write(b"a child works without its log")
        log.close()
        assert not (studio.cache / "log.txt").exists()
    assert Thumbnails(studio)(tmp_path / "one.png")
