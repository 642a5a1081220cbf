"""On Generate the base follows the family of the LoRAs in the stack, with a sentence."""

import json
import math

import pytest

from lora_gui.studio.paths import Studio
from lora_gui.ui.draft import DrawDraft, Entry
from lora_gui.ui.generate import follow
from lora_gui.ui.widgets import base_list
from tests.studio.things import base_folders as like
from tests.studio.things.base_folders import sparse

LORAS = {
    "sdxl": ("sdxl_base_v1-0", "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q", 640),
    "sd1": ("sd_v1", "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q", 320),
}


@pytest.fixture
def studio(tmp_path):
    return Studio(tmp_path / "a studio")


@pytest.fixture
def entry(studio):
    """`entry(family)` is a row of the stack with a LoRA for it."""

    def make(family, on=True):
        version, layer, width = LORAS[family]
        shapes = {f"{layer}.lora_down.weight": (4, width), f"{layer}.lora_up.weight": (width, 4)}
        header, end = {"__metadata__": {"ss_base_model_version": version}}, 0
        for name, shape in shapes.items():
            header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + 2 * math.prod(shape)]}
            end += 2 * math.prod(shape)
        text = json.dumps(header).encode()
        studio.loras.mkdir(parents=True, exist_ok=True)
        path = studio.loras / f"for {family}.safetensors"
        path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))
        return Entry(on, str(path), 1.0)

    return make


def missing(studio, draft):
    return follow.missing(studio, draft, base_list.chosen(studio, draft.base))


def test_a_lora_for_another_family_switches_the_base_where_one_is_there(studio, entry):
    draft = DrawDraft(base="starter", stack=(entry("sdxl"),))
    assert follow.followed(studio, draft) == draft
    assert missing(studio, draft) == (
        "for sdxl is for Stable Diffusion XL, and no such base is here. Get one on Bases."
    )
    sparse(studio.bases / "pretty.safetensors", like.SDXL)
    now = follow.followed(studio, draft)
    assert now.base == "pretty" and now.note == "The base is pretty now: for sdxl is for Stable Diffusion XL."
    assert follow.followed(studio, now) == now and missing(studio, now) == ""


def test_what_is_switched_off_leads_nowhere_and_two_families_are_told(studio, entry):
    sparse(studio.bases / "pretty.safetensors", like.SDXL)
    off = DrawDraft(base="starter", stack=(entry("sdxl", on=False),))
    assert follow.followed(studio, off) == off and missing(studio, off) == ""
    both = DrawDraft(base="starter", stack=(entry("sdxl"), entry("sd1")))
    assert follow.followed(studio, both) == both
    said = missing(studio, both)
    assert "Stable Diffusion XL and Stable Diffusion 1.x, which cannot be drawn together" in said


def test_a_lora_that_is_gone_says_nothing(studio):
    draft = DrawDraft(base="starter", stack=(Entry(True, str(studio.loras / "gone.safetensors"), 1.0),))
    assert follow.followed(studio, draft) == draft and missing(studio, draft) == ""


def test_a_base_that_was_chosen_and_is_gone_is_said_until_another_is_chosen(studio):
    pretty = sparse(studio.bases / "pretty.safetensors", like.SDXL)
    draft = DrawDraft(base="pretty")
    assert missing(studio, draft) == missing(studio, DrawDraft()) == ""
    pretty.unlink()
    assert missing(studio, draft) == "The base 'pretty' is not here any more; Starter takes its place."
