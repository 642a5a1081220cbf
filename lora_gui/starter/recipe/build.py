"""Build the starter from nothing: fetch and render the pictures, train both networks, publish model and examples."""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from lora_gui.starter.recipe.autoencoder import batch, psnr, standardise, train_autoencoder
from lora_gui.starter.recipe.concepts import CONCEPTS
from lora_gui.starter.recipe.denoiser import train_denoiser
from lora_gui.starter.recipe.examples import write_examples
from lora_gui.starter.recipe.lessons import Lessons, encode
from lora_gui.starter.recipe.licences import write_licences
from lora_gui.starter.recipe.looks import render_looks
from lora_gui.starter.recipe.pictures import (
    BASE_SETS,
    EXAMPLE_SETS,
    LOOK_SETS,
    SIZE,
    IconSet,
    fetch,
    render,
    shared_names,
)
from lora_gui.starter.recipe.publish import publish

HERE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Recipe:
    """How long to train and on how much; everything that is kept on the way lies in `work`."""

    work: Path
    out: Path
    autoencoder_steps: int = 4400
    denoiser_steps: int = 9000
    names: tuple[str, ...] = ()  # the concepts; all of them where none is given
    everything: bool = True  # the autoencoder also sees what the captions do not name
    begin_from: Path | None = None  # a published model to train further, where `work` holds no checkpoint
    sharpen: bool = False  # whether its autoencoder learns further too


def build(
    recipe: Recipe, base: dict[str, IconSet], looks: dict[str, IconSet], others: dict[str, IconSet]
) -> dict[str, float]:
    """Run the recipe, going on where an earlier run left off; returns its figures, which also lie beside the model."""
    began = time.monotonic()
    recipe.work.mkdir(parents=True, exist_ok=True)
    concepts = recipe.names or CONCEPTS
    names = shared_names(base) if recipe.everything else concepts
    pictures = render(base, names, recipe.work / "shared.npy")
    vae = autoencoder(pictures.reshape(-1, SIZE, SIZE, 4), recipe)
    chosen = pictures[[names.index(name) for name in concepts]]
    latents = encode(vae, chosen, recipe.work / "latents.npy")
    drawn, rows = render_looks(concepts, base | looks)
    in_looks = encode(vae, drawn[:, None], recipe.work / "looks.npy")[:, 0]
    lessons = Lessons(concepts, latents, in_looks, rows)
    denoiser, loss = train_denoiser(vae, lessons, recipe.work / "denoiser", recipe.denoiser_steps, recipe.begin_from)
    recipe.out.mkdir(parents=True, exist_ok=True)
    publish(vae, denoiser, recipe.out / "model")
    write_licences(recipe.out / "LICENSES.md")
    if others:
        write_examples(others, recipe.out / "examples")
    fixed = batch(pictures.reshape(-1, SIZE, SIZE, 4), 48, SIZE, torch.Generator().manual_seed(7))
    figures = {
        "autoencoder_psnr_db": round(psnr(vae, fixed), 2),
        "denoiser_loss": round(loss, 4),
        "denoiser_parameters": sum(p.numel() for p in denoiser.unet.parameters()),
        "seconds": round(time.monotonic() - began, 1),
    }
    (recipe.work / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return figures


def autoencoder(pictures: np.ndarray, recipe: Recipe) -> AutoencoderKL:
    """The trained autoencoder with standardised latents; once it is written, it is not trained further."""
    folder = recipe.work / "vae"
    former = recipe.begin_from / "vae" if recipe.begin_from else None
    if former and not recipe.sharpen:
        folder = former
    elif not (folder / "config.json").exists():
        vae = train_autoencoder(pictures, recipe.work / "autoencoder", recipe.autoencoder_steps, former)
        standardise(vae, pictures)
        vae.save_pretrained(folder)
    return AutoencoderKL.from_pretrained(folder).eval().to(memory_format=torch.channels_last)


def smoke(work: Path, out: Path) -> Recipe:
    """A recipe of seconds: it shows that every stage works, and draws nothing."""
    return Recipe(work, out, autoencoder_steps=4, denoiser_steps=4, names=CONCEPTS[:2], everything=False)


def main() -> None:
    """The command line of the recipe."""
    parser = argparse.ArgumentParser(prog="python -m lora_gui.starter.recipe.build", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("starter-work"), help="checkpoints and rendered pictures")
    parser.add_argument("--out", type=Path, default=HERE, help="where model/ and examples/ are written")
    parser.add_argument("--autoencoder-steps", type=int, default=Recipe.autoencoder_steps)
    parser.add_argument("--denoiser-steps", type=int, default=Recipe.denoiser_steps)
    parser.add_argument("--smoke", action="store_true", help="a few steps of everything, into WORK/out")
    parser.add_argument("--go-on", action="store_true", help="train the denoiser of OUT/model further, on its latents")
    parser.add_argument("--sharpen", action="store_true", help="with --go-on: train its autoencoder further first")
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    recipe = Recipe(
        options.work, options.out, options.autoencoder_steps, options.denoiser_steps,
        begin_from=options.out / "model" if options.go_on else None,
        sharpen=options.sharpen,
    )  # fmt: skip
    if options.smoke:
        recipe = smoke(options.work, options.work / "out")
    icons = options.work / "icons"
    print(json.dumps(build(recipe, *(fetch(sets, icons) for sets in (BASE_SETS, LOOK_SETS, EXAMPLE_SETS)))))


if __name__ == "__main__":
    main()
