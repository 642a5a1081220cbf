"""Pictures of the class that is learnt, as the base draws them before it learns: drawn once, kept, and learnt beside.

As DreamBooth has it, so that a trigger word does not change the whole class (Ruiz et al. 2023, section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import torch

from lora_gui import files
from lora_gui.engine.draw.pipeline import Pipeline, encoded
from lora_gui.engine.load import loading
from lora_gui.engine.load.device import empty_cache
from lora_gui.engine.load.opening import opening
from lora_gui.engine.train.samples import as_the_base_is_drawn
from lora_gui.families.base import Family, Tensors
from lora_gui.formats import cache_names, png
from lora_gui.protocol.events import Event, Phase
from lora_gui.protocol.jobs import TrainJob, TrainPicture
from lora_gui.settings import DrawSettings

_FIRST_SEED = 1_000_000  # far from those of samples

Load = Callable[[TrainJob, Family, torch.device, torch.dtype], Generator[Event, None, dict[str, Any]]]


def beside(
    job: TrainJob, family: Family, folder: Path, where: torch.device, dtype: torch.dtype, load: Load
) -> Generator[Event, None, TrainJob]:
    """The job with the pictures of the class behind its own; those that are not kept yet are drawn.

    They are kept in the cache, or in the run's `folder`. `load` brings the parts that are drawn with; they leave
    memory again. Raises UserError as any drawing does.
    """
    settings = job.settings
    if not settings.class_pictures:
        return job
    draw = as_the_base_is_drawn(job, family).model_copy(update={"prompt": settings.class_words})
    name = cache_names.class_pictures(Path(job.base.path), settings.prediction + draw.model_dump_json())
    home = Path(job.cache or folder) / cache_names.CLASS_PICTURES / name
    paths = [home / f"{number:04}.png" for number in range(1, settings.class_pictures + 1)]
    if not all(path.is_file() for path in paths):
        yield from _drawn(job, family, paths, draw, where, dtype, load)
    made = (TrainPicture(path=str(one), caption=settings.class_words, repeats=1, of_class=True) for one in paths)
    return job.model_copy(update={"pictures": (*job.pictures, *made)})


def _drawn(
    job: TrainJob, family: Family, paths: list[Path], draw: DrawSettings, where: torch.device, dtype: torch.dtype,
    load: Load,
) -> Generator[Event, None, None]:  # fmt: skip
    captions = yield from _captions(job, family, where, dtype)
    yield Phase("Loading the base")
    plain = job.model_copy(update={"settings": job.settings.model_copy(update={"train_text_encoder": False})})
    with opening(job.base):
        parts = yield from load(plain, family, where, dtype)
        sparing = where.type == "cuda"  # elsewhere RAM is all there is
        pipeline = Pipeline(family, Path(job.base.path), where, dtype, parts, job.settings.prediction, sparing)
    for number, path in enumerate(paths):
        if not path.is_file():
            yield Phase("Drawing pictures of the class", number, len(paths))
            image = pipeline.draw(draw, _FIRST_SEED + number, captions)
            files.write_bytes(path, png.encode(image, draw.prompt))
    yield Phase("Drawing pictures of the class", len(paths), len(paths))
    del pipeline, parts
    empty_cache(where)


def _captions(
    job: TrainJob, family: Family, where: torch.device, dtype: torch.dtype
) -> Generator[Event, None, Tensors]:
    yield Phase("Loading the encoders")
    with opening(job.base), torch.no_grad():
        encoders = family.encoders(Path(job.base.path), where, dtype, loading.text_encoder, pictures=False)
        found = encoded(family, encoders, (job.settings.class_words, ""))
    del encoders
    empty_cache(where)
    return found
