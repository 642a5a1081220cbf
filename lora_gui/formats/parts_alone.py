"""Say what a .safetensors file holds that is no whole base: one network alone, or something to put beside a base."""

from __future__ import annotations

import re
from collections.abc import Collection

from lora_gui.errors import UserError

_WHOLE = "Get the whole checkpoint as one .safetensors file, or the base as a diffusers folder."
_BASE = "Choose a base; this is used beside one, by other programs."
_FOLDER = "Use the base as a whole diffusers folder."
# Told by the first whose expression is found at the beginning of a tensor's name; the order counts.
_KINDS = tuple(
    (re.compile(names), what, remedy)
    for names, what, remedy in (
        (r"lora_|.*\.lora_|.*\.(hada_w|lokr_w|oft_)", "is a LoRA, not a base",
         "Import it among your LoRAs, and choose a base."),
        (r"(emb_params|clip_[gl]|string_to_param|<.*>)$", "is a textual inversion, not a base", _BASE),
        (r"control_model\.|controlnet_|.*input_hint_block|.*controlnet_cond_embedding",
         "is a ControlNet, not a base", _BASE),
        (r"ip_adapter|image_proj", "is an IP-Adapter, not a base", _BASE),
    )
)  # fmt: skip
# Likewise, where the file is of no build that is known.
_BUILDS = tuple(
    (re.compile(names), what, remedy)
    for names, what, remedy in (
        (r"(model\.diffusion_model\.|transformer\.)?(double_stream_modulation|single_stream_modulation)",
         "is FLUX.2, of a build that is not read from a single file", _FOLDER),
        (r"(model\.diffusion_model\.|transformer\.)?(double|single)_blocks\.",
         "is FLUX.1 or made like it, of a build that is not read from a single file", _FOLDER),
        (r"(model\.diffusion_model\.)?joint_blocks\.",
         "is Stable Diffusion 3 or 3.5, of a build that is not read from a single file", _FOLDER),
        (r"(model\.diffusion_model\.)?(noise_refiner|context_refiner)\.",
         "is a transformer of a build that is not read from a single file", _FOLDER),
    )
)  # fmt: skip
# Those that count only where the file has no denoiser of a checkpoint beside them.
_ALONE = tuple(
    (re.compile(names), what)
    for names, what in (
        (r"(first_stage_model\.|vae\.)?(encoder|decoder)\.(conv_in|mid|up|down|up_blocks|down_blocks|mid_block)\.",
         "an autoencoder (VAE)"),
        (r"(encoder|decoder)\.block\.\d|shared\.weight", "a T5 text encoder"),
        (r"(text_model\.|cond_stage_model\.|conditioner\.|transformer\.resblocks|te\d?\.)", "a text encoder"),
        (r"vision_model\.|visual\.", "an image encoder"),
        (r"model\.(layers\.\d+\.self_attn|embed_tokens)", "a language model"),
        (r"(down_blocks|up_blocks|mid_block|conv_in)\.", "a U-Net"),
        (r"(transformer_blocks|single_transformer_blocks|blocks|layers)\.\d", "a transformer"),
        (r"(model\.\d|conv_first|body\.\d|RRDB)", "an upscaler"),
    )
)  # fmt: skip
_DENOISER = "model.diffusion_model."
_CROSS = re.compile(r"model\.diffusion_model\..*attn2\.to_k\.weight")
_DEEP = re.compile(r"model\.diffusion_model\.input_blocks\.8\.1\.transformer_blocks\.(\d{1,3})\.")
_FIRST = "model.diffusion_model.input_blocks.0.0.weight"
_WIDTHS = {1024: "Stable Diffusion 2.x", 1280: "the refiner of Stable Diffusion XL"}  # of what is read of a caption
_TASKS = {9: "filling in parts of pictures (inpainting)", 8: "editing pictures by instructions",
          5: "drawing by depth", 7: "enlarging pictures"}  # by channels that go in, where a picture has 4  # fmt: skip
_OURS = "Choose a base that is made to draw from words alone, not one for filling in or editing."


def refuse(name: str, shapes: dict[str, tuple[int, ...]], is_known: bool = False) -> None:
    """Raises UserError saying what the file called `name` is, where that is known and no base to be read.

    `is_known` says that its build is one that is read.
    """
    for pattern, what, remedy in _KINDS if is_known else (*_KINDS, *_BUILDS):
        if any(pattern.match(tensor) for tensor in shapes):
            raise UserError(f"{name} {what}.", remedy)
    if not is_known and not any(tensor.startswith(_DENOISER) for tensor in shapes):
        _refuse_alone(name, shapes)
    read = {shape[1] for tensor, shape in shapes.items() if len(shape) > 1 and _CROSS.match(tensor)}
    for width, title in _WIDTHS.items():
        if read == {width}:
            raise UserError(f"{name} is {title}, which is not supported.", "Choose a base of another kind.")
    deep = {int(found[1]) for found in map(_DEEP.match, shapes) if found}
    if read == {2048} and deep and max(deep) < 9:
        what = f"{name} is a smaller build of Stable Diffusion XL, such as SSD-1B or Vega, which is not supported."
        raise UserError(what, "Choose a base of Stable Diffusion XL itself.")
    if task := _TASKS.get((shapes.get(_FIRST) or (0, 0))[1]):
        raise UserError(f"{name} is made for {task}.", _OURS)


def kind(shapes: Collection[str]) -> str:
    """What a file is that is no base, in a word or two: `LoRA`, `autoencoder (VAE)`; empty where that is not known."""
    said = [what for pattern, what, _ in _KINDS if any(map(pattern.match, shapes))]
    said += [what for pattern, what in _ALONE if any(map(pattern.match, shapes))]
    return re.sub(r"^(is )?an? |, not a base$", "", said[0]) if said else ""


def _refuse_alone(name: str, shapes: Collection[str]) -> None:
    for pattern, what in _ALONE:
        if any(pattern.match(tensor) for tensor in shapes):
            raise UserError(f"{name} is {what} alone, not a whole base.", _WHOLE)
