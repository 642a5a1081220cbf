"""A checkpoint is whole or does not count."""

import pytest
import torch

from lora_gui.engine.train import checkpoint, optimizers
from lora_gui.formats.lora_file import Layer
from lora_gui.protocol.task_folder import TaskFolder, step_of
from lora_gui.settings import TrainSettings

SETTINGS = TrainSettings(steps=6, scheduler="cosine", learning_rate=1)
LAYERS = {"unet.mid_block.to_q": Layer(torch.ones(2, 4), torch.ones(4, 2), 1.5)}


def made():
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weight])
    weight.sum().backward()
    optimizer.step()
    return optimizer


def save(folder, step):
    return checkpoint.save(folder, checkpoint.copied(step, LAYERS, {}, made(), {"scaler": {"step": step}}))


def test_what_was_kept_comes_back(tmp_path):
    save(tmp_path, 5)
    found, sentences = checkpoint.newest(tmp_path)
    assert (found.step, sentences) == (5, [])
    other = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))])
    assert checkpoint.restore(found, other)["scaler"] == {"step": 5}
    assert torch.equal(other.state_dict()["state"][0]["exp_avg"], made().state_dict()["state"][0]["exp_avg"])


def improve(optimizer, weight, steps):
    """Steps whose gradients follow from their numbers alone."""
    for step in steps:
        optimizers.set_rates(optimizer, SETTINGS, optimizers.rate(step, SETTINGS, ()))
        weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(step))
        optimizer.step()


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_an_optimizer_goes_on_to_the_same_bits(tmp_path, name):
    def begin(weight):
        weight = torch.nn.Parameter(weight.clone())
        return weight, optimizers.OPTIMIZERS[name]([{"params": [weight]}], SETTINGS)

    first = torch.ones(64, 128)  # more than 4096 numbers, which is where the 8-bit one begins to save
    undisturbed, optimizer = begin(first)
    improve(optimizer, undisturbed, range(6))
    weight, optimizer = begin(first)
    improve(optimizer, weight, range(4))
    kept = checkpoint.save(tmp_path, checkpoint.copied(4, LAYERS, {}, optimizer, {}))
    again, other = begin(weight.detach())
    checkpoint.restore(kept, other)
    improve(other, again, range(4, 6))
    assert torch.equal(again, undisturbed) and not torch.equal(again, weight)
    one, two = (checkpoint.pack(made)[0] for made in (other, optimizer))
    assert one.keys() == two.keys() and all(one[key].dtype == two[key].dtype for key in one)


def test_the_two_newest_are_kept_and_of_three_earlier_ones_about_evenly_apart_the_lora(tmp_path):
    for step in range(2, 42, 2):
        save(tmp_path, step)
        assert all(map(checkpoint.is_whole, tmp_path.iterdir()))
    kept = {step_of(folder): {one.name for one in folder.iterdir()} for folder in sorted(tmp_path.iterdir())}
    whole = {"adapter.safetensors", "optimizer.safetensors", "state.json", "MANIFEST.json"}
    *earlier, before, last = kept
    assert (before, last) == (38, 40) and kept[38] == kept[40] == whole
    assert len(earlier) == 3 and all(kept[step] == {"adapter.safetensors", "MANIFEST.json"} for step in earlier)
    gaps = [after - before for before, after in zip([0, *earlier], [*earlier, 38], strict=True)]
    assert max(gaps) <= 2 * min(gaps)


def test_a_run_does_not_go_on_from_a_step_of_which_the_lora_alone_is_kept(tmp_path):
    run = TaskFolder(tmp_path)
    for step in (2, 4, 6):
        save(run.checkpoints, step)
    assert run.newest_checkpoint() == run.checkpoint(6)
    for step in (4, 6):
        (run.checkpoint(step) / "state.json").unlink()
    found, sentences = checkpoint.newest(run.checkpoints)
    assert found is None and len(sentences) == 2
    assert run.newest_checkpoint() is None and run.checkpoint(2).is_dir()


@pytest.mark.parametrize("name", ["adapter.safetensors", "optimizer.safetensors", "state.json", "MANIFEST.json"])
@pytest.mark.parametrize("damage", ["cut", "bit", "gone"])
def test_a_damaged_one_is_set_aside_and_the_one_before_is_used(tmp_path, name, damage):
    save(tmp_path, 2)
    path = save(tmp_path, 4).folder / name
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:-1] if damage == "cut" else data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
    found, sentences = checkpoint.newest(tmp_path)
    assert found.step == 2
    assert "step 4 is damaged" in sentences[0]
    assert (tmp_path / "damaged" / "ckpt-000004").is_dir()


def test_half_written_ones_are_swept_away(tmp_path):
    (tmp_path / "ckpt-000008.tmp").mkdir()
    assert checkpoint.newest(tmp_path) == (None, [])
    assert not list(tmp_path.iterdir())


def test_there_is_none_in_a_fresh_run(tmp_path):
    assert checkpoint.newest(tmp_path / "checkpoints") == (None, [])


def test_the_same_step_is_written_once(tmp_path):
    first = (save(tmp_path, 2).folder / "MANIFEST.json").stat().st_mtime_ns
    assert (save(tmp_path, 2).folder / "MANIFEST.json").stat().st_mtime_ns == first


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_an_optimizer_goes_on_from_one_that_had_one_rate_for_all(tmp_path, name):
    def begin(*groups):
        return optimizers.OPTIMIZERS[name]([{"params": list(group)} for group in groups], SETTINGS)

    first, second = (torch.nn.Parameter(torch.ones(64, 128)) for _ in range(2))
    old = begin((first, second))
    for weight in (first, second):
        weight.grad = torch.full_like(weight, float(len(old.param_groups)))
    old.step()
    kept = checkpoint.save(tmp_path, checkpoint.copied(1, LAYERS, {}, old, {}))
    new = begin((first,), (second,))
    checkpoint.restore(kept, new)
    assert [len(group["params"]) for group in new.param_groups] == [1, 1]
    states = (made.state_dict()["state"] for made in (old, new))
    for one, other in zip(*(state.values() for state in states), strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one if isinstance(one[key], torch.Tensor))
