"""LoRA files on the command line, named as the studio calls them or by their place."""

import json

import pytest

from lora_gui import __main__ as cli
from lora_gui.studio.paths import HOME, Studio
from tests import making


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME, str(tmp_path / "studio"))
    return Studio.default()


def test_a_lora_of_the_studio_is_inspected_and_converted_by_its_name(studio, tmp_path, capsys):
    path, told = making.lora(studio, "Own-Fox"), []
    for name in ("Own-Fox", "own-fox", "Own-Fox.safetensors", str(path)):
        assert cli.main(["inspect", name, "--json"]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told == [told[0]] * 4 and told[0]["name"] == "Own-Fox"
    out = tmp_path / "out.safetensors"
    assert cli.main(["convert", "own-fox", "--to", "diffusers", "--out", str(out)]) == 0 and out.is_file()
    assert cli.main(["inspect", "own-fix"]) == 1
    assert capsys.readouterr().err.splitlines()[-2:] == ["There is no LoRA 'own-fix'.", "Did you mean 'Own-Fox'?"]


def test_what_is_not_read_of_a_lora_and_so_not_in_its_copy_is_said(studio, tmp_path, capsys):
    making.lora(studio, "fox", layers=(making.LAYER, "lora_te3_encoder_block_0_layer_0_SelfAttention_q"))
    assert cli.main(["convert", "fox", "--to", "diffusers", "--out", str(tmp_path / "out.safetensors")]) == 0
    assert "Of its 6 tensors some are left out: 3 of a T5 text encoder" in capsys.readouterr().err
    foreign = "lora_unet_down_blocks_7_resnets_0_conv1"  # well spelt, and no layer of its family
    making.lora(studio, "owl", layers=(making.LAYER, "lora_unet_mid_block_attentions_0_proj_in", foreign))
    assert cli.main(["convert", "owl", "--to", "diffusers", "--out", str(tmp_path / "owl.safetensors")]) == 0
    said = capsys.readouterr().err
    assert f"some are left out: 3 that no layer here has, such as {foreign}.alpha." in said
