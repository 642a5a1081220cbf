"""The networks that other programs keep in files of their own beside the denoiser, where families share them."""

from lora_gui.facts import PartFile

CLIP_L = PartFile(
    key="clip_l",
    title="text encoder CLIP-L",
    usual="clip_l.safetensors",
    shapes={
        "text_model.embeddings.token_embedding.weight": (49408, 768),
        "text_model.embeddings.position_embedding.weight": (77, 768),
    },
    within="text_encoders.clip_l.transformer.",
)
CLIP_G = PartFile(
    key="clip_g",
    title="text encoder CLIP-G",
    usual="clip_g.safetensors",
    shapes={
        "text_model.embeddings.token_embedding.weight": (49408, 1280),
        "text_model.embeddings.position_embedding.weight": (77, 1280),
    },
    within="text_encoders.clip_g.transformer.",
)
T5_XXL = PartFile(
    key="t5xxl",
    title="text encoder T5-XXL",
    usual="t5xxl_fp16.safetensors",
    shapes={
        "shared.weight|encoder.embed_tokens.weight": (32128, 4096),  # UMT5 has eight times as many pieces
        "encoder.block.23.layer.1.DenseReluDense.wi_0.weight": (10240, 4096),
    },
    within="text_encoders.t5xxl.transformer.",
)
_SIXTEEN: dict[str, tuple[int, ...]] = {
    "decoder.conv_in.weight": (512, 16, 3, 3),
    "encoder.conv_out.weight": (32, 512, 3, 3),
}
_OF_SD3 = r"sd[-_ ]?3|stable[-_ ]?diffusion[-_ ]?3"
VAE_SD3 = PartFile("vae_sd3", "autoencoder of Stable Diffusion 3.5", "sd3_vae.safetensors", _SIXTEEN,
                   "first_stage_model.", _OF_SD3)  # fmt: skip
VAE_FLUX = PartFile("vae_flux", "autoencoder of FLUX.1", "ae.safetensors", _SIXTEEN, "vae.", rf"^(?!.*({_OF_SD3}))")
