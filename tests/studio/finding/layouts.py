"""Folders laid out as the nine programs and the hub's cache do it, with sparse files of real headers in them."""

import json
from pathlib import Path

from tests.studio.things import base_folders as like
from tests.studio.things.base_folders import make, sparse

HASH = "0123456789abcdef0123456789abcdef01234567"


def marked(folder: Path, *marks: str) -> Path:
    """The folder of a program, with the files by which it is told; a mark that ends in / is a folder."""
    for mark in marks:
        place = folder / mark
        if mark.endswith("/"):
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
    return folder


def everything(drive: Path, elsewhere: Path) -> dict[str, Path]:
    """One base with each program, below `drive`; further folders that their settings name lie `elsewhere`."""
    comfy = marked(drive / "AI" / "ComfyUI_portable" / "ComfyUI", "comfy/sd.py")
    (comfy / "extra_model_paths.yaml").write_text(
        f"# where else\nmine:\n  base_path: {elsewhere}\n  checkpoints: |\n    kept/checkpoints\n    kept/more\n"
    )
    a1111 = marked(drive / "stable-diffusion-webui", "modules/sd_models.py")
    (a1111 / "webui-user.bat").write_text(f'set COMMANDLINE_ARGS=--xformers --ckpt-dir "{elsewhere}/for a1111"\n')
    forge = marked(drive / "forge", "modules_forge/", "modules/sd_models.py")
    invoke = marked(drive / "invokeai", "invokeai.yaml")
    (invoke / "invokeai.yaml").write_text(f"schema_version: 4.0.2\nmodels_dir: {elsewhere}/invoke models\n")
    fooocus = marked(drive / "Fooocus" / "Fooocus", "fooocus_version.py")
    (fooocus / "config.txt").write_text(json.dumps({"path_checkpoints": [str(elsewhere / "fooocus")]}))
    kohya = marked(drive / "kohya_ss", "kohya_gui.py", "sd-scripts/")
    one = marked(drive / "OneTrainer", "modules/trainer/", "training_presets/")
    (one / "training_presets" / "#.json").write_text(
        json.dumps({"base_model_name": str(elsewhere / "one.safetensors")})
    )
    matrix = marked(drive / "StabilityMatrix", "StabilityMatrix.exe", "Data/Packages/")
    inner = marked(matrix / "Data" / "Packages" / "reForge", "modules_forge/")
    pinokio = marked(drive / "pinokio", "ENVIRONMENT", "api/")
    script = marked(pinokio / "api" / "fooocus.git" / "app", "fooocus_version.py")
    hub = drive.parent / "hub" / "models--some--One" / "snapshots" / HASH
    return {
        "ComfyUI": sparse(comfy / "models" / "checkpoints" / "juggernaut.safetensors", like.SDXL),
        "ComfyUI, named": sparse(elsewhere / "kept" / "more" / "far.safetensors", like.SD15),
        "A1111": sparse(a1111 / "models" / "Stable-diffusion" / "anime" / "any.safetensors", like.SD15),
        "A1111, named": sparse(elsewhere / "for a1111" / "x.safetensors", like.SDXL),
        "Forge": sparse(forge / "models" / "Stable-diffusion" / "flux1-dev-fp8.safetensors", like.FLUX, "F8_E4M3"),
        "InvokeAI": make(invoke / "models" / "sdxl" / "main" / "mine", "sdxl"),
        "InvokeAI, named": sparse(elsewhere / "invoke models" / "1234" / "model.safetensors", like.SD15),
        "Fooocus": sparse(fooocus / "models" / "checkpoints" / "f.safetensors", like.SDXL),
        "Fooocus, named": sparse(elsewhere / "fooocus" / "g.safetensors", like.SDXL),
        "kohya": sparse(kohya / "models" / "k.safetensors", like.SD15),
        "OneTrainer": sparse(elsewhere / "one.safetensors", like.SDXL),
        "Stability Matrix": sparse(matrix / "Data" / "Models" / "StableDiffusion" / "m.safetensors", like.SDXL),
        "Stability Matrix, inner": sparse(inner / "models" / "Stable-diffusion" / "i.safetensors", like.SD15),
        "Pinokio": sparse(script / "models" / "checkpoints" / "p.safetensors", like.SDXL),
        "Hugging Face": make(hub, "sd15"),
    }


def parts(comfy: Path) -> None:
    """What FLUX.1 and Stable Diffusion 3.5 need beside their transformers, as users of ComfyUI have it."""
    sparse(comfy / "models" / "text_encoders" / "clip_l.safetensors", like.CLIP_L)
    sparse(comfy / "models" / "text_encoders" / "t5.safetensors", like.T5)
    sparse(comfy / "models" / "clip" / "g.safetensors", like.CLIP_G)
    sparse(comfy / "models" / "vae" / "ae.safetensors", like.VAE16)
