"""Schedules against those of diffusers; every optimizer learns, and goes on exactly from what was kept of it."""

import json

import pytest
import safetensors.torch
import torch
from diffusers.optimization import get_scheduler

from lora_gui.engine.train import checkpoint, optimizers
from lora_gui.settings import TrainSettings

RATES = {"adamw": 0.05, "adamw8bit": 0.05, "adafactor": 0.05, "prodigy": 1.0}


@pytest.mark.parametrize("name", list(optimizers.SCHEDULES))
@pytest.mark.parametrize("warmup", [0, 7])
def test_the_rate_is_that_of_diffusers(name, warmup):
    settings = TrainSettings(steps=40, warmup_steps=warmup, scheduler=name, restarts=3)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = get_scheduler(
        "constant_with_warmup" if name == "constant" else name, optimizer,
        num_warmup_steps=warmup, num_training_steps=40, num_cycles=3,
    )  # fmt: skip
    for step in range(40):
        assert optimizers.rate(step, settings) == pytest.approx(reference.get_last_lr()[0], abs=1e-9), step
        optimizer.step()
        reference.step()


def made(name):
    settings = TrainSettings(optimizer=name, learning_rate=RATES[name], weight_decay=0)
    generator = torch.Generator().manual_seed(0)
    shapes = ((96, 64), (8, 4), (3, 2, 3, 3))
    weights = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    return weights, optimizers.OPTIMIZERS[name]([{"params": weights}], settings)


def improve(weights, optimizer, steps):
    for _ in range(steps):
        loss = sum((weight - 0.5).pow(2).sum() for weight in weights)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return loss.item()


@pytest.mark.parametrize("name", list(optimizers.OPTIMIZERS))
def test_every_optimizer_learns(name):
    weights, optimizer = made(name)
    steps = 300 if name == "prodigy" else 60  # which finds its rate first
    assert improve(weights, optimizer, steps) < 0.5 * improve(*made(name), 1)


@pytest.mark.parametrize("name", list(optimizers.OPTIMIZERS))
def test_every_optimizer_goes_on_bit_for_bit_from_what_was_kept(name):
    weights, optimizer = made(name)
    improve(weights, optimizer, 5)
    tensors, numbers = checkpoint.pack(optimizer)
    kept, numbers = safetensors.torch.load(safetensors.torch.save(tensors)), json.loads(json.dumps(numbers))
    others, other = made(name)
    for one, two in zip(others, weights, strict=True):
        one.data.copy_(two.data)
    improve(weights, optimizer, 5)
    checkpoint.unpack(other, kept, numbers)
    improve(others, other, 5)
    assert all(torch.equal(one, two) for one, two in zip(others, weights, strict=True))


def test_an_optimizer_in_other_bits_begins_anew():
    for before, after in (("adamw", "adamw8bit"), ("adamw8bit", "adamw")):
        weights, optimizer = made(before)
        improve(weights, optimizer, 1)
        others, other = made(after)
        checkpoint.unpack(other, *checkpoint.pack(optimizer))
        assert not other.state and improve(others, other, 2)


def test_the_shown_rate_holds_what_prodigy_found():
    weights, optimizer = made("prodigy")
    improve(weights, optimizer, 20)
    assert optimizers.shown_rate(optimizer) == optimizer.param_groups[0]["d"] * RATES["prodigy"]


def test_an_extended_run_has_a_curve_of_its_own_from_half_the_rate():
    first, longer = TrainSettings(steps=100, scheduler="cosine"), TrainSettings(steps=140, scheduler="cosine")
    course = [optimizers.rate(step, longer, (100,)) for step in range(140)]
    assert course[:100] == [optimizers.rate(step, first) for step in range(100)]
    added = course[100:]
    assert added[0] == 0.5 and added == sorted(added, reverse=True) and 0 < added[-1] < 0.01
    assert optimizers.rate(120, TrainSettings(steps=140, scheduler="constant"), (100,)) == 1.0


def test_a_warm_up_that_would_outlast_the_run_takes_a_tenth_of_it_and_that_is_said():
    long = TrainSettings(steps=40, warmup_steps=100, scheduler="constant")
    assert [optimizers.rate(step, long) for step in (0, 2, 4, 39)] == [0, 0.5, 1, 1]
    assert "100 steps does not fit into a run of 40, so it takes 4" in optimizers.shortened_warmup(long)
    short = TrainSettings(steps=4, warmup_steps=10)
    assert optimizers.rate(0, short) == 1 and "takes none" in optimizers.shortened_warmup(short)
    assert not optimizers.shortened_warmup(TrainSettings(steps=40, warmup_steps=39))
    extended = TrainSettings(steps=200, warmup_steps=100)
    assert optimizers.warmup(extended, (40,)) == 4 and optimizers.shortened_warmup(extended, (40,))


def test_prodigy_that_never_adapted_is_told_from_one_that_did_and_from_the_others():
    weights, optimizer = made("prodigy")
    assert "never adapted" in optimizers.never_adapted(optimizer)
    improve(weights, optimizer, 20)
    assert not optimizers.never_adapted(optimizer)
    assert not optimizers.never_adapted(made("adamw")[1])


def test_text_encoders_learn_at_their_own_rate_half_of_the_other_unless_told():
    settings = TrainSettings(learning_rate=1e-4)
    assert settings.text_rate == 5e-5
    assert settings.model_copy(update={"text_encoder_learning_rate": 2e-5}).text_rate == 2e-5
    assert settings.model_copy(update={"text_encoder_learning_rate": 2e-5, "optimizer": "prodigy"}).text_rate == 1e-4
