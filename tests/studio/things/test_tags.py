"""LoRAs that a prompt names."""

import pytest

from lora_gui.studio.paths import Studio
from lora_gui.studio.things import tags
from tests import making


@pytest.fixture
def studio(tmp_path):
    studio = Studio(tmp_path)
    for name in ("ink fox", "owl"):
        making.lora(studio, name)
    return studio


def test_only_tags_with_one_strength_at_most_that_name_a_lora_are_told(studio):
    text = "<lora:ink fox> a boat <lora:OWL:.35>, <lora:owl:1:2> <lora:nobody:1> <lora:ink fox:much>"
    fox, owl = (str(studio.loras / f"{name}.safetensors") for name in ("ink fox", "owl"))
    assert tags.named(studio, text) == {fox: 1.0, owl: 0.35}


def test_strengths_are_put_into_the_tags_and_nothing_else_is_touched(studio):
    fox, owl = (str(studio.loras / f"{name}.safetensors") for name in ("ink fox", "owl"))
    text = "(a boat:1.2)  at sea <lora:ink fox:0.80> <lora:nobody:1>"
    assert tags.put(studio, text, {fox: 0.8, owl: 1.0}) == text, "0.80 says the same"
    assert tags.put(studio, text, {fox: -0.25}) == text.replace("0.80", "-0.25")
    assert tags.put(studio, "<lora:owl> a boat <lora:ink fox> at sea", {owl: None}) == "a boat <lora:ink fox> at sea"
