"""Recorded work, with a recorder for the processor that replays operations as a card would: without any Python.

What it cannot show is that CUDA takes the recording; all else of graphs.py runs here as it does on a card.
"""

import functools
import itertools

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from lora_gui.engine.load import device
from lora_gui.engine.train import cache, checkpoint, graphs
from lora_gui.engine.train.graphs import Graphs
from lora_gui.engine.train.step import TrainState
from tests import tiny

CPU = torch.device("cpu")
RARE = 1  # instead of six, to be quick
FAMILY = tiny.QuickStableDiffusion1()


class _Recording(TorchDispatchMode):
    """Keeps every operation with the very tensors it reads and writes, and undoes what it did to older ones."""

    def __init__(self):
        super().__init__()
        self.done, self.before, self.made = [], {}, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func._schema.name
        if name in ("aten::_local_scalar_dense", "aten::item", "aten::nonzero", "aten::equal"):
            raise RuntimeError("operation not permitted when stream is capturing")
        given = dict(zip([one.name for one in func._schema.arguments], args, strict=False)) | kwargs
        for one in func._schema.arguments:
            if one.alias_info is not None and one.alias_info.is_write:
                tree_map(self._keep, given[one.name])
        out = func(*args, **kwargs)
        if not any(one.alias_info for one in func._schema.returns):  # a view of what was there is nothing new
            tree_map(self._see, out)
        self.done.append((func, args, kwargs, out))
        return out

    def _see(self, one):
        if isinstance(one, torch.Tensor) and not one.is_mkldnn:
            self.made.add(one.untyped_storage()._cdata)

    def _keep(self, one):
        storage = one.untyped_storage() if isinstance(one, torch.Tensor) else None
        if storage is not None and storage._cdata not in self.made | self.before.keys():
            self.before[storage._cdata] = (storage, storage.clone())

    def undo(self):
        for storage, before in self.before.values():
            storage.copy_(before)

    @torch.no_grad()
    def replay(self):
        for func, args, kwargs, out in self.done:
            returns = func._schema.returns
            if any(one.alias_info is not None and not one.alias_info.is_write for one in returns):
                continue  # a view: it sees what is written
            new = func(*args, **kwargs)
            for old, one in zip(_flat(out), _flat(new), strict=True):
                if one.data_ptr() != old.data_ptr():
                    old.copy_(one)


def _flat(out):
    return [one for one in (out if isinstance(out, list | tuple) else [out]) if isinstance(one, torch.Tensor)]


class Replaying:
    """A recorder on the processor."""

    def __init__(self, room=True, refuses=""):
        self.recorded = self.replayed = self.forgotten = 0
        self.room, self.refuses = room, refuses

    def run(self, work):
        return work()

    def record(self, work):
        recording, chance = _Recording(), torch.get_rng_state()
        with recording:
            result = work()
        assert torch.equal(torch.get_rng_state(), chance), "random numbers belong outside"
        recording.undo()
        if self.refuses:
            raise RuntimeError(self.refuses)
        self.recorded += 1

        def replay():
            self.replayed += 1
            recording.replay()

        return replay, result

    def has_room(self):
        return self.room

    def forget(self):
        self.forgotten += 1


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(graphs, "RARE", RARE)


@pytest.fixture(scope="module")
def encoded(base, tmp_path_factory):
    """The pictures of a run, in two sizes, and what they and their captions are encoded to, by dtype."""
    folder = tmp_path_factory.mktemp("encoded")
    job = tiny.job(folder, base)
    wide = tiny.pictures(folder / "wide", 2, (2 * tiny.SIZE, tiny.SIZE))
    job = job.model_copy(update={"pictures": (*job.pictures[:2], *wide)})
    return job.pictures, functools.cache(lambda dtype: tiny.outcome(cache.build(job, FAMILY, [], CPU, dtype))[0])


@pytest.fixture(scope="module")
def learning(base, encoded, tmp_path_factory):
    """`learning(recorder, **settings)` is a run's heart."""

    def made(recorder=None, **settings):
        folder = tmp_path_factory.mktemp("learning")
        job = tiny.job(folder, base, **({"batch_size": 1, "steps": 60} | settings))
        job, dtype = job.model_copy(update={"pictures": encoded[0]}), device.dtype_of(job.settings.precision)
        state = TrainState(job, FAMILY, FAMILY.denoisers(base, CPU, dtype), encoded[1](dtype), CPU, dtype, folder)
        state.graphs = Graphs(CPU, recorder)
        return state

    return made


def steps(state, count):
    """Step after step, the sizes in turn; another start goes on in the row."""
    done = state.step * state.job.settings.accumulation
    numbers = itertools.islice(itertools.cycle([[0], [2], [1], [3]]), done, None)
    for _ in range(count):
        state.one_step(numbers)
    return [one.flat.detach().clone() for one in state.masters], torch.stack(state.losses)


def same(one, other):
    return all(map(torch.equal, (*one[0], one[1]), (*other[0], other[1])))


