"""How long comparing takes for LoRAs of SDXL's size: `fight_speed.py [--loras N] [--rank R]`.

The layers are those that kohya's trainer adapts in an SDXL U-Net and both text encoders (722 of them), in fp16. Prints
one JSON object: seconds of each of some runs, those that went by and those of the processor; before the first nothing
was read.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

sys.path.insert(0, str(Path(__file__).parents[2]))

from lora_gui.studio.stacks.fight import fight

# blocks of transformers in each group of the U-Net: where, how many, width (Podell et al. 2023)
BLOCKS = (("down_blocks_1", 2, 2, 640), ("down_blocks_2", 2, 10, 1280), ("mid_block", 1, 10, 1280),
          ("up_blocks_0", 3, 10, 1280), ("up_blocks_1", 3, 2, 640))  # fmt: skip
CONTEXT, TEXTS = 2048, (("lora_te1", 12, 768), ("lora_te2", 32, 1280))


def layers() -> dict[str, tuple[int, int]]:
    """Outputs and inputs of each layer, by kohya's names."""
    found = {}
    for place, attentions, depth, width in BLOCKS:
        for n in range(attentions):
            root = f"lora_unet_{place}_attentions_{n}"
            found |= {f"{root}_proj_in": (width, width), f"{root}_proj_out": (width, width)}
            for m in range(depth):
                block = f"{root}_transformer_blocks_{m}"
                for attention, inputs in (("attn1", width), ("attn2", CONTEXT)):
                    found |= {f"{block}_{attention}_to_{one}": (width, width) for one in ("q", "out_0")}
                    found |= {f"{block}_{attention}_to_{one}": (width, inputs) for one in "kv"}
                found |= {f"{block}_ff_net_0_proj": (8 * width, width), f"{block}_ff_net_2": (width, 4 * width)}
    for text, depth, width in TEXTS:
        for n in range(depth):
            root = f"{text}_text_model_encoder_layers_{n}"
            found |= {f"{root}_self_attn_{one}_proj": (width, width) for one in ("q", "k", "v", "out")}
            found |= {f"{root}_mlp_fc1": (4 * width, width), f"{root}_mlp_fc2": (width, 4 * width)}
    return found


def lora(path: Path, rank: int, seed: int) -> Path:
    random, tensors = np.random.default_rng(seed), {}
    for name, (out, inputs) in layers().items():
        tensors[f"{name}.lora_down.weight"] = random.standard_normal((rank, inputs), np.float32).astype(np.float16)
        tensors[f"{name}.lora_up.weight"] = random.standard_normal((out, rank), np.float32).astype(np.float16)
        tensors[f"{name}.alpha"] = np.array(rank, np.float16)
    save_file(tensors, path, {"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"})
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loras", type=int, default=3)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = [lora(Path(folder) / f"{n}.safetensors", options.rank, n) for n in range(options.loras)]
        seconds = []
        for _ in range(options.runs):
            began, cpu = time.monotonic(), time.process_time()
            found = fight(paths)
            seconds.append([round(time.monotonic() - began, 3), round(time.process_time() - cpu, 3)])
        shared, megabytes = found.pairs[0].shared, paths[0].stat().st_size / 1e6
    print(json.dumps({"layers": shared, "megabytes_each": round(megabytes), "seconds": seconds}))


if __name__ == "__main__":
    main()
