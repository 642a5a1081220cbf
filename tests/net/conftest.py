"""A small Hub that this process asks in place of the real one, and repositories for it."""

import os
import random

import pytest
from huggingface_hub import constants, hf_api
from huggingface_hub.utils import _http as http

from lora_gui.net import trouble
from lora_gui.protocol.jobs import DownloadJob
from lora_gui.studio.things import bases
from tests.net.hub import SmallHub

PINNED = bases.known_bases()["sd15"].revision
REPO = bases.known_bases()["sd15"].repo


def repository(size: int = 300_000) -> dict[str, bytes]:
    """Named as Stable Diffusion 1.5 is, with all that its repository carries beside what the app reads."""
    dice = random.Random(size)
    weights = {
        f"{folder}/{stem}{variant}.safetensors": dice.randbytes(size if variant == ".fp16" else 2 * size)
        for folder, stem in (("unet", "diffusion_pytorch_model"), ("vae", "diffusion_pytorch_model"),
                             ("text_encoder", "model"), ("safety_checker", "model"))
        for variant in ("", ".fp16")
    }  # fmt: skip
    rest = {
        "unet/diffusion_pytorch_model.non_ema.safetensors": dice.randbytes(size),
        "unet/diffusion_pytorch_model.bin": dice.randbytes(size),
        "v1-5-pruned.safetensors": dice.randbytes(4 * size),
        "v1-5-pruned.ckpt": dice.randbytes(size),
        "README.md": b"# Stable Diffusion", "LICENSE.md": b"CreativeML", ".gitattributes": b"*",
        "feature_extractor/preprocessor_config.json": b"{}", "model_index.json": b'{"_class_name": "X"}',
        "scheduler/scheduler_config.json": b"{}", "tokenizer/vocab.json": b'{"a": 1}', "tokenizer/merges.txt": b"a b",
        **{f"{folder}/config.json": b"{}" for folder in ("unet", "vae", "text_encoder", "safety_checker")},
    }  # fmt: skip
    return weights | rest


NEEDED = {
    "model_index.json", "LICENSE.md", "scheduler/scheduler_config.json", "tokenizer/vocab.json", "tokenizer/merges.txt",
    "unet/config.json", "vae/config.json", "text_encoder/config.json", "text_encoder/model.fp16.safetensors",
    "unet/diffusion_pytorch_model.fp16.safetensors", "vae/diffusion_pytorch_model.fp16.safetensors",
}  # fmt: skip


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """It, and this process led to it: its huggingface_hub was imported long ago, with the addresses of the real one."""
    monkeypatch.setattr(trouble, "WAITS", (0.01,) * 6)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with SmallHub() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.url)
        monkeypatch.setenv("HF_ENDPOINT", found.url)
        template = found.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
        monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(tmp_path / "hf" / "stored_tokens"))
        monkeypatch.setattr(hf_api.api, "endpoint", found.url)
        http.close_session()
        yield found
    http.close_session()


@pytest.fixture
def job(tmp_path):
    """An order of Stable Diffusion 1.5 into a folder of its own."""
    (tmp_path / "bases").mkdir()
    folder = tmp_path / "bases" / ".sd15.download"
    os.mkdir(folder)
    return DownloadJob(base="sd15", into=str(tmp_path / "bases"))
