"""The meters of a run: which pictures are kept back, that measuring changes nothing, and that losses are told apart."""

import json
from pathlib import Path

import pytest
import torch

from lora_gui.engine.train import loop, meter
from lora_gui.protocol.events import Measured, Note
from lora_gui.protocol.jobs import TrainJob
from lora_gui.settings import TrainSettings
from lora_gui.studio.insight import verdicts
from tests import tiny

FAMILY = tiny.QuickStableDiffusion1()


@pytest.mark.parametrize(("count", "back"), [(3, 0), (9, 0), (10, 2), (20, 2), (21, 3), (100, 10), (1000, 10)])
def test_one_picture_in_ten_is_kept_back_and_always_the_same(count, back):
    found = meter.kept_back(count, TrainSettings())
    assert len(found) == back == len(set(found)) and set(found) <= set(range(count))
    assert meter.kept_back(count, TrainSettings()) == found
    assert meter.kept_back(count, TrainSettings(keep_back=False)) == []
    assert bool(back) == (count >= verdicts.FEW)  # of fewer it is said that losses tell less


def test_a_run_of_an_earlier_version_goes_on_with_all_its_pictures(base, tmp_path):
    told = tiny.job(tmp_path, base).model_dump(mode="json")
    del told["settings"]["keep_back"]
    assert not TrainJob.model_validate(told).settings.keep_back


def trained(folder: Path, base, **changes):
    """The events of a run with twelve pictures, and the LoRA it came to."""
    job = tiny.job(folder, base, steps=16, batch_size=4, learning_rate=1e-3, sample_every=0, **changes)
    pictures = tuple(
        one.model_copy(update={"caption": f"thing {n}"}) for n, one in enumerate(job.pictures * 12) if n < 12
    )
    job = job.model_copy(update={"pictures": pictures, "publish_to": str(folder / "loras")})
    events = list(loop.train(job, folder, FAMILY))
    return events, next(iter((folder / "loras").glob("*.safetensors"))).read_bytes()


def test_a_run_says_some_times_how_near_it_came_to_learnt_and_to_unseen_pictures(base, tmp_path):
    events, _ = trained(tmp_path, base)
    measured = [event for event in events if isinstance(event, Measured)]
    assert [one.step for one in measured] == [*range(0, 17, 2)]
    assert measured[0].learnt == measured[0].unseen == 1.0
    assert 0 < measured[-1].learnt != 1.0 and measured[-1].unseen not in (None, 1.0)
    assert any("2 of your 12 pictures are kept back" in event.text for event in events if isinstance(event, Note))


@pytest.mark.soak
def test_measuring_changes_nothing_of_what_is_learnt(base, tmp_path, monkeypatch):
    _, watched = trained(tmp_path / "one", base)
    monkeypatch.setattr(meter.Meter, "measure", lambda self, step: None)
    _, alone = trained(tmp_path / "two", base)
    assert watched == alone


class Cached:
    """Stands for the cache of a run: a batch is the numbers of its pictures."""

    device = torch.device("cpu")

    def __init__(self, sizes):
        self.sizes = sizes

    def batch(self, numbers, dropout, rng):
        assert dropout == 0.0
        return numbers


def many(folder: Path, base, **changes):
    job = tiny.job(folder, base, **changes)
    pictures = (job.pictures * 20)[:20]
    return job.model_copy(
        update={"pictures": tuple(one.model_copy(update={"path": f"{n}.png"}) for n, one in enumerate(pictures))}
    )


def test_losses_are_told_over_those_of_step_0_picture_by_picture(base, tmp_path):
    job, now, noises = many(tmp_path, base, steps=2000, batch_size=3), [1.0], []

    def loss_of(numbers, generator):
        noises.append(generator.initial_seed())
        return torch.tensor([(1.0 + n) * (now[0] if n % 2 else 1.0) for n in numbers])

    sizes = [(32, 32) if n < 7 else (32, 64) for n in range(20)]
    made = meter.Meter(Cached(sizes), job, loss_of)
    first = made.measure(0)
    then, noises[:], now[0] = list(noises), [], 0.5
    later = made.measure(500)
    assert first.learnt == first.unseen == 1.0 and noises == then  # the same noise at each look
    halved = {n: 0.5 if n % 2 else 1.0 for n in made.learnt}
    assert later.pictures == {f"{n}.png": left for n, left in halved.items()}
    for found, numbers in ((later.learnt, made.learnt), (later.unseen, made.back)):
        left = sum((1 + n) * (0.5 if n % 2 else 1) for n in numbers) / sum(1 + n for n in numbers)
        assert found == pytest.approx(left, abs=1e-4)


def test_without_the_losses_of_step_0_nothing_is_told(base, tmp_path):
    made = meter.Meter(Cached([(32, 32)] * 20), many(tmp_path, base), lambda batch, noise: torch.ones(len(batch)))
    assert made.measure(10) is None


def test_losses_of_step_0_are_kept_and_count_only_where_it_is_measured_alike(base, tmp_path):
    jobs = [many(tmp_path, base, steps=2000, batch_size=size) for size in (4, 4, 2)]
    one, alike, other = (
        meter.Meter(Cached([(32, 32)] * 20), job, lambda batch, noise: torch.ones(len(batch))) for job in jobs
    )
    one.measure(0)
    kept = json.loads(json.dumps(one.kept()))
    for again in (alike, other):
        again.restore(kept)
    assert alike.measure(500).learnt == 1.0 and other.measure(500) is None
    alike.restore({})
    assert alike.measure(500) is None


def test_all_measures_of_a_run_are_of_the_same_pictures_and_cost_little(base, tmp_path):
    job = many(tmp_path, base, steps=1000, batch_size=2)
    made = meter.Meter(Cached([(32, 32)] * 20), job, lambda batch, noise: torch.zeros(1))
    more = job.settings.model_copy(update={"steps": 2000})
    longer = job.model_copy(update={"settings": more, "extended_at": (1000,)})
    again = meter.Meter(Cached([(32, 32)] * 20), longer, lambda batch, noise: torch.zeros(1))
    assert made._batches == again._batches
    passes = 9 * sum(map(len, made._batches)) * made._draws
    assert passes <= 0.03 * 3 * 1000 * 2
