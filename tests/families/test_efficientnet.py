"""EfficientNetV2-S against the published figures and names of torchvision's."""

import json

import pytest
import safetensors.torch
import torch

from lora_gui import families
from lora_gui.families.wuerstchen import efficientnet
from lora_gui.families.wuerstchen.efficientnet import EfficientNet

CPU = torch.device("cpu")


def test_it_has_the_size_and_the_strides_that_were_published():
    network = EfficientNet().eval()
    assert sum(p.numel() for p in network.backbone.parameters()) == 20_177_488
    expected = json.loads(families.configuration("wuerstchen").read_text())["components"]["effnet"]["params"]
    assert sum(p.numel() for p in network.parameters()) == expected
    assert efficientnet.encoded(network, torch.zeros(1, 3, 128, 256)).shape == (1, 16, 3, 6)


def test_its_tensors_are_named_and_shaped_as_torchvision_does():
    weights = {key: tuple(value.shape) for key, value in EfficientNet().state_dict().items()}
    shapes = {
        "backbone.0.0.weight": (24, 3, 3, 3),
        "backbone.0.1.running_mean": (24,),
        "backbone.1.1.block.0.0.weight": (24, 24, 3, 3),
        "backbone.2.0.block.0.0.weight": (96, 24, 3, 3),
        "backbone.2.0.block.1.0.weight": (48, 96, 1, 1),
        "backbone.4.0.block.0.0.weight": (256, 64, 1, 1),
        "backbone.4.0.block.1.0.weight": (256, 1, 3, 3),
        "backbone.4.0.block.2.fc1.weight": (16, 256, 1, 1),
        "backbone.4.0.block.2.fc2.bias": (256,),
        "backbone.6.14.block.3.1.num_batches_tracked": (),
        "backbone.6.14.block.3.0.weight": (256, 1536, 1, 1),
        "backbone.7.0.weight": (1280, 256, 1, 1),
        "mapper.0.weight": (16, 1280, 1, 1),
        "mapper.1.running_var": (16,),
    }
    assert {key: weights[key] for key in shapes} == shapes
    assert "backbone.1.0.block.1.0.weight" not in weights


def test_weights_are_read_back_exactly_and_a_wrong_file_is_refused(tmp_path):
    torch.manual_seed(1)
    network = EfficientNet().eval()
    file = tmp_path / "model.safetensors"
    safetensors.torch.save_file(network.state_dict(), file)
    pixels = torch.rand(1, 3, 128, 128) * 2 - 1
    with torch.no_grad():
        expected = efficientnet.encoded(network, pixels)
        assert torch.equal(efficientnet.encoded(efficientnet.load(tmp_path, CPU), pixels), expected)
    safetensors.torch.save_file({"mapper.0.weight": torch.zeros(1)}, file)
    with pytest.raises(ValueError, match="no EfficientNetV2-S"):
        efficientnet.load(tmp_path, CPU)
    with pytest.raises(FileNotFoundError):
        efficientnet.load(tmp_path / "empty", CPU)
