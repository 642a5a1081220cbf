"""What is known of Stable Diffusion XL and its bases."""

from lora_gui.facts import DRAWS_ALONE, UNLIKE_BY_INPUTS, Facts, KnownBase, SingleFile, Unlike
from lora_gui.families.shared import checkpoint_names

FACTS = Facts(
    key="sdxl",
    title="Stable Diffusion XL",
    bases=(
        KnownBase(
            key="sdxl",
            title="Stable Diffusion XL 1.0",
            repo="stabilityai/stable-diffusion-xl-base-1.0",
            revision="462165984030d82259a11f4367a4eed129e94a7b",
            good_at="Photos, art and anime at 1024 pixels; the widest choice of finetunes.",
            first_from=8.0,
            licence="CreativeML Open RAIL++-M",
            size_gb=6.9,  # 16 bits, which its repository has beside 32
            told_by={"unet.cross_attention_dim": 2048},
        ),
    ),
    pipeline="StableDiffusionXLPipeline",
    same_pipelines=("StableDiffusionXLImg2ImgPipeline",),
    unlike=(
        Unlike({"unet.cross_attention_dim": 1280}, "the refiner of Stable Diffusion XL", DRAWS_ALONE),
        *UNLIKE_BY_INPUTS,
    ),
    resolution=1024,
    train_defaults={
        "resolution": 1024,
        "learning_rate": 1e-4,
        "precision": "bf16",
        "min_snr_gamma": 5,
        "gradient_checkpointing": "blocks",
    },
    draw_defaults={"width": 1024, "height": 1024, "steps": 28, "guidance": 6.0},
    size_step=8,
    cell=8,
    bucket_step=64,
    learns_in_fp16=True,
    weighs_words=True,
    single_files=(
        SingleFile(
            like="sdxl",
            inputs={
                "model.diffusion_model.input_blocks.0.0.weight": 4,  # 9 where it is made for filling in
                "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": 2048,
            },
            parts={
                "text encoder": "conditioner.embedders.0.transformer.",
                "second text encoder": "conditioner.embedders.1.model.",
                "autoencoder": "first_stage_model.",
            },
        ),
    ),
    architecture="stable-diffusion-xl-v1-base/lora",
    base_model_version="sdxl_base_v1-0",
    spellings=r"(sd|stable-diffusion)-?xl(?!.*refiner).*|xl|pony.*|illustrious.*|noobai.*",
    written_for={"comfyui": "kohya", "forge": "kohya", "diffusers": "diffusers", "invokeai": "kohya", "kohya": "kohya"},
    prefixes={"unet": ("lora_unet",), "text_encoder": ("lora_te1",), "text_encoder_2": ("lora_te2",)},
    checkpoint_names=checkpoint_names.unet(levels=3, first_up_has_attention=True),
    layer_names=(  # unlike 1.x, no attention in the outermost blocks
        r"(lora_unet_|unet\.)(down_blocks[_.]([12]|0[_.](resnets|downsamplers))"
        r"|mid_block|up_blocks[_.]([01]|2[_.]resnets))[_.][\w.]+"
        r"|(lora_unet_|diffusion_model\.)(input_blocks[_.](\d[_.]0|[4-8])|middle_block"
        r"|output_blocks[_.](\d[_.]0|[0-5]))[_.][\w.]+"
        r"|(lora_te[12]_|text_encoder(_2)?\.|text_encoders\.clip_[lg]\.transformer\.)(text_model[_.])?encoder[_.][\w.]+"
    ),
    layer_sizes={r"attn2_to_[kv]$": frozenset({(2048, 0)})},
    texts_alone=r"lora_te[12]_|text_encoder_2\.|text_encoders\.clip_g",
    texts_tell=2,
)
