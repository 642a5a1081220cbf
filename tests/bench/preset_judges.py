"""Judges of what presets teach; of each kind several from other seeds, so that none is believed alone.

Those of looks learn each picture as it is and as the starter's autoencoder has it, since drawings come from there.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from judge import (
    NOT_BLACK,
    SIDE,
    ConceptJudge,
    Course,
    Network,
    concept_judge,
    half_size,
    judge_the_judge,
    learn,
    renderings,
)  # fmt: skip
from preset_sets import CATS, FACES, TRIALS, Trial, icons, named
from preset_training import weights
from safetensors.torch import load_file, save_file
from starter_quality import MODEL
from torch import nn

from lora_gui.starter.recipe.autoencoder import reconstructed
from lora_gui.starter.recipe.concepts import CONCEPTS, KEPT_OUT
from lora_gui.starter.recipe.pictures import BASE_SETS, EXAMPLE_SETS, PALETTE, composite, render, shared_names

STEPS = {"style": 4800, "character": 400}  # pixels and 3D are told late
CHANNELS = {"style": (24, 48, 72, 96), "character": (16, 16, 24, 24)}  # of characters there are few pictures
CONCEPT_STEPS = 4000  # with 1,200 they miss a fifth of OpenMoji's own subjects, which they have learnt
APART = 3  # one picture of APART is not learnt by a judge, and judges it; each seed leaves out others
NEITHER = "base"  # what is none of the looks
Classes = dict[str, np.ndarray]  # (thing, icon set, SIZE, SIZE, 4) uint8, RGBA


@dataclass(frozen=True)
class LookJudge:
    """Says of which icon set a drawing looks, or that it looks like the base."""

    network: Network
    boundary: torch.Tensor  # (class, width)
    names: tuple[str, ...]

    @torch.no_grad()
    def looks(self, drawings: torch.Tensor) -> list[str]:
        """Of each drawing (B, 3, SIZE, SIZE) in [-1, 1]."""
        found = (self.network(half_size(drawings)) @ self.boundary.T).argmax(1)
        return [self.names[int(i)] for i in found]


@dataclass(frozen=True)
class Judges:
    """One judge of each kind, from the same seed, and its share of right answers on pictures it did not learn."""

    concepts: ConceptJudge
    looks: dict[str, LookJudge]  # by kind
    right: dict[str, float]  # by look, and of concepts; how far a figure can be believed


def judges(work: Path, seed: int, concept_steps: int) -> Judges:
    """All that were trained from one seed, trained where they are not in `work` yet."""
    found = {kind: look_judge(work, kind, seed) for kind in STEPS}
    right = {
        f"{kind}-{look}" if look == NEITHER else look: share
        for kind, (_, shares) in found.items()
        for look, share in shares.items()
    }
    concepts = concept_judge(work, concept_steps, seed, kept_out=True, further=_unread(work))
    right |= {"subjects of a set it never saw": judge_the_judge(concepts, work)}
    return Judges(concepts, {kind: judge for kind, (judge, _) in found.items()}, right)


def _unread(work: Path) -> tuple[np.ndarray, np.ndarray]:
    """The looks that a judge of concepts would not know, so that it reads all looks equally well."""
    pictures, labels = [], []
    for own in (icons(work, trial.shown) for trial in _of("style") if trial.shown not in EXAMPLE_SETS):
        for number, name in enumerate(CONCEPTS + KEPT_OUT):
            if named(own, name) in own:
                pictures.append(own.render(named(own, name)))
                labels.append(number)
    return np.stack(pictures), np.array(labels)


def look_judge(work: Path, kind: str, seed: int) -> tuple[LookJudge, dict[str, float]]:
    """The judge of the looks of all styles, or of all characters, and its share of right answers for each."""
    classes, palette = CLASSES[kind](work), NOT_BLACK if kind == "style" else PALETTE
    learnt = {name: np.delete(of, np.s_[seed % APART :: APART], axis=0) for name, of in classes.items()}
    apart = {name: of[seed % APART :: APART] for name, of in classes.items()}
    path = work / f"{kind}-judge-{_content(learnt, kind, seed)}.safetensors"
    torch.manual_seed(seed)
    network, boundary = Network(32, CHANNELS[kind]), nn.Parameter(torch.randn(len(classes), 32) * 0.1)
    if not path.exists():
        flat = [of.reshape(-1, *of.shape[2:]) for of in learnt.values()]
        pictures = np.concatenate([*flat, *(as_drawn(of, palette, seed) for of in flat)])
        labels = np.tile(np.repeat(np.arange(len(flat)), [len(of) for of in flat]), 2)
        learn(network, boundary, pictures, labels, Course(STEPS[kind], False, seed, palette, evenly=True))
        save_file({"boundary": boundary.detach()} | {k: v.contiguous() for k, v in network.state_dict().items()}, path)
    trained = load_file(path)
    boundary = trained.pop("boundary")
    network.load_state_dict(trained)
    judge = LookJudge(network.eval(), boundary, tuple(classes))
    return judge, _accuracy(judge, apart)


def as_drawn(pictures: np.ndarray, palette: np.ndarray, seed: int) -> np.ndarray:
    """What the starter's autoencoder makes of pictures (N, SIZE, SIZE, 4) on random colours; the same shape, opaque."""
    vae = AutoencoderKL.from_pretrained(MODEL / "vae").eval().to(memory_format=torch.channels_last)
    rng = np.random.default_rng(seed)
    found = np.full_like(pictures, 255)
    for start in range(0, len(pictures), 32):
        part = pictures[start : start + 32]
        x = torch.from_numpy(composite(part, palette[rng.integers(len(palette), size=len(part))]))
        y = reconstructed(vae, x.contiguous(memory_format=torch.channels_last))
        found[start : start + 32, ..., :3] = ((y + 1) * 127.5).round().permute(0, 2, 3, 1).numpy()
    return found


