"""FLUX.1 against diffusers' own pipeline, scheduler and architecture."""

import json
import re

import pytest
import torch
from diffusers import DiffusionPipeline, FluxPipeline, FluxTransformer2DModel
from diffusers.pipelines.flux.pipeline_flux import calculate_shift

import lora_gui.families
from lora_gui import families
from lora_gui.engine.convert import convert
from lora_gui.engine.draw import as_diffusers
from lora_gui.engine.draw.pipeline import Pipeline
from lora_gui.engine.load import lora
from lora_gui.errors import UserError
from lora_gui.families import family
from lora_gui.families.shared import flow, flux
from lora_gui.families.shared.noising import RectifiedFlow
from lora_gui.formats.header import Header, Tensor
from lora_gui.formats.identify import identify
from lora_gui.protocol.events import Done
from lora_gui.protocol.jobs import Base, ConvertJob
from lora_gui.settings import TrainSettings
from lora_gui.studio.doctor import reading
from tests.families import contract
from tests.families.contract import CPU, batch_of, loss_of, pipeline_of, settings
from tests.tiny_flux_1 import flux_1

FAMILY = family("flux1")
DOUBLE = "transformer.transformer_blocks.0.attn.to_q"  # a layer that SD 3.5 has too


class TestContract(contract.Contract):
    key = "flux1"
    unguided = 4.0  # the denoiser is told it


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return flux_1(tmp_path_factory.mktemp("flux1"))


@pytest.fixture(scope="module")
def schnell(tmp_path_factory):
    return flux_1(tmp_path_factory.mktemp("schnell"), schnell=True)


@pytest.fixture(scope="module")
def plain(base):
    return DiffusionPipeline.from_pretrained(base)


@torch.no_grad()
def test_captions_are_encoded_as_the_pipeline_does(base, plain):
    encoders = FAMILY.encoders(base, CPU, torch.float32)
    for caption in ("a thing", ""):
        text, pooled, _ = plain.encode_prompt(caption, device=CPU)
        ours = FAMILY.encode_captions(encoders, [caption])
        assert torch.equal(ours["text"], text)
        assert torch.equal(ours["pooled"], pooled)


@torch.no_grad()
def test_pictures_are_shifted_and_scaled_as_the_pipeline_undoes_it(base, plain):
    encoders = FAMILY.encoders(base, CPU, torch.float32)
    pixels = torch.rand(2, 3, 64, 64) * 2 - 1
    ours, posterior = FAMILY.encode_pictures(encoders, pixels), plain.vae.encode(pixels).latent_dist
    torch.testing.assert_close(ours["mean"], (posterior.mean - 0.1159) * 0.3611)
    torch.testing.assert_close(ours["std"], posterior.std * 0.3611)


def test_tokens_and_their_places_are_those_of_the_pipeline():
    latents = torch.randn(2, 16, 6, 8)
    packed = FluxPipeline._pack_latents(latents, 2, 16, 6, 8)
    assert torch.equal(flux.tokens(flux.patches(latents)), packed)
    assert torch.equal(flux.cells(flux.patches(latents)), latents)
    plain = FluxPipeline._prepare_latent_image_ids(2, 3, 4, CPU, torch.float32)
    assert torch.equal(flux.position_ids(3, 4, 3, CPU), plain)


@pytest.mark.parametrize("tokens", [16, 256, 1024, 4096])
def test_the_shift_is_that_of_the_pipeline_and_its_scheduler(base, plain, tokens):
    latents = torch.zeros(1000, 1, 4, tokens)
    even, moved = (
        RectifiedFlow(shift).timesteps(latents, torch.Generator().manual_seed(3)) / 1000
        for shift in (lambda cells: 1.0, flow.Shift.of(flow.config_of(base)))
    )
    torch.testing.assert_close(moved, plain.scheduler.time_shift(calculate_shift(tokens), 1.0, even))


