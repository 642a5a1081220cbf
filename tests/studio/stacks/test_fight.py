"""What LoRAs do together, told by their factors alone."""

import re
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import torch

from lora_gui import families
from lora_gui.errors import UserError
from lora_gui.families import family
from lora_gui.formats import dialects
from lora_gui.formats.factors import Factor, inner
from lora_gui.formats.lora_file import Layer
from lora_gui.settings import StackEntry
from lora_gui.studio.stacks.fight import balanced, fight
from lora_gui.studio.stacks.kept import kept

SD1 = family("sd1").facts
Q = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
CONV, TEXT = "unet.up_blocks.1.resnets.0.conv1", "text_encoder.text_model.encoder.layers.0.self_attn.q_proj"


def layer(seed, out=32, inputs=24, rank=4, alpha=2.0, kernel=()):
    random = torch.Generator().manual_seed(seed)
    ones = [1] * len(kernel)
    return Layer(
        torch.randn(rank, inputs, *kernel, generator=random), torch.randn(out, rank, *ones, generator=random), alpha
    )


def write(path, layers, facts=SD1, dialect="", dtype=torch.float16):
    tensors = {name: one.to(dtype).contiguous() for name, one in dialects.build(layers, facts, dialect).items()}
    safetensors.torch.save_file(tensors, path, {"modelspec.architecture": facts.architecture})
    return path


def random_layers(seed):
    return {Q: layer(seed), CONV: layer(seed + 1, kernel=(3, 3), rank=2 + seed), TEXT: layer(seed + 2, alpha=4.0)}


def dense_cosine(one, two):
    pairs = [(one[name].delta().flatten(), two[name].delta().flatten()) for name in one.keys() & two.keys()]
    a, b = (torch.cat([pair[n] for pair in pairs]).double() for n in (0, 1))
    return float(a @ b / (a.norm() * b.norm()))


@pytest.mark.parametrize("dialect", ["kohya", "diffusers"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_cosine_of_two_updates_is_that_of_the_dense_ones(tmp_path, dialect, dtype):
    one, two = random_layers(1), random_layers(2)
    two[Q] = Layer(one[Q].down + 0.3 * two[Q].down, one[Q].up, 1.0)
    first = write(tmp_path / "one.safetensors", one, dtype=dtype)
    paths = [first, write(tmp_path / "two.safetensors", two, SD1, dialect)]
    known = families.facts().values()
    read = [dialects.read(path, None, SD1, known) for path in paths]
    found = fight(paths)
    assert found.matrix[0][1] == pytest.approx(dense_cosine(*read), abs=1e-4) == found.pairs[0].cosine
    assert found.matrix[0][0] == 1.0 and found.names == ("one", "two") and found.pairs[0].shared == 3
    norm = torch.cat([layer.delta().flatten() for layer in read[0].values()]).norm()
    assert found.norms[0] == pytest.approx(float(norm), rel=1e-4)
    assert set(found.groups[0]) == {"down", "up", "text_encoder"}
    assert sum(found.groups[0].values()) == pytest.approx(1, abs=2e-3)


def test_what_two_loras_do_is_said_softly(tmp_path):
    one = {Q: layer(1)}
    against = {Q: Layer(one[Q].down, -one[Q].up, 2.0)}
    others = {"same": one, "against": against, "other": {Q: layer(9)}, "apart": {CONV: layer(3, kernel=(3, 3))}}
    paths = [write(tmp_path / f"{name}.safetensors", layers) for name, layers in ({"a": one} | others).items()]
    said = {pair.b: pair for pair in fight(paths).pairs if pair.a == "a"}
    assert said["same"].cosine == pytest.approx(1, abs=1e-3) and "half of each" in said["same"].sentence
    assert said["against"].cosine == pytest.approx(-1, abs=1e-3) and "undo" in said["against"].sentence
    assert abs(said["other"].cosine) < 0.2 and "hardly touch" in said["other"].sentence
    assert said["apart"].shared == 0 and "different layers" in said["apart"].sentence


def test_balance_makes_the_updates_as_large_as_each_other(tmp_path):
    one = {Q: layer(1)}
    larger = {Q: Layer(layer(2).down * 3, layer(2).up, 2.0)}
    found = fight([write(tmp_path / "one.safetensors", one), write(tmp_path / "larger.safetensors", larger)])
    sizes = [norm * strength for norm, strength in zip(found.norms, found.balance, strict=True)]
    assert max(found.balance) == 0.8 and sizes[0] == pytest.approx(sizes[1], rel=0.1)
    assert any("times as much as one: balance them first" in note for note in found.notes)
    assert balanced((0.0, 1.0, 1000.0)) == (0.8, 0.8, 0.1)


def test_of_loras_that_change_different_layers_no_sizes_are_compared(tmp_path):
    """As large as each other a style and a thing of the starter lost the style: tests/bench/presets.py."""
    detail, layout = {CONV: layer(3, kernel=(3, 3))}, {Q: layer(1)}
    mostly = layout | {TEXT: Layer(layer(2).down, layer(2).up * 9, 2.0)}
    one = write(tmp_path / "layout.safetensors", layout)
    for other in (detail, detail | {Q: layer(9)}, mostly):
        found = fight([one, write(tmp_path / "other.safetensors", other)])
        assert found.balance == () and any("drawings do" in note for note in found.notes)
        assert not any("times as much" in note for note in found.notes)
    idle = Layer(detail[CONV].down, detail[CONV].up * 0, 2.0)
    assert fight([one, write(tmp_path / "idle.safetensors", {CONV: idle})]).balance == (0.8, 0.8)


def test_families_that_differ_a_lora_alone_and_what_is_no_number_are_sentences(tmp_path):
    one = write(tmp_path / "one.safetensors", {Q: layer(1)})
    flux = families.facts_of("flux1")
    name = "transformer.transformer_blocks.0.attn.to_q"
    other = write(tmp_path / "other.safetensors", {name: layer(1, 24)}, flux, "diffusers")
    bad = write(tmp_path / "bad.safetensors", {Q: Layer(layer(1).down, layer(1).up * float("nan"), 1.0)})
    for paths, words in (([one, other], "different families"), ([one], "alone"), ([one, bad], "not numbers")):
        with pytest.raises(UserError, match=words) as caught:
            fight(paths)
        assert re.search(r"\.$", caught.value.remedy)
    with pytest.raises(UserError, match="Some values of bad are not numbers"):
        kept(tuple(StackEntry(lora=str(path)) for path in (one, bad)))


def test_a_dora_is_compared_by_its_low_rank_part_and_that_is_said(tmp_path):
    dora = {Q: Layer(layer(1).down, layer(1).up, 2.0, torch.ones(32))}
    found = fight([write(tmp_path / "dora.safetensors", dora), write(tmp_path / "plain.safetensors", {Q: layer(1)})])
    assert found.matrix[0][1] == pytest.approx(1, abs=1e-3) and "DoRA" in found.notes[0]


def test_comparing_imports_no_torch():
    code = "import sys, lora_gui.studio.stacks.fight as f; print(*{'torch', 'safetensors'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == ""


def test_an_inner_product_forms_no_full_matrix():
    """65,536 x 65,536 values would take 17 GB."""
    wide = Factor(np.ones((2, 65_536), np.float32), np.ones((65_536, 2), np.float32), 0.5)
    assert inner(wide, wide) == pytest.approx(65_536.0**2)
