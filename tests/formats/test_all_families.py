"""Every family in every dialect: read back exactly, known by its names, and refused by other families' bases."""

import contextlib
import re
from typing import get_args

import pytest
import safetensors.torch
import torch

from lora_gui import families
from lora_gui.engine.load import lora
from lora_gui.errors import UserError
from lora_gui.families import family
from lora_gui.formats import dialects, magnitude
from lora_gui.formats.factors import read_factors
from lora_gui.formats.header import read_header
from lora_gui.formats.identify import identify
from lora_gui.formats.lora_file import Layer
from lora_gui.formats.naming import Translation, in_file
from lora_gui.settings import Layers
from tests.tiny_families import MAKERS

KNOWN = list(families.facts().values())
FAMILIES = {one.key: family(one.key) for one in KNOWN}
WAYS = [(key, dialect) for key, one in FAMILIES.items() for dialect in one.facts.dialects]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Of every family's tiny base."""
    found = {}
    for key, make in MAKERS.items():
        base = make(tmp_path_factory.mktemp(key))
        texts = FAMILIES[key].text_encoders(base, CPU, torch.float32)
        found[key] = lora.shapes(FAMILIES[key].denoisers(base, CPU, torch.float32) | texts)
    return found


def layers_for(key, shapes, ranks=(4,), alpha=2.0, keep=lambda n, name: True):
    """Random layers wherever this family learns at all, of `ranks` in turn."""
    own, generator = FAMILIES[key], torch.Generator().manual_seed(1)
    layers = {}
    for n, (name, weight) in enumerate(shapes[key].items()):
        part, _, path = name.partition(".")
        if re.fullmatch(own.targets(part, "all"), path) and keep(n, name):
            rank = ranks[n % len(ranks)]
            down = torch.randn(rank, *weight[1:], generator=generator)
            up = torch.randn(weight[0], rank, *[1] * (len(weight) - 2), generator=generator)
            layers[name] = Layer(down, up, alpha)
    return layers


def save(path, tensors, facts=None):
    fields = {"modelspec.architecture": facts.architecture} if facts else None
    safetensors.torch.save_file({key: value.contiguous() for key, value in tensors.items()}, path, fields)
    return path


def assert_same(one, two, exactly=True):
    assert one.keys() == two.keys()
    for name, layer in one.items():
        if exactly:
            assert torch.equal(layer.down, two[name].down), name
            assert torch.equal(layer.up * layer.alpha / layer.rank, two[name].up * two[name].alpha / two[name].rank)
        else:
            torch.testing.assert_close(layer.delta(), two[name].delta(), msg=name)


@pytest.mark.parametrize(("key", "dialect"), WAYS)
def test_what_is_written_is_read_back_exactly_with_a_base_at_hand_and_without(tmp_path, shapes, key, dialect):
    facts, layers = FAMILIES[key].facts, layers_for(key, shapes)
    assert len(layers) > 10
    tensors = dialects.build(layers, facts, dialect)
    back = dialects.read(save(tmp_path / "a.safetensors", tensors, facts), shapes[key], facts, KNOWN)
    assert_same(layers, back)
    alone = dialects.parse(tensors, {}, dialect, None, facts)
    assert_same({name.replace(".text_model.", "."): layer for name, layer in alone.items()},
                {name.replace(".text_model.", "."): layer for name, layer in layers.items()})  # fmt: skip


@pytest.mark.parametrize(("key", "dialect"), WAYS)
def test_factors_read_without_torch_are_those_that_are_drawn_with(tmp_path, shapes, key, dialect):
    facts, layers = FAMILIES[key].facts, layers_for(key, shapes, ranks=(2, 3, 5), keep=lambda n, name: n % 4)
    path = save(tmp_path / "a.safetensors", dialects.build(layers, facts, dialect), facts)
    wanted, (read, is_dora) = dialects.read(path, None, facts, KNOWN), read_factors(path, facts, dialect)
    assert not is_dora and wanted.keys() <= read.keys()
    for name, one in read.items():
        delta = torch.from_numpy(one.scale * one.up @ one.down)
        given = wanted[name].delta().flatten(1) if name in wanted else torch.zeros_like(delta)  # fused with others
        torch.testing.assert_close(delta, given, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("key", "dialect"), WAYS)
def test_unequal_ranks_and_layers_that_did_not_learn_come_back_as_they_were(tmp_path, shapes, key, dialect):
    facts = FAMILIES[key].facts
    layers = layers_for(key, shapes, ranks=(2, 3, 5), alpha=1.7, keep=lambda n, name: n % 4)
    tensors = dialects.build(layers, facts, dialect)
    back = dialects.read(save(tmp_path / "a.safetensors", tensors, facts), shapes[key], facts, KNOWN)
    assert_same(layers, back, exactly=False)
    assert {name: layer.rank for name, layer in back.items()} == {name: layer.rank for name, layer in layers.items()}


