"""Where other programs keep models: how the folder of each is told, where it is put, and which settings name more."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Program:
    """`marks` lie in its folder, any of them; `homes` are where it is put as a rule, whatever it is called there.

    `settings` are files of it, by their place in its folder (or from home), to what in them names a folder or a file
    of models: a regular expression over the keys, or over the flags of a command line.
    """

    title: str
    marks: tuple[str, ...]
    models: tuple[str, ...] = ("models",)
    within: tuple[str, ...] = ()  # folders in it that hold other programs
    homes: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()


_FLAGS = r"--(?:ckpt-dirs?|models-dir|vae-dirs?|text-encoder-dirs?|lora-dirs?|forge-ref-a1111-home|data-dir|ckpt)"
_COMMANDS = tuple((name, _FLAGS) for name in ("webui-user.bat", "webui-user.sh", "webui-macos-env.sh"))

# The first whose mark is there counts: Forge was made of A1111, and Fooocus keeps models as ComfyUI does.
PROGRAMS = (
    Program(
        "Stability Matrix",
        marks=("StabilityMatrix.exe", "StabilityMatrix.AppImage", "Data/Packages", "Packages/settings.json"),
        models=("Data/Models", "Models"),
        within=("Data/Packages", "Packages"),
        homes=("~/StabilityMatrix", "%APPDATA%/StabilityMatrix"),
        settings=(
            ("%APPDATA%/StabilityMatrix/library.json", "LibraryPath"),
            ("~/.config/StabilityMatrix/library.json", "LibraryPath"),
        ),
    ),
    Program(
        "Pinokio",
        marks=("ENVIRONMENT", "api/ENVIRONMENT", "drive/drives"),
        models=("drive/drives/peers",),
        within=("api",),
        homes=("~/pinokio", "~/Pinokio", "C:/pinokio"),
        settings=(("%APPDATA%/Pinokio/config.json", "home"), ("~/.config/Pinokio/config.json", "home")),
    ),
    Program(
        "Fooocus",
        marks=("fooocus_version.py",),
        homes=("~/Fooocus",),
        settings=(("config.txt", r"path_(?:checkpoints|vae|clip|unet|models?)"),),
    ),
    Program(
        "ComfyUI",
        marks=("comfy/sd.py", "comfy_extras", "extra_model_paths.yaml.example", "models/checkpoints"),
        homes=("~/ComfyUI", "~/Documents/ComfyUI", "~/comfy/ComfyUI"),
        settings=(
            ("extra_model_paths.yaml", ".*"),
            ("%APPDATA%/ComfyUI/extra_models_config.yaml", ".*"),
            ("%APPDATA%/ComfyUI/config.json", "basePath"),
            ("~/.config/ComfyUI/extra_models_config.yaml", ".*"),
        ),
    ),
    Program("Forge", marks=("modules_forge",), homes=("~/stable-diffusion-webui-forge",), settings=_COMMANDS),
    Program(
        "A1111",
        marks=("modules/sd_models.py", "models/Stable-diffusion"),
        homes=("~/stable-diffusion-webui",),
        settings=_COMMANDS,
    ),
    Program(
        "InvokeAI",
        marks=("invokeai.yaml", "databases/invokeai.db"),
        models=("models", "autoimport"),
        homes=("~/invokeai", "%INVOKEAI_ROOT%"),
        settings=(("invokeai.yaml", r"models_dir|autoimport_dir|.*_dir_?models"),),
    ),
    Program(
        "kohya",
        marks=("kohya_gui.py", "sd-scripts", "sdxl_train_network.py"),
        models=("models", "sd_models", "pretrained_models"),
        homes=("~/kohya_ss", "~/sd-scripts"),
        settings=(("config.toml", r"models_dir|pretrained_model_name_or_path|vae|clip_l|clip_g|t5xxl|ae"),),
    ),
    Program(
        "OneTrainer",
        marks=("training_presets", "modules/trainer"),
        homes=("~/OneTrainer",),
        settings=(("training_presets/#.json", r"base_model_name|model_name"), ("config.json", "base_model_name")),
    ),
)
HUB = "Hugging Face"
HUB_CACHES = ("%HF_HUB_CACHE%", "%HUGGINGFACE_HUB_CACHE%", "%HF_HOME%/hub", "%XDG_CACHE_HOME%/huggingface/hub",
              "~/.cache/huggingface/hub")  # fmt: skip
# Folders that no program is installed in, or that hold too much of other things; by their names in lower case.
PASSED = frozenset(
    "windows $recycle.bin recovery perflogs proc sys dev run boot bin sbin lib lib32 lib64 etc usr var snap lost+found"
    " node_modules __pycache__ site-packages dist-packages appdata library venv env outputs output wandb"
    .split()
) | {"system volume information", "program files (x86)"}  # fmt: skip
