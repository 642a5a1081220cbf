"""What the command line says of an order to train before it begins."""

import argparse

import pytest
from PIL import Image

from lora_gui.commands.train import add_order, ordered
from lora_gui.errors import SettingError
from lora_gui.studio.paths import Studio
from tests.studio.things.test_loras import SAYS, lora


@pytest.fixture
def order(tmp_path):
    """The job of an order with this trigger word for one picture, whose caption begins with zxy_style."""
    studio = Studio(tmp_path / "studio")
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (128, 128), "red").save(folder / "rose.png")
    (folder / "rose.txt").write_text("zxy_style, a rose")

    def ask(trigger):
        options = argparse.ArgumentParser()
        add_order(options)
        given = ["--pictures", str(folder), "--name", "rose", "--trigger", trigger]
        return ordered(options.parse_args(given), studio)

    ask.studio = studio
    return ask


def test_the_verdict_on_the_trigger_word_is_that_of_the_window(order, capsys):
    assert order("zxy_style").trigger == "zxy_style"
    said = capsys.readouterr().err
    assert "zxy_style is a good trigger word, and your captions begin with it already" in said and "better" not in said
    order("red apple")
    said = capsys.readouterr().err
    assert "red apple is made of what every base knows (red, apple)" in said and "A better word would be " in said


def test_a_lora_that_answers_to_the_same_word_is_named(order, capsys):
    order.studio.loras.mkdir(parents=True)
    lora(order.studio.loras / "roses.safetensors", SAYS | {"modelspec.trigger_phrase": "Zxy_Style"})
    order("zxy_style")
    assert "Your LoRA roses answers to Zxy_Style already" in capsys.readouterr().err


def test_a_word_that_cannot_be_used_is_refused_before_any_picture_is_copied(order):
    with pytest.raises(SettingError):
        order("a<b>")
    assert not list(order.studio.home.glob("pictures/*"))
