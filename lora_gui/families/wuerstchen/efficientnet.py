"""EfficientNetV2-S as the image encoder of Wuerstchen: a picture to latents of 16 channels, each cell about 43 px.

The network is that of Tan and Le 2021, table 4, without its pooling and classifier, and then one map to 16 channels.
Its modules are nested as torchvision nests them, so that published weights find their places. Only for inference.
"""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from lora_gui.formats import base_files

# kind of block, expansion, stride of the first, channels, blocks
_STAGES = (
    ("fused", 1, 1, 24, 2),
    ("fused", 4, 2, 48, 4),
    ("fused", 4, 2, 64, 4),
    ("mobile", 4, 2, 128, 6),
    ("mobile", 6, 1, 160, 9),
    ("mobile", 6, 2, 256, 15),
)
_STEM, _LAST = 24, 1280
CHANNELS = 16  # of the latents
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the pictures of ImageNet


class EfficientNet(nn.Module):
    """(B, 3, H, W) normalised as ImageNet to (B, 16, H / 32, W / 32), rounded up."""

    def __init__(self) -> None:
        super().__init__()
        stages: list[nn.Module] = [_convolution(3, _STEM, 3, stride=2)]
        channels = _STEM
        for kind, expansion, stride, out, count in _STAGES:
            blocks = [_Block(kind, expansion, stride, channels, out)]
            blocks += [_Block(kind, expansion, 1, out, out) for _ in range(count - 1)]
            stages.append(nn.Sequential(*blocks))
            channels = out
        self.backbone = nn.Sequential(*stages, _convolution(channels, _LAST, 1))
        self.mapper = nn.Sequential(nn.Conv2d(_LAST, CHANNELS, 1, bias=False), nn.BatchNorm2d(CHANNELS))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.mapper(self.backbone(pixels))


class _Block(nn.Module):
    """An MBConv ("mobile") or Fused-MBConv block, residual where the shapes allow it (Tan and Le 2021, figure 2)."""

    def __init__(self, kind: str, expansion: int, stride: int, channels: int, out: int) -> None:
        super().__init__()
        wide = channels * expansion
        if kind == "mobile":
            layers = [
                _convolution(channels, wide, 1),
                _convolution(wide, wide, 3, stride, groups=wide),
                _Excitation(wide, channels // 4),
                _convolution(wide, out, 1, activated=False),
            ]
        elif expansion > 1:
            layers = [_convolution(channels, wide, 3, stride), _convolution(wide, out, 1, activated=False)]
        else:
            layers = [_convolution(channels, out, 3, stride)]
        self.block = nn.Sequential(*layers)
        self.residual = stride == 1 and channels == out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.block(x) if self.residual else self.block(x)


class _Excitation(nn.Module):
    """Squeeze-and-excitation (Hu et al. 2018)."""

    def __init__(self, channels: int, narrow: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, narrow, 1)
        self.fc2 = nn.Conv2d(narrow, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean((2, 3), keepdim=True)
        return x * self.fc2(nn.functional.silu(self.fc1(mean))).sigmoid()


def _convolution(
    channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1, activated: bool = True
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out, eps=1e-3),
    ]
    return nn.Sequential(*layers, nn.SiLU()) if activated else nn.Sequential(*layers)


def load(folder: Path, device: torch.device) -> EfficientNet:
    """The network with the weights in a folder, in fp32: it is small. Raises OSError where there are none."""
    found = base_files.weights(folder)
    if found is None:
        raise FileNotFoundError(f"no .safetensors file in {folder}")
    with torch.device("meta"):
        network = EfficientNet()
    weights = safetensors.torch.load_file(found.files[0])
    wrong = network.state_dict().keys() ^ weights.keys()
    if wrong:
        raise ValueError(f"{found.files[0].name} is no EfficientNetV2-S: {len(wrong)} tensors are missing or too many")
    fitting = {key: value.float() if value.is_floating_point() else value for key, value in weights.items()}
    network.load_state_dict(fitting, assign=True)
    return network.to(device).eval().requires_grad_(False)


def encoded(network: EfficientNet, pixels: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) in [-1, 1] to (B, 16, h, w) fp32. Wuerstchen looks at pictures at 3/4 of their size."""
    weight = next(network.parameters())
    pixels = (pixels.to(weight.device, torch.float32) + 1) / 2
    size = (pixels.shape[-2] * 3 // 4, pixels.shape[-1] * 3 // 4)
    pixels = nn.functional.interpolate(pixels, size=size, mode="bilinear", antialias=True)
    mean, std = (torch.tensor(one, device=weight.device).view(1, 3, 1, 1) for one in (_MEAN, _STD))
    return network((pixels - mean) / std)
