"""Transformers in one file, as ComfyUI has them: their networks are found beside them, or named as missing."""

from pathlib import Path

import pytest

from lora_gui.errors import UserError
from lora_gui.studio.finding import found, look, places
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases
from tests.studio.finding import layouts
from tests.studio.things import base_folders as like
from tests.studio.things.base_folders import make, sparse
from tests.tiny import outcome


@pytest.fixture
def studio(tmp_path):
    return Studio(tmp_path / "a studio")


@pytest.fixture
def comfy(tmp_path):
    return tmp_path / "ComfyUI"


def test_flux_and_sd35_take_their_networks_from_the_folders_of_comfyui(studio, comfy):
    layouts.parts(comfy)
    sparse(comfy / "models" / "vae" / "sd3_vae.safetensors", like.VAE16)
    flux = sparse(comfy / "models" / "unet" / "flux1-dev-fp8.safetensors", like.FLUX, "F8_E4M3")
    found_flux = bases.find(studio, str(flux))
    assert (found_flux.family, found_flux.like) == ("flux1", "flux1-dev")
    assert {part: Path(path).name for part, path in found_flux.parts.items()} == {
        "text_encoder": "clip_l.safetensors", "text_encoder_2": "t5.safetensors", "vae": "ae.safetensors",
    }  # fmt: skip
    assert set(bases.networks(found_flux)) == {"transformer", "text_encoder", "text_encoder_2", "vae"}
    assert bases.size(found_flux) > sum(Path(path).stat().st_size for path in found_flux.parts.values())
    sd35 = bases.find(studio, str(sparse(comfy / "models" / "diffusion_models" / "sd35.safetensors", like.SD35)))
    assert sd35.like == "sd35-medium" and Path(sd35.parts["vae"]).name == "sd3_vae.safetensors"
    assert Path(sd35.parts["text_encoder_2"]).name == "g.safetensors"


def test_what_is_missing_is_named_with_where_it_may_be_put(studio, comfy):
    path = sparse(comfy / "models" / "unet" / "flux.safetensors", like.FLUX)
    sparse(comfy / "models" / "clip" / "clip_l.safetensors", like.CLIP_L)
    with pytest.raises(UserError) as caught:
        bases.find(studio, str(path))
    assert caught.value.what == (
        "flux.safetensors holds no whole base: its text encoder T5-XXL and its autoencoder of FLUX.1 are missing."
    )
    assert caught.value.remedy == f"Put t5xxl_fp16.safetensors and ae.safetensors beside it or into {studio.bases}."
    sparse(studio.bases / "any name.safetensors", like.T5)
    sparse(path.with_name("vae of mine.safetensors"), like.VAE16)
    assert bases.find(studio, str(path)).family == "flux1"


def test_the_third_text_encoder_of_sd35_may_be_missing_and_turbo_is_told_by_its_name(studio, comfy):
    layouts.parts(comfy)
    (comfy / "models" / "text_encoders" / "t5.safetensors").unlink()
    large = {"joint_blocks.37.x_block.attn.qkv.weight": (7296, 2432), "first_stage_model.x": (1,)}
    within = {f"first_stage_model.{name}": shape for name, shape in like.VAE16.items()}
    path = sparse(comfy / "models" / "checkpoints" / "sd3.5_large_turbo.safetensors", large | within)
    base = bases.find(studio, str(path))
    assert base.like == "sd35-large-turbo" and sorted(base.parts) == ["text_encoder", "text_encoder_2"]


def test_schnell_has_no_guidance_and_what_was_made_otherwise_is_refused(studio, comfy):
    layouts.parts(comfy)
    schnell = {name: shape for name, shape in like.FLUX.items() if "guidance" not in name}
    assert bases.find(studio, str(sparse(comfy / "models" / "s.safetensors", schnell))).like == "flux1-schnell"
    for name, odd in {
        "chroma": schnell | {"distilled_guidance_layer.norms.0.scale": (5120,)},
        "fill": like.FLUX | {"img_in.weight": (3072, 384)},
        "smaller": {name: shape for name, shape in like.FLUX.items() if "18" not in name},
        "sd3": {"joint_blocks.23.x_block.attn.qkv.weight": (4608, 1536)},
    }.items():
        with pytest.raises(UserError, match="of a build that is not read"):
            bases.find(studio, str(sparse(comfy / "models" / f"{name}.safetensors", odd)))


def test_networks_found_elsewhere_and_those_of_a_folder_of_the_family_are_used_too(
    studio, comfy, tmp_path, monkeypatch
):
    monkeypatch.setenv(places.DRIVES, str(tmp_path / "drive"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path = sparse(studio.bases / "flux.safetensors", like.FLUX)
    layouts.parts(layouts.marked(tmp_path / "drive" / "ComfyUI", "comfy/sd.py"))
    with pytest.raises(UserError, match="are missing"):
        bases.find(studio, str(path))
    outcome(look.look(studio))
    assert "drive" in bases.find(studio, str(path)).parts["text_encoder_2"]
    found.remember(studio, found.Found())
    make(studio.bases / "FLUX.1-schnell", "flux1-schnell")
    base = bases.find(studio, str(path))
    assert base.parts["text_encoder_2"] == str(studio.bases / "FLUX.1-schnell" / "text_encoder_2")