@pytest.fixture(scope="module")
def plain(learning):
    """What is learnt in so many steps where none is recorded."""
    return steps(learning(), 2 * RARE + 4)


@pytest.mark.parametrize("settings", [
    {"max_grad_norm": 0.1, "scheduler": "cosine", "noise_offset": 0.1, "min_snr_gamma": 5, "precision": "bf16"},
    {"accumulation": 2, "layers": "all"},
    {"optimizer": "adafactor"},
    {"preservation": 0.5},
    {"adapter": "lokr", "ema_decay": 0.9, "rank_dropout": 0.3, "max_norm": 0.01, "layers": "all"},
    {"dora": True, "ema_decay": 0.9, "rank_dropout": 0.3, "lora_plus": 4, "max_norm": 0.01, "loss": "huber"},
    {"gradient_checkpointing": True, "optimizer": "prodigy", "learning_rate": 1},
])  # fmt: skip
def test_recorded_steps_of_several_sizes_give_the_same_bits_as_others(learning, settings):
    recorder = Replaying()
    count = 2 * RARE + 4
    plain, recorded = learning(**settings), learning(recorder, **settings)
    assert same(steps(plain, count), steps(recorded, count))
    improving = settings.get("optimizer", "adamw") == "adamw"  # the others decide by numbers of the host
    held = bool(settings.get("preservation"))  # what holds the base, each second step, which are all of one size
    assert recorder.recorded == 2 + improving + held and recorder.replayed >= 4
    assert not list(recorded.graphs.notes())


@pytest.mark.soak
def test_a_run_that_goes_on_from_a_checkpoint_records_anew_and_comes_to_the_same_bits(learning):
    half, settings = 2 * RARE + 4, {"scheduler": "linear"}
    undisturbed, first, second = (learning(Replaying(), **settings) for _ in range(3))
    expected = steps(undisturbed, 2 * half)
    steps(first, half)
    list(first.save())
    list(first.saved(wait=True))
    found, _ = checkpoint.newest(first.folder / "checkpoints")
    assert not list(second.restore(found))
    weights, losses = steps(second, half)
    assert same((weights, losses), (expected[0], expected[1][half:]))


def test_what_gave_its_memory_back_is_recorded_again_at_once(learning, plain):
    recorder = Replaying()
    recorded = learning(recorder)
    steps(recorded, 2 * RARE + 2)
    recorded.graphs.forget()
    assert recorder.recorded == 3 and recorder.forgotten == 1
    assert same(steps(recorded, 2), plain)
    assert recorder.recorded == 6


@pytest.mark.parametrize(("recorder", "why"), [
    (Replaying(refuses="CUDA error: operation not permitted\nCUDA kernel errors might"), "CUDA error: operation not p"),
    (Replaying(room=False), "there is too little memory on the card"),
])  # fmt: skip
def test_a_card_that_cannot_record_goes_on_without_and_says_so_once(learning, plain, recorder, why):
    recorded = learning(recorder)
    assert same(plain, steps(recorded, 2 * RARE + 4))
    told = [note.text for note in recorded.graphs.notes()]
    assert len(told) == 1 and why in told[0] and not recorded.graphs.on
    assert not list(recorded.graphs.notes())


def test_what_comes_seldom_or_waits_for_the_device_is_not_recorded():
    recorder = Replaying()
    played = Graphs(CPU, recorder)
    for n in range(RARE):
        assert torch.equal(played.play(lambda x: x * 2, torch.ones(n + 1)), torch.full((n + 1,), 2.0))
    assert not recorder.recorded
    for _ in range(RARE + 2):
        assert played.play(doubled, torch.full((2,), 3.0), 1).tolist() == [6.0, 6.0]
        assert played.play(doubled, torch.full((2,), 3.0), 2).tolist() == [12.0, 12.0]  # what the host decides by
    assert recorder.recorded == 2
    for _ in range(RARE + 1):
        assert played.play(read, torch.ones(3)).item() == 4.0
    assert not played.on


def doubled(x, times):
    return x * 2 * times


def read(x):
    return x.sum() + x[0].item()


def test_what_hangs_together_with_gradients_outside_is_not_recorded():
    recorder, leaf = Replaying(), torch.ones(2, requires_grad=True)
    played = Graphs(CPU, recorder)
    for _ in range(RARE + 2):
        played.play(lambda x: x.sum(), leaf * 2)
    assert not recorder.recorded


def test_only_a_card_records_and_not_where_blocks_wait_in_ram():
    for waiting in ({"streamed_blocks": 2}, {"gradient_checkpointing": "blocks_in_ram"}):
        settings = tiny.TrainSettings(**waiting)
        assert not graphs.of(settings, CPU).on and not list(graphs.of(settings, CPU).notes())
        told = graphs.of(settings, torch.device("cuda"))
        assert not told.on and "cannot be recorded" in next(told.notes()).text
    assert not graphs.of(tiny.TrainSettings(record_steps=False), torch.device("cuda")).on
