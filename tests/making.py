"""Real small LoRAs, drawings and runs for the tests of the library."""

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.numpy import save_file

from lora_gui.protocol import events
from lora_gui.protocol.jobs import Base, TrainJob, TrainPicture
from lora_gui.settings import TrainSettings
from lora_gui.studio.tasks import runs

LAYER = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
SAYS = {"modelspec.architecture": "stable-diffusion-v1/lora", "modelspec.trigger_phrase": "zxy"}


def tensors(value=0.5, rank=4, layers=(LAYER,), dora=False):
    found = {}
    for layer in layers:
        found[f"{layer}.lora_down.weight"] = np.full((rank, 8), value, np.float16)
        found[f"{layer}.lora_up.weight"] = np.full((8, rank), value, np.float16)
        found[f"{layer}.alpha"] = np.array(2, np.float16)
        found |= {f"{layer}.dora_scale": np.ones((8, 1), np.float16)} if dora else {}
    return found


def lora(studio, name, value=0.5, rank=4, layers=(LAYER,), dora=False, **says):
    studio.loras.mkdir(parents=True, exist_ok=True)
    path = studio.loras / f"{name}.safetensors"
    save_file(tensors(value, rank, layers, dora), path, SAYS | says)
    return path


def drawing(studio, name, *loras, day="2026-01-01"):
    path = studio.drawings / day / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    told = PngInfo()
    told.add_text("parameters", "a fox " + " ".join(f"<lora:{one}:0.8>" for one in loras) + "\nSteps: 2, Seed: 1")
    Image.new("RGB", (16, 16), "orange").save(path, pnginfo=told)
    return path


def run(studio, name, lora_path, steps=20):
    """A finished run that made the LoRA at `lora_path`."""
    job = TrainJob(
        name=name, trigger="zxy", preset="style", base=Base(key="toy", title="Toy", family="sd1", path="/toy"),
        pictures=(TrainPicture(path=str(studio.pictures / "aset" / "0001.png")),), settings=TrainSettings(steps=steps),
        publish_to=str(studio.loras),
    )  # fmt: skip
    made = runs.make(studio, job)
    (made.files.started).write_text("{}")
    said = events.Started(steps), events.Step(steps, steps, 0.1, 1e-4, 0.0)
    last = events.Done(f"loras/{lora_path.name}", "ab", steps, 3.0)
    made.files.events.write_text("".join(events.to_line(event) + "\n" for event in (*said, last)))
    return made


def captioned(found, captions):
    """Give the pictures of a set these captions, one for each in order."""
    for picture, caption in zip(found.pictures, captions, strict=True):
        picture.path.with_suffix(".txt").write_text(caption, encoding="utf-8")
