"""How each program is told to do the same work: this app, and peers that a user has checkouts of.

Each function turns a `Work` and a folder of its own into a command. What cannot be made equal stands in `NOTES`.
"""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from lora_gui.settings import TrainSettings
from tests.bench.watched import Command

ROOT = Path(__file__).resolve().parents[2]
RATE = 1e-4
CAPTION = "zxy_style thing {}"
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "DO_NOT_TRACK": "1"}
NOTES = {
    "app": "pictures and captions encoded once; draws one sample before and one after",
    "sd-scripts": "latents cached; its text encoder runs in every step, as it has no cache for it; --sdpa, no workers",
    "diffusers": "nothing cached: autoencoder and text encoder run in every step",
}


@dataclass(frozen=True)
class Work:
    """What every program is told to do."""

    name: str
    base: Path  # a diffusers folder
    layers: str  # attention or linear
    precision: str  # fp32 or bf16
    resolution: int
    batch: int
    steps: int
    rank: int = 16

    @property
    def pictures(self) -> int:
        return 2 * self.batch + 2


@dataclass(frozen=True)
class Peer:
    """A checkout, and the Python of an environment that it runs in."""

    checkout: Path
    python: Path


def app(work: Work, folder: Path, peer: Peer) -> Command:
    """This app by its command line; samples are small and few, so that it is not the drawing that is measured."""
    home = folder / "home"
    settings = TrainSettings(
        steps=work.steps, rank=work.rank, alpha=work.rank, layers=work.layers, precision=work.precision,
        resolution=work.resolution, batch_size=work.batch, learning_rate=RATE, scheduler="constant",
        caption_dropout=0, sample_every=0, sample_resolution=64, sample_prompts=(CAPTION.format(0),),
    )  # fmt: skip
    told = [part for key, value in settings for part in ("--set", f"{key}={_as_typed(value)}")]  # no preset has a say
    arguments = [
        str(peer.python), "-m", "lora_gui", "train", "--json", "--preset", "style", "--base", str(work.base),
        "--pictures", str(_pictures(folder / "pictures", work)), "--trigger", "zxy_style", "--name", "bench", *told,
    ]  # fmt: skip
    environment = {"LORA_GUI_HOME": str(home), "PYTHONPATH": str(peer.checkout)}
    return Command(arguments, folder, environment, "loras/*.safetensors", home, "runs/*/events.jsonl")


def sd_scripts(work: Work, folder: Path, peer: Peer) -> Command:
    """`train_network.py` of sd-scripts; one epoch, so that it does not begin anew in between."""
    repeats = math.ceil(work.steps * work.batch / work.pictures)
    _pictures(folder / "pictures" / f"{repeats}_thing", work)
    _tokenizer(work.base, folder / "tokenizers" / "openai_clip-vit-large-patch14")
    options = {
        "pretrained_model_name_or_path": work.base, "tokenizer_cache_dir": folder / "tokenizers",
        "train_data_dir": folder / "pictures", "caption_extension": ".txt", "output_dir": folder / "out",
        "output_name": "bench", "save_model_as": "safetensors", "network_module": "networks.lora",
        "network_dim": work.rank, "network_alpha": work.rank, "resolution": work.resolution,
        "train_batch_size": work.batch, "max_train_steps": work.steps, "learning_rate": RATE,
        "lr_scheduler": "constant", "optimizer_type": "AdamW", "max_data_loader_n_workers": 0, "seed": 1,
        "mixed_precision": {"fp32": "no"}.get(work.precision, work.precision),
    }  # fmt: skip
    switches = ("--network_train_unet_only", "--cache_latents", "--sdpa")
    arguments = [str(peer.python), "train_network.py", *_told(options), *switches]
    environment = OFFLINE | {"HF_HOME": str(folder / "hub")}
    return Command(arguments, peer.checkout, environment, out=folder / "out")


def diffusers(work: Work, folder: Path, peer: Peer) -> Command:
    """`train_text_to_image_lora.py` of diffusers, with the library of the same checkout."""
    _pictures(folder / "pictures", work, listed=True)
    options = {
        "pretrained_model_name_or_path": work.base, "train_data_dir": folder / "pictures", "caption_column": "text",
        "output_dir": folder / "out", "resolution": work.resolution, "train_batch_size": work.batch,
        "max_train_steps": work.steps, "learning_rate": RATE, "lr_scheduler": "constant", "lr_warmup_steps": 0,
        "rank": work.rank, "seed": 1, "mixed_precision": {"fp32": "no"}.get(work.precision, work.precision),
        "cache_dir": folder / "cache",
    }  # fmt: skip
    script = peer.checkout / "examples" / "text_to_image" / "train_text_to_image_lora.py"
    environment = OFFLINE | {"HF_HOME": str(folder / "hub"), "PYTHONPATH": str(peer.checkout / "src")}
    return Command([str(peer.python), str(script), *_told(options)], folder, environment, out=folder / "out")


PROGRAMS: dict[str, Callable[[Work, Path, Peer], Command]] = {
    "app": app, "sd-scripts": sd_scripts, "diffusers": diffusers,
}  # fmt: skip
APP = Peer(ROOT, Path(sys.executable))


def _as_typed(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value).lower()


def _told(options: dict[str, object]) -> list[str]:
    return [f"--{key}={value}" for key, value in options.items()]


def _pictures(folder: Path, work: Work, listed: bool = False) -> Path:
    """Discs before shaded grounds, a caption beside each, or all of them in one list."""
    folder.mkdir(parents=True)
    rows = []
    for n in range(work.pictures):
        image = Image.linear_gradient("L").resize((work.resolution, work.resolution)).rotate(90 * n).convert("RGB")
        radius, colour = work.resolution // 4, (40 * n % 256, 90, 255 - 30 * n % 256)
        ImageDraw.Draw(image).ellipse((radius, radius, 3 * radius, 3 * radius), fill=colour)
        image.save(folder / f"{n:03}.png")
        rows.append({"file_name": f"{n:03}.png", "text": CAPTION.format(n)})
        if not listed:
            (folder / f"{n:03}.txt").write_text(CAPTION.format(n), encoding="utf-8")
    if listed:
        (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


def _tokenizer(base: Path, folder: Path) -> None:
    """The tokenizer of a base as older versions of transformers read it: two files instead of one."""
    model = json.loads((base / "tokenizer" / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    merges = [one if isinstance(one, str) else " ".join(one) for one in model["merges"]]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
