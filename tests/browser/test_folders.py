"""A folder in a real Chromium: the files of one name in two folders keep each its caption."""

import pytest
from PIL import Image
from playwright.sync_api import expect


@pytest.mark.soak
def test_a_chosen_folder_keeps_its_folders_and_says_what_was_not_used(page, window, tmp_path):
    for folder, colour in (("set/red", "red"), ("set/blue", "blue"), ("set/masks", "white"), ("set/@eaDir", "grey")):
        (tmp_path / folder).mkdir(parents=True)
        Image.new("RGB", (96, 96), colour).save(tmp_path / folder / "image1.png")
        (tmp_path / folder / "image1.txt").write_text(f"a {colour} thing")
    Image.new("RGB", (96, 96)).save(tmp_path / "set" / ("長い名前" * 15 + ".png"))
    (tmp_path / "set" / ("長い名前" * 15 + ".txt")).write_text("a long name")
    page.locator("#dropzone input.folder").set_input_files(str(tmp_path / "set"))
    expect(page.locator(".pictures img")).to_have_count(3)
    said = "Not used: 1 mask, 2 thumbnails, 1 caption."
    expect(page.locator("#chosen")).to_contain_text(said)
    expect(page.locator("#plan")).to_contain_text("3 pictures, all with captions")
    kept = {path.read_text(encoding="utf-8") for path in window.home.glob("pictures/*/0*.txt")}
    assert kept == {"a red thing", "a blue thing", "a long name"}
    assert window.complaints == []
