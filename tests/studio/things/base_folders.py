"""Folders of bases as small as can be, whole by all that is looked at: real configurations and real headers."""

import json
from pathlib import Path

from lora_gui import families


def weights(path: Path, shape=(2, 2)) -> Path:
    """A .safetensors file of one tensor."""
    count = 4
    for side in shape:
        count *= side
    text = json.dumps({"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, count]}}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(count))
    return path


def make(folder: Path, like: str = "sd15", **changes: dict) -> Path:
    """The folder of a base with the configuration of the known base `like`, `changes` over those of its parts."""
    said = json.loads(families.configuration(like).read_text())
    index = {"_class_name": said["pipeline"]["class"], "_diffusers_version": "0.42.1"} | said["pipeline"]["config"]
    for name, part in said["components"].items():
        config = {"_class_name": part["class"]} | part["config"] | changes.get(name.replace("/", "_"), {})
        weights(folder / name / ("model.safetensors" if "text" in name else "diffusion_pytorch_model.safetensors"))
        (folder / name / "config.json").write_text(json.dumps(config))
        if "/" not in name and part["library"] != "lora_gui":
            index[name] = [part["library"], part["class"]]
        if name.startswith("text_encoder"):
            tokenizer = name.replace("text_encoder", "tokenizer")
            index[tokenizer] = ["transformers", "CLIPTokenizer"]
            (folder / tokenizer).mkdir()
            (folder / tokenizer / "vocab.json").write_text("{}")
    noise = {"_class_name": said["scheduler"]["class"]} | said["scheduler"]["config"] | changes.get("scheduler", {})
    index |= {"scheduler": ["diffusers", noise["_class_name"]]} | changes.get("pipeline", {})
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(noise))
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder
