"""A drawing of ours, read back from its PNG and drawn again, is the same to the bit."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from lora_gui.engine.draw.drawer import Drawer
from lora_gui.protocol.events import Drawn
from lora_gui.protocol.jobs import Base, DrawJob
from lora_gui.settings import DrawSettings, StackEntry
from lora_gui.studio import again
from lora_gui.studio.paths import Studio


def drawn(drawer, base, settings, folder, id):
    job = DrawJob(id=id, base=base, settings=settings, folder=str(folder))
    return [Path(event.path) for event in drawer.draw(job, lambda _: None, bool) if isinstance(event, Drawn)]


def test_the_second_drawing_is_the_first_to_the_bit(base, finished, tmp_path):
    studio, where = Studio(tmp_path / "studio"), Base(key="tiny", title="Tiny", family="sd1", path=str(base))
    studio.loras.mkdir(parents=True)
    lora = shutil.copy(finished.lora, studio.loras / "mine.safetensors")
    entry = StackEntry(lora=str(lora), strength=0.73, up=0.5)
    settings = DrawSettings(
        prompt="zxy thing", negative_prompt="grey", stack=(entry,), seed=2**40 + 3, count=2, width=64, height=128,
        steps=3, guidance=3.3, sampler="Euler a", variation=0.4, variation_seed=9,
    )  # fmt: skip
    drawer = Drawer()
    for number, first in enumerate(drawn(drawer, where, settings, tmp_path, "first")):
        drawn(drawer, where, settings.model_copy(update={"stack": (), "seed": 1, "count": 1}), tmp_path, "between")
        found = again.read(studio, first, where)
        assert found.settings.seed == settings.seed + number and not found.left
        for one in (drawer, Drawer()):
            (second,) = drawn(one, found.base, found.settings, tmp_path, "second")
            assert np.array_equal(np.array(Image.open(first)), np.array(Image.open(second)))
