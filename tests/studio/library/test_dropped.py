"""LoRA files that are dropped: each is taken in once, with its cover, and what is not is named with why."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from lora_gui.errors import UserError
from lora_gui.studio.library import covers, dropped, shelf
from lora_gui.studio.paths import Studio
from tests import making


@pytest.fixture
def studio(tmp_path):
    return Studio(tmp_path / "studio")


@pytest.fixture
def theirs(tmp_path):
    return Studio(tmp_path / "theirs")


def test_a_folder_is_taken_in_with_covers_and_the_rest_is_named(studio, theirs):
    one, two = making.lora(theirs, "one"), making.lora(theirs, "two", 0.25)
    Image.new("RGB", (96, 80), "teal").save(one.with_name("one.preview.PNG"))
    Image.new("RGB", (96, 80), "red").save(two.with_name("notes.png"))
    below = theirs.loras / "below"
    below.mkdir()
    (below / "broken.safetensors").write_bytes(b"x" * 5000)
    (below / "old.ckpt").write_bytes(b"x")
    (below / "._one.safetensors").write_bytes(b"x")
    shutil.copy(one, below / "again.safetensors")
    found = dropped.take(studio, [theirs.loras])
    assert sorted(lora.name for lora in found.taken) == ["again", "two"], "the same file is taken once"
    assert len(found.left) == 4 and any("already" in left for left in found.left)
    assert any("old.ckpt is in an old format" in left for left in found.left)
    assert any("broken" in left for left in found.left) and "notes.png is no LoRA." in found.left
    assert found.called == []
    strange = shutil.copy(making.lora(theirs, "strange", 0.75), theirs.loras / "مانجا ink.safetensors")
    assert dropped.take(studio, [strange]).called == [
        "'مانجا ink' is called ink here: names keep a-z, digits, - and _."
    ]
    assert dropped.take(studio, [two]).left == ["two.safetensors is among your LoRAs already, as two."]


def test_what_peft_saves_is_taken_once_with_its_settings_and_again_with_others(studio, theirs):
    path = making.lora(theirs, "one").rename(theirs.loras / "adapter_model.safetensors")
    beside = path.with_name("adapter_config.json")
    for alpha, count in ((None, 1), (8, 1), (8, 0), (16, 1)):
        if alpha:
            beside.write_text(f'{{\n"lora_alpha": {alpha}}}')
        assert len(dropped.take(studio, [path]).taken) == count
    assert len(list(studio.loras.glob("*.safetensors"))) == 3


def test_every_file_that_is_passed_over_is_named_and_what_belongs_to_a_lora_is_not(studio, theirs):
    one = making.lora(theirs, "one")
    peft = one.with_name("adapter_model.safetensors")
    peft.write_bytes(making.lora(theirs, "two", 0.25).read_bytes())
    (theirs.loras / "two.safetensors").unlink()
    peft.with_name("adapter_config.json").write_text('{"peft_type": "LORA", "r": 4, "lora_alpha": 4}')
    Image.new("RGB", (96, 80), "teal").save(one.with_suffix(".png"))
    for number in range(7):
        (theirs.loras / f"{number}.txt").write_text("a note")
    found = dropped.take(studio, [theirs.loras])
    assert found.left == ["0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 2 more are no LoRAs."] and len(found.taken) == 2


def test_a_cover_beside_a_lora_comes_through_the_sandbox(studio, theirs):
    one = making.lora(theirs, "one")
    Image.new("RGB", (96, 80), "teal").save(one.with_name("one.jpeg"))
    dropped.take(studio, [theirs.loras])
    (card,) = shelf.shelf(studio).cards
    covers.decode(studio, [card])
    assert Image.open(covers.cover(studio, card)).size == (96, 80)


def test_names_of_a_browser_are_words_and_no_paths(studio, theirs):
    one = making.lora(theirs, "one")
    found = dropped.take(studio, [one], ["../../My LoRA (v2).safetensors"])
    assert [lora.path.parent for lora in found.taken] == [studio.loras]
    assert found.taken[0].name.startswith("my")


@pytest.mark.parametrize("name", ["a.txt", "a.ckpt"])
def test_what_holds_no_lora_is_told(studio, tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UserError, match="no LoRA|old format"):
        dropped.take(studio, [Path(tmp_path / name)])