@pytest.mark.parametrize(("key", "dialect"), WAYS)
def test_a_file_that_says_nothing_is_known_by_its_names_and_others_refuse_it_by_name(tmp_path, shapes, key, dialect):
    facts = FAMILIES[key].facts
    path = save(tmp_path / "mine.safetensors", dialects.build(layers_for(key, shapes), facts, dialect))
    assert identify(read_header(path), KNOWN) == (key, dialect)
    for other in MAKERS.keys() - {key}:
        with pytest.raises(UserError, match=re.escape(f"mine was made for {facts.title}, but this base is of")):
            dialects.read(path, shapes[other], FAMILIES[other].facts, KNOWN)


@pytest.mark.parametrize(("key", "dialect"), WAYS)
def test_layers_of_another_family_under_a_false_name_are_never_half_loaded(tmp_path, shapes, key, dialect):
    tensors = dialects.build(layers_for(key, shapes), FAMILIES[key].facts, dialect)
    for other in MAKERS.keys() - {key}:
        facts = FAMILIES[other].facts
        with pytest.raises(UserError):
            dialects.read(save(tmp_path / "a.safetensors", tensors, facts), shapes[other], facts, KNOWN)


@pytest.mark.parametrize("key", ["sd3", "flux1", "klein", "wuerstchen"])
def test_what_onetrainer_writes_is_read(tmp_path, shapes, key):
    layers = layers_for(key, shapes)
    prefixes = {"transformer": "lora_transformer_", "prior": "lora_prior_unet_", "text_encoder": "lora_te1_"}
    tensors = {}
    for name, layer in layers.items():
        part, _, path = name.partition(".")
        module = prefixes[part] + path.replace(".", "_")
        tensors |= {f"{module}.lora_down.weight": layer.down, f"{module}.lora_up.weight": layer.up,
                    f"{module}.alpha": torch.tensor(layer.alpha)}  # fmt: skip
    facts = FAMILIES[key].facts
    path = save(tmp_path / "a.safetensors", tensors, facts)
    assert identify(read_header(path), KNOWN) == (key, "onetrainer")
    assert_same(layers, dialects.read(path, shapes[key], facts, KNOWN))


@pytest.mark.parametrize("key", ["sd1", "sdxl", "sd3", "flux1"])
def test_what_onetrainer_writes_by_the_names_of_the_open_model_initiative_is_read(tmp_path, shapes, key):
    facts, tensors, layers = FAMILIES[key].facts, {}, {}
    texts = {"text_encoder": "clip_l.", "text_encoder_2": "clip_g."}
    names = Translation((own, (f"{path}.{n}" if len(all) > 1 else path,))
                        for path, all in facts.checkpoint_names.items() for n, own in enumerate(all))  # fmt: skip
    for name, layer in layers_for(key, shapes).items():
        part, _, path = in_file(name).partition(".")
        if found := (path,) if part in texts else names.of(path):
            layers[name], module = layer, texts.get(part, f"{part}.") + found[0]
            tensors |= {f"{module}.lora_down.weight": layer.down, f"{module}.lora_up.weight": layer.up,
                        f"{module}.alpha": torch.tensor(layer.alpha)}  # fmt: skip
    path = save(tmp_path / "a.safetensors", tensors)
    assert identify(read_header(path), KNOWN) == (key, "comfy")
    assert_same(layers, dialects.read(path, shapes[key], facts, KNOWN))


@pytest.mark.parametrize("key", ["sd3", "flux1", "klein"])
def test_a_dora_on_query_key_and_value_is_put_together_and_taken_apart_exactly(shapes, key):
    generator = torch.Generator().manual_seed(3)
    layers = {
        name: Layer(one.down, one.up, one.alpha, torch.rand(one.up.shape[0], generator=generator))
        for name, one in layers_for(key, shapes).items()
    }
    for dialect in ("kohya", "comfy", "diffusers"):
        facts = FAMILIES[key].facts
        back = dialects.parse(dialects.build(layers, facts, dialect), {}, dialect, shapes[key], facts)
        assert_same(layers, back)
        assert all(torch.equal(back[name].magnitude, layer.magnitude) for name, layer in layers.items())
    some = {n: Layer(o.down, o.up, o.alpha, None if n.endswith("to_k") else o.magnitude) for n, o in layers.items()}
    with pytest.raises(UserError, match="some of query, key and value"):
        dialects.build(some, facts, "kohya")


@pytest.mark.parametrize("key", FAMILIES)
def test_the_layers_of_which_a_familys_files_can_say_a_dora_are_those_that_its_facts_name(shapes, key):
    own, said = FAMILIES[key], []
    for which in get_args(Layers):
        layers = {
            name: Layer(one.down, one.up, one.alpha, torch.ones(one.up.shape[0]))
            for name, one in layers_for(key, shapes).items()
            if re.fullmatch(own.targets(name.partition(".")[0], which), name.partition(".")[2])
        }
        with contextlib.suppress(UserError):
            dialects.build(layers, own.facts)
            said.append(which)
    assert own.facts.layers_of_dora == tuple(said)


