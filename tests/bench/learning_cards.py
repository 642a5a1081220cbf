"""The pictures of the learning path: the starter trained well, and with each fault that its cards speak of.

`python tests/bench/learning_cards.py --folder STUDIO` trains what is not trained yet, draws, and writes the strips into
the package. Each run takes one to four minutes on two cores; the studio stays, so that it can be broken off.
"""

import argparse
import io
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))

from lora_gui import files
from lora_gui.settings import DrawSettings, StackEntry, check
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import runs
from lora_gui.studio.tasks.drawing import Drawer
from lora_gui.studio.things import bases, pictures, presets

OUT = Path(__file__).parents[2] / "lora_gui" / "starter" / "learning"
CELL, GAP = 128, 8  # px
LARGEST = 60_000  # bytes of a strip
GOOD_STYLE, GOOD_CHARACTER = "good-style", "good-character"
LOOK = "flat vector drawing with thick dark outlines of a "
Made = Callable[[Path], None]  # a set is put into a folder


@dataclass(frozen=True)
class Trial:
    """A run of the starter on what `made` puts into a folder."""

    preset: str
    trigger: str
    made: Made
    hand: dict[str, Any] = field(default_factory=dict)
    faster: float = 1.0


def examples(preset: str, first: int = 0, before: int | None = None, prefix: str = "") -> Made:
    """Example pictures from one to before another, with `prefix` before each caption."""

    def made(folder: Path) -> None:
        for path in sorted(pictures.examples()[preset].glob("*.png"))[first:before]:
            shutil.copy(path, folder)
            caption = prefix + path.with_suffix(".txt").read_text(encoding="utf-8")
            (folder / path.name).with_suffix(".txt").write_text(caption, encoding="utf-8")

    return made


