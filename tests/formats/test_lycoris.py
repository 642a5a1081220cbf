"""LyCORIS files change every layer exactly as its own formulas say; what is not read is named for what it is."""

import copy
import json
import struct

import pytest
import safetensors.torch
import torch
from diffusers import StableDiffusionPipeline

from lora_gui import families
from lora_gui.engine.convert import convert
from lora_gui.engine.load import lora
from lora_gui.errors import UserError
from lora_gui.families import family
from lora_gui.formats import dialects
from lora_gui.formats.header import read_header
from lora_gui.protocol.jobs import ConvertJob
from lora_gui.studio.things import loras
from tests import tiny

FACTS = family("sd1").facts
KNOWN = list(families.facts().values())
LINEAR = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
CONV = "unet.down_blocks.0.resnets.0.conv1"
SQUEEZED = "unet.mid_block.attentions.0.proj_in"
ALPHA = 3.0


def hada(out, inputs, kernel, rank):
    a, b, c, d = (torch.randn(*size) for size in ((out, rank), (rank, inputs * kernel * kernel)) * 2)
    return {"hada_w1_a": a, "hada_w1_b": b, "hada_w2_a": c, "hada_w2_b": d}, (a @ b) * (c @ d) * ALPHA / rank


def hada_of_onetrainer(out, inputs, kernel, rank):
    """Which has the factors of a convolution as the layers that they are in its program."""
    roles, delta = hada(out, inputs, kernel, rank)
    shapes = {"a": (out, rank, 1, 1), "b": (rank, inputs, kernel, kernel)}
    return {role: tensor.view(shapes[role[-1]]) for role, tensor in roles.items()}, delta


def hada_tucker(out, inputs, kernel, rank):
    def one():
        core, up, down = torch.randn(rank, rank, kernel, kernel), torch.randn(rank, out), torch.randn(rank, inputs)
        return core, up, down, torch.einsum("ijkl,jr,ip->prkl", core, down, up)

    (t1, a, b, first), (t2, c, d, second) = one(), one()
    roles = {"hada_t1": t1, "hada_t2": t2, "hada_w1_a": a, "hada_w1_b": b, "hada_w2_a": c, "hada_w2_b": d}
    return roles, first * second * ALPHA / rank


