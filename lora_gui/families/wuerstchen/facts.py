"""What is known of Wuerstchen and its bases."""

from lora_gui.facts import Facts, KnownBase

FACTS = Facts(
    key="wuerstchen",
    title="Wuerstchen",
    bases=(
        KnownBase(
            key="wuerstchen",
            title="Wuerstchen v2",
            repo="warp-ai/wuerstchen",
            good_at="Large pictures from very little memory.",
            licence="MIT",
            size_gb=12.6,  # all three repositories, full precision
        ),
    ),
    pipeline="WuerstchenDecoderPipeline",
    resolution=1024,
    train_defaults={
        "resolution": 1024,
        "learning_rate": 1e-4,
        "precision": "bf16",
        "gradient_checkpointing": "blocks",
    },
    draw_defaults={"width": 1024, "height": 1024, "steps": 29, "guidance": 4.0},
    reads_with="prior/tokenizer",
    size_step=128,
    cell=128 / 3,  # of the prior, which halves nothing
    bucket_step=128 / 3,
    learns_in_fp16=True,
    own_sampler=True,
    draws_over=False,
    architecture="wuerstchen-v2-prior/lora",
    base_model_version="wuerstchen_v2_prior",
    spellings=r"wuerstchen.*",
    written_for={"diffusers": "diffusers"},
    further={"prior": "warp-ai/wuerstchen-prior", "effnet": "warp-ai/EfficientNetEncoder"},
    dialects=("diffusers",),
    layer_names=r"prior\.(blocks\.\d+\.|cond_mapper)[\w.]+",
)
