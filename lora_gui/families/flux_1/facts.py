"""What is known of FLUX.1 and its bases."""

from lora_gui.facts import DRAWS_ALONE, CheckpointNames, Facts, KnownBase, SingleFile, Unlike
from lora_gui.families.shared import part_files
from lora_gui.families.shared.checkpoint_names import STREAMS

_TIME = "time_text_embed"
_CHECKPOINT_NAMES: CheckpointNames = STREAMS | {
    "double_blocks.#.img_mlp.0": ("transformer_blocks.#.ff.net.0.proj",),
    "double_blocks.#.img_mlp.2": ("transformer_blocks.#.ff.net.2",),
    "double_blocks.#.txt_mlp.0": ("transformer_blocks.#.ff_context.net.0.proj",),
    "double_blocks.#.txt_mlp.2": ("transformer_blocks.#.ff_context.net.2",),
    "double_blocks.#.img_mod.lin": ("transformer_blocks.#.norm1.linear",),
    "double_blocks.#.txt_mod.lin": ("transformer_blocks.#.norm1_context.linear",),
    "single_blocks.#.linear1": tuple(
        f"single_transformer_blocks.#.{one}" for one in ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
    ),
    "single_blocks.#.linear2": ("single_transformer_blocks.#.proj_out",),
    "single_blocks.#.modulation.lin": ("single_transformer_blocks.#.norm.linear",),
    "time_in.in_layer": (f"{_TIME}.timestep_embedder.linear_1",),
    "time_in.out_layer": (f"{_TIME}.timestep_embedder.linear_2",),
    "vector_in.in_layer": (f"{_TIME}.text_embedder.linear_1",),
    "vector_in.out_layer": (f"{_TIME}.text_embedder.linear_2",),
    "guidance_in.in_layer": (f"{_TIME}.guidance_embedder.linear_1",),
    "guidance_in.out_layer": (f"{_TIME}.guidance_embedder.linear_2",),
}
_NORMS: CheckpointNames = {
    f"{block}.norm.{their}_norm": (own,)
    for block, names in {
        "double_blocks.#.img_attn": ("norm_q", "norm_k"),
        "double_blocks.#.txt_attn": ("norm_added_q", "norm_added_k"),
    }.items()
    for their, own in zip(("query", "key"), (f"transformer_blocks.#.attn.{name}" for name in names), strict=True)
}
_NORMS |= {
    "single_blocks.#.norm.query_norm": ("single_transformer_blocks.#.attn.norm_q",),
    "single_blocks.#.norm.key_norm": ("single_transformer_blocks.#.attn.norm_k",),
}
_INPUTS = {
    "img_in.weight": 64,  # 384 where it is made for filling in, 128 for outlines or depth
    "double_blocks.0.img_attn.qkv.weight": 3072,
    "double_blocks.18.img_attn.qkv.weight": 3072,  # the last: what was made smaller has fewer
    "single_blocks.37.linear1.weight": 3072,
}
_GUIDANCE = {"guidance_in.in_layer.weight": 256}
_BEGINNINGS = ("", "model.diffusion_model.")
_APART = {"text_encoder": part_files.CLIP_L, "text_encoder_2": part_files.T5_XXL, "vae": part_files.VAE_FLUX}

