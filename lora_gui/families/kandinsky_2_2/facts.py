"""What is known of Kandinsky 2.2 and its bases."""

from lora_gui.facts import Facts, KnownBase

QKV = r"to_q|to_k|to_v|to_out\.0"
UNET_ATTENTION = rf"attentions\.\d+\.({QKV}|add_k_proj|add_v_proj)"  # the added two carry the image embedding
RESNET = r"(resnets|downsamplers|upsamplers)\.\d+\."

FACTS = Facts(
    key="kandinsky22",
    title="Kandinsky 2.2",
    bases=(
        KnownBase(
            key="kandinsky22",
            title="Kandinsky 2.2",
            repo="kandinsky-community/kandinsky-2-2-decoder",
            good_at="Painterly pictures, mixed from words and image embeddings.",
            licence="Apache-2.0",
            size_gb=19.6,  # both repositories, full precision
        ),
    ),
    pipeline="KandinskyV22Pipeline",
    resolution=768,
    train_defaults={"resolution": 768, "learning_rate": 1e-4, "precision": "bf16"},
    draw_defaults={"width": 768, "height": 768, "steps": 50, "guidance": 4.0},
    reads_with="prior/tokenizer",
    size_step=64,
    cell=64,  # its U-Net halves three times, and cannot where a rest is left
    bucket_step=64,
    learns_in_fp16=True,
    architecture="kandinsky-2-2/lora",
    base_model_version="kandinsky_v2_2",
    spellings=r"kandinsky-?v?-?2-?2.*",
    written_for={"diffusers": "diffusers"},
    further={"prior": "kandinsky-community/kandinsky-2-2-prior"},
    dialects=("diffusers",),
    layer_names=(
        r"prior\.transformer_blocks\.[\w.]+"
        rf"|unet\.(down_blocks|mid_block|up_blocks)\.[\d.]*({UNET_ATTENTION}|{RESNET}\w+)"
    ),
)
