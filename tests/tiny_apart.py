"""A tiny diffusers folder written as users of ComfyUI have a base: a transformer, and networks beside it."""

import json
from dataclasses import replace
from pathlib import Path

import safetensors.torch
import torch

from lora_gui import families
from lora_gui.facts import SWAPPED, Facts, PartFile, SingleFile
from lora_gui.formats.naming import Translation
from tests import tiny_single_file

NAMES = {"CLIPTextModel": "clip", "CLIPTextModelWithProjection": "clip", "T5EncoderModel": "t5", "AutoencoderKL": "vae"}


def configuration(base: Path) -> dict:
    """The configuration of a folder's networks, as the app keeps that of a known base."""
    index = json.loads((base / "model_index.json").read_text())
    found: dict = {"pipeline": {"class": index["_class_name"], "config": {}}, "components": {}}
    for name, (library, kind) in {k: v for k, v in index.items() if isinstance(v, list) and v[0]}.items():
        if (base / name / "config.json").is_file():
            said = json.loads((base / name / "config.json").read_text())
            config = {key: value for key, value in said.items() if not key.startswith("_")}
            found["components"][name] = {"library": library, "class": kind, "config": config}
    noise = json.loads((base / "scheduler" / "scheduler_config.json").read_text())
    config = {key: value for key, value in noise.items() if not key.startswith("_")}
    found["scheduler"] = {"class": noise["_class_name"], "config": config}
    return found


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {k: v for file in folder.glob("*.safetensors") for k, v in safetensors.torch.load_file(file).items()}


def original(held: dict[str, torch.Tensor], facts: Facts) -> dict[str, torch.Tensor]:
    """A transformer's tensors by the names of the original program, its layers fused as there."""
    pairs = facts.checkpoint_names | facts.checkpoint_norms
    back = Translation((own.rstrip(SWAPPED), (theirs, *all)) for theirs, all in pairs.items() for own in all)
    done = {}
    for name in held:
        module, _, leaf = name.rpartition(".")
        theirs, *own = back.of(module)
        value = torch.cat([held[f"{one.rstrip(SWAPPED)}.{leaf}"] for one in own])
        weight = held[f"{module}.weight"].shape if f"{module}.weight" in held else (0, 0)
        if own[0].endswith(SWAPPED) and weight[0] == 2 * weight[1]:
            value = torch.cat(value.chunk(2)[::-1])
        leaf = "scale" if theirs.endswith(("query_norm", "key_norm")) else leaf
        done[f"{theirs}.{leaf}".lstrip(".")] = value
    return done


def original_vae(held: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """An autoencoder as the original has it: other names, and attention made of convolutions."""
    named = {}
    for key, value in held.items():
        levels = len({name.split(".")[2] for name in held if name.startswith("decoder.up_blocks.")})
        spelt = tiny_single_file.vae_name(key, levels)
        named[spelt] = tiny_single_file.as_convolution(key, value)
    return named


def beside(name: str, held: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of the network `name` as files beside a transformer have them."""
    if name == "vae":
        return original_vae(held)
    if not any("embeddings.token_embedding" in key for key in held):
        return held
    kept = ("text_model.", "text_projection")
    return {key if key.startswith(kept) else f"text_model.{key}": value for key, value in held.items()}


def write(base: Path, folder: Path, facts: Facts, like: str) -> tuple[Facts, Path, dict[str, Path]]:
    """The files of a base: its family's facts as they tell such a small one, the transformer's, and the others'."""
    found = configuration(base)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{like}.json").write_text(json.dumps(found))
    path, parts, apart = folder / "My base.safetensors", {}, {}
    for name, one in found["components"].items():
        held = weights(base / name)
        if name == "transformer":
            safetensors.torch.save_file(original(held, facts), path)
            continue
        held = beside(name, held)
        parts[name] = folder / f"{name} of mine.safetensors"
        safetensors.torch.save_file({key: value.contiguous() for key, value in held.items()}, parts[name])
        first = max(held, key=lambda key: held[key].numel())
        apart[name] = PartFile(name, f"{NAMES[one['class']]} ({name})", f"{name}.safetensors",
                               {first: tuple(held[first].shape), min(held): tuple(held[min(held)].shape)},
                               within=f"{name}.")  # fmt: skip
    first = max(safetensors.torch.load_file(path).items(), key=lambda item: item[1].numel())
    build = SingleFile(like, {first[0]: first[1].shape[1]}, beginnings=("", "model.diffusion_model."), apart=apart)
    return replace(facts, single_files=(build,)), path, parts


def sentence_model(pieces: list[tuple[str, float]]) -> bytes:
    """A model of SentencePiece's that holds these pieces alone."""
    def field(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2, len(data)]) + data

    def score(value: float) -> bytes:
        import struct

        return bytes([2 << 3 | 5]) + struct.pack("<f", value)

    return b"".join(field(1, field(1, piece.encode()) + score(value)) for piece, value in pieces)


def patched(monkeypatch, family, facts: Facts, folder: Path) -> None:
    """Let the app know this build, and its configuration in `folder`."""
    monkeypatch.setattr(families, "configuration", lambda key: folder / f"{key}.json")
    monkeypatch.setattr(type(family), "facts", facts)
    known = families.facts() | {facts.key: facts}
    families.part_files.cache_clear()
    monkeypatch.setattr(families, "facts", lambda: known)