FACTS = Facts(
    key="flux1",
    title="FLUX.1",
    bases=(
        KnownBase(
            key="flux1-dev",
            title="FLUX.1 dev",
            repo="black-forest-labs/FLUX.1-dev",
            revision="3de623fc3c33e44ffbe2bad470d0f45bccf2eb21",
            good_at="Hands, faces, written words and long prompts; slow to train on small cards.",
            licence="FLUX.1 [dev] Non-Commercial License",
            size_gb=33.7,
            gated=True,
            told_by={"transformer.guidance_embeds": True},
        ),
        KnownBase(
            key="flux1-schnell",
            title="FLUX.1 schnell",  # draws only: in four steps, to which it was distilled
            repo="black-forest-labs/FLUX.1-schnell",
            revision="741f7c3ce8b383c54771c7003378a50191e9efe9",
            good_at="FLUX.1 in four steps, free to use; draws only.",
            licence="Apache-2.0",
            size_gb=33.7,
            defaults={"steps": 4, "guidance": 0.0},
            caption_tokens=255,
            trains=False,
            told_by={"transformer.guidance_embeds": False},
        ),
    ),
    pipeline="FluxPipeline",
    same_pipelines=("FluxImg2ImgPipeline",),
    unlike=(
        Unlike({"transformer.in_channels": 384}, "FLUX.1 Fill, made for filling in", DRAWS_ALONE),
        Unlike({"transformer.in_channels": 128}, "FLUX.1 for drawing by outlines or depth", DRAWS_ALONE),
    ),
    resolution=1024,
    train_defaults={
        "resolution": 1024,
        "learning_rate": 1e-4,
        "precision": "bf16",
        "gradient_checkpointing": "blocks",
    },
    layers_of_dora=("linear", "all"),  # its files fuse the attention of single blocks with their feed-forward
    draw_defaults={"width": 1024, "height": 1024, "steps": 28, "guidance": 3.5},
    reads_with="tokenizer_2",
    caption_tokens=511,
    size_step=16,
    cell=16,
    bucket_step=16,
    architecture="flux-1-dev/lora",
    base_model_version="flux1",
    spellings=r"flux(-?1)?(-?(d|s|dev|schnell|krea|kontext|fill)\b.*)?",
    written_for={"comfyui": "kohya", "forge": "kohya", "diffusers": "diffusers", "invokeai": "kohya", "kohya": "kohya"},
    prefixes={"transformer": ("lora_unet",), "text_encoder": ("lora_te1",)},
    checkpoint_names=_CHECKPOINT_NAMES,
    widths={"proj_mlp": 4},
    checkpoint_norms=_NORMS,
    single_files=(
        SingleFile("flux1-dev", _INPUTS | _GUIDANCE, beginnings=_BEGINNINGS, apart=_APART),
        SingleFile(
            "flux1-schnell",
            _INPUTS,
            beginnings=_BEGINNINGS,
            without=("guidance_in.in_layer.weight", "distilled_guidance_layer.norms.0.scale"),  # the latter is Chroma's
            apart=_APART,
        ),
    ),
    layer_names=(
        r"transformer\.transformer_blocks\.\d+\.(attn|ff(_context)?|norm1(_context)?)\.[\w.]+"
        r"|transformer\.single_transformer_blocks\.\d+\.(attn\.to_[qkv]|proj_mlp|proj_out|norm\.linear)"
        r"|lora_transformer_transformer_blocks_\d+_(attn|ff(_context)?|norm1(_context)?)_\w+"
        r"|lora_transformer_single_transformer_blocks_\d+_(attn_to_[qkv]|proj_mlp|proj_out|norm_linear)"
        r"|(lora_unet_|diffusion_model\.)(double|single)_blocks[_.]\d+[_.][\w.]+"
        r"|(lora_te1_|text_encoder\.|text_encoders\.clip_l\.transformer\.)(text_model[_.])?encoder[_.][\w.]+"
    ),
    layer_mark=(
        r"single_transformer_blocks[_.]\d+[_.](attn[_.]to_[qkv]|proj_mlp|proj_out|norm[_.]linear)"
        r"|single_blocks[_.](2[4-9]|3\d)[_.]|double_blocks[_.]([89]|1\d)[_.]|single_blocks[_.]\d+[_.]modulation"
    ),
    layer_sizes={
        r"(img_mlp_0|txt_mlp_0|ff(_context)?_net_0_proj)$": frozenset({(3072, 12288)}),
        r"(img_mlp_2|txt_mlp_2|ff(_context)?_net_2)$": frozenset({(12288, 3072)}),
        r"single_blocks_\d+_linear1$": frozenset({(3072, 21504)}),
        r"single_blocks_\d+_linear2$": frozenset({(15360, 3072)}),
    },
    joint_blocks={3072: 19},
    texts_alone=r"(lora_te2_|text_encoder_2\.)(?:[\w.]{0,60}[_.])?encoder[_.]block[_.]\d",
    texts_tell=4,
)
