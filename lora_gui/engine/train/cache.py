"""Encode the pictures and captions once, so that the encoders can leave memory; then batches are only indexed."""

from __future__ import annotations

import random
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from lora_gui.engine.draw.pipeline import encoded
from lora_gui.engine.load import loading
from lora_gui.engine.load.device import empty_cache
from lora_gui.engine.load.opening import opening
from lora_gui.engine.train import buckets, masks, variants, views
from lora_gui.engine.train.ranks import ALONE, Ranks
from lora_gui.errors import UserError
from lora_gui.families.base import Batch, Family, Tensors
from lora_gui.framing import Framing, Size
from lora_gui.protocol.events import Event, Note, Phase
from lora_gui.protocol.jobs import TrainJob
from lora_gui.protocol.learnt import with_trigger

PIXELS_AT_ONCE = 512 * 512  # that are encoded, or one picture; more would only need more memory, in fp32 much
CAPTIONS_AT_ONCE = 16


@dataclass(frozen=True)
class Cache:
    """Everything a step needs of pictures and captions, in the computer's own memory; captions can be large."""

    framings: list[Framing]  # of each picture; behind them of the same at further resolutions, and moved
    pictures: list[list[Tensors]]  # for each of these its variants: as it is, and mirrored where wished
    captions: Tensors  # (captions + 1, ...), the empty one last
    captions_of: list[list[int]]  # for each of these the rows of its captions, one or several variants
    prompts: list[Tensors]  # for each sample prompt, the prompt and the empty one; (2, ...)
    device: torch.device  # that trains
    of_class: list[int] = field(default_factory=list)  # numbers of the pictures that the base drew of the class
    held_at: int = -1  # row of the words at which the base is held: those of the class, or none
    views: dict[int, tuple[views.View, ...]] = field(default_factory=dict)  # of each picture that has several

    def batch(
        self, numbers: list[int], dropout: float, rng: random.Random, share: slice = slice(None)
    ) -> Batch:
        """The pictures called `numbers`, each in one of its variants, with a share of `dropout` captions left out.

        Of these only a `share`, where processes train together: each draws for the whole batch.
        """
        which = [(n, rng.randrange(len(self.pictures[n]))) for n in numbers][share]
        rows = [-1 if rng.random() < dropout else _one_of(self.captions_of[n], rng) for n in numbers][share]
        chosen = [self.pictures[n][variant] for n, variant in which]
        return Batch(
            pictures={key: self._stacked([one[key] for one in chosen]) for key in chosen[0]},
            captions={key: self._stacked([value[row] for row in rows]) for key, value in self.captions.items()},
            framings=[self.framings[n].mirrored if variant else self.framings[n] for n, variant in which],
        )

    def at(self, batch: Batch, row: int) -> Batch:
        """The same pictures, all with the caption of a row."""
        count = len(batch.framings)
        return replace(batch, captions={key: self._stacked([one[row]] * count) for key, one in self.captions.items()})

    def seen(self, number: int, repeats: int) -> list[tuple[int, int]]:
        """Where a picture is, in each view that is learnt of it, and how often it comes there."""
        return [(at, repeats * share) for at, share in self.views.get(number, ((number, 1),))]

    @property
    def sizes(self) -> list[Size]:
        """Of each picture, in its bucket."""
        return [one.bucket for one in self.framings]

    def _stacked(self, tensors: list[torch.Tensor]) -> torch.Tensor:
        """On the device that trains, without waiting for it: what is kept for a GPU is pinned.

        Single numbers, such as a caption's length, stay with the host, which decides by them.
        """
        device = self.device if tensors[0].ndim else torch.device("cpu")
        return torch.stack([tensor.to(device, non_blocking=True) for tensor in tensors])


def _one_of(rows: list[int], rng: random.Random) -> int:
    """Without a random number where there is no choice."""
    return rng.choice(rows) if len(rows) > 1 else rows[0]


def _kept(tensors: Tensors, device: torch.device) -> Tensors:
    """In the computer's own memory, ready to be copied to the device."""
    ready = {key: value.cpu() for key, value in tensors.items()}
    return {key: value.pin_memory() for key, value in ready.items()} if device.type == "cuda" else ready


def unread(job: TrainJob, family: Family) -> Iterator[Event]:
    """A note where captions are longer than the base reads."""
    with opening(job.base):
        reader = family.reader(Path(job.base.path))
    texts = dict.fromkeys(with_trigger(job.trigger, picture.caption) for picture in job.pictures)
    cut = [words for text in texts if (words := reader.unread(text))]
    if len(cut) == 1:
        yield Note(f"A caption is longer than what this base reads; from '{cut[0]} …' on it is not seen.")
    elif cut:
        many = f"{len(cut)} captions are longer than what this base reads"
        yield Note(f"{many}; the first of them is not seen from '{cut[0]} …' on.")


