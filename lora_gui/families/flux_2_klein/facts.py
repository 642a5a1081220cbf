"""What is known of FLUX.2 klein and its bases."""

from lora_gui.facts import CheckpointNames, Facts, KnownBase
from lora_gui.families.shared.checkpoint_names import STREAMS

_CHECKPOINT_NAMES: CheckpointNames = STREAMS | {
    "double_blocks.#.img_mlp.0": ("transformer_blocks.#.ff.linear_in",),
    "double_blocks.#.img_mlp.2": ("transformer_blocks.#.ff.linear_out",),
    "double_blocks.#.txt_mlp.0": ("transformer_blocks.#.ff_context.linear_in",),
    "double_blocks.#.txt_mlp.2": ("transformer_blocks.#.ff_context.linear_out",),
    "single_blocks.#.linear1": ("single_transformer_blocks.#.attn.to_qkv_mlp_proj",),
    "single_blocks.#.linear2": ("single_transformer_blocks.#.attn.to_out",),
    "double_stream_modulation_img.lin": ("double_stream_modulation_img.linear",),
    "double_stream_modulation_txt.lin": ("double_stream_modulation_txt.linear",),
    "single_stream_modulation.lin": ("single_stream_modulation.linear",),
    "time_in.in_layer": ("time_guidance_embed.timestep_embedder.linear_1",),
    "time_in.out_layer": ("time_guidance_embed.timestep_embedder.linear_2",),
}
_4B = {"transformer.num_layers": 5, "transformer.num_single_layers": 20}
_9B = {"transformer.num_layers": 8, "transformer.num_single_layers": 24}
_DISTILLED = {"steps": 4, "guidance": 1.0}

FACTS = Facts(
    key="klein",
    title="FLUX.2 klein",
    bases=(
        KnownBase(
            key="klein-4b",
            title="FLUX.2 klein base 4B",
            repo="black-forest-labs/FLUX.2-klein-base-4B",
            revision="a3b4f4849157f664bdbc776fd7453c2783562f4d",
            good_at="Modern, quick to learn and free to use; follows long prompts.",
            first_from=12.0,
            licence="Apache-2.0",
            size_gb=16.0,
            architecture="Flux.2-klein-4b/lora",
            told_by=_4B | {"pipeline.is_distilled": False},
        ),
        KnownBase(
            key="klein-9b",
            title="FLUX.2 klein base 9B",
            repo="black-forest-labs/FLUX.2-klein-base-9B",
            revision="32773329fbe7e81a90ef971740e8ba4b0364ecf3",
            good_at="The finer of the two klein, for large cards.",
            licence="FLUX Non-Commercial License",
            size_gb=34.7,
            gated=True,
            defaults={"learning_rate": 1e-4},
            architecture="Flux.2-klein-9b/lora",
            told_by=_9B | {"pipeline.is_distilled": False},
        ),
        KnownBase(
            key="klein-4b-distilled",
            title="FLUX.2 klein 4B",  # draws only, as does the next: in four steps
            repo="black-forest-labs/FLUX.2-klein-4B",
            revision="e7b7dc27f91deacad38e78976d1f2b499d76a294",
            good_at="Drawings in four steps with the LoRAs of klein base 4B.",
            licence="Apache-2.0",
            size_gb=16.0,
            defaults=_DISTILLED,
            architecture="Flux.2-klein-4b/lora",
            trains=False,
            told_by=_4B | {"pipeline.is_distilled": True},
        ),
        KnownBase(
            key="klein-9b-distilled",
            title="FLUX.2 klein 9B",
            repo="black-forest-labs/FLUX.2-klein-9B",
            good_at="Drawings in four steps with the LoRAs of klein base 9B.",
            licence="FLUX Non-Commercial License",
            size_gb=34.7,
            gated=True,
            defaults=_DISTILLED,
            architecture="Flux.2-klein-9b/lora",
            trains=False,
            told_by=_9B | {"pipeline.is_distilled": True},
        ),
    ),
    pipeline="Flux2KleinPipeline",
    resolution=1024,
    train_defaults={
        "resolution": 1024,
        "learning_rate": 2e-4,
        "precision": "bf16",
        "gradient_checkpointing": "blocks",
    },
    draw_defaults={"width": 1024, "height": 1024, "steps": 50, "guidance": 4.0},
    caption_tokens=509,
    size_step=16,
    cell=16,
    bucket_step=16,
    architecture="Flux.2-klein/lora",
    base_model_version="flux2_klein",
    spellings=r"flux-?2-?klein.*|klein.*",
    written_for={"comfyui": "kohya", "diffusers": "diffusers", "invokeai": "diffusers"},
    prefixes={"transformer": ("lora_unet",)},
    checkpoint_names=_CHECKPOINT_NAMES,
    layer_names=(
        r"transformer\.transformer_blocks\.\d+\.(attn|ff(_context)?)\.[\w.]+"
        r"|transformer\.single_transformer_blocks\.\d+\.attn\.(to_qkv_mlp_proj|to_out)"
        r"|(transformer\.|lora_transformer_)(double_stream_modulation_(img|txt)|single_stream_modulation)[_.]linear"
        r"|lora_transformer_transformer_blocks_\d+_(attn|ff(_context)?)_\w+"
        r"|lora_transformer_single_transformer_blocks_\d+_attn_(to_qkv_mlp_proj|to_out)"
        r"|(lora_unet_|diffusion_model\.)double_blocks[_.][0-7][_.](img|txt)[\w.]+"
        r"|(lora_unet_|diffusion_model\.)single_blocks[_.](1?\d|2[0-3])[_.]linear[12]"
        r"|(lora_unet_|diffusion_model\.)(double_stream_modulation_(img|txt)|single_stream_modulation)[_.]lin"
    ),
    layer_mark=r"single_transformer_blocks[_.]\d+[_.]attn[_.]to_(qkv_mlp_proj|out)|(double|single)_(blocks|stream)",
    layer_sizes={
        r"(img_mlp_0|txt_mlp_0|ff(_context)?_net_0_proj)$": frozenset({(3072, 18432)}),
        r"(img_mlp_2|txt_mlp_2|ff(_context)?_net_2)$": frozenset({(9216, 3072)}),
        r"single_blocks_\d+_linear1$": frozenset({(3072, 27648), (4096, 36864)}),
        r"single_blocks_\d+_linear2$": frozenset({(12288, 3072), (16384, 4096)}),
    },
    joint_blocks={3072: 5, 4096: 8},
)
