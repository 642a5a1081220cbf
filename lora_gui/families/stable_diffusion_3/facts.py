"""What is known of Stable Diffusion 3.5 and its bases."""

from lora_gui.facts import SWAPPED, CheckpointNames, Facts, KnownBase, SingleFile, Unlike
from lora_gui.families.shared import part_files

_CHECKPOINT_NAMES: CheckpointNames = {
    "joint_blocks.#.x_block.attn.qkv": tuple(f"transformer_blocks.#.attn.to_{m}" for m in "qkv"),
    "joint_blocks.#.x_block.attn.proj": ("transformer_blocks.#.attn.to_out.0",),
    "joint_blocks.#.x_block.attn2.qkv": tuple(f"transformer_blocks.#.attn2.to_{m}" for m in "qkv"),
    "joint_blocks.#.x_block.attn2.proj": ("transformer_blocks.#.attn2.to_out.0",),
    "joint_blocks.#.context_block.attn.qkv": tuple(f"transformer_blocks.#.attn.add_{m}_proj" for m in "qkv"),
    "joint_blocks.#.context_block.attn.proj": ("transformer_blocks.#.attn.to_add_out",),
    "joint_blocks.#.x_block.mlp.fc1": ("transformer_blocks.#.ff.net.0.proj",),
    "joint_blocks.#.x_block.mlp.fc2": ("transformer_blocks.#.ff.net.2",),
    "joint_blocks.#.context_block.mlp.fc1": ("transformer_blocks.#.ff_context.net.0.proj",),
    "joint_blocks.#.context_block.mlp.fc2": ("transformer_blocks.#.ff_context.net.2",),
    "joint_blocks.#.x_block.adaLN_modulation.1": ("transformer_blocks.#.norm1.linear",),
    "joint_blocks.#.context_block.adaLN_modulation.1": (f"transformer_blocks.#.norm1_context.linear{SWAPPED}",),
    "x_embedder.proj": ("pos_embed.proj",),
    "context_embedder": ("context_embedder",),
    "t_embedder.mlp.0": ("time_text_embed.timestep_embedder.linear_1",),
    "t_embedder.mlp.2": ("time_text_embed.timestep_embedder.linear_2",),
    "y_embedder.mlp.0": ("time_text_embed.text_embedder.linear_1",),
    "y_embedder.mlp.2": ("time_text_embed.text_embedder.linear_2",),
    "final_layer.linear": ("proj_out",),
    "final_layer.adaLN_modulation.1": (f"norm_out.linear{SWAPPED}",),
}
_NORMS: CheckpointNames = {
    f"joint_blocks.#.{their}.ln_{one}": (f"transformer_blocks.#.{own}{one}",)
    for their, own in {
        "x_block.attn": "attn.norm_",
        "x_block.attn2": "attn2.norm_",
        "context_block.attn": "attn.norm_added_",
    }.items()
    for one in "qk"
}
_NORMS |= {"": ("pos_embed",)}  # the table of positions is a tensor of its own
_BEGINNINGS = ("", "model.diffusion_model.")
_APART = {
    "text_encoder": part_files.CLIP_L,
    "text_encoder_2": part_files.CLIP_G,
    "text_encoder_3": part_files.T5_XXL,
    "vae": part_files.VAE_SD3,
}