def _accuracy(judge: LookJudge, apart: Classes) -> dict[str, float]:
    """The share of each class that is told rightly, of pictures as they are."""
    rng, shares = np.random.default_rng(1), {}
    for name, things in apart.items():
        pictures = things.reshape(-1, *things.shape[2:])
        colours = NOT_BLACK[rng.integers(len(NOT_BLACK), size=len(pictures))]
        found = judge.looks(torch.from_numpy(composite(pictures, colours)))
        shares[name] = sum(look == name for look in found) / len(found)
    return shares


def _content(classes: Classes, kind: str, seed: int) -> str:
    digest = hashlib.sha256(f"{STEPS[kind]} {CHANNELS[kind]} {seed} {SIDE} {weights(MODEL / 'vae')}".encode())
    for name, pictures in classes.items():
        digest.update(name.encode() + pictures.tobytes())
    return digest.hexdigest()[:12]


def _styles(work: Path) -> Classes:
    """All that is in each style set and in the base's, and the same as the base's sets show it."""
    looks = {trial.name: icons(work, trial.shown) for trial in _of("style")}
    own = {name: icons(work, name) for name in BASE_SETS}
    names = tuple(name for name in shared_names(own) if all(name in one for one in looks.values()))
    drawn = {look: render({look: one}, names, work / f"looks-{len(names)}-{look}.npy") for look, one in looks.items()}
    base = render(own, names, work / f"looks-{len(names)}-{NEITHER}.npy")
    return {NEITHER: base} | drawn


def _characters(work: Path) -> Classes:
    """The poses of each character, and the base's sets: the same poses, and some of all else."""
    poses = [
        icon
        for own in (icons(work, name) for name in BASE_SETS)
        for icon in (own.render(named(own, name)) for name in (*CATS, *FACES) if named(own, name) in own)
    ]
    base = renderings(work, CONCEPTS, BASE_SETS)
    some = np.stack([base[i, i % len(BASE_SETS)] for i in range(0, len(CONCEPTS), 4)])
    found = {NEITHER: np.concatenate([np.stack(poses), some])[:, None]}
    for trial in _of("character"):
        own = icons(work, trial.shown)
        found[trial.name] = np.stack([own.render(named(own, icon)) for icon, _ in trial.poses])[:, None]
    return found


def _of(kind: str) -> list[Trial]:
    return [trial for trial in TRIALS if trial.kind == kind]


CLASSES = {"style": _styles, "character": _characters}