def lokr(out, inputs, kernel, rank, whole=False, small=False):
    first = torch.randn(2, rank) @ torch.randn(rank, 4) if small else torch.randn(2, 4)
    up, down = torch.randn(out // 2, rank), torch.randn(rank, inputs // 4 * kernel * kernel)
    second = torch.randn(out // 2, inputs // 4, *([kernel, kernel] if kernel > 1 else [])) if whole else up @ down
    roles = {"lokr_w1": first} | ({"lokr_w2": second} if whole else {"lokr_w2_a": up, "lokr_w2_b": down})
    delta = torch.kron(first, second.flatten(1)) if second.ndim == 2 else torch.stack(
        [torch.kron(first, second[..., i, j]) for i in range(kernel) for j in range(kernel)], -1)  # fmt: skip
    return roles, delta * (1 if whole else ALPHA / rank)


def lokr_small(out, inputs, kernel, rank):
    a, b = torch.randn(2, rank), torch.randn(rank, 4)
    roles, _ = lokr(out, inputs, kernel, rank)
    roles = {"lokr_w1_a": a, "lokr_w1_b": b} | {role: roles[role] for role in ("lokr_w2_a", "lokr_w2_b")}
    return roles, torch.kron(a @ b, roles["lokr_w2_a"] @ roles["lokr_w2_b"]) * ALPHA / rank


def lokr_tucker(out, inputs, kernel, rank):
    core, up = torch.randn(rank, rank, kernel, kernel), torch.randn(rank, out // 2)
    down, first = torch.randn(rank, inputs // 4), torch.randn(2, 4)
    second = torch.einsum("ijkl,jr,ip->prkl", core, down, up)
    delta = torch.einsum("ab,cdkl->acbdkl", first, second).reshape(out, inputs, kernel, kernel)
    return {"lokr_w1": first, "lokr_t2": core, "lokr_w2_a": up, "lokr_w2_b": down}, delta * ALPHA / rank


def mid(out, inputs, kernel, rank):
    core = torch.randn(rank, rank, kernel, kernel)
    up, down = torch.randn(out, rank, 1, 1), torch.randn(rank, inputs, 1, 1)
    delta = torch.einsum("oi,ijkl,jn->onkl", up.flatten(1), core, down.flatten(1)) * ALPHA / rank
    return {"lora_down.weight": down, "lora_up.weight": up, "lora_mid.weight": core}, delta


def full(out, inputs, kernel, rank):
    delta = torch.randn(out, inputs, *([kernel, kernel] if kernel > 1 else []))
    return {"diff": delta}, delta


KINDS = {
    "LoHa": (hada, LINEAR, 2), "LoHa of large rank": (hada, LINEAR, 9), "LoHa conv": (hada, CONV, 2),
    "LoHa of OneTrainer": (hada_of_onetrainer, CONV, 2), "LoHa of OneTrainer, large": (hada_of_onetrainer, CONV, 9),
    "LoHa Tucker": (hada_tucker, CONV, 2), "LoKr": (lokr, LINEAR, 2), "LoKr conv": (lokr, CONV, 2),
    "LoKr full": (lambda *size: lokr(*size, whole=True), LINEAR, 2),
    "LoKr full conv": (lambda *size: lokr(*size, whole=True), CONV, 2), "LoKr small": (lokr_small, LINEAR, 2),
    "LoKr Tucker": (lokr_tucker, CONV, 2), "LoCon with mid": (mid, CONV, 3), "diff": (full, LINEAR, 1),
    "diff conv": (full, CONV, 1),
}  # fmt: skip


def made(path, kind, shapes, place="", **more):
    torch.manual_seed(5)
    make, name, rank = KINDS[kind]
    name = place or name
    weight = shapes[name]
    roles, delta = make(weight[0], weight[1], weight[2] if len(weight) > 2 else 1, rank)
    module = f"lora_unet_{name.partition('.')[2].replace('.', '_')}"
    tensors = {f"{module}.{role}": value for role, value in roles.items()} | {f"{module}.alpha": torch.tensor(ALPHA)}
    tensors = {key: value.contiguous() for key, value in (tensors | more).items()}
    says = {"module": "lycoris.kohya", "dim": "2", "args": '{"algo": "x", "rank_dropout": "0.1"}'}
    fields = {f"ss_network_{key}": text for key, text in says.items()} | {"ss_base_model_version": "sd_v1"}
    fields["sshs_legacy_hash"] = "01234567"  # of the tensors as they are here
    safetensors.torch.save_file(tensors, path, fields | {"modelspec.architecture": "stable-diffusion-v1/loha"})
    return name, delta.reshape(weight)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_as_its_formula_says_and_changes_the_base_so(tmp_path, parts, shapes, kind):
    path = tmp_path / "a.safetensors"
    name, delta = made(path, kind, shapes)
    layers = dialects.read(path, shapes, FACTS, KNOWN)
    torch.testing.assert_close(layers[name].delta(), delta, rtol=1e-4, atol=1e-4)
    info = loras.describe(path)
    assert info.layers == 1 and info.family == "sd1" and dialects.left_out(path, shapes, FACTS) == ""
    assert any("It is a LoKr" in one for one in info.odd) == kind.startswith("LoKr")
    lora.add(parts, layers, "a")
    found = dict(lora.adapter_layers(parts, "a"))
    torch.testing.assert_close(found[name].get_delta_weight("a"), delta, rtol=1e-4, atol=1e-4)
    lora.remove(parts, "a")


@pytest.mark.parametrize("kind", ["LoKr full", "diff conv"])
def test_an_alpha_that_is_infinite_as_16_bits_spoils_no_file_where_it_counts_for_nothing(tmp_path, shapes, kind):
    path, out = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    name, delta = made(path, kind, shapes)
    tensors = safetensors.torch.load_file(path)
    alpha = next(key for key in tensors if key.endswith(".alpha"))
    safetensors.torch.save_file(tensors | {alpha: torch.tensor(100_000.0).half()}, path)
    info = loras.describe(path)
    assert info.alpha == info.rank and loras.is_finite(path)
    list(convert(ConvertJob(file=str(path), to="kohya", out=str(out))))
    for file in (path, out):
        layers = dialects.read(file, shapes, FACTS, KNOWN)
        torch.testing.assert_close(layers[name].delta(), delta, rtol=1e-4, atol=1e-4)
    if kind == "LoKr full":
        learnt = dialects.read(path, shapes, FACTS, KNOWN, learns=True)[name]
        torch.testing.assert_close(learnt.delta(), delta, rtol=1e-4, atol=1e-4)
        assert learnt.alpha == learnt.rank


@pytest.mark.parametrize("kind", ["LoKr", "LoKr small", "LoKr Tucker"])
def test_a_lokr_of_a_kind_that_does_not_learn_here_is_drawn_with_and_not_trained_further(tmp_path, shapes, kind):
    path = tmp_path / "a.safetensors"
    name, _ = made(path, kind, shapes)
    if kind == "LoKr":  # with magnitudes
        module = f"lora_unet_{name.removeprefix('unet.').replace('.', '_')}"
        made(path, kind, shapes, **{f"{module}.dora_scale": torch.ones(shapes[name][0], 1)})
    assert name in dialects.read(path, shapes, FACTS, KNOWN)
    with pytest.raises(UserError, match="cannot be trained further"):
        dialects.read(path, shapes, FACTS, KNOWN, learns=True)


@pytest.mark.parametrize("kind", ["LoHa", "LoKr conv", "LoHa conv", "diff conv"])
def test_the_magnitudes_of_inputs_are_kept_and_stay_so_when_converted(tmp_path, shapes, kind):
    path, out = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    name, delta = made(path, kind, shapes)
    (inputs, *kernel), module = shapes[name][1:], f"lora_unet_{name.partition('.')[2].replace('.', '_')}"
    magnitude = torch.rand(1, inputs, *[1 for _ in kernel])
    made(path, kind, shapes, **{f"{module}.dora_scale": magnitude})
    list(convert(ConvertJob(file=str(path), to="kohya", out=str(out))))
    for file in (path, out):
        layer = dialects.read(file, shapes, FACTS, KNOWN)[name]
        torch.testing.assert_close(layer.delta(), delta, rtol=1e-4, atol=1e-4)
        assert torch.equal(layer.magnitude, magnitude.view(1, -1))


@pytest.mark.parametrize("kind", ["LoHa", "LoKr", "LoKr small"])
def test_an_alpha_that_is_infinite_is_refused_where_it_counts(tmp_path, shapes, kind):
    path = tmp_path / "a.safetensors"
    made(path, kind, shapes)
    tensors = safetensors.torch.load_file(path)
    alpha = next(key for key in tensors if key.endswith(".alpha"))
    safetensors.torch.save_file(tensors | {alpha: torch.tensor(torch.inf)}, path)
    assert not loras.is_finite(path)
    with pytest.raises(UserError, match="not numbers"):
        dialects.read(path, shapes, FACTS, KNOWN)


@pytest.mark.parametrize("kind", ["LoHa conv", "LoKr conv", "LoKr full conv"])
@pytest.mark.parametrize("place", [CONV, "unet.up_blocks.0.resnets.0.conv_shortcut", SQUEEZED])
@pytest.mark.parametrize("dialect", ["kohya", "diffusers"])
def test_a_convolution_is_one_in_a_converted_file_as_diffusers_wants_it(tmp_path, parts, shapes, kind, place, dialect):
    path, out = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    _, delta = made(path, kind, shapes, place)
    list(convert(ConvertJob(file=str(path), to=dialect, out=str(out))))
    pipeline = StableDiffusionPipeline.from_pretrained(
        tiny.stable_diffusion_1(tmp_path / "base"), unet=copy.deepcopy(parts["unet"]), safety_checker=None
    )
    pipeline.load_lora_weights(str(out), adapter_name="a")
    found = pipeline.unet.get_submodule(place.removeprefix("unet.")).get_delta_weight("a")
    torch.testing.assert_close(found.detach(), delta, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["LoHa", "LoKr", "LoCon with mid", "diff conv"])
def test_it_is_converted_to_a_plain_lora(tmp_path, shapes, kind):
    path, out = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    name, delta = made(path, kind, shapes)
    list(convert(ConvertJob(file=str(path), to="diffusers", out=str(out))))
    layers, says = dialects.read(out, shapes, FACTS, KNOWN), read_header(out).metadata
    torch.testing.assert_close(layers[name].delta(), delta, rtol=1e-3, atol=1e-3)
    assert (says["ss_network_module"], says["ss_network_dim"]) == ("networks.lora", str(layers[name].rank))
    assert says["ss_network_args"] == '{"rank_dropout": "0.1"}' and says["modelspec.architecture"].endswith("/lora")
    assert not {"ss_network_alpha", "sshs_legacy_hash"} & says.keys()


def test_trained_norms_and_biases_beside_it_are_left_out_with_a_sentence(tmp_path, shapes):
    path = tmp_path / "a.safetensors"
    name, _ = made(path, "LoHa", shapes, **{"lora_unet_x.w_norm": torch.ones(3), "lora_unet_x.diff": torch.ones(3)})
    assert dialects.read(path, shapes, FACTS, KNOWN).keys() == {name}
    assert "2 that no layer here has" in dialects.left_out(path, shapes, FACTS)
    assert any("2 that no layer here has" in sentence for sentence in loras.describe(path).odd)


@pytest.mark.parametrize("lost", ["hada_w1_a", "hada_w2_b"])
def test_factors_that_do_not_belong_together_are_refused(tmp_path, shapes, lost):
    path = tmp_path / "a.safetensors"
    made(path, "LoHa", shapes)
    tensors = safetensors.torch.load_file(path)
    key = next(key for key in tensors if key.endswith(lost))
    for changed in (tensors | {key: torch.ones(5, 5)}, {k: v for k, v in tensors.items() if k != key}):
        safetensors.torch.save_file(changed, path)
        with pytest.raises(UserError, match="do not belong together"):
            loras.describe(path)


def test_a_small_file_that_would_fill_the_memory_is_refused_before_it_does(tmp_path):
    path, header, at = tmp_path / "a.safetensors", {}, 0
    for role in ("lokr_w1", "lokr_w2"):
        header[f"lora_unet_mid_block_x.{role}"] = {
            "dtype": "F16",
            "shape": [256, 256],
            "data_offsets": [at, at + 131072],
        }
        at += 131072
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(at))
    with pytest.raises(UserError, match="too much to be read"):
        loras.describe(path)
