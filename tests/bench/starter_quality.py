"""Measure the starter: its autoencoder, its backgrounds, and whether it draws what is asked. Prints one JSON object."""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from judge import concept_judge, judge_the_judge, renderings  # noqa: E402

from lora_gui.families.shared.unet import RESCALED  # noqa: E402
from lora_gui.families.stable_diffusion_1.facts import FACTS  # noqa: E402
from lora_gui.settings import DrawSettings  # noqa: E402
from lora_gui.starter.recipe.autoencoder import reconstructed  # noqa: E402
from lora_gui.starter.recipe.concepts import COLOURS, CONCEPTS, caption  # noqa: E402
from lora_gui.starter.recipe.pictures import BASE_SETS, PALETTE, SIZE, composite  # noqa: E402

MODEL = Path(__file__).resolve().parents[2] / "lora_gui" / "starter" / "model"
WORK = Path(tempfile.gettempdir()) / "lora-gui-bench"
NAMES = list(COLOURS)
HOW = ("steps", "guidance", "guidance_end")
USUAL = DrawSettings(**FACTS.draw_defaults_of("starter"))  # as the app draws with it
# Every 258 / 100th concept, each on the next colour: a fixed list that favours nothing.
PROMPTS = [(CONCEPTS[i * len(CONCEPTS) // 100], NAMES[i % len(NAMES)]) for i in range(100)]


def load(model: Path) -> StableDiffusionPipeline:
    pipe = StableDiffusionPipeline.from_pretrained(model)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def draw(pipe: StableDiffusionPipeline, prompts: list[str], how: DrawSettings = USUAL, seed: int = 0) -> torch.Tensor:
    """One drawing for each prompt, with its own seed whatever the batch; (B, 3, SIZE, SIZE) in [-1, 1]."""
    drawings = []
    guided = round(how.guidance_end * how.steps)

    def end_guidance(pipe: Any, step: int, timestep: Any, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if step + 1 == guided:
            pipe._guidance_scale = 1.0  # as diffusers' guide to callbacks has it
            tensors["prompt_embeds"] = tensors["prompt_embeds"].chunk(2)[1]
        return tensors

    to_zero = pipe.scheduler.config.get("rescale_betas_zero_snr")
    rescaled = {"guidance_rescale": RESCALED} if to_zero else {}  # pipelines without such a noise do not know it
    for start in range(0, len(prompts), 20):
        part = prompts[start : start + 20]
        noise = [torch.Generator().manual_seed(1000 * seed + start + i) for i in range(len(part))]
        out = pipe(
            part, num_inference_steps=how.steps, guidance_scale=how.guidance, generator=noise, output_type="np",
            callback_on_step_end=end_guidance, callback_on_step_end_tensor_inputs=["prompt_embeds"], **rescaled,
        )  # fmt: skip
        drawings.append(torch.from_numpy(out.images).permute(0, 3, 1, 2) * 2 - 1)
    return torch.cat(drawings).float()


def add_options(parser: argparse.ArgumentParser) -> None:
    """How is drawn, where not as the app does."""
    for name in HOW:
        kind = DrawSettings.model_fields[name].annotation
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=getattr(USUAL, name))


def sampling(options: argparse.Namespace) -> DrawSettings:
    """What these options say."""
    return USUAL.model_copy(update={name: getattr(options, name) for name in HOW})


def backgrounds(drawings: torch.Tensor) -> list[str]:
    """The named colour nearest to the median of each drawing's outermost four pixels."""
    pixels = ((drawings + 1) * 127.5).permute(0, 2, 3, 1).numpy()
    edge = np.ones((SIZE, SIZE), bool)
    edge[4:-4, 4:-4] = False
    medians = np.median(pixels[:, edge], axis=1)  # (B, 3)
    return [NAMES[i] for i in ((medians[:, None] - PALETTE[None]) ** 2).sum(-1).argmin(1)]


@torch.no_grad()
def psnr(pipe: StableDiffusionPipeline, work: Path) -> float:
    """Mean PSNR in dB of every fifth real rendering after encoding and decoding."""
    pictures = renderings(work, CONCEPTS, BASE_SETS).reshape(-1, SIZE, SIZE, 4)[::5]
    values = []
    for start in range(0, len(pictures), 16):
        part = pictures[start : start + 16]
        x = torch.from_numpy(composite(part, PALETTE[(start + np.arange(len(part))) % len(PALETTE)]))
        y = reconstructed(pipe.vae, x)
        values += (-10 * ((y - x) / 2).pow(2).mean(dim=(1, 2, 3)).log10()).tolist()
    return float(np.mean(values))


def save_grid(drawings: torch.Tensor, path: Path, columns: int) -> None:
    """The drawings side by side, at 96 px."""
    pixels = ((drawings + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    rows = -(-len(pixels) // columns)
    grid = Image.new("RGB", (columns * 96, rows * 96))
    for i, picture in enumerate(pixels):
        grid.paste(Image.fromarray(picture).resize((96, 96), Image.LANCZOS), (i % columns * 96, i // columns * 96))
    grid.save(path, optimize=True)


def measure(pipe: StableDiffusionPipeline, work: Path, how: DrawSettings, grid: Path | None) -> dict:
    """All figures of the starter."""
    began = time.monotonic()
    drawings = draw(pipe, [caption(name, colour) for name, colour in PROMPTS], how)
    seconds = time.monotonic() - began
    judge = concept_judge(work)
    names, colours = [list(column) for column in zip(*PROMPTS, strict=True)]
    if grid:
        save_grid(drawings, grid, 10)
    return {
        "concept_in_nearest_5": round(judge.share(drawings, names), 3),
        "concept_nearest": round(judge.share(drawings, names, 1), 3),
        "background_right": float(np.mean([a == b for a, b in zip(colours, backgrounds(drawings), strict=True)])),
        "autoencoder_psnr_db": round(psnr(pipe, work), 2),
        "judge_on_unseen_style": round(judge_the_judge(judge, work), 3),
        **how.model_dump(include=set(HOW)),
        "seconds_per_drawing": round(seconds / len(PROMPTS), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--work", type=Path, default=WORK, help="icon sets and trained judges are kept here")
    add_options(parser)
    parser.add_argument("--grid", type=Path, help="save the hundred drawings as one picture")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    found = measure(load(options.model), options.work, sampling(options), options.grid)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
