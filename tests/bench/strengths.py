"""What a change of strength costs on a U-Net of Stable Diffusion 1.5's size: `strengths.py [--loras K] [--rank R]`.

The weights are random, which takes as long. Base and stack take turns, so that whatever else the computer does slows
both. Prints one JSON object: milliseconds from a change to where the first step begins, how much longer that step takes
for it, and a step with all LoRAs over one of the base, in the weights as on a processor or beside them as on a card.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2]))

from lora_gui.engine.draw.applied import Applied
from lora_gui.engine.load import device, lora
from lora_gui.formats.lora_file import Layer


def unet(where: torch.device, dtype: torch.dtype) -> nn.Module:
    """With the sizes of SD 1.5 (Rombach et al. 2022)."""
    with torch.device("meta"):
        made = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
    made = made.to_empty(device=where).to(dtype)
    for one in made.parameters():
        nn.init.normal_(one, std=0.02)
    return made.eval().requires_grad_(False)


def add(parts: lora.Parts, name: str, rank: int, ending: tuple[str, ...]) -> None:
    layers = {}
    for path, shape in lora.shapes(parts).items():
        if path.endswith(ending):
            up = torch.randn(shape[0], rank, *[1] * (len(shape) - 2)) * 0.01
            layers[path] = Layer(torch.randn(rank, *shape[1:]) * 0.01, up, rank)
    lora.add(parts, layers, name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loras", type=int, default=3)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--side", type=int, default=32, help="of the latents; 64 is 512 px")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--convolutions", action="store_true", help="LoRAs of all layers, not of attention alone")
    options = parser.parse_args()
    where = device.pick()
    device.prepare(where)
    dtype = device.drawing_dtype(where, "", device.capability(where))
    merged = where.type == "cpu"
    parts = {"unet": unet(where, dtype)}
    attention = ("to_q", "to_k", "to_v", "to_out.0")
    for n in range(options.loras):
        add(parts, f"lora{n}", options.rank, attention + (("conv1", "conv2") if options.convolutions else ()))
    applied = Applied(parts)
    applied.changed()
    noisy = torch.randn(2, 4, options.side, options.side, device=where, dtype=dtype)
    text = torch.randn(2, 77, 768, device=where, dtype=dtype)

    def step() -> float:
        began = time.perf_counter()
        with torch.no_grad():
            parts["unet"](noisy, 500, text).sample.float().sum().item()
        return time.perf_counter() - began

    def change(strength: float) -> float:
        began = time.perf_counter()
        stack = {f"lora{n}": lambda _, s=strength / (n + 1): s for n in range(options.loras)} if strength else {}
        applied.use(stack, merged)
        return time.perf_counter() - began

    found = {"change": [], "first": [], "loras": [], "base": []}
    for run in range(options.runs + 1):
        change(0.0)
        step()
        base = step()
        change(0.5 + run / 100)
        step()
        begins, first, settled = change(0.7 + run / 100), step(), step()
        if run:
            for kind, value in zip(found, (begins, first, settled, base), strict=True):
                found[kind].append(value)
    median = {kind: statistics.median(values) for kind, values in found.items()}
    print(json.dumps({
        "device": where.type, "loras": options.loras, "rank": options.rank, "step_s": round(median["base"], 2),
        "first_step_begins_after_ms": round(1000 * median["change"], 1),
        "first_step_longer_by_ms": round(1000 * (median["first"] - median["loras"])),
        "settled_over_base": round(median["loras"] / median["base"], 3),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