def one_pose(folder: Path) -> None:
    """The same face on the same ground ten times, hardly moved."""
    face = Image.open(pictures.examples()["character"] / "002.png").convert("RGB")
    for at in range(10):
        moved = Image.new("RGB", face.size, face.getpixel((1, 1)))
        moved.paste(face, (at % 3 * 4 - 4, at // 3 * 4 - 4))
        moved.save(folder / f"{at:02}.png")
        (folder / f"{at:02}.txt").write_text("cat face", encoding="utf-8")


STYLE, CAT = "zxy_style", "zxy_cat"
TRIALS = {
    GOOD_STYLE: Trial("style", STYLE, examples("style")),
    GOOD_CHARACTER: Trial("character", CAT, examples("character")),
    "too-few": Trial("style", STYLE, examples("style", 0, 3), {"steps": 300}),
    "too-fast": Trial("style", STYLE, examples("style"), faster=20.0),
    "one-pose": Trial("character", CAT, one_pose),
    "over-described": Trial("style", STYLE, examples("style", prefix=LOOK)),
    "too-long": Trial("character", CAT, examples("character"), {"steps": 450}),
}
OWL, FROG, TRACTOR = "owl on a yellow background", "frog on a pink background", "tractor on a white background"
SAD, DARK = "crying cat face on a green background", "grinning cat face on a black background"
Cell = tuple[str, tuple[tuple[str, float], ...]]  # a prompt, and runs with their strengths


def with_style(words: str, run: str = GOOD_STYLE, strength: float = 1.0) -> Cell:
    return f"{STYLE} {words}", ((run, strength),)


def with_cat(words: str, run: str = GOOD_CHARACTER) -> Cell:
    return f"{CAT} {words}", ((run, 1.0),)


BOTH = f"{STYLE} {CAT} grinning cat face on a blue background"
STRIPS: dict[str, list[Cell]] = {
    "trigger": [(FROG, ()), with_style(FROG)],
    "strength": [with_style(OWL, strength=one) for one in (0.0, 0.5, 1.0, 1.5, 2.0)],
    "stacking": [
        (BOTH, ((GOOD_STYLE, 1.0),)), (BOTH, ((GOOD_CHARACTER, 1.0),)),
        (BOTH, ((GOOD_STYLE, 0.7), (GOOD_CHARACTER, 0.8))), (BOTH, ((GOOD_STYLE, 1.4), (GOOD_CHARACTER, 1.4))),
    ],
    "too-few": [with_style(one, "too-few") for one in (OWL, FROG, TRACTOR)],
    "one-pose": [with_cat(one, "one-pose") for one in (SAD, DARK, "cat face with heart eyes on a red background")],
    "over-described": [with_style(one, "over-described") for one in (OWL, FROG, TRACTOR)],
    "too-fast": [with_style(one, "too-fast") for one in (OWL, FROG, TRACTOR)],
    "too-long": [with_cat(one, "too-long") for one in (SAD, DARK, "cat face with heart eyes on a red background")],
    "good-style": [with_style(one) for one in (OWL, FROG, TRACTOR)],
}  # fmt: skip


def trained(studio: Studio, name: str) -> Path:
    """The LoRA of a trial, trained unless it was before."""
    for run in runs.all_runs(studio):
        if run.job.name == name:
            status = runs.follow(studio, run, lambda event: None)  # where it goes on, to its end
            if status.state == "finished":
                return Path(status.lora)
    trial, source = TRIALS[name], studio.home / "sets" / name
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    trial.made(source)
    chosen, _ = pictures.import_pictures(studio, [source])
    base, count = bases.find(studio, "starter"), len(chosen.pictures)
    usual = presets.fill(studio, trial.preset, base, count).learning_rate
    hand = {"sample_every": 0, "learning_rate": usual * trial.faster} | trial.hand
    settings = presets.fill(studio, trial.preset, base, count, hand)
    job = runs.new_job(studio, name, trial.trigger, trial.preset, base, chosen.pictures, settings)
    run = runs.start(studio, job)
    status = runs.follow(studio, run, lambda event: None)
    print(f"{name}: {status.state} after {status.step} steps", flush=True)
    return Path(status.lora)


def drawn(studio: Studio, drawer: Drawer, cells: list[Cell], loras: dict[str, Path], seed: int) -> list[Image.Image]:
    """The drawings of a strip."""
    base, found = bases.find(studio, "starter"), []
    for prompt, stack in cells:
        entries = tuple(StackEntry(lora=str(loras[name]), strength=strength) for name, strength in stack if strength)
        values = bases.draw_defaults(base) | {"prompt": prompt, "stack": entries, "seed": seed}
        id = drawer.order(base, check(DrawSettings, values), studio.home / "drawings" / "learning")
        for status in drawer.wait(id):
            if status.state == "failed":
                raise SystemExit(f"{status.what} {status.remedy}")
        found.append(Image.open(drawer.status(id).drawings[0]).convert("RGB"))
    return found


def strip(cells: list[Image.Image]) -> bytes:
    """The drawings beside each other, as WebP within its size."""
    sheet = Image.new("RGBA", (len(cells) * (CELL + GAP) - GAP, CELL), (0, 0, 0, 0))
    for at, cell in enumerate(cells):
        sheet.paste(cell.resize((CELL, CELL), Image.Resampling.LANCZOS), (at * (CELL + GAP), 0))
    data = io.BytesIO()
    sheet.save(data, "WEBP", quality=82, method=6)
    if data.tell() > LARGEST:
        raise SystemExit(f"A strip of {data.tell()} bytes is too large.")
    return data.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="a studio of its own, which stays")
    parser.add_argument("--out", type=Path, default=OUT, help="where the strips go (default: into the package)")
    parser.add_argument("--seed", type=int, default=101)
    options = parser.parse_args()
    studio = Studio(options.folder.resolve())
    studio.prepare()
    loras = {name: trained(studio, name) for name in TRIALS}
    drawer = Drawer(studio)
    try:
        for name, cells in STRIPS.items():
            data = strip(drawn(studio, drawer, cells, loras, options.seed))
            files.write_bytes(options.out / f"{name}.webp", data)
            print(f"{name}: {len(cells)} drawings, {len(data) / 1000:.1f} kB", flush=True)
    finally:
        drawer.close()


if __name__ == "__main__":
    main()
