"""What decodes latents rests in RAM between drawings and decodes large pictures in tiles, with the same result."""

import copy
import math

import pytest
import torch
from diffusers import AutoencoderKL

from lora_gui.engine.draw.pipeline import Pipeline
from lora_gui.engine.load import device
from lora_gui.engine.load.sparing import _AT_ONCE, Resting, tile
from lora_gui.engine.memory import networks, tracker
from lora_gui.families import family
from lora_gui.families.stable_diffusion_1.model import StableDiffusion1
from lora_gui.protocol.jobs import Base
from lora_gui.settings import DrawSettings

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def vae(base):
    return AutoencoderKL.from_pretrained(base / "vae").requires_grad_(False)


def storage(network):
    """Bytes that its weights take."""
    return sum({w.untyped_storage()._cdata: w.untyped_storage().nbytes() for w in network.parameters()}.values())


@torch.no_grad()
def test_a_resting_network_takes_no_memory_until_it_is_run_and_then_gives_the_same(vae):
    latents, expected = torch.randn(1, 4, 8, 8), None
    expected = vae.decode(latents).sample
    rests = copy.deepcopy(vae)
    resting = Resting(rests, CPU)
    held = sum(1 for _ in rests.parameters()) * 4
    for _ in range(2):
        assert resting._buffer is None and storage(rests) <= held and rests.dtype == torch.float32
        assert torch.equal(rests.decode(latents).sample, expected) and resting._buffer is not None
        resting.rest()


@torch.no_grad()
def test_small_pictures_are_decoded_whole_and_large_ones_in_tiles_that_differ_little(vae):
    tiled, cell = copy.deepcopy(vae), 2 ** (len(vae.config.block_out_channels) - 1)
    tile(tiled)
    small, large = (torch.randn(1, 4, side // cell, side // cell) for side in (512, 640))
    assert torch.equal(tiled.decode(small).sample, vae.decode(small).sample)
    whole, in_tiles = vae.decode(large).sample, tiled.decode(large).sample
    assert in_tiles.shape == whole.shape and not torch.equal(in_tiles, whole)
    assert (in_tiles - whole).abs().mean() < 0.15 * whole.std()


def test_tiles_take_the_memory_of_one_of_them(vae):
    vae = copy.deepcopy(vae).to("meta")
    cell = 2 ** (len(vae.config.block_out_channels) - 1)
    decode = lambda side: lambda: vae.decode(torch.empty(1, 4, side // cell, side // cell, device="meta"))  # noqa: E731
    one, whole = (tracker.forward(vae, decode(side)).peak for side in (512, 2048))
    tile(vae)
    tiled = tracker.forward(vae, decode(2048)).peak
    picture = 2048 * 2048 * 3 * 4
    assert tiled < one + 5 * picture < whole and math.isclose(whole, 16 * one, rel_tol=0.1)


def test_a_sparing_pipeline_draws_the_same_and_leaves_nothing_behind(base):
    settings = DrawSettings(prompt="a fox", width=64, height=64, steps=2)
    drawn = {}
    for sparing in (False, True):
        pipeline = Pipeline(family("sd1"), base, CPU, torch.float32, sparing=sparing)
        drawn[sparing] = [pipeline.draw(settings, seed).tobytes() for seed in (1, 1, 2)]
        assert (storage(pipeline.kit.vae) < 4096) == sparing
    assert drawn[True] == drawn[False] and drawn[True][0] == drawn[True][1] != drawn[True][2]


@pytest.mark.parametrize("key, base", [("sd1", "sd15"), ("sd3", "sd35-medium"), ("klein", "klein-4b")])
def test_what_an_autoencoder_holds_while_it_decodes_is_known_ahead(key, base):
    found = networks.components(Base(key=base, title="", family=key, path="", like=base))
    run = family(key).workload({name: one["config"] for name, one in found.items()}).decoders["vae"]
    peak = networks.facts(found["vae"], run, 1, 512, torch.float32)["peak"]
    held = _AT_ONCE * found["vae"]["config"]["block_out_channels"][0] * 4 * 512 * 512
    assert 0.8 * held < peak <= 1.05 * held


def test_a_pipeline_decodes_in_tiles_only_what_has_no_room_as_a_whole(base, monkeypatch):
    pipeline, tiled = Pipeline(family("sd1"), base, CPU, torch.float32), []
    monkeypatch.setattr(StableDiffusion1, "predict", lambda self, part, network, noisy, *others: noisy)
    for width, room in ((640, 2**40), (576, 2**20), (640, 2**20), (576, 2**40)):
        monkeypatch.setattr(device, "free", lambda where, room=room: room)
        pipeline.draw(DrawSettings(prompt="a fox", width=width, height=512, steps=1), 1)
        tiled.append(pipeline.kit.vae.use_tiling)
    assert tiled == [False, True, False, True]  # one size always alike
