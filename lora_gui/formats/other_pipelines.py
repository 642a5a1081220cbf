"""Say in words which base a pipeline of diffusers is for that no family here has, by the name of its class."""

import re

_KINDS = (  # by how the name begins; the first that fits
    ("StableDiffusionXL", "Stable Diffusion XL"), ("StableDiffusion3", "Stable Diffusion 3"),
    ("StableDiffusionUpscale", "Stable Diffusion's upscaler"), ("StableDiffusion", "Stable Diffusion"),
    ("StableCascade", "Stable Cascade"), ("StableVideo", "Stable Video Diffusion"), ("LatentConsistency", "an LCM"),
    ("Flux2Klein", "FLUX.2 klein"), ("Flux2", "FLUX.2"), ("Flux", "FLUX.1"), ("KandinskyV22", "Kandinsky 2.2"),
    ("Kandinsky3", "Kandinsky 3"), ("Kandinsky5", "Kandinsky 5"), ("Kandinsky", "Kandinsky 2.1"),
    ("Wuerstchen", "Wuerstchen"), ("QwenImage", "Qwen-Image"), ("PixArt", "PixArt"),
    ("Chroma", "Chroma"), ("Lumina", "Lumina"), ("Sana", "Sana"), ("HunyuanDiT", "Hunyuan-DiT"), ("Hunyuan", "Hunyuan"),
    ("Wan", "Wan"), ("LTX", "LTX-Video"), ("CogVideo", "CogVideoX"), ("CogView", "CogView"), ("AuraFlow", "AuraFlow"),
    ("HiDream", "HiDream"), ("OmniGen", "OmniGen"), ("IF", "DeepFloyd IF"), ("AnimateDiff", "AnimateDiff"),
)  # fmt: skip
_TASKS = (  # by what the rest of the name says
    ("ControlNet", "drawing by outlines or poses"), ("Control", "drawing by outlines or depth"),
    ("Inpaint", "filling in (inpainting)"), ("Fill", "filling in"), ("Pix2Pix", "editing by instructions"),
    ("Edit", "editing by instructions"), ("Kontext", "editing by instructions"), ("Depth", "drawing by depth"),
    ("Upscale", "enlarging"), ("Redux", "variations of pictures"), ("Img2Img", "changing pictures"),
    ("Video", "films"), ("PriorPipeline", "the first of two steps, the prior"),
)  # fmt: skip


def described(class_name: str) -> str:
    """`for Stable Diffusion XL, filling in (inpainting) ('StableDiffusionXLInpaintPipeline')`; the class at least."""
    name = class_name.removeprefix("Auto")
    kind = next((words for start, words in _KINDS if re.match(rf"{start}(?![a-z])", name)), "")
    task = next((words for mark, words in _TASKS if mark in name), "")
    words = ", ".join(word for word in (kind, task) if word)
    return f"for {words} ({class_name!r})" if words else f"for {class_name!r}"
