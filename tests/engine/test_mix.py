"""Several LoRAs as one: exact by concatenation, or the nearest of a smaller rank."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from lora_gui import families
from lora_gui.engine.draw.drawer import Drawer
from lora_gui.engine.mix import _file, _scaled, compressed, concatenated, mix
from lora_gui.errors import UserError
from lora_gui.formats import dialects
from lora_gui.formats.header import read_header
from lora_gui.formats.identify import identify
from lora_gui.formats.lora_file import Layer
from lora_gui.formats.strengths import strength_in
from lora_gui.protocol.events import Done, Drawn, Mixed
from lora_gui.protocol.jobs import Base, DrawJob, MixJob
from lora_gui.settings import DrawSettings, StackEntry
from lora_gui.studio.stacks.kept import kept

SD1 = families.facts_of("sd1")
KNOWN = families.facts().values()


@pytest.fixture(scope="module")
def known(finished):
    """The shapes of the layers that the run has trained, which are of every kind there is."""
    return {name: (layer.up.shape[0], *layer.down.shape[1:]) for name, layer in read(finished.lora).items()}


def read(path):
    return dialects.read(Path(path), None, SD1, KNOWN)


def lora(path, known, seed, rank, alpha, dora=False, size=0.2, **says):
    random = torch.Generator().manual_seed(seed)
    layers = {
        name: Layer(
            size * torch.randn(rank, *weight[1:], generator=random),
            size * torch.randn(weight[0], rank, *[1] * (len(weight) - 2), generator=random), alpha,
            torch.ones(weight[0]) if dora else None,
        )
        for n, (name, weight) in enumerate(known.items()) if (n + seed) % 3
    }  # fmt: skip
    tensors = {name: one.contiguous() for name, one in dialects.build(layers, SD1).items()}
    safetensors.torch.save_file(tensors, path, {"modelspec.architecture": SD1.architecture} | says)
    return path


@pytest.fixture
def pair(tmp_path, known):
    return [
        lora(tmp_path / "one.safetensors", known, 1, 4, 2.0, **{"modelspec.trigger_phrase": "zxy"}),
        lora(tmp_path / "two.safetensors", known, 2, 3, 5.0, **{"modelspec.trigger_phrase": "owl"}),
    ]


def entries(pair, *strengths, **more):
    return tuple(StackEntry(lora=str(path), strength=s, **more) for path, s in zip(pair, strengths, strict=True))


def test_what_a_rank_keeps_is_known_before_it_is_mixed(pair):
    stack = entries(pair, 0.8, -0.5, text_strength=0.3, middle=0.0)
    told = kept(stack, (1, 2, 3))
    assert told.exact == 7 and list(told.shares) == [1, 2, 3]
    exact = concatenated([_scaled(Path(entry.lora), entry, read(entry.lora)) for entry in stack])
    for rank, share in told.shares.items():
        assert compressed(exact, rank)[1] == pytest.approx(share, abs=1e-5)


def mixed(tmp_path, stack, rank=0):
    out = tmp_path / f"mix-{rank}.safetensors"
    events = list(mix(MixJob(stack=stack, rank=rank, name=out.stem, out=str(out))))
    assert events[-1] == Done(lora=str(out), sha256=events[-1].sha256)
    return out, next(event for event in events if isinstance(event, Mixed))


def summed(stack):
    found = {}
    for entry in stack:
        for name, layer in read(entry.lora).items():
            found[name] = found.get(name, 0) + strength_in(entry, name) * layer.delta()
    return found


@pytest.mark.parametrize("more", [{}, {"text_strength": 0.25, "down": 0.5, "middle": 0.0, "up": -1.0}])
def test_an_exact_mix_is_the_weighted_sum_of_every_layer(tmp_path, pair, more):
    stack = entries(pair, 0.8, -0.5, **more)
    out, told = mixed(tmp_path, stack)
    wanted, got = summed(stack), read(out)
    assert told.kept == 1.0 and got.keys() <= wanted.keys()
    for name, delta in wanted.items():
        made = got[name].delta() if name in got else torch.zeros_like(delta)
        torch.testing.assert_close(made, delta, rtol=1e-5, atol=1e-6)
    assert any(delta.ndim == 4 for delta in wanted.values())
    says = read_header(out).metadata
    assert says["modelspec.trigger_phrase"] == "zxy, owl" and says["modelspec.architecture"] == SD1.architecture
    parents = json.loads(says["studio.parent_loras"])
    assert [(one["name"], one["strength"]) for one in parents] == [("one", 0.8), ("two", -0.5)]


def drawing(base, folder, *stack):
    settings = DrawSettings(prompt="zxy thing 0", stack=stack, width=64, height=64, steps=4, guidance=4)
    where = Base(key="tiny", title="Tiny", family="sd1", path=str(base))
    drawer = Drawer()
    job = DrawJob(id=f"{len(list(folder.glob('*.png')))}", base=where, settings=settings, folder=str(folder))
    drawn = next(event for event in drawer.draw(job, lambda _: None, bool) if isinstance(event, Drawn))
    return np.array(Image.open(drawn.path)).astype(int)


def test_a_mix_at_strength_1_draws_as_the_stack(tmp_path, base, pair):
    stack = entries(pair, 0.8, -0.5)
    out, _ = mixed(tmp_path, stack)
    together = drawing(base, tmp_path, *stack)
    assert np.abs(together - drawing(base, tmp_path, StackEntry(lora=str(out)))).max() <= 1
    assert np.abs(together - drawing(base, tmp_path)).max() > 8


@pytest.mark.soak
def test_at_the_full_rank_a_compressed_mix_is_the_exact_one(tmp_path, pair):
    stack = entries(pair, 0.8, -0.5)
    out, told = mixed(tmp_path, stack, rank=7)
    assert told.kept == pytest.approx(1, abs=1e-6) and told.rank == 7
    for name, layer in read(out).items():
        wanted = summed(stack)[name]
        torch.testing.assert_close(layer.delta(), wanted, rtol=0.01, atol=2e-3 * float(wanted.abs().max()))


def test_a_smaller_rank_is_the_nearest_there_is_and_says_what_it_keeps(pair):
    exact = concatenated([
        {name: Layer(one.down, one.up * one.alpha / one.rank, one.rank) for name, one in read(path).items()}
        for path in pair
    ])  # fmt: skip
    made, kept = compressed(exact, 2)
    error = total = best = 0.0
    for name, layer in made.items():
        dense = exact[name].delta().flatten(1).double()
        values = torch.linalg.svdvals(dense)
        error += float((dense - layer.delta().flatten(1)).norm() ** 2)
        best += float((values[2:] ** 2).sum())
        total += float((values**2).sum())
        assert layer.rank == 2
    assert error == pytest.approx(best, rel=1e-3) and kept == pytest.approx(1 - best / total, abs=1e-4) and kept < 0.95


def test_a_mix_of_faint_loras_is_rounded_to_a_rank_too_in_more_bits_where_it_needs_them(tmp_path, known):
    """Values below what 16 bits resolve."""
    faint = [lora(tmp_path / f"{seed}.safetensors", known, seed, 4, 4.0, size=2e-6) for seed in (1, 2)]
    path, _ = mixed(tmp_path, entries(faint, 1.0, 1.0), rank=2)
    assert {one.dtype for one in safetensors.torch.load_file(path).values()} == {torch.float32}


def test_a_dora_a_mix_of_nothing_and_too_large_a_rank_are_sentences(tmp_path, pair, known):
    dora = lora(tmp_path / "dora.safetensors", known, 1, 4, 4.0, dora=True)
    wide = lora(tmp_path / "wide.safetensors", dict(list(known.items())[:3]), 1, 600, 600.0)
    for stack, words in (
        (entries([pair[0], dora], 1, 1), "dora is a DoRA"),
        (entries(pair, 0, 0), "nothing is left"),
        (entries([wide], 1), "rank 600"),
        (entries(pair[:1], 2) * 8, ""),
    ):
        if words:
            with pytest.raises(UserError, match=words):
                mixed(tmp_path, stack)
            assert not (tmp_path / "mix-0.safetensors").exists()
        else:
            assert mixed(tmp_path, stack)[1].rank == 32


@pytest.mark.parametrize("rank", [1, 2])
def test_a_mix_of_many_layers_is_rounded_to_the_smallest_ranks_in_16_bits(rank):
    """Each layer is compared by what it does to random inputs, of which one may be all but lost on a rank of 1."""
    random = torch.Generator().manual_seed(0)
    layers = {
        f"unet.down_blocks.{n % 2 + 1}.attentions.{n // 2 % 2}.transformer_blocks.{n // 8 % 6}"
        f".attn{n // 4 % 2 + 1}.to_{'qkv'[n // 48]}": Layer(
            torch.randn(rank, 320, generator=random) / 18, torch.randn(320, rank, generator=random) / 18, float(rank)
        )
        for n in range(144)
    }
    made = safetensors.torch.load(_file(layers, {}, families.facts_of("sdxl"), True))
    assert len(made) == 3 * len(layers) and {one.dtype for one in made.values()} == {torch.float16}


def test_a_mix_is_known_for_its_family_where_its_loras_call_that_differently(tmp_path):
    stack, module = [], "lora_te1_text_model_encoder_layers_0_mlp_fc1"  # a layer that several families have
    for said in ("flux1", "flux-1-dev"):
        halves = {f"{module}.lora_down.weight": torch.ones(2, 768), f"{module}.lora_up.weight": torch.ones(3072, 2)}
        safetensors.torch.save_file(halves, tmp_path / f"{said}.safetensors", {"ss_base_model_version": said})
        stack.append(StackEntry(lora=str(tmp_path / f"{said}.safetensors"), strength=1.0))
    out = tmp_path / "mix.safetensors"
    list(mix(MixJob(stack=tuple(stack), rank=0, name="mix", out=str(out))))
    assert identify(read_header(out), KNOWN)[0] == "flux1"