def test_the_loss_is_that_of_the_flow_the_pipeline_follows_at_guidance_1(base, plain):
    batch, heard = batch_of("flux1", base, size=(48, 64)), {}
    parts = FAMILY.denoisers(base, CPU, torch.float32)

    def listen(module, arguments, named, output):
        heard.update(named, predicted=output.sample)

    parts["transformer"].register_forward_hook(listen, with_kwargs=True)
    with torch.no_grad():
        loss = loss_of("flux1", base, parts, batch, TrainSettings(), seed=9)
    generator = torch.Generator().manual_seed(9)
    mean, std = batch.pictures["mean"], batch.pictures["std"]
    latents = mean + std * torch.randn(mean.shape, generator=generator)
    noise = torch.randn(mean.shape, generator=generator)
    even = torch.sigmoid(torch.randn(2, generator=generator))
    sigma = plain.scheduler.time_shift(calculate_shift(3 * 4), 1.0, even)
    torch.testing.assert_close(heard["timestep"], sigma)
    assert torch.equal(heard["guidance"], torch.ones(2))
    assert torch.equal(heard["pooled_projections"], batch.captions["pooled"])
    assert torch.equal(heard["encoder_hidden_states"], batch.captions["text"])
    assert torch.equal(heard["txt_ids"], plain.encode_prompt("a thing", device=CPU)[2])
    latents, noise = (FluxPipeline._pack_latents(one, 2, 16, 6, 8) for one in (latents, noise))
    sigma = sigma.view(-1, 1, 1)
    torch.testing.assert_close(heard["hidden_states"], (1 - sigma) * latents + sigma * noise)
    torch.testing.assert_close(loss, (heard["predicted"] - (noise - latents)).pow(2).mean((1, 2)))


def test_schnell_draws_in_its_own_way_and_does_not_learn(schnell):
    ours = pipeline_of("flux1", schnell).draw(settings(guidance=0), 7)
    plain = DiffusionPipeline.from_pretrained(schnell)
    expected = plain(
        contract.PROMPT, width=64, height=64, num_inference_steps=3, guidance_scale=0.0, max_sequence_length=256,
        generator=torch.Generator().manual_seed(7),
    ).images[0]  # fmt: skip
    assert contract.same(ours, expected)
    with pytest.raises(UserError, match="Train with FLUX.1 dev"):
        FAMILY.require_learning(schnell)


def test_schnell_reads_half_as_much_and_the_doctor_knows(schnell):
    known = Base(key="own", title="Own", family="flux1", path=str(schnell), like="flux1-schnell")
    assert reading.of_base(known).room == FAMILY.reader(schnell).room == 255


def test_a_negative_prompt_counts(base, plain):
    pipeline = pipeline_of("flux1", base)
    ours = pipeline.draw(settings(negative_prompt="grey"), 7)
    expected = plain(
        contract.PROMPT, negative_prompt="grey", true_cfg_scale=2.0, width=64, height=64, num_inference_steps=3,
        guidance_scale=4.0, generator=torch.Generator().manual_seed(7),
    ).images[0]  # fmt: skip
    assert contract.same(ours, expected)
    assert not contract.same(ours, pipeline.draw(settings(), 7))


def test_the_predicted_x0_after_the_last_step_is_the_finished_drawing(base, plain):
    pipeline, seen = pipeline_of("flux1", base), []
    pipeline.draw(settings(width=96), 1, progress=lambda step, of, x0: seen.append(x0))
    finished = plain(
        contract.PROMPT, width=96, height=64, num_inference_steps=3, guidance_scale=4.0,
        generator=torch.Generator().manual_seed(1), output_type="latent",
    ).images  # fmt: skip
    torch.testing.assert_close(flux.tokens(flux.patches(seen[-1])), finished)
    assert pipeline.preview(seen[-1]).size == (96, 64)


def test_fp16_in_which_it_overflows_becomes_bf16(base):
    parts = FAMILY.denoisers(base, CPU, torch.float16)
    assert {weight.dtype for weight in parts["transformer"].parameters()} == {torch.bfloat16}
    pipeline = Pipeline(FAMILY, base, CPU, torch.float16)
    assert pipeline.kit.vae.dtype == pipeline.kit.encoders.texts["text_encoder_2"].dtype == torch.bfloat16