def build(
    job: TrainJob, family: Family, prompts: list[str], device: torch.device, dtype: torch.dtype, ranks: Ranks = ALONE
) -> Generator[Event, None, Cache]:
    """Encode the captions, then the pictures, each with encoders that leave memory before the next come.

    Says how far it is; its return value is the Cache. Processes that train together each encode a share of it.
    """
    base = Path(job.base.path)
    texts = variants.texts(job)
    held = [job.settings.class_words] if job.settings.preservation and job.settings.class_words else []
    known = list(dict.fromkeys([*(text for several in texts for text in several), *held]))
    yield Phase("Loading the encoders")
    with opening(job.base):
        shared = ranks.leads or len(known) >= CAPTIONS_AT_ONCE * ranks.rank  # nothing is left for the last ones else
        encoders = family.encoders(base, device, dtype, loading.text_encoder, pictures=False) if shared else None
    with torch.no_grad():
        captions = yield from _encode_captions(family, encoders, [*known, ""], ranks)
        pairs = [encoded(family, encoders, (prompt, "")) for prompt in prompts if ranks.leads]  # which alone draws
    captions, pairs = _kept(captions, device), [_kept(pair, device) for pair in pairs]
    del encoders
    empty_cache(device)
    with opening(job.base):
        encoders = family.encoders(base, device, dtype, captions=False)
    still = _on_a_grid(job) if job.settings.moved_views else ()
    yield from views.notes(still)
    seen, framings = views.of(job, family.facts, _size, job.settings.batch_size * ranks.count, still)
    with torch.no_grad():
        pictures = yield from _encode_pictures(job, framings, seen, family, encoders, ranks)
    pictures = [[_kept(variant, device) for variant in variants] for variants in pictures]
    del encoders
    empty_cache(device)
    rows = {text: row for row, text in enumerate(known)}
    captions_of = [[rows[text] for text in texts[number]] for number in seen]
    of_class = [number for number, picture in enumerate(job.pictures) if picture.of_class]
    further = of_class, rows[held[0]] if held else -1, views.several(seen, framings)
    return Cache(framings, pictures, captions, captions_of, pairs, device, *further)


def _encode_captions(
    family: Family, encoders: Any, captions: list[str], ranks: Ranks
) -> Generator[Event, None, Tensors]:
    made: Tensors = {}
    starts = range(0, len(captions), CAPTIONS_AT_ONCE)
    for start in starts[ranks.rank :: ranks.count]:
        yield Phase("Encoding captions", start, len(captions))
        encoded = family.encode_captions(encoders, captions[start : start + CAPTIONS_AT_ONCE])
        made |= {f"{start} {key}": value.cpu() for key, value in encoded.items()}  # or they would add up on a card
    made = ranks.exchanged(made)
    keys = [key.partition(" ")[2] for key in made if key.startswith("0 ")]
    return {key: torch.cat([made[f"{start} {key}"] for start in starts]) for key in keys}


def _encode_pictures(
    job: TrainJob, framings: list[Framing], seen: list[int], family: Family, encoders: Any, ranks: Ranks
) -> Generator[Event, None, list[list[Tensors]]]:
    """Each framing of a picture, whose number is `seen`; those of one size are encoded together."""
    shown = [job.pictures[number] for number in seen]
    groups = _groups(framings)[ranks.rank :: ranks.count]
    made: Tensors = {}
    done, masked, flip, outside = 0, masks.wanted(job), job.settings.flip, job.settings.unmasked_weight
    for some in groups:
        yield Phase("Encoding pictures", done, len(shown))
        pixels = torch.stack([_pixels(Path(shown[n].path), framings[n]) for n in some])
        for number, variant in enumerate((pixels, pixels.flip(-1)) if flip else (pixels,)):
            for key, value in family.encode_pictures(encoders, variant).items():
                rows = value.cpu()
                made |= {f"{n} {number} {key}": rows[row].clone() for row, n in enumerate(some)}
            for n in some if masked else ():
                made[f"{n} {number} {masks.KEY}"] = masks.kept(shown[n], framings[n], bool(number), outside)
        done += len(some) * ranks.count
    yield Phase("Encoding pictures", len(shown), len(shown))
    found: list[list[Tensors]] = [[{} for _ in range(1 + flip)] for _ in shown]
    for name, tensor in ranks.exchanged(made).items():
        picture, which, part = name.split(" ", 2)
        found[int(picture)][int(which)][part] = tensor
    return found


def _groups(framings: list[Framing]) -> list[list[int]]:
    """The numbers of the pictures that are encoded at once."""
    groups = []
    for size in dict.fromkeys(one.bucket for one in framings):
        members = [n for n, one in enumerate(framings) if one.bucket == size]
        at_once = max(1, PIXELS_AT_ONCE // (size[0] * size[1]))
        groups += [members[start : start + at_once] for start in range(0, len(members), at_once)]
    return groups


def _on_a_grid(job: TrainJob) -> list[int]:
    """The numbers of the user's pictures that are pixel art."""
    found = []
    for number, picture in enumerate(job.pictures):
        if picture.of_class:  # is never moved
            continue
        with _opened(Path(picture.path)) as image:
            if views.on_a_grid(image):
                found.append(number)
    return found


def _size(file: Path) -> Size:
    with _opened(file) as image:
        return image.size


def _pixels(file: Path, framing: Framing) -> torch.Tensor:
    """(3, H, W) in [-1, 1]."""
    with _opened(file) as image:
        fitted = buckets.fit(image.convert("RGB"), framing)
    return torch.from_numpy(np.array(fitted)).permute(2, 0, 1).float() / 127.5 - 1


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    """A picture of a set, always a PNG. Raises UserError where it is another file, damaged or far too large."""
    try:
        with Image.open(file, formats=("PNG",)) as image:
            yield image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise UserError(f"The picture {file.name} cannot be read.", "Add it again, or leave it out.") from None
