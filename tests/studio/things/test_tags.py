"""LoRAs that a prompt names."""

import pytest

from lora_gui.studio.paths import Studio
from lora_gui.studio.things import tags
from lora_gui.studio.things.tags import Strengths
from tests import making


@pytest.fixture
def studio(tmp_path):
    studio = Studio(tmp_path)
    for name in ("ink fox", "owl"):
        making.lora(studio, name)
    return studio


def test_only_tags_that_name_a_lora_and_say_nothing_but_strengths_are_told(studio):
    text = "<lora:ink fox> a boat <lora:OWL:.35>, <lora:owl:1:2:3> <lora:nobody:1> <lora:ink fox:much>"
    fox, owl = (str(studio.loras / f"{name}.safetensors") for name in ("ink fox", "owl"))
    assert tags.named(studio, text) == {fox: (1.0, None), owl: (0.35, None)}


def test_strengths_are_put_into_the_tags_and_nothing_else_is_touched(studio):
    fox, owl = (str(studio.loras / f"{name}.safetensors") for name in ("ink fox", "owl"))
    text = "(a boat:1.2)  at sea <lora:ink fox:0.80> <lora:nobody:1>"
    assert tags.put(studio, text, {fox: Strengths(0.8), owl: Strengths(1.0)}) == text, "0.80 says the same"
    assert tags.put(studio, text, {fox: Strengths(-0.25)}) == text.replace("0.80", "-0.25")
    assert tags.put(studio, "<lora:owl> a boat <lora:ink fox> at sea", {owl: None}) == "a boat <lora:ink fox> at sea"


def test_the_tag_of_a_lora_that_is_gone_or_called_otherwise_goes_or_is_called_so(studio):
    fox, owl = (str(studio.loras / f"{name}.safetensors") for name in ("ink fox", "owl"))
    text = "a boat <lora:OWL:0.5> <lora:ink fox:0.5:lbw=OUT> <lora:nobody> at sea"
    assert tags.renamed(text, {"ink fox": "red"}) == text.replace("ink fox", "red")
    (studio.loras / "owl.safetensors").unlink()
    assert tags.put(studio, text, {owl: Strengths(1.0), fox: None, "": None}) == text, "one that is still in use stays"
    assert tags.put(studio, text, {owl: None}) == text.replace("<lora:OWL:0.5> ", "")


@pytest.mark.parametrize("tag", ["<lora:owl:0.5:0.8>", "<lora:owl:te=0.5:unet=0.8>"])
def test_a_strength_of_the_text_encoder_is_told_and_put_as_a1111_writes_it(studio, tag):
    owl = str(studio.loras / "owl.safetensors")
    assert tags.named(studio, tag) == {owl: Strengths(0.8, text=0.5)}
    assert tags.put(studio, tag, {owl: Strengths(1.0, text=0.25)}) == "<lora:owl:0.25:1>"
    assert tags.put(studio, tag, {owl: Strengths(1.0)}) == "<lora:owl:1>"
