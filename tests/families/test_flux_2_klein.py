"""FLUX.2 klein against diffusers' own pipeline, scheduler and architecture."""

import json
import re

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, Flux2KleinPipeline, Flux2Transformer2DModel
from diffusers.pipelines.flux.pipeline_flux import calculate_shift

import lora_gui.families
from lora_gui.engine.draw.pipeline import Pipeline
from lora_gui.engine.load import lora
from lora_gui.errors import UserError
from lora_gui.families import family
from lora_gui.families.shared import flux, latent
from lora_gui.protocol.jobs import Base
from lora_gui.settings import TrainSettings
from tests.families import contract
from tests.families.contract import CPU, batch_of, loss_of, pipeline_of, settings
from tests.tiny_flux_2_klein import flux_2_klein

FAMILY = family("klein")


def plainly(plain, seed=7, guidance=4.0, **further):
    return plain(
        prompt=contract.PROMPT, width=64, height=64, num_inference_steps=3, guidance_scale=guidance,
        generator=torch.Generator().manual_seed(seed), **further,
    ).images  # fmt: skip


class TestContract(contract.Contract):
    key = "klein"
    spelt = 3  # "user" is one token of Qwen3

    def plain_drawing(self, base, wanted):
        return plainly(DiffusionPipeline.from_pretrained(base))[0]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return flux_2_klein(tmp_path_factory.mktemp("klein"))


@pytest.fixture(scope="module")
def plain(base):
    return DiffusionPipeline.from_pretrained(base)


@torch.no_grad()
def test_captions_are_encoded_as_the_pipeline_does_with_the_layers_it_needs(base, plain):
    encoders = FAMILY.encoders(base, CPU, torch.float32)
    assert len(encoders.texts["text_encoder"].layers) == 27 < plain.text_encoder.config.num_hidden_layers
    for caption in ("a thing", ""):
        text, _ = plain.encode_prompt(caption, device=CPU)
        assert text.shape == (1, 512, 48)
        assert torch.equal(FAMILY.encode_captions(encoders, [caption])["text"], text)


@torch.no_grad()
def test_pictures_are_encoded_as_the_pipeline_does_with_those_it_is_shown(base, plain):
    encoders = FAMILY.encoders(base, CPU, torch.float32)
    pixels = torch.rand(2, 3, 48, 64) * 2 - 1
    ours = FAMILY.encode_pictures(encoders, pixels)["latents"]
    assert ours.shape == (2, 128, 3, 4)
    torch.testing.assert_close(ours, plain._encode_vae_image(pixels, torch.Generator()))


def test_tokens_and_their_places_are_those_of_the_pipeline():
    latents = torch.randn(2, 32, 6, 8)
    patched = Flux2KleinPipeline._patchify_latents(latents)
    assert torch.equal(flux.patches(latents), patched)
    assert torch.equal(flux.cells(patched), latents)
    assert torch.equal(flux.tokens(patched), Flux2KleinPipeline._pack_latents(patched))
    assert torch.equal(flux.position_ids(3, 4, 4, CPU), Flux2KleinPipeline._prepare_latent_ids(patched)[0].float())


def test_the_loss_is_that_of_the_flow_the_pipeline_follows(base, plain):
    batch, heard = batch_of("klein", base, size=(48, 64)), {}
    parts = FAMILY.denoisers(base, CPU, torch.float32)

    def listen(module, arguments, named, output):
        heard.update(named, predicted=output.sample)

    parts["transformer"].register_forward_hook(listen, with_kwargs=True)
    with torch.no_grad():
        loss = loss_of("klein", base, parts, batch, TrainSettings(), seed=9)
    generator, latents = torch.Generator().manual_seed(9), batch.pictures["latents"]
    noise = Flux2KleinPipeline._patchify_latents(torch.randn((2, 32, 6, 8), generator=generator))
    even = torch.sigmoid(torch.randn(2, generator=generator))
    sigma = plain.scheduler.time_shift(calculate_shift(3 * 4), 1.0, even)
    torch.testing.assert_close(heard["timestep"], sigma)
    assert torch.equal(heard["encoder_hidden_states"], batch.captions["text"])
    assert torch.equal(heard["txt_ids"], plain.encode_prompt("a thing", device=CPU)[1][0].float())
    latents, noise = (Flux2KleinPipeline._pack_latents(one) for one in (latents, noise))
    sigma = sigma.view(-1, 1, 1)
    torch.testing.assert_close(heard["hidden_states"], (1 - sigma) * latents + sigma * noise)
    torch.testing.assert_close(loss, (heard["predicted"] - (noise - latents)).pow(2).mean((1, 2)))


def test_the_distilled_base_draws_without_guidance_and_does_not_learn(tmp_path):
    distilled = flux_2_klein(tmp_path, distilled=True)
    pipeline = pipeline_of("klein", distilled)
    ours = pipeline.draw(settings(guidance=4), 7)
    assert contract.same(ours, plainly(DiffusionPipeline.from_pretrained(distilled), guidance=1.0)[0])
    with pytest.raises(UserError, match="klein base of the same size"):
        FAMILY.require_learning(distilled)


