"""What is known of Stable Diffusion 1.x and its bases."""

from lora_gui.facts import ANOTHER_KIND, UNLIKE_BY_INPUTS, Facts, KnownBase, SingleFile, Unlike
from lora_gui.families.shared import checkpoint_names

FACTS = Facts(
    key="sd1",
    title="Stable Diffusion 1.x",
    bases=(
        KnownBase(
            key="starter",
            title="Starter",
            repo="",
            good_at="Simple icons in seconds, also without a graphics card: to try everything out.",
            licence="Apache-2.0, CC BY 4.0, MIT",
            size_gb=0.05,
            defaults={
                "resolution": 128,
                "width": 128,
                "height": 128,
                "guidance": 4.0,
                "guidance_end": 0.75,
                "steps": 8,
                "precision": "fp32",
                "layers": "all",
                "batch_size": 8,
                "learning_rate": 1e-3,
            },
            told_by={"unet.cross_attention_dim": 192, "unet.block_out_channels": [64, 96, 192]},
        ),
        KnownBase(
            key="sd15",
            title="Stable Diffusion 1.5",
            repo="stable-diffusion-v1-5/stable-diffusion-v1-5",
            revision="451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
            good_at="Quick and small, with more LoRAs and finetunes than any other; 512 pixels.",
            first_from=4.0,
            licence="CreativeML OpenRAIL-M",
            size_gb=2.1,  # 16 bits, which its repository has beside 32
            told_by={"unet.cross_attention_dim": 768},
        ),
    ),
    pipeline="StableDiffusionPipeline",
    same_pipelines=("StableDiffusionImg2ImgPipeline",),
    unlike=(
        Unlike({"unet.cross_attention_dim": 1024}, "Stable Diffusion 2.x, which is not supported", ANOTHER_KIND),
        *UNLIKE_BY_INPUTS,
    ),
    resolution=512,
    train_defaults={"resolution": 512, "learning_rate": 1e-4, "precision": "bf16", "min_snr_gamma": 5},
    draw_defaults={"width": 512, "height": 512, "steps": 25, "guidance": 7.0},
    size_step=8,
    cell=8,
    bucket_step=64,
    learns_in_fp16=True,
    weighs_words=True,
    skips_layers=True,
    single_files=(
        SingleFile(
            like="sd15",
            inputs={
                "model.diffusion_model.input_blocks.0.0.weight": 4,  # 9 where it is made for filling in
                "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": 768,
            },
            parts={
                "text encoder": "cond_stage_model.transformer.",
                "autoencoder": "first_stage_model.",
            },
        ),
    ),
    architecture="stable-diffusion-v1/lora",
    base_model_version="sd_v1",
    spellings=r"(sd|stable-diffusion)-?v?-?1(-?[345])?(-.*)?",
    written_for={"comfyui": "kohya", "forge": "kohya", "diffusers": "diffusers", "invokeai": "kohya", "kohya": "kohya"},
    prefixes={"unet": ("lora_unet",), "text_encoder": ("lora_te", "lora_te1")},
    checkpoint_names=checkpoint_names.unet(levels=4, first_up_has_attention=False),
    kohya_has_checkpoint_names=False,
    layer_names=(
        r"(lora_unet_|unet\.|diffusion_model\.)"
        r"(down_blocks|mid_block|up_blocks|input_blocks|middle_block|output_blocks)[_.](?![\w.]*transformer_blocks[_.][1-9])[\w.]+"
        r"|(lora_te1?_|text_encoder\.|text_encoders\.clip_l\.transformer\.)(text_model[_.])?encoder[_.][\w.]+"
    ),
    layer_sizes={r"attn2_to_[kv]$": frozenset({(768, 0)})},
    texts_alone=r"lora_te\d?_|text_encoder",
    texts_tell=1,
)
