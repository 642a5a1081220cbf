"""What is known of Z-Image and its bases."""

from lora_gui.facts import CheckpointNames, Facts, KnownBase

_BLOCK: CheckpointNames = {
    "attention.qkv": tuple(f"attention.to_{one}" for one in "qkv"),
    "attention.out": ("attention.to_out.0",),
    "feed_forward.w1": ("feed_forward.w1",),
    "feed_forward.w2": ("feed_forward.w2",),
    "feed_forward.w3": ("feed_forward.w3",),
    "adaLN_modulation.0": ("adaLN_modulation.0",),
}
_CHECKPOINT_NAMES: CheckpointNames = {
    f"{blocks}.#.{path}": tuple(f"{blocks}.#.{own}" for own in names)
    for blocks in ("layers", "noise_refiner", "context_refiner")
    for path, names in _BLOCK.items()
}
_BLOCKS = r"(layers|noise_refiner|context_refiner)"
_LAYER = r"(attention[_.](to_[qkv]|to_out[_.]0|qkv|out)|feed_forward[_.]w[123]|adaLN_modulation[_.]0)"

FACTS = Facts(
    key="zimage",
    title="Z-Image",
    bases=(
        KnownBase(
            key="z-image",
            title="Z-Image",
            repo="Tongyi-MAI/Z-Image",
            revision="04cc4abb7c5069926f75c9bfde9ef43d49423021",
            good_at="Photos and written words, English and Chinese; free to use.",
            licence="Apache-2.0",
            size_gb=20.5,  # 16 bits throughout
            told_by={"scheduler.shift": 6.0},
        ),
        KnownBase(
            key="z-image-turbo",
            title="Z-Image Turbo",  # draws only: in eight steps and without guidance, to which it was distilled
            repo="Tongyi-MAI/Z-Image-Turbo",
            revision="f332072aa78be7aecdf3ee76d5c247082da564a6",
            good_at="Z-Image in eight steps; draws only.",
            licence="Apache-2.0",
            size_gb=32.9,  # its transformer in 32 bits
            defaults={"steps": 8, "guidance": 0.0},
            trains=False,
            told_by={"scheduler.shift": 3.0},
        ),
    ),
    pipeline="ZImagePipeline",
    resolution=1024,
    train_defaults={
        "resolution": 1024,
        "learning_rate": 1e-4,
        "precision": "bf16",
        "gradient_checkpointing": "blocks",
    },
    draw_defaults={"width": 1024, "height": 1024, "steps": 50, "guidance": 4.0},
    caption_tokens=509,
    size_step=16,
    cell=16,
    bucket_step=16,
    architecture="Z-Image/lora",
    base_model_version="zimage",
    spellings=r"z-?image.*",
    written_for={"comfyui": "comfy", "diffusers": "diffusers"},
    prefixes={"transformer": ("lora_unet",)},
    checkpoint_names=_CHECKPOINT_NAMES,
    layer_names=(
        rf"(transformer\.|diffusion_model\.|lora_unet_|lora_transformer_){_BLOCKS}[_.]\d+[_.]{_LAYER}"
    ),
)