def test_a_run_in_bf16_ends_with_a_lora_that_diffusers_reads_once_it_is_converted(base, tmp_path):
    file = contract.lora_of_a_run(Base(key="flux1-dev", title="Tiny", family="flux1", path=str(base)), tmp_path)
    # diffusers takes fused layers of a kohya file apart by the sizes of the full base
    with pytest.raises(UserError, match="diffusers does not read"):
        as_diffusers.add(FAMILY.denoisers(base, CPU, torch.float32), file, FAMILY.facts, "one", texts=False)
    *_, last = convert(ConvertJob(file=str(file), to="diffusers", out=str(tmp_path / "diffusers.safetensors")))
    assert isinstance(last, Done)
    pipeline = DiffusionPipeline.from_pretrained(base)
    pipeline.load_lora_weights(last.lora, adapter_name="ours")
    assert pipeline.get_list_adapters()["transformer"] == ["ours"]


def test_the_right_layers_of_the_full_size_architecture_learn():
    configuration = json.loads(lora_gui.families.configuration("flux1-dev").read_text())["components"]["transformer"]
    with torch.device("meta"):
        transformer = FluxTransformer2DModel.from_config(configuration["config"])
    assert sum(p.numel() for p in transformer.parameters()) == configuration["params"]
    names = [name for name, module in transformer.named_modules() if isinstance(module, torch.nn.Linear)]
    counts = {layers: sum(bool(re.fullmatch(FAMILY.targets("transformer", layers), name)) for name in names)
              for layers in ("linear", "all")}  # fmt: skip
    assert counts == {"linear": 19 * 12 + 38 * 5, "all": 19 * 14 + 38 * 6}
    lora.add_new({"transformer": transformer}, FAMILY, TrainSettings(rank=16), "new")
    learning = [p for p in transformer.parameters() if p.requires_grad]
    assert len(learning) == 2 * 342
    assert round(sum(p.numel() for p in learning) / 1e6, 1) == 44.8


@pytest.mark.parametrize(
    ("key", "dialect", "layers"),
    [
        ("flux1", "diffusers", f"{DOUBLE} transformer.single_transformer_blocks.0.proj_mlp"),
        ("klein", "diffusers", f"{DOUBLE} transformer.single_transformer_blocks.0.attn.to_out"),
        ("sd3", "diffusers", f"{DOUBLE} transformer.transformer_blocks.30.attn.to_add_out"),
        ("flux1", "kohya", "lora_unet_double_blocks_0_img_attn_qkv lora_unet_single_blocks_37_linear1"),
        ("klein", "kohya", "lora_unet_double_blocks_7_img_attn_qkv lora_unet_single_blocks_23_linear1"),
        ("flux1", "comfy", "diffusion_model.double_blocks.18.img_attn.qkv"),
        ("klein", "comfy", "diffusion_model.double_blocks.0.img_attn.qkv diffusion_model.single_blocks.0.linear2"),
        ("flux1", "onetrainer", "lora_transformer_single_transformer_blocks_3_attn_to_q"),
        ("klein", "onetrainer", "lora_transformer_single_transformer_blocks_3_attn_to_qkv_mlp_proj"),
    ],
)  # fmt: skip
def test_a_lora_that_names_no_base_is_told_from_those_of_its_relatives(key, dialect, layers):
    pieces = ("lora_A", "lora_B") if dialect == "diffusers" else ("lora_down", "lora_up")
    tensors = {f"{layer}.{piece}.weight": Tensor("F32", (4, 4), 0, 64) for layer in layers.split() for piece in pieces}
    assert identify(Header(tensors, {}), list(families.facts().values())) == (key, dialect)


def test_every_known_base_has_its_configuration():
    for known in FAMILY.facts.bases:
        configuration = json.loads(lora_gui.families.configuration(known.key).read_text())
        assert configuration["pipeline"]["class"] == FAMILY.facts.pipeline
