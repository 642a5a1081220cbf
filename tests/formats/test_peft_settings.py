"""The alpha of what peft saves: from the header, from the file beside it, and told where it is nowhere."""

import copy
import json
import os

import pytest
import torch
from peft import LoHaConfig, LoKrConfig, LoraConfig, get_peft_model

from lora_gui import families
from lora_gui.engine.convert import convert
from lora_gui.errors import UserError
from lora_gui.families import family
from lora_gui.formats import dialects, peft_settings
from lora_gui.protocol.jobs import ConvertJob
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import process
from lora_gui.studio.things import loras
from tests.formats.test_foreign_files import save

SD1 = family("sd1").facts
KNOWN = list(families.facts().values())


@pytest.fixture
def by_peft(tmp_path, parts):
    """What peft itself saves, and what its layers do: a folder of two files."""
    def saved(**says):
        settings = LoraConfig(r=4, lora_alpha=16, target_modules=["to_q", "to_out.0"], init_lora_weights=False, **says)
        model = get_peft_model(copy.deepcopy(parts["unet"]), settings)
        model.save_pretrained(tmp_path / "peft", save_embedding_layers=False)
        deltas = {f"unet.{name.removeprefix('base_model.model.')}": layer.get_delta_weight("default").detach()
                  for name, layer in model.named_modules() if hasattr(layer, "get_delta_weight")}  # fmt: skip
        return tmp_path / "peft" / "adapter_model.safetensors", deltas

    return saved


@pytest.mark.parametrize(
    "says",
    [
        {},
        {"use_rslora": True},
        {"alpha_pattern": {"attn1.to_q": 3}, "rank_pattern": {"attn2.to_q": 2}},
        {"alpha_pattern": {r"down_blocks.*attn1\.to_q": 3, "^mid_block.+": 5, "to_out.0$": 1}},
        {"alpha_pattern": {"^mid_block.attentions.0.transformer_blocks.0.attn1.to_q": 3, "to_q": 5}},
    ],
)
def test_what_peft_saves_is_as_strong_as_in_peft_here_in_a_copy_and_converted(tmp_path, shapes, by_peft, says):
    path, expected = by_peft(**says)
    out, studio = tmp_path / "b.safetensors", Studio(tmp_path / "studio")
    list(convert(ConvertJob(file=str(path), to="kohya", out=str(out))))
    for file in (path, loras.import_lora(studio, path, "mine").path, out):
        found = dialects.read(file, shapes, SD1, KNOWN)
        assert found.keys() == expected.keys()
        for name, layer in found.items():
            torch.testing.assert_close(layer.delta(), expected[name])
        info = loras.describe(file)
        assert info.alpha in {layer.alpha for layer in found.values()}
        assert not any("its alpha" in one for one in info.odd)


@pytest.mark.parametrize(
    "kind, says",
    [
        (LoHaConfig, {"r": 2, "alpha": 16}),
        (LoHaConfig, {"r": 2, "alpha": 3, "alpha_pattern": {"attn1.to_q": 1}, "rank_pattern": {"attn2.to_q": 1}}),
        (LoKrConfig, {"r": 1, "alpha": 16}),
        (LoKrConfig, {"r": 500, "alpha": 16}),
        (LoKrConfig, {"r": 1, "alpha": 3, "decompose_both": True}),
    ],
)
def test_a_loha_or_lokr_that_peft_saves_is_as_strong_as_in_peft(tmp_path, parts, shapes, kind, says):
    model = get_peft_model(copy.deepcopy(parts["unet"]), kind(target_modules=["to_q"], init_weights=False, **says))
    model.save_pretrained(tmp_path / "peft")
    path, out = tmp_path / "peft" / "adapter_model.safetensors", tmp_path / "b.safetensors"
    list(convert(ConvertJob(file=str(path), to="kohya", out=str(out))))
    learnable = "decompose_both" not in says
    for file, learns in ((path, False), (path, learnable), (out, False)):
        found = dialects.read(file, shapes, SD1, KNOWN, learns=learns)
        for name, layer in model.named_modules():
            if hasattr(layer, "get_delta_weight"):
                mine = found[f"unet.{name.removeprefix('base_model.model.')}"].delta()
                torch.testing.assert_close(mine, layer.get_delta_weight("default").detach(), rtol=1e-3, atol=1e-5)
    assert not any("its alpha" in one for one in loras.describe(path).odd)


def test_a_pattern_that_is_not_read_is_refused_and_none_takes_long(tmp_path, by_peft):
    path, _ = by_peft(alpha_pattern={"(down|up)_blocks.*": 3})
    with pytest.raises(UserError, match="not read here"):
        loras.describe(path)
    settings = json.dumps({"lora_alpha": 1, "alpha_pattern": {".*" * 100 + "z": 2}})
    assert peft_settings.alpha_of("unet." + "a.b" * 100, {peft_settings.FIELD: settings}, 4) == 1


@pytest.mark.parametrize("config", [None, "", "[1]", "[" * 100_000, " " * 600_000 + "{}", "{}"])
def test_the_alpha_of_peft_without_its_settings_is_the_rank_and_that_is_told(by_peft, config):
    path, _ = by_peft()
    assert loras.describe(path).alpha == 16
    beside = path.with_name("adapter_config.json")
    beside.unlink()
    if config is not None:
        beside.write_text(config)
    info = loras.describe(path)
    assert info.alpha == info.rank == 4 and any("adapter_config.json" in one for one in info.odd)
    renamed = path.rename(path.with_name("a.safetensors"))
    beside.write_text('{"lora_alpha": 16}')
    assert loras.describe(renamed).alpha == 4, "it may be the settings of another file"


@pytest.mark.skipif(os.name == "nt", reason="a link takes a right there")
def test_a_link_to_what_peft_saves_is_converted_with_what_lies_beside_the_link(tmp_path, by_peft, monkeypatch):
    path, _ = by_peft()
    path.symlink_to(path.rename(path.with_name("blob")))
    out = tmp_path / "b.safetensors"
    monkeypatch.setattr(process, "done", lambda command, job, log: list(convert(job)))
    assert loras.convert(Studio(tmp_path / "studio"), path, "kohya", out).alpha == 16


def test_a_file_of_diffusers_without_an_alpha_is_an_ordinary_one(tmp_path, layers):
    path = save(tmp_path / "a.safetensors", dialects.build(layers, SD1, "diffusers"))
    assert not any("alpha" in one for one in loras.describe(path).odd)


def test_inspect_tells_the_alpha_of_pefts_settings_as_reading_does_however_long_they_are(tmp_path, shapes, layers):
    tensors = dialects.build(layers, SD1, "diffusers")
    settings = {
        "unet.target_modules": [str(n) for n in range(2000)],
        "unet.lora_alpha": 8,
        "text_encoder.lora_alpha": 8,
    }
    path = save(tmp_path / "a.safetensors", tensors, lora_adapter_metadata=json.dumps(settings))
    assert loras.describe(path).alpha == 8
    assert {layer.alpha for layer in dialects.read(path, shapes, SD1, KNOWN).values()} == {8}
