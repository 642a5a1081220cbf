"""Which size of a drawing has room in memory."""

import re
from pathlib import Path

import pytest
import torch

from lora_gui.engine.memory import room
from lora_gui.errors import SettingError
from lora_gui.families import family
from lora_gui.protocol.jobs import Base, DrawJob
from lora_gui.settings import DrawSettings

FEW = 45 * 2**20  # bytes
STARTER = Path(__file__).parents[3] / "lora_gui" / "starter" / "model"


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """`ask(free, ...)` asks for a drawing of the starter where so many bytes are free."""

    def asked(free, precision="", **settings):
        monkeypatch.setattr(room, "_free", lambda where: free)
        base = Base(key="starter", title="Starter", family="sd1", path=str(STARTER))
        job = DrawJob(id="a", base=base, settings=DrawSettings(**settings), folder="", cache=str(tmp_path))
        job = job.model_copy(update={"precision": precision})
        room.require(job, STARTER, family("sd1"), torch.device("cpu"), torch.float32)

    return asked


def test_a_size_beyond_memory_is_refused_with_one_of_its_shape_that_fits(ask):
    ask(64 * 2**30, width=1024, height=512)
    with pytest.raises(SettingError) as refused:
        ask(FEW, width=1024, height=512)
    assert refused.value.what == "A drawing of 1024 x 512 needs more memory than is free here."
    width, height = map(int, re.search(r"Draw it at (\d+) x (\d+)", refused.value.remedy).groups())
    assert width == refused.value.instead < 1024 and abs(width / height - 2) < 0.1
    assert refused.value.values == {"width": width, "height": height}
    ask(FEW, width=width, height=height)


def test_what_is_held_in_few_bits_and_computed_in_32_is_counted_in_32(ask):
    with pytest.raises(SettingError) as whole:
        ask(FEW, width=1024, height=512)
    for precision in ("bf16", "int8"):  # which some processors compute so
        with pytest.raises(SettingError) as few:
            ask(FEW, precision, width=1024, height=512)
        assert few.value.instead == whole.value.instead


def test_the_bases_own_size_and_what_is_enlarged_alone_are_never_refused(ask):
    ask(0, width=128, height=128)
    ask(0, width=1024, height=1024, picture="some.png", denoising=0, upscale=2)
