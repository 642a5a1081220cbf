"""Train a preset on a picture set through the real command; what was trained is kept by what it came from."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from preset_sets import TRIGGERS, Trial, write

from lora_gui.commands import settings_of
from lora_gui.settings import TrainSettings
from lora_gui.studio.paths import HOME, Studio
from lora_gui.studio.things import bases, presets

ROOT = Path(__file__).resolve().parents[2]
QUIET = ("sample_every=0", "checkpoint_every=10000")  # neither changes what is learnt


@dataclass(frozen=True)
class Way:
    """How everything is trained: on which base, with what changed by hand, from pictures of which side in px."""

    base: str
    hand: tuple[str, ...]  # KEY=VALUE for all, PRESET:KEY=VALUE for one
    side: int
    vram: float

    def by_hand(self, kind: str) -> list[str]:
        """What is changed of one preset, as KEY=VALUE; what is said of it alone comes last, and holds."""
        of_all = [text for text in self.hand if not text.startswith(tuple(f"{one}:" for one in TRIGGERS))]
        return [*QUIET, *of_all, *(text.partition(":")[2] for text in self.hand if text.startswith(f"{kind}:"))]

    def command(self, trial: Trial, pictures: Path) -> list[str]:
        """The command line, after `python -m lora_gui`."""
        changed = [part for pair in self.by_hand(trial.kind) for part in ("--set", pair)]
        return [
            "train", "--json", "--pictures", str(pictures), "--trigger", TRIGGERS[trial.kind], "--name", trial.name,
            "--preset", trial.kind, "--base", self.base, "--vram", str(self.vram), *changed,
        ]  # fmt: skip


@dataclass(frozen=True)
class Trained:
    lora: Path
    steps: int
    seconds: float  # wall clock of learning, as the run says


def weights(base: Path) -> str:
    """What tells the weights of one base from those of another."""
    digest = hashlib.sha256()
    for path in sorted(base.rglob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def content(base: Path, pictures: Path, settings: TrainSettings) -> str:
    """What a LoRA comes from: the weights of the base, the pictures with their captions, the settings."""
    # what is as it is without asking is left out, so that a new setting leaves what was trained before it as it is
    digest = hashlib.sha256((settings.model_dump_json(exclude_defaults=True) + weights(base)).encode())
    for path in sorted(pictures.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def train(trial: Trial, way: Way, work: Path) -> Trained:
    """The LoRA of a set, trained where it is not in `work` yet, in a studio of its own."""
    pictures = write(trial, work, way.side)
    outside = Studio(work / "preset-studio")
    base = bases.find(outside, way.base)
    hand = settings_of(way.by_hand(trial.kind), TrainSettings)
    count = len(list(pictures.glob("*.png")))
    settings = presets.fill(outside, trial.kind, base, count, hand, way.vram)
    home = work / "preset-loras" / f"{trial.name}-{content(Path(base.path), pictures, settings)}"
    record = home / "trained.json"
    if not record.exists():
        home.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(_run(trial, way, pictures, home)), encoding="utf-8")
    said = json.loads(record.read_text(encoding="utf-8"))
    return Trained(Path(said["lora"]), said["steps"], said["seconds"])


def _run(trial: Trial, way: Way, pictures: Path, home: Path) -> dict:
    command = [sys.executable, "-m", "lora_gui", *way.command(trial, pictures)]
    environment = os.environ | {HOME: str(home / "studio")}
    shutil.rmtree(home / "studio", ignore_errors=True)  # one that was broken off begins anew
    with (home / "log.txt").open("w", encoding="utf-8") as log:
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, check=False)
    if done.returncode:
        raise SystemExit(f"{trial.name} was not trained: {done.stdout.decode()}\nSee {log.name}")
    return json.loads(done.stdout)