def over_inputs(layers):
    """The layers with magnitudes of inputs."""
    magnitudes = {name: torch.rand(1, one.down.shape[1]) for name, one in layers.items()}
    return {name: Layer(one.down, one.up, one.alpha, magnitudes[name]) for name, one in layers.items()}


def test_a_dora_over_inputs_is_read_and_written_exactly_but_not_learnt_further(shapes):
    facts, layers = FAMILIES["sd1"].facts, over_inputs(layers_for("sd1", shapes))
    for dialect in ("kohya", "comfy"):
        tensors = dialects.build(layers, facts, dialect)
        back = dialects.parse(tensors, {}, dialect, shapes["sd1"], facts)
        assert_same(layers, back)
        assert all(torch.equal(back[name].magnitude, layer.magnitude) for name, layer in layers.items())
    with pytest.raises(UserError, match="cannot be trained further"):
        dialects.parse(tensors, {}, dialect, shapes["sd1"], facts, learns=True)
    with pytest.raises(UserError, match="diffusers does not read"):
        dialects.build(layers, facts, "diffusers")
    module = next(key for key in tensors if key.endswith(".dora_scale"))
    with pytest.raises(UserError, match="other sizes"):
        dialects.parse(tensors | {module: torch.ones(1, 7)}, {}, dialect, shapes["sd1"], facts)


def test_what_the_magnitudes_of_a_square_convolution_are_of_is_told_by_the_others_or_by_who_wrote_the_file():
    linear, square, longer = ((1, 64), 32), ((1, 32, 1, 1), 32), ((1, 64, 1, 1), 32)
    for by_peft in (True, False):
        assert magnitude.over_inputs([square], by_peft) is not by_peft
        assert magnitude.over_inputs([square, linear], by_peft) and magnitude.over_inputs([longer, square], by_peft)
        for of_outputs in ((32,), (32, 1), (32, 1, 1, 1)):
            assert magnitude.over_inputs([square, (of_outputs, 32)], by_peft) is False
            assert magnitude.over_inputs([linear, (of_outputs, 32)], by_peft) is None
        for unfit in ((31,), (), (2, 32), (1, 32, 2), (1, 32, 2, 1), (32, 2)):
            assert magnitude.over_inputs([(unfit, 32)], by_peft) is None


@pytest.mark.parametrize("key", ["sd3", "flux1"])
def test_a_dora_over_inputs_is_neither_fused_nor_taken_apart(shapes, key):
    facts, layers = FAMILIES[key].facts, layers_for(key, shapes)
    with pytest.raises(UserError, match="DoRA over inputs"):
        dialects.build(over_inputs(layers), facts, "kohya")
    tensors = dialects.build(layers, facts, "kohya")
    ends = "lora_down.weight"
    halves = {name.removesuffix(ends): one for name, one in tensors.items() if name.endswith(ends)}
    tensors |= {f"{module}dora_scale": torch.ones(1, *down.shape[1:]) for module, down in halves.items()}
    with pytest.raises(UserError, match="DoRA over inputs"):
        dialects.parse(tensors, {}, "kohya", shapes[key], facts)


def test_a_fused_layer_whose_parts_share_their_down_half_is_taken_apart(shapes):
    names = [f"transformer.transformer_blocks.0.attn.to_{one}" for one in "qkv"]
    width = shapes["sd3"][names[0]][0]
    down, up = torch.randn(4, width), torch.randn(3 * width, 4)
    module = "lora_unet_joint_blocks_0_x_block_attn_qkv"
    tensors = {f"{module}.lora_down.weight": down, f"{module}.lora_up.weight": up, f"{module}.alpha": torch.tensor(8.0)}
    back = dialects.parse(tensors, {}, "kohya", shapes["sd3"], FAMILIES["sd3"].facts)
    assert list(back) == names
    torch.testing.assert_close(torch.cat([layer.delta() for layer in back.values()]), 2 * up @ down)


def test_a_layer_that_a_file_names_twice_is_refused(shapes):
    facts = FAMILIES["flux1"].facts
    tensors = dialects.build(layers_for("flux1", shapes), facts)
    down = tensors["lora_unet_double_blocks_0_img_attn_proj.lora_down.weight"]
    twice = {key.replace("double_blocks_0_img_attn_proj", "transformer_blocks_0_attn_to_out_0"): value
             for key, value in tensors.items()}  # fmt: skip
    assert down is not None
    with pytest.raises(UserError, match="says twice"):
        dialects.parse(tensors | twice, {}, "kohya", shapes["flux1"], facts)