def test_a_negative_prompt_stands_in_for_the_empty_one(base, plain):
    ours = pipeline_of("klein", base).draw(settings(negative_prompt="grey"), 7)
    unwanted, _ = plain.encode_prompt("grey", device=CPU)
    assert contract.same(ours, plainly(plain, negative_prompt_embeds=unwanted)[0])
    assert not contract.same(ours, plainly(plain)[0])


def test_with_room_for_it_a_card_draws_both_branches_of_the_guidance_in_one_pass(base, monkeypatch):
    calls, pipeline = [], pipeline_of("klein", base)
    pipeline.parts["transformer"].register_forward_pre_hook(lambda module, args, named: calls.append(
        len(named["hidden_states"])
    ), with_kwargs=True)  # fmt: skip
    apart = np.array(pipeline.draw(settings(), 3), dtype=int)
    assert calls == [1] * 6
    monkeypatch.setattr(latent, "has_room", lambda device, settings: True)
    calls.clear()
    together = np.array(pipeline.draw(settings(), 3), dtype=int)
    assert calls == [2] * 3 and np.abs(apart - together).max() <= 1


@pytest.mark.parametrize(("free", "room"), [(3 * 2**30, True), (1 * 2**30, False)])
def test_room_is_what_is_free_of_a_card_for_a_drawing_of_that_size(monkeypatch, free, room):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 8 * 2**30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 2**29)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 2**29)
    wanted = settings(width=1024, height=1024)
    assert latent.has_room(torch.device("cuda"), wanted) is room
    assert not latent.has_room(torch.device("cpu"), wanted)


def test_the_predicted_x0_after_the_last_step_is_the_finished_drawing(base, plain):
    pipeline, seen = pipeline_of("klein", base), []
    pipeline.draw(settings(), 1, progress=lambda step, of, x0: seen.append(x0))
    mean, variance = (one.view(1, -1, 1, 1) for one in (plain.vae.bn.running_mean, plain.vae.bn.running_var))
    undone = flux.cells(flux.patches(seen[-1]) * (variance + plain.vae.config.batch_norm_eps).sqrt() + mean)
    torch.testing.assert_close(undone, plainly(plain, seed=1, output_type="latent"))


def test_fp16_in_which_it_overflows_becomes_bf16(base):
    parts = FAMILY.denoisers(base, CPU, torch.float16)
    assert {weight.dtype for weight in parts["transformer"].parameters()} == {torch.bfloat16}
    pipeline = Pipeline(FAMILY, base, CPU, torch.float16)
    assert pipeline.kit.vae.dtype == pipeline.kit.encoders.texts["text_encoder"].dtype == torch.bfloat16


def test_a_run_in_bf16_ends_with_a_lora_that_diffusers_reads(base, tmp_path):
    file = contract.lora_of_a_run(Base(key="klein-4b", title="Tiny", family="klein", path=str(base)), tmp_path)
    pipeline = DiffusionPipeline.from_pretrained(base)
    pipeline.load_lora_weights(file, adapter_name="ours")
    assert pipeline.get_list_adapters()["transformer"] == ["ours"]


@pytest.mark.parametrize("rank", [2, 64], ids=["product", "whole"])
def test_diffusers_reads_our_lokr_to_the_same_changes(base, tmp_path, rank):
    contract.diffusers_reads_a_lokr("klein", base, tmp_path / "a.safetensors", rank)


@pytest.mark.parametrize(("key", "count", "millions"), [("klein-4b", 60, 16.7), ("klein-9b", 80, 27.8)])
def test_the_right_layers_of_the_full_size_architecture_learn(key, count, millions):
    transformer = full_size(key)
    lora.add_new({"transformer": transformer}, FAMILY, TrainSettings(rank=16), "new")
    learning = [p for p in transformer.parameters() if p.requires_grad]
    assert len(learning) == 2 * count
    assert round(sum(p.numel() for p in learning) / 1e6, 1) == millions


def test_more_layers_learn_where_wished():
    names = [name for name, module in full_size("klein-4b").named_modules() if isinstance(module, torch.nn.Linear)]
    counts = {layers: sum(bool(re.fullmatch(FAMILY.targets("transformer", layers), name)) for name in names)
              for layers in ("linear", "all")}  # fmt: skip
    assert counts == {"linear": 5 * 12 + 20 * 2, "all": 5 * 12 + 20 * 2 + 3}


def full_size(key):
    configuration = json.loads(lora_gui.families.configuration(key).read_text())["components"]["transformer"]
    with torch.device("meta"):
        transformer = Flux2Transformer2DModel.from_config(configuration["config"])
    assert sum(p.numel() for p in transformer.parameters()) == configuration["params"]
    return transformer


def test_every_known_base_has_its_configuration():
    for known in FAMILY.facts.bases:
        configuration = json.loads(lora_gui.families.configuration(known.key).read_text())
        assert configuration["pipeline"]["class"] == FAMILY.facts.pipeline
        assert configuration["pipeline"]["config"]["is_distilled"] == known.key.endswith("-distilled")
