"""Training on bases in few bits and on bases whose blocks stay in RAM, by the whole real path of a run."""

import itertools
import random
import weakref
from pathlib import Path

import pytest
import safetensors.torch
import torch

from lora_gui.engine.load import loading, lora, quantize
from lora_gui.engine.train import cache, losses
from lora_gui.engine.train.loop import train
from lora_gui.formats import dialects
from lora_gui.protocol.events import Done, Note, Sample
from tests import tiny

CPU = torch.device("cpu")
FAMILY = tiny.QuickStableDiffusion1()


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> Path:
    """A base with layers large enough to be held in few bits."""
    return tiny.stable_diffusion_1(tmp_path_factory.mktemp("wide"), width=128)


def trained(base: Path, folder: Path, **settings):
    """The job, and the file that came out."""
    job = tiny.job(folder, base, **settings)
    job = job.model_copy(update={"cache": str(base.parent / "cache")})
    done = list(train(job, folder, FAMILY))[-1]
    assert isinstance(done, Done)
    return job, Path(done.lora)


def parts_of(job):
    load = loading.denoiser(job.settings, job.cache)
    return FAMILY.denoisers(Path(job.base.path), CPU, torch.bfloat16, load)


def encoded(job) -> cache.Cache:
    return tiny.outcome(cache.build(job, FAMILY, [], CPU, torch.bfloat16))[0]


def loss(job, parts, held: cache.Cache) -> float:
    """On the pictures that are learnt, with noise that is the same each time."""
    batch = held.batch([0, 1, 2, 3] * 4, 0.0, random.Random(0))
    noising, generator = FAMILY.noising(Path(job.base.path), CPU), torch.Generator().manual_seed(5)
    with torch.no_grad():
        given = losses.drawn(FAMILY, parts, batch, noising, job.settings, generator)
        return float(losses.computed(FAMILY, parts, given, noising, job.settings).mean())


@pytest.mark.parametrize("precision", quantize.PRECISIONS)
def test_a_lora_learns_on_a_base_in_few_bits_and_stays_exact_itself(wide, tmp_path, precision):
    job, file = trained(wide, tmp_path, precision=precision, steps=4)
    parts = parts_of(job)
    kinds = {type(module) for module in parts["unet"].modules()}
    assert quantize.KINDS[precision] in kinds
    held = encoded(job)
    before = loss(job, parts, held)
    layers = dialects.read(file, lora.shapes(parts), FAMILY.facts, [FAMILY.facts])
    lora.add(parts, layers, "learnt")
    assert {weight.dtype for name, weight in parts["unet"].named_parameters() if "lora_" in name} == {torch.float32}
    lora.activate(parts, {"learnt": 1.0})
    assert loss(job, parts, held) < 0.97 * before
    assert list((wide.parent / "cache" / "quantised").rglob("index.json"))


def test_a_quantised_base_that_was_damaged_on_the_disk_is_made_again_and_the_run_says_so(wide, tmp_path):
    def told(folder):
        """Of a run whose base is loaded."""
        begun = itertools.takewhile(lambda event: not isinstance(event, Sample), train(job, tmp_path / folder, FAMILY))
        return [event.text for event in begun if isinstance(event, Note) and "made again" in event.text]

    job = tiny.job(tmp_path, wide, precision="int8", steps=1)
    assert not told("one")
    for part in (tmp_path / "cache" / "quantised").rglob("*.safetensors"):
        part.write_bytes(part.read_bytes()[:-1])
    assert told("two") and not told("three")


@pytest.mark.parametrize("precision", ["fp32", "nf4"])
def test_blocks_that_stay_in_ram_give_the_same_lora_bit_for_bit(wide, tmp_path, precision):
    asked = {"precision": precision, "gradient_checkpointing": True, "steps": 2}
    _, resident = trained(wide, tmp_path / "resident", **asked)
    _, streamed = trained(wide, tmp_path / "streamed", **asked, streamed_blocks=2)
    ours, theirs = (safetensors.torch.load_file(file) for file in (streamed, resident))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    drawings = [sorted((tmp_path / kind / "samples").glob("*.png")) for kind in ("streamed", "resident")]
    for one, other in zip(*drawings, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_a_format_change_leaves_a_streamed_quantised_layer_where_it_is(wide, tmp_path):
    job = tiny.job(tmp_path, wide, precision="nf4", streamed_blocks=9)
    load = loading.denoiser(job.settings)
    unet = FAMILY.denoisers(wide, CPU, torch.bfloat16, load)["unet"]
    layer = next(module for module in unet.modules() if isinstance(module, quantize.Nf4Linear))
    before = {name: id(piece) for name, piece in layer.named_buffers()}
    unet.to(CPU)
    assert {name: id(piece) for name, piece in layer.named_buffers()} == before
    assert layer.weight.shape == (layer.out_features, layer.in_features)


@pytest.mark.parametrize("free, dtype", [(0, torch.bfloat16), (1 << 30, torch.float32)])
def test_a_text_encoder_without_room_in_32_bits_reads_in_16(base, free, dtype, monkeypatch):
    monkeypatch.setattr(loading.devices, "free", lambda where: free)
    encoders = FAMILY.encoders(base, CPU, torch.float32, loading.text_encoder, pictures=False)
    assert encoders.texts["text_encoder"].dtype == dtype
    captions, unet = FAMILY.encode_captions(encoders, ["a"]), FAMILY.denoisers(base, CPU, torch.float32)["unet"]
    assert FAMILY.conditions_of(unet, captions, [(64, 64)])["text"].dtype == torch.float32


def test_what_reads_captions_is_gone_before_what_looks_at_pictures_comes(base, tmp_path):
    seen = []

    class Watched(tiny.QuickStableDiffusion1):
        def encoders(self, *args, **asked):
            if seen:
                assert seen[0]() is None
            found = super().encoders(*args, **asked)
            seen.append(weakref.ref(found.texts.get("text_encoder", found.vae)))
            assert bool(found.texts) != bool(found.vae)
            return found

    list(cache.build(tiny.job(tmp_path, base), Watched(), ["zxy"], CPU, torch.float32))
    assert len(seen) == 2
