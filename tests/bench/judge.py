"""A small judge of drawings that says which concept one shows, whatever its look; and how judges learn."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lora_gui.starter.recipe.concepts import COLOURS, CONCEPTS, KEPT_OUT  # noqa: E402
from lora_gui.starter.recipe.pictures import BASE_SETS, EXAMPLE_SETS, PALETTE, SIZE, composite, fetch, render  # noqa: E402

UNSEEN_SET = "streamline-emojis"  # a style the concept judge never sees, to judge the judge
NOT_BLACK = PALETTE[[i for i, name in enumerate(COLOURS) if name != "black"]]  # where dark lines can be seen
SIDE = 64  # px; the judges look at half size


class Network(nn.Module):
    """A plain residual network; (B, 3, SIDE, SIDE) in [-1, 1] to (B, width) of length 1."""

    def __init__(self, width: int = 128, channels: tuple[int, ...] = (24, 48, 96, 192)) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels[0], 5, stride=2, padding=2)
        before = (channels[0], *channels[:-1])
        self.blocks = nn.ModuleList(Block(a, b, 1 if a == b else 2) for a, b in zip(before, channels, strict=True))
        self.head = nn.Linear(channels[-1] * 4, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        pooled = F.adaptive_avg_pool2d(x, 2).flatten(1)  # the coarse place of things is kept
        return F.normalize(self.head(pooled), dim=1)


class Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after))
        self.second = nn.Sequential(nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after))
        self.skip = nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.second(F.relu(self.first(x))) + self.skip(x))


def renderings(work: Path, names: tuple[str, ...], sets: tuple[str, ...]) -> np.ndarray:
    """The real pictures, cached under `work`; (name, set, SIZE, SIZE, 4) uint8."""
    return render(fetch(sets, work / "icons"), names, work / f"renderings-{len(names)}-{'-'.join(sets)}.npy")


def on_colours(small: torch.Tensor, rng: np.random.Generator, palette: np.ndarray) -> torch.Tensor:
    """Pictures of `cut_out` on random named colours; (B, 3, SIDE, SIDE)."""
    colours = torch.from_numpy(palette[rng.integers(len(palette), size=len(small))])
    return (small[:, :3] + colours[:, :, None, None] * (1 - small[:, 3:])) / 127.5 - 1


def cut_out(pictures: np.ndarray) -> torch.Tensor:
    """RGBA pictures at half size, colours times opacity; (B, 4, SIDE, SIDE), colours 0..255, opacity 0..1."""
    parts = []
    for start in range(0, len(pictures), 64):
        x = torch.from_numpy(pictures[start : start + 64]).permute(0, 3, 1, 2).float()
        opacity = x[:, 3:] / 255
        parts.append(half_size(torch.cat([x[:, :3] * opacity, opacity], dim=1)))
    return torch.cat(parts)


def half_size(x: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(x, SIZE // SIDE)


def disturb(x: torch.Tensor, rng: np.random.Generator, strong: bool) -> torch.Tensor:
    """Move, turn, scale, mirror; and, if `strong`, bend, draw as lines and recolour, until only the shape is left."""
    x = F.grid_sample(x, _places(x, rng, strong), padding_mode="border", align_corners=False)
    if strong:
        x = _as_lines(x, rng)
    x = x + torch.from_numpy(rng.normal(0, 1, x.shape).astype(np.float32)) * float(rng.choice([0.0, 0.05, 0.1]))
    if rng.random() < 0.3:
        x = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    elif strong and rng.random() < 0.3:
        x = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear")
    if strong:
        x = _recolour(x, rng)
    return x.clamp(-1, 1)


def _places(x: torch.Tensor, rng: np.random.Generator, bent: bool) -> torch.Tensor:
    """Where each pixel is taken from; (B, SIDE, SIDE, 2)."""
    count = len(x)
    angle, scale = rng.normal(0, 0.1, count), np.exp(rng.normal(0, 0.1, count))
    mirror = rng.choice([-1.0, 1.0], count)
    matrix = np.zeros((count, 2, 3), np.float32)
    matrix[:, 0, 0], matrix[:, 0, 1] = np.cos(angle) * scale * mirror, -np.sin(angle) * scale
    matrix[:, 1, 0], matrix[:, 1, 1] = np.sin(angle) * scale * mirror, np.cos(angle) * scale
    matrix[:, :, 2] = rng.normal(0, 0.05, (count, 2))
    places = F.affine_grid(torch.from_numpy(matrix), list(x.shape), align_corners=False)
    if not bent:
        return places
    bends = torch.from_numpy(rng.normal(0, 0.03, (count, 2, 5, 5)).astype(np.float32))
    return places + F.interpolate(bends, x.shape[2:], mode="bicubic", align_corners=True).permute(0, 2, 3, 1)


def _as_lines(x: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Some pictures with a dark or light line wherever their colour changes, most of these with nothing else left."""
    chosen = torch.from_numpy(rng.random(len(x)) < 0.3)
    y = x[chosen]
    if not len(y):
        return x
    wide = F.pad(y, (1, 1, 1, 1), mode="replicate")
    across, down = wide[:, :, 1:-1, 2:] - wide[:, :, 1:-1, :-2], wide[:, :, 2:, 1:-1] - wide[:, :, :-2, 1:-1]
    edges = (across.abs() + down.abs()).amax(1, keepdim=True)
    faint = torch.from_numpy(rng.uniform(0.25, 0.7, (len(y), 1, 1, 1)).astype(np.float32))
    lines = torch.sigmoid(12 * (edges - faint))
    if rng.random() < 0.5:
        lines = F.max_pool2d(lines, 3, 1, 1)
    bare = torch.from_numpy(rng.random(len(y)) < 0.6)
    y = torch.where(bare[:, None, None, None], y[:, :, :2].mean((2, 3), keepdim=True), y)
    ink = torch.from_numpy(np.where(rng.random((len(y), 1, 1, 1)) < 0.85, -1, 1).astype(np.float32))
    x[chosen] = y * (1 - lines) + ink * lines
    return x


