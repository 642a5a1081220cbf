"""Files for other programs: each gets the dialect it reads whole, and the trigger where it looks for one."""

import json

import pytest
import safetensors.torch
import torch

from lora_gui import __main__ as cli
from lora_gui import families
from lora_gui.engine.convert import convert
from lora_gui.errors import UserError
from lora_gui.formats.header import read_header
from lora_gui.formats.metadata import trigger_of, with_trigger
from lora_gui.formats.programs import PROGRAMS, dialect_for
from lora_gui.protocol.jobs import ConvertJob
from lora_gui.studio.things import loras

FACTS = families.facts()


@pytest.mark.parametrize(
    ("family", "dialects"),
    [
        ("sd1", ("kohya", "kohya", "diffusers", "kohya", "kohya")),  # diffusers' is half loaded by ComfyUI
        ("sdxl", ("kohya", "kohya", "diffusers", "kohya", "kohya")),
        ("sd3", ("kohya", "kohya", "diffusers", "", "kohya")),
        ("flux1", ("kohya", "kohya", "diffusers", "kohya", "kohya")),
        ("klein", ("kohya", "", "diffusers", "diffusers", "")),
        ("wuerstchen", ("", "", "diffusers", "", "")),
    ],
)
def test_each_program_gets_the_dialect_it_reads_whole_or_a_refusal_that_names_others(family, dialects):
    for program, dialect in zip(PROGRAMS, dialects, strict=True):
        if dialect:
            assert dialect_for(program, FACTS[family]) == dialect
        else:
            with pytest.raises(UserError, match=f"{PROGRAMS[program]} is not known to read LoRAs of") as caught:
                dialect_for(program, FACTS[family])
            assert "diffusers" in caught.value.remedy


def test_every_dialect_a_program_gets_can_be_written():
    for facts in FACTS.values():
        for program in PROGRAMS:
            try:
                assert dialect_for(program, facts) in facts.dialects
            except UserError as error:
                assert facts.title in error.what


def saved(path, **says):
    name = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    tensors = {f"{name}.lora_A.weight": torch.ones(2, 8), f"{name}.lora_B.weight": torch.ones(8, 2)}
    safetensors.torch.save_file(tensors, path, says or None)
    return path


@pytest.mark.parametrize(
    "says",
    [
        {"modelspec.trigger_phrase": "zxy шаг"},
        {"ss_tag_frequency": '{"1_zxy \\u0448\\u0430\\u0433":{"zxy \\u0448\\u0430\\u0433":1}}'},
    ],
)
def test_a_trigger_is_read_wherever_it_stands_and_written_wherever_a_program_looks(tmp_path, says):
    source, out = saved(tmp_path / "a.safetensors", **says), tmp_path / "b.safetensors"
    assert loras.describe(source).trigger == "zxy шаг"
    assert not any("trigger" in sentence for sentence in loras.describe(source).odd)
    list(convert(ConvertJob(file=str(source), to="kohya", out=str(out))))
    fields = read_header(out).metadata
    assert json.loads(fields["ss_tag_frequency"]) == {"1_zxy шаг": {"zxy шаг": 1}}
    assert fields["modelspec.trigger_phrase"] == "zxy шаг"


@pytest.mark.parametrize(
    "counted", ["", "[]", "{", "3", '{"a": 3}', '{"a": {"x": 1, "y": 2}}', "[" * 9000, '{"a": [[]]}']
)
def test_what_counts_other_tags_or_nonsense_names_no_trigger_and_stays(counted):
    fields = {"ss_tag_frequency": counted, "other": "x"}
    assert trigger_of(fields) == "" and with_trigger(fields) == {k: v for k, v in fields.items() if v}


def test_the_command_writes_for_a_program_by_its_name(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LORA_GUI_HOME", str(tmp_path / "studio"))
    source, out = saved(tmp_path / "a.safetensors"), tmp_path / "b.safetensors"
    assert cli.main(["convert", str(source), "--for", "comfyui", "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.strip().splitlines()[-1])["dialect"] == "kohya"
    for way in (["--for", "comfyui", "--to", "kohya"], ["--for", "paint"], []):
        assert cli.main(["convert", str(source), *way, "--out", str(tmp_path / "c.safetensors")])
    assert not (tmp_path / "c.safetensors").exists()
