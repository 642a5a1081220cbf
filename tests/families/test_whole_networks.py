"""A text encoder with a gap is refused: transformers would make up what is missing. Names of any time are read."""

import pytest
import safetensors.torch
import torch
from transformers import CLIPTextModel

from lora_gui.errors import UserError
from lora_gui.families.base import whole
from tests import tiny


@pytest.fixture
def encoder(tmp_path):
    folder = tiny.stable_diffusion_1(tmp_path / "base") / "text_encoder"
    return folder, next(folder.glob("*.safetensors"))


def opened(folder):
    return whole(CLIPTextModel, folder, torch.device("cpu"), torch.float32)


def test_what_is_missing_is_named(encoder):
    folder, path = encoder
    tensors = safetensors.torch.load(path.read_bytes())
    path.write_bytes(safetensors.torch.save(dict(list(tensors.items())[1:]), {"format": "pt"}))
    name = list(tensors)[0].split(".")[-2]
    with pytest.raises(UserError, match=f"text_encoder of this base are not whole: .*{name}"):
        opened(folder)


def test_names_of_before_and_of_now_are_the_same_network(encoder):
    folder, path = encoder
    now = {name.removeprefix("text_model."): one for name, one in safetensors.torch.load(path.read_bytes()).items()}
    for prefix in ("", "text_model."):
        called = {f"{prefix}{name}": one for name, one in now.items()}
        path.write_bytes(safetensors.torch.save(called, {"format": "pt"}))
        found = {name.removeprefix("text_model."): one for name, one in opened(folder).state_dict().items()}
        assert all(torch.equal(found[name], one.float()) for name, one in now.items())
