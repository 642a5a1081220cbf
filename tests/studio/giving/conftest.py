"""A studio with a tiny base and a LoRA for it whose header tells more than anybody should hear."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from lora_gui import families
from lora_gui.formats import dialects, metadata
from lora_gui.formats.lora_file import Layer
from lora_gui.studio.giving import proof
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.things import loras
from tests import tiny

CAPTION = "my daughter Annabel on the beach at Whitby"
HOME = "/home/secretname/pictures/annabel"
TELLS = {
    "modelspec.title": "fox",
    "modelspec.trigger_phrase": "zxy",
    "modelspec.comment": f"made in {HOME}",
    "ss_dataset_dirs": json.dumps({HOME: {"img_count": 4}}),
    "ss_tag_frequency": json.dumps({"4_annabel": {CAPTION: 4, "zxy": 1}}),
    "ss_training_comment": f"{CAPTION}",
    "ss_sd_model_name": "Tiny",
    "ss_network_module": "networks.lora",
    "training_config": json.dumps({"folder": HOME}),
    "lora_studio.base": "tiny",
    "lora_studio.preset": "style",
}


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory) -> Path:
    return tiny.stable_diffusion_1(tmp_path_factory.mktemp("giving"))


@pytest.fixture(scope="module")
def studio(tiny_base, tmp_path_factory):
    found = Studio(tmp_path_factory.mktemp("studio"))
    found.bases.mkdir(parents=True)
    (found.bases / "tiny").symlink_to(tiny_base)
    found.loras.mkdir()
    saved(tiny_base, found.loras / "fox.safetensors", TELLS)
    return found


@pytest.fixture
def lora(studio):
    return loras.named(studio, "fox")


@pytest.fixture(scope="module")
def drawer(studio):
    found = Drawer(studio)
    yield found
    found.close()


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(proof, "SIDE", 64)
    monkeypatch.setattr(proof, "STEPS", 2)


def layers(base: Path, parts: tuple[str, ...] = ("unet", "text_encoder")) -> dict[str, Layer]:
    """A LoRA over all attention of a base, strong enough to be seen."""
    from diffusers import StableDiffusionPipeline

    from lora_gui.engine.load import lora as adapters

    pipeline = StableDiffusionPipeline.from_pretrained(base)
    generator = torch.Generator().manual_seed(1)
    found = {}
    for name, weight in adapters.shapes({part: getattr(pipeline, part) for part in parts}).items():
        if name.rpartition(".")[2] in ("to_q", "to_k", "to_v", "q_proj", "k_proj", "v_proj", "out_proj"):
            down = torch.randn(4, weight[1], generator=generator)
            found[name] = Layer(down, torch.randn(weight[0], 4, generator=generator) * 0.3, alpha=2.0)
    return found


def saved(base: Path, path: Path, fields: dict[str, str], strength: float = 1.0, dialect: str = "kohya") -> Path:
    scaled = {
        name: Layer(one.down, one.up * strength, one.alpha) for name, one in layers(base).items()
    }
    tensors = dialects.build(scaled, families.facts()["sd1"], dialect)
    half = {name: value.half().contiguous() for name, value in tensors.items()}
    path.write_bytes(metadata.with_hashes(safetensors.torch.save(half, fields)))
    return path