def _recolour(x: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Half the pictures: a random mix of the three channels; of these some grey, some reversed."""
    mix = np.tile(np.eye(3, dtype=np.float32), (len(x), 1, 1))
    kind = rng.random(len(x))
    some = kind < 0.4
    mix[some] = 0.6 * mix[some] + 0.4 * rng.normal(0.3, 0.6, (int(some.sum()), 3, 3))
    mix[kind < 0.12] = 1 / 3
    mix[(kind > 0.06) & (kind < 0.12)] = -1 / 3
    return torch.einsum("bij,bjhw->bihw", torch.from_numpy(mix), x)


@dataclass(frozen=True)
class ConceptJudge:
    """Finds the nearest real pictures of the base's three sets."""

    network: Network
    gallery: torch.Tensor  # (concept * set, width)
    names: tuple[str, ...] = CONCEPTS

    @torch.no_grad()
    def nearest(self, drawings: torch.Tensor, count: int = 5) -> list[list[str]]:
        """The concepts of the `count` nearest pictures to each drawing (B, 3, SIZE, SIZE) in [-1, 1]."""
        near = (self.network(half_size(drawings)) @ self.gallery.T).topk(count).indices
        return [[self.names[int(i) // len(BASE_SETS)] for i in row] for row in near]

    def share(self, drawings: torch.Tensor, names: list[str], count: int = 5) -> float:
        """How many of the drawings have the asked concept among the nearest."""
        return float(np.mean([name in found for name, found in zip(names, self.nearest(drawings, count), strict=True)]))


def concept_judge(
    work: Path, steps: int = 2000, seed: int = 0, kept_out: bool = False,
    further: tuple[np.ndarray, np.ndarray] | None = None,
) -> ConceptJudge:  # fmt: skip
    """Read the concept judge from `work`, training it first where it is missing. With `kept_out`: knows those too.

    `further` are pictures of other looks, (N, SIZE, SIZE, 4), that it learns from, and the numbers of their concepts.
    """
    also = f"-and-{len(further[0])}" if further else ""
    path = work / f"concept-judge-{steps}{f'-kept-out-{seed}' if kept_out else ''}{also}.safetensors"
    names = CONCEPTS + KEPT_OUT if kept_out else CONCEPTS
    pictures = renderings(work, CONCEPTS, EXAMPLE_SETS)
    if kept_out:
        pictures = np.concatenate([pictures, renderings(work, KEPT_OUT, EXAMPLE_SETS)])
    torch.manual_seed(seed)
    network, classes = Network(), nn.Parameter(torch.randn(len(names), 128) * 0.1)
    if not path.exists():
        flat = pictures.reshape(-1, SIZE, SIZE, 4)
        labels = np.repeat(np.arange(len(names)), len(EXAMPLE_SETS))
        if further:
            flat, labels = np.concatenate([flat, further[0]]), np.concatenate([labels, further[1]])
        learn(network, classes, flat, labels, Course(steps, True, seed))
        save_file({k: v.contiguous() for k, v in network.state_dict().items()}, path)
    network.load_state_dict(load_file(path))
    network.eval()
    return ConceptJudge(network, _gallery(network, pictures[:, : len(BASE_SETS)]), names)


@torch.no_grad()
def _gallery(network: Network, pictures: np.ndarray) -> torch.Tensor:
    """Each real picture once: the mean of its look on three of the colours and both ways round."""
    views = []
    for colour in ("white", "blue", "orange"):
        colours = np.repeat(np.array([COLOURS[colour]], np.float32), len(pictures) * len(BASE_SETS), axis=0)
        x = half_size(torch.from_numpy(composite(pictures.reshape(-1, SIZE, SIZE, 4), colours)))
        views += [network(x), network(x.flip(3))]
    return F.normalize(torch.stack(views).mean(0), dim=1)


@dataclass(frozen=True)
class Course:
    """How a judge learns; `strong` as in `disturb`."""

    steps: int
    strong: bool
    seed: int = 0
    palette: np.ndarray = field(default_factory=lambda: PALETTE)  # backgrounds, (colour, 3)
    evenly: bool = False  # all answers equally often, however many pictures each has


def learn(network: Network, classes: nn.Parameter, pictures: np.ndarray, labels: np.ndarray, course: Course) -> None:
    """Learn to tell the labels apart by the angle to one direction each."""
    rng = np.random.default_rng(course.seed)
    parameters = [*network.parameters(), classes]
    optimizer = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=course.steps, pct_start=0.1)
    network.train().to(memory_format=torch.channels_last)
    small, order = cut_out(pictures), _order(labels, course.evenly)
    for step in range(course.steps):
        chosen = order[rng.integers(len(order), size=64)]
        x = disturb(on_colours(small[chosen], rng, course.palette), rng, course.strong)
        scores = 16 * network(x.contiguous(memory_format=torch.channels_last)) @ F.normalize(classes, dim=1).T
        loss = F.cross_entropy(scores, torch.from_numpy(labels[chosen]), label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            print(f"judge {step + 1}/{course.steps} loss {loss.item():.3f}", file=sys.stderr, flush=True)


def _order(labels: np.ndarray, evenly: bool) -> np.ndarray:
    """The numbers of the pictures to choose from, those of scarce answers more than once if `evenly`."""
    if not evenly:
        return np.arange(len(labels))
    most = np.bincount(labels).max()
    return np.concatenate([np.resize(np.flatnonzero(labels == one), most) for one in np.unique(labels)])


def judge_the_judge(judge: ConceptJudge, work: Path) -> float:
    """Share of real pictures of a style it has never seen whose concept is among the nearest five."""
    icons = fetch((UNSEEN_SET,), work / "icons")
    names = tuple(name for name in CONCEPTS if name in icons[UNSEEN_SET])
    pictures = render(icons, names, work / f"renderings-{UNSEEN_SET}.npy")[:, 0]
    x = torch.from_numpy(composite(pictures, PALETTE[np.arange(len(names)) % len(PALETTE)]))
    return judge.share(x, list(names))
