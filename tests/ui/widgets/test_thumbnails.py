"""The small copies that the window shows."""

from pathlib import Path
from urllib.parse import unquote

from PIL import Image

from lora_gui.studio.paths import Studio
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