FACTS = Facts(
    key="sd3",
    title="Stable Diffusion 3.5",
    bases=(
        KnownBase(
            key="sd35-medium",
            title="Stable Diffusion 3.5 medium",
            repo="stabilityai/stable-diffusion-3.5-medium",
            revision="b940f670f0eda2d07fbb75229e779da1ad11eb80",
            good_at="Varied styles and long prompts in a moderate size.",
            licence="Stability AI Community License",
            size_gb=16.3,
            gated=True,
            told_by={"transformer.num_layers": 24},
        ),
        KnownBase(
            key="sd35-large",
            title="Stable Diffusion 3.5 large",
            repo="stabilityai/stable-diffusion-3.5-large",
            revision="ceddf0a7fdf2064ea28e2213e3b84e4afa170a0f",
            good_at="Varied styles, long prompts and legible words, for large cards.",
            licence="Stability AI Community License",
            size_gb=27.6,
            gated=True,
            defaults={"learning_rate": 2e-5, "max_grad_norm": 0.1, "steps": 28, "guidance": 3.5},
            architecture="stable-diffusion-3-5-large/lora",
            base_model_version="5-large",
            told_by={"transformer.num_layers": 38},
        ),
        KnownBase(
            key="sd35-large-turbo",
            title="Stable Diffusion 3.5 large turbo",  # draws only: in four steps and without guidance
            repo="stabilityai/stable-diffusion-3.5-large-turbo",
            revision="ec07796fc06b096cc56de9762974a28f4c632eda",
            good_at="Drawings in four steps with the LoRAs of the large one.",
            licence="Stability AI Community License",
            size_gb=27.6,
            gated=True,
            defaults={"steps": 4, "guidance": 1.0},
            architecture="stable-diffusion-3-5-large/lora",
            base_model_version="5-large",
            trains=False,
            told_by={"transformer.num_layers": 38},
            built_like="sd35-large",
            called="turbo",
        ),
    ),
    pipeline="StableDiffusion3Pipeline",
    same_pipelines=("StableDiffusion3Img2ImgPipeline",),
    unlike=(
        Unlike(
            {"transformer.num_layers": 24, "transformer.dual_attention_layers": []},
            "Stable Diffusion 3, the one before 3.5, which is not supported",
            "Choose Stable Diffusion 3.5 medium.",
        ),
    ),
    optional=("text_encoder_3",),
    resolution=1024,
    train_defaults={
        "resolution": 1024,
        "learning_rate": 1e-4,
        "max_grad_norm": 0.5,
        "precision": "bf16",
        "gradient_checkpointing": "blocks",
    },
    draw_defaults={"width": 1024, "height": 1024, "steps": 40, "guidance": 4.5},
    reads_with="tokenizer_3",
    caption_tokens=255,
    size_step=16,
    cell=16,
    bucket_step=16,
    architecture="stable-diffusion-3-5-medium/lora",
    base_model_version="5-medium",
    spellings=r"(sd|stable-diffusion)-?v?-?3(-?5)?(-?(m|l|medium|large)\b.*)?|(3|3-5|5)-(medium|large)",
    written_for={"comfyui": "kohya", "forge": "kohya", "diffusers": "diffusers", "kohya": "kohya"},
    prefixes={
        "transformer": ("lora_unet",),
        "text_encoder": ("lora_te1",),
        "text_encoder_2": ("lora_te2",),
    },
    checkpoint_names=_CHECKPOINT_NAMES,
    checkpoint_norms=_NORMS,
    single_files=(
        SingleFile(
            "sd35-medium",
            {
                "joint_blocks.0.x_block.attn2.qkv.weight": 1536,  # which Stable Diffusion 3 has not
                "joint_blocks.23.x_block.attn.qkv.weight": 1536,
            },
            beginnings=_BEGINNINGS,
            apart=_APART,
        ),
        SingleFile(
            "sd35-large",
            {"joint_blocks.37.x_block.attn.qkv.weight": 2432},
            beginnings=_BEGINNINGS,
            apart=_APART,
        ),
    ),
    layer_names=(
        r"transformer\.transformer_blocks\.\d+\.[\w.]+"
        r"|(lora_unet_|diffusion_model\.)joint_blocks[_.]\d+[_.][\w.]+|lora_transformer_transformer_blocks_\d+_\w+"
        r"|(lora_te[12]_|text_encoder(_2)?\.|text_encoders\.clip_[lg]\.transformer\.)(text_model[_.])?encoder[_.][\w.]+"
    ),
    joint_blocks={1536: 24, 2432: 38},
    texts_alone=r"(lora_te\d?_|text_encoders?[_.])(?:[\w.]{0,60}[_.])?encoder[_.]block[_.]\d",
    texts_tell=3,
)
