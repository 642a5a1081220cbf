"""What practised trainers have: off it changes nothing, and a killed run goes on to the same bits with each."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from safetensors.torch import load_file

from lora_gui.engine.draw.pipeline import Pipeline
from lora_gui.engine.load import lora
from lora_gui.engine.train import beginning, cache, loop, publish
from lora_gui.engine.train.loop import train
from lora_gui.engine.train.norm_limit import NormLimit
from lora_gui.engine.train.step import NAME, TrainState
from lora_gui.errors import SettingError, UserError
from lora_gui.formats import dialects
from lora_gui.protocol.events import Done, Note, Saved
from lora_gui.protocol.task_folder import TaskFolder
from lora_gui.settings import DrawSettings
from lora_gui.studio.library.again import settings_of
from tests import soak, tiny
from tests.engine.train.test_train import plain_drawing

CPU = torch.device("cpu")
FAMILY = tiny.QuickStableDiffusion1()
WAYS = {
    "DoRA": {"dora": True, "train_text_encoder": True, "layers": "all"},
    "DoRA, averaged": {"dora": True, "ema_decay": 0.9, "precision": "bf16", "lora_plus": 2, "rank_dropout": 0.3},
    "LoKr": {"adapter": "lokr", "train_text_encoder": True, "layers": "all", "max_norm": 0.05},
    "LoKr, averaged": {
        "adapter": "lokr", "lokr_factor": 4, "ema_decay": 0.9, "precision": "int8", "rank_dropout": 0.3,
        "module_dropout": 0.3, "max_norm": 0.05, "gradient_checkpointing": "blocks", "streamed_blocks": 1,
    },
    "average": {"ema_decay": 0.9, "sample_every": 2},
    "average, text": {"ema_decay": 0.5, "train_text_encoder": True, "rank_dropout": 0.5},
    "ranks left out": {"rank_dropout": 0.5, "accumulation": 2},
    "layers left out": {"module_dropout": 0.5, "precision": "bf16"},
    "faster upper halves": {"lora_plus": 4, "train_text_encoder": True},
    "faster, by matrix": {"lora_plus": 4, "optimizer": "adafactor"},
    "norms": {"max_norm": 0.02, "learning_rate": 0.05},
    "huber": {"loss": "huber", "max_grad_norm": 0},
    "debiased": {"debiased": True, "max_grad_norm": 0},
}
QUICK = ("DoRA, averaged", "LoKr, averaged")


def job(folder, base, **settings):
    return tiny.job(folder, base, **({"steps": 3, "sample_every": 0, "checkpoint_every": 1} | settings))


def learnt(folder, made):
    events = list(train(made, folder, FAMILY))
    assert isinstance(events[-1], Done)
    return load_file(events[-1].lora), events


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def state(folder, base, dtype=torch.float32, **settings):
    """A run before its first step."""
    made = tiny.job(folder, base, **settings)
    encoded, _ = tiny.outcome(cache.build(made, FAMILY, [], CPU, dtype))
    parts, _ = tiny.outcome(loop._load(made, FAMILY, CPU, dtype))
    return TrainState(made, FAMILY, parts, encoded, CPU, dtype, folder)


def steps(one, count):
    for n in range(count):
        one.one_step(iter([[n % 4]] * one.job.settings.accumulation))


@pytest.fixture(scope="module")
def plain(once):
    """What is learnt with none of it."""
    return load_file(once(steps=3).lora)


@pytest.mark.parametrize("way", soak.but(QUICK, WAYS))
def test_a_run_that_was_killed_goes_on_to_the_same_bits_with(way, plain, base, tmp_path):
    undisturbed, _ = learnt(tmp_path / "undisturbed", job(tmp_path / "undisturbed", base, **WAYS[way]))
    assert not equal(undisturbed, plain)
    made = job(tmp_path / "killed", base, **WAYS[way])
    for event in train(made, tmp_path / "killed", FAMILY):
        if isinstance(event, Saved) and event.step == 2:
            break  # as good as kill -9
    assert equal(learnt(tmp_path / "killed", made)[0], undisturbed)


def test_what_is_off_changes_nothing_whatever_stands_beside_it(plain, base, tmp_path):
    beside = {"huber_c": 0.5, "huber_schedule": "constant"}
    assert equal(learnt(tmp_path, job(tmp_path, base, **beside))[0], plain)


def test_the_average_is_what_is_drawn_kept_and_published_and_the_last_weights_go_on_learning(base, tmp_path):
    one, other = state(tmp_path / "a", base, ema_decay=0.9), state(tmp_path / "b", base)
    expected = other.masters[0].flat.detach().double()
    for step in range(4):
        steps(one, 1)
        steps(other, 1)
        decay = min(0.9, (2 + step) / (11 + step))
        expected = decay * expected + (1 - decay) * other.masters[0].flat.detach().double()
    assert torch.equal(one.masters[0].flat, other.masters[0].flat)
    with one.average.shown():
        torch.testing.assert_close(one.masters[0].flat.detach().double(), expected, atol=1e-7, rtol=1e-5)
        drawn = lora.get_weights(one.parts, NAME)
    assert torch.equal(one.masters[0].flat, other.masters[0].flat)
    list(one.keep())
    kept = load_file(tmp_path / "a" / "checkpoints" / "ckpt-000004" / "adapter.safetensors")
    key = next(iter(drawn))
    last = lora.get_weights(one.parts, NAME)[key]
    assert torch.equal(kept[f"{key}.lora_B.weight"], drawn[key].up) and not torch.equal(drawn[key].up, last.up)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_step_without_some_ranks_and_layers_is_one_of_a_lora_without_them(base, tmp_path, dtype):
    """Against what plain autograd makes of the halves with rows of zeros, in double precision where fp32 computes."""
    one = state(tmp_path, base, dtype, rank_dropout=0.4, module_dropout=0.3, max_grad_norm=0)
    steps(one, 2)
    masters = one.masters[0]
    before = masters.flat.detach().clone()
    one.dropout.begin(one.step)
    factors = one.dropout._factors[0].clone()
    rows = factors.flatten().tolist()
    assert 0 in rows and any(value == pytest.approx(1 / 0.6) for value in rows)
    assert bool((factors == 0).all(1).any()) and set(rows) <= {0.0, factors.max().item()}
    for down, master, factor in zip(
        masters.views(masters.shadow)[::2], masters.views(before)[::2], factors, strict=True
    ):
        exact = master * factor.view(-1, *[1] * (master.ndim - 1))
        torch.testing.assert_close(down.float(), exact, rtol=0 if dtype == torch.float32 else 1e-2, atol=0)
    batch = one.cache.batch([0], 0.0, random.Random(0))
    one._learn(one.drawn(batch, torch.Generator().manual_seed(1)))
    one.dropout.end()
    gradients = masters.views(masters.flat.grad)
    for (down, up), factor in zip(zip(gradients[::2], gradients[1::2], strict=True), factors, strict=True):
        gone = factor == 0
        assert not down[gone].any() and not up.flatten(1)[:, gone].any()
        assert gone.all() or up.any()
    masters.zero()
    masters.refresh()
    assert torch.equal(masters.flat, before)


def test_other_ranks_are_left_out_in_each_step_and_the_same_in_the_same(base, tmp_path):
    one = state(tmp_path, base, rank_dropout=0.5)
    found = []
    for step in (0, 1, 0):
        one.dropout.begin(step)
        found.append(one.dropout._factors[0].clone())
        one.masters[0].refresh()
    assert torch.equal(found[0], found[2]) and not torch.equal(found[0], found[1])


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
def test_upper_halves_take_steps_so_many_times_larger(base, tmp_path, optimizer):
    moved = []
    for ratio in (1, 4):
        one = state(tmp_path / str(ratio), base, lora_plus=ratio, weight_decay=0, optimizer=optimizer)
        before = [weight.detach().clone() for weight in one.masters[0].pieces]
        steps(one, 1)
        now = one.masters[0].pieces
        moved.append([(new.detach() - old) for new, old in zip(now, before, strict=True)])
    for down, faster in zip(moved[0][::2], moved[1][::2], strict=True):
        torch.testing.assert_close(down, faster, atol=1e-9, rtol=1e-4)
    for up, faster in zip(moved[0][1::2], moved[1][1::2], strict=True):
        torch.testing.assert_close(4 * up, faster, atol=1e-8, rtol=1e-4)


def test_prodigy_says_that_it_has_one_rate(base, tmp_path):
    made = job(tmp_path, base, optimizer="prodigy", learning_rate=1, lora_plus=4, steps=1)
    told = [event.text for event in learnt(tmp_path, made)[1] if isinstance(event, Note)]
    assert "Prodigy finds one rate for everything, so the LoRA+ ratio is not used." in told


def test_no_layer_is_larger_than_its_limit_and_how_many_were_held_is_said(base, tmp_path):
    one = state(tmp_path, base, learning_rate=0.01, layers="all")
    steps(one, 3)
    before = lora.get_weights(one.parts, NAME)
    norms = {key: float(layer.delta().double().norm()) for key, layer in before.items()}
    limit = sorted(norms.values())[len(norms) // 2] + 1e-4
    held = [key for key, norm in norms.items() if norm > limit]
    norm_limit = NormLimit(one.masters, limit)
    assert norm_limit.said() == ""
    norm_limit.apply()
    after = lora.get_weights(one.parts, NAME)
    for key, layer in before.items():
        if key in held:
            torch.testing.assert_close(after[key].delta(), layer.delta() * (limit / norms[key]), rtol=1e-4, atol=1e-7)
        else:
            assert torch.equal(layer.down, after[key].down) and torch.equal(layer.up, after[key].up)
    assert 0 < len(held) < len(norms)
    assert f"Of {len(norms)} layers {len(held)} were scaled down" in norm_limit.said()


def test_a_run_says_how_many_layers_its_limit_held(base, tmp_path):
    events = learnt(tmp_path, job(tmp_path, base, max_norm=0.001, steps=2))[1]
    said = [event.text for event in events if isinstance(event, Note) and "scaled down" in event.text]
    assert len(said) == 1 and said[0].endswith("to the largest norm of 0.001 in the last step.")


def by_hand(base, layers):
    """What diffusers draws with the weights of its base changed as the formula of DoRA says."""
    pipeline = StableDiffusionPipeline.from_pretrained(base)
    for name, layer in layers.items():
        part, _, path = name.partition(".")
        weight = getattr(pipeline, part).get_submodule(path).weight
        new = weight.data + layer.delta()
        factor = layer.magnitude / new.flatten(1).norm(dim=1)
        weight.data = new * factor.view(-1, *[1] * (new.ndim - 1))
    return pipeline(
        "zxy thing 0", width=64, height=64, num_inference_steps=2, guidance_scale=4.0,
        generator=torch.Generator().manual_seed(1),
    ).images[0]  # fmt: skip


def test_a_dora_of_the_text_encoder_too_is_drawn_as_its_formula_says(base, tmp_path):
    _, events = learnt(tmp_path, job(tmp_path, base, dora=True, train_text_encoder=True, learning_rate=0.05))
    one = state(tmp_path / "shapes", base, dora=True, train_text_encoder=True)
    read = dialects.read(Path(events[-1].lora), lora.shapes(one.parts), FAMILY.facts, [FAMILY.facts])
    assert {key.partition(".")[0] for key in read} == {"unet", "text_encoder"}
    sample = np.array(Image.open(tmp_path / "samples" / "final-0.png")).astype(int)
    assert np.abs(sample - np.array(by_hand(base, read)).astype(int)).max() <= 2


def test_diffusers_draws_the_same_with_a_dora_and_an_average_and_the_file_says_how_it_was_made(base, tmp_path):
    asked = {
        "dora": True, "ema_decay": 0.5, "lora_plus": 2, "rank_dropout": 0.1, "module_dropout": 0.2, "max_norm": 3,
        "loss": "huber", "huber_c": 0.3, "huber_schedule": "constant", "debiased": True,
    }  # fmt: skip
    made = job(tmp_path, base, learning_rate=0.05, **asked)
    tensors, events = learnt(tmp_path, made)
    scales = {key: one for key, one in tensors.items() if key.endswith(".dora_scale")}
    assert scales and all(one.dtype == torch.float32 and one.shape[1:] == (1,) for one in scales.values())
    path, facts = Path(events[-1].lora), FAMILY.facts
    halves = dialects.build(dialects.read(path, None, facts, [facts]), facts, "diffusers")
    safetensors.torch.save_file(halves, tmp_path / "diffusers.safetensors")  # of kohya's it leaves out magnitudes
    sample = np.array(Image.open(tmp_path / "samples" / "final-0.png")).astype(int)
    plain = np.array(plain_drawing(base, tmp_path / "diffusers.safetensors")).astype(int)
    before = np.array(Image.open(tmp_path / "samples" / "base-0.png")).astype(int)
    assert np.abs(sample - plain).max() <= 2 and np.abs(sample - before).max() > 4
    found, odd = settings_of(path)
    assert not odd and {name: found[name] for name in asked} == asked


def test_a_dora_is_trained_further_as_one_and_as_nothing_else(base, tmp_path):
    first = job(tmp_path / "first", base, dora=True)
    _, events = learnt(tmp_path / "first", first)
    (tmp_path / "further" / "begin").mkdir(parents=True)
    further = first.model_copy(update={
        "begin_from": events[-1].lora, "publish_to": str(tmp_path / "further" / "out"),
    })  # fmt: skip
    shutil.copy(events[-1].lora, TaskFolder(tmp_path / "further").beginning(further))
    one = state(tmp_path / "plain", base)
    parts, _ = tiny.outcome(loop._load(further, FAMILY, CPU, torch.float32))
    beginning.add(further, tmp_path / "further", FAMILY, parts, NAME)
    now = lora.get_weights(parts, NAME)
    read = dialects.read(Path(events[-1].lora), lora.shapes(one.parts), FAMILY.facts, [FAMILY.facts])
    assert all(torch.equal(now[key].magnitude, read[key].magnitude) for key in read)
    other = further.model_copy(update={"settings": further.settings.model_copy(update={"dora": False})})
    parts, _ = tiny.outcome(loop._load(other, FAMILY, CPU, torch.float32))
    with pytest.raises(SettingError, match="is a DoRA, and this run asks for none. Switch DoRA on"):
        beginning.add(other, tmp_path / "further", FAMILY, parts, NAME)


def kronecker(tensors):
    """What a file changes in each layer by its own name there, as LyCORIS has it (lycoris/modules/lokr.py)."""
    found = {}
    for key in tensors:
        name, _, role = key.rpartition(".")
        if role == "lokr_w1":
            own = {role: tensors[f"{name}.{role}"].float() for role in ("lokr_w2", "lokr_w2_a", "lokr_w2_b", "alpha")
                   if f"{name}.{role}" in tensors}  # fmt: skip
            second = own["lokr_w2"].flatten(1) if "lokr_w2" in own else own["lokr_w2_a"] @ own["lokr_w2_b"]
            scale = 1 if "lokr_w2" in own else own["alpha"] / len(own["lokr_w2_b"])
            found[name] = torch.kron(tensors[key].float(), second) * scale
    return found


@pytest.mark.parametrize("factor", soak.but((0,), (0, 4)))
def test_a_lokr_is_drawn_as_its_formula_says_here_and_in_diffusers_and_its_file_says_how_it_was_made(
    base, tmp_path, factor
):
    asked = {"adapter": "lokr", "lokr_factor": factor, "alpha": 6, "layers": "all", "train_text_encoder": True}
    made = job(tmp_path, base, learning_rate=0.03, **asked)
    tensors, events = learnt(tmp_path, made)
    assert any("where LyCORIS is read" in event.text for event in events if isinstance(event, Note))
    changes, pipeline = kronecker(tensors), StableDiffusionPipeline.from_pretrained(base)
    weights = {
        f"{prefix}_{name.replace('.', '_')}": module.weight
        for prefix, network in (("lora_unet", pipeline.unet), ("lora_te_text_model", pipeline.text_encoder))
        for name, module in network.named_modules() if hasattr(module, "weight")
    }  # fmt: skip
    weights = {name: weight for name, weight in weights.items() if name in changes}
    assert weights.keys() == changes.keys() and any("lora_te" in name for name in weights)
    assert all(key.rpartition(".")[2] in ("lokr_w1", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "alpha") for key in tensors)
    for name, weight in weights.items():
        weight.data += changes[name].view(weight.shape)
    drawn = pipeline(
        "zxy thing 0", width=64, height=64, num_inference_steps=2, guidance_scale=4.0,
        generator=torch.Generator().manual_seed(1),
    ).images[0]  # fmt: skip
    sample, before = (
        np.array(Image.open(tmp_path / "samples" / f"{kind}-0.png")).astype(int) for kind in ("final", "base")
    )
    assert np.abs(sample - np.array(drawn).astype(int)).max() <= 2 and np.abs(sample - before).max() > 4
    found, odd = settings_of(Path(events[-1].lora))
    told = {name: asked[name] for name in ("adapter", "lokr_factor", "alpha")}
    assert not odd and {name: found[name] for name in told} == told
    drawer = Pipeline(FAMILY, base, CPU, torch.float32)
    layers = dialects.read(Path(events[-1].lora), lora.shapes(drawer.parts), FAMILY.facts, [FAMILY.facts])
    lora.add(drawer.parts, layers, "a")
    lora.activate(drawer.parts, {"a": 1.0})
    wanted = DrawSettings(prompt="zxy thing 0", width=64, height=64, steps=2, guidance=4)
    assert np.abs(np.array(drawer.draw(wanted, 1)).astype(int) - sample).max() <= 2


def test_a_lokr_is_trained_further_as_one_and_as_nothing_else_and_published_without_its_base(base, tmp_path):
    first = job(tmp_path / "first", base, adapter="lokr", lokr_factor=4, layers="all", only_layers=("attn1", "conv"))
    tensors, events = learnt(tmp_path / "first", first)
    (tmp_path / "further" / "begin").mkdir(parents=True)
    folder = TaskFolder(tmp_path / "further")
    further = first.model_copy(update={
        "begin_from": events[-1].lora, "publish_to": str(tmp_path / "further" / "out"),
        "settings": first.settings.model_copy(update={"only_layers": (), "lokr_factor": 2, "steps": 3}),
    })  # fmt: skip
    shutil.copy(events[-1].lora, folder.beginning(further))
    parts, _ = tiny.outcome(loop._load(further, FAMILY, CPU, torch.float32))
    beginning.add(further, folder.path, FAMILY, parts, NAME)
    now = dialects.build(lora.get_weights(parts, NAME), FAMILY.facts)
    assert now.keys() == tensors.keys() and all(torch.equal(now[key].half(), tensors[key].half()) for key in now)
    for event in train(further, folder.path, FAMILY):
        if isinstance(event, Saved) and event.step == 2:
            break
    *_, stopped = publish.from_checkpoint(further, folder)
    kept = load_file(stopped.lora)
    assert stopped.step == 2 and kept.keys() == tensors.keys() and not equal(kept, tensors)
    other = further.model_copy(update={"settings": further.settings.model_copy(update={"adapter": "lora"})})
    parts, _ = tiny.outcome(loop._load(other, FAMILY, CPU, torch.float32))
    with pytest.raises(SettingError, match="is a LoKr, and this run makes a LoRA. Choose LoKr"):
        beginning.add(other, folder.path, FAMILY, parts, NAME)


def test_a_lokr_that_could_not_be_drawn_with_is_refused_before_it_learns(base, tmp_path, monkeypatch):
    monkeypatch.setattr(beginning, "FACTORED_LIMIT", 1000)
    with pytest.raises(UserError, match="too large to be drawn with"):
        list(train(job(tmp_path, base, adapter="lokr"), tmp_path, FAMILY))
