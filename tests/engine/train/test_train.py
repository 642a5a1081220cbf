"""A run from its job to its published LoRA."""

import contextlib
import hashlib
import itertools
import json
import random
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from lora_gui import files
from lora_gui.engine.draw.pipeline import NotFiniteError, Pipeline
from lora_gui.engine.load import device
from lora_gui.engine.train import buckets, cache, checkpoint, publish
from lora_gui.engine.train.loop import train
from lora_gui.engine.train.publish import NoEffectError
from lora_gui.engine.train.step import TrainState
from lora_gui.errors import UserError
from lora_gui.formats import summary
from lora_gui.formats.header import read_header
from lora_gui.formats.identify import identify
from lora_gui.protocol.events import Done, Note, Paused, Phase, Sample, Saved, Started, Step, Stopped
from lora_gui.protocol.jobs import KeepJob
from lora_gui.protocol.task_folder import TaskFolder
from lora_gui.studio.tasks.launching import until
from tests import tiny

FAMILY = tiny.QuickStableDiffusion1()
# of runs that are broken off, and go on
BROKEN_OFF = {"steps": 3, "scheduler": "cosine", "sample_every": 2, "flip": True, "checkpoint_every": 2}


def state(run):
    """Everything that a run leaves and that must be the same bit for bit."""
    kept, _ = checkpoint.newest(run.folder / "checkpoints")
    drawings = sorted((run.folder / "samples").glob("*.png"))
    return {path.name: files.sha256(path) for path in (run.lora, *kept.folder.iterdir(), *drawings)}


def test_a_run_says_what_it_does_and_ends_with_a_whole_file(finished):
    assert finished.events[0] == Started(8, 0)
    assert [event.step for event in finished.of(Saved)] == [4, 8]
    assert [event.step for event in finished.of(Sample)] == [0, 4, 8]
    assert finished.of(Step)[-1].step == 8
    done = finished.events[-1]
    assert isinstance(done, Done) and done.steps == 8
    assert hashlib.sha256(finished.lora.read_bytes()).hexdigest() == done.sha256


def test_the_published_file_is_a_kohya_file_with_true_alpha_and_header(finished):
    header = read_header(finished.lora)
    assert identify(header, [FAMILY.facts]) == ("sd1", "kohya")
    assert (header.rank, set(summary.alphas(finished.lora, header).values())) == (4, {4.0})
    assert header.metadata["modelspec.trigger_phrase"] == "zxy"
    assert header.metadata["ss_steps"] == "8"
    data = finished.lora.read_bytes()
    length = int.from_bytes(data[:8], "little")
    assert header.metadata["sshs_model_hash"] == hashlib.sha256(data[8 + length :]).hexdigest()


def plain_drawing(base, lora):
    """What anyone's diffusers draws with the file, as the last sample was drawn."""
    pipeline = StableDiffusionPipeline.from_pretrained(base)
    pipeline.load_lora_weights(lora)
    return pipeline(
        "zxy thing 0", width=64, height=64, num_inference_steps=2, guidance_scale=4.0,
        generator=torch.Generator().manual_seed(1),
    ).images[0]  # fmt: skip


def test_diffusers_draws_the_same_with_the_file_as_the_run_did(base, finished):
    sample = np.array(Image.open(finished.folder / "samples" / "final-0.png"))
    before = np.array(Image.open(finished.folder / "samples" / "base-0.png"))
    plain = np.array(plain_drawing(base, finished.lora))
    assert np.abs(sample.astype(int) - plain.astype(int)).max() <= 2  # frozen layers that are packed round otherwise
    assert not np.array_equal(sample, before)


def test_a_text_encoder_that_learns_is_in_the_file_and_diffusers_draws_the_same(base, run):
    made = run(train_text_encoder=True, steps=2)
    keys = safetensors.torch.load_file(made.lora)
    assert any(key.startswith("lora_te_text_model_encoder_layers_0_self_attn_q_proj") for key in keys)
    sample, before = (np.array(Image.open(made.folder / "samples" / f"{kind}-0.png")) for kind in ("final", "base"))
    plain = np.array(plain_drawing(base, made.lora))
    assert np.abs(sample.astype(int) - plain.astype(int)).max() <= 1
    assert np.abs(sample.astype(int) - before.astype(int)).max() > 4
    rates = {name: read_header(made.lora).metadata[f"ss_{name}"] for name in ("learning_rate", "text_encoder_lr")}
    assert rates == {"learning_rate": "0.01", "text_encoder_lr": "0.005"}


def test_a_run_that_was_killed_goes_on_to_the_same_bits(base, run, once, tmp_path):
    """With the optimizer that keeps the most; each of them goes on exactly in test_checkpoint."""
    wishes = {
        "optimizer": "prodigy", "steps": 4, "scheduler": "cosine", "accumulation": 2, "caption_dropout": 0.5,
        "flip": True, "sample_every": 3, "learning_rate": 1, "train_text_encoder": True,
    }  # fmt: skip
    folder = tmp_path / "killed"
    job = tiny.job(folder, base, **wishes)
    for event in train(job, folder, FAMILY):
        if isinstance(event, Saved) and event.step == 2:
            break  # as good as kill -9: nothing is tidied up after it
    goes_on = run(folder=folder, **wishes)
    assert goes_on.events[0] == Started(4, 2)
    assert state(goes_on) == state(once(**wishes))


def test_a_warm_up_longer_than_the_run_and_a_prodigy_that_never_adapted_are_said(base, tmp_path):
    job, notes = tiny.job(tmp_path, base, optimizer="prodigy", learning_rate=1, steps=1, warmup_steps=9), []
    with contextlib.suppress(NoEffectError):
        for event in train(job, tmp_path, FAMILY):
            notes += [event.text] if isinstance(event, Note) else []
    assert notes[0] == "A warm-up of 9 steps does not fit into a run of 1, so it takes none."
    assert notes[1].startswith("Prodigy never adapted its learning rate")


def test_a_sample_that_is_no_number_is_said_and_ends_no_run(run, monkeypatch):
    def broken(*told):
        raise NotFiniteError("No.", "No.")

    monkeypatch.setattr(Pipeline, "draw", broken)
    made = run(steps=2)
    assert isinstance(made.events[-1], Done) and not made.of(Sample)
    assert made.of(Note)[0].text == "A sample came out as values that are not numbers, so it was not kept."


def test_sample_drawings_do_not_change_what_is_learnt(once):
    with_samples, without = once(steps=2, sample_every=1), once(steps=2)
    assert len(with_samples.of(Sample)) > len(without.of(Sample))
    one, two = state(with_samples), state(without)
    assert one["adapter.safetensors"] == two["adapter.safetensors"]


def test_the_same_job_gives_the_same_lora_and_another_seed_another(once, run):
    made = once(steps=2), run(steps=2), run(steps=2, seed=2)
    one, again, other = (state(one)["adapter.safetensors"] for one in made)
    assert one == again != other


@pytest.mark.parametrize("settings", [{"gradient_checkpointing": True}, {"precision": "bf16"}, {"precision": "fp16"}])
def test_memory_settings_learn_nearly_the_same(once, run, settings):
    plain, saving = once(steps=2), run(steps=2, **settings)
    one, two = (safetensors.torch.load_file(made.lora) for made in (plain, saving))
    key = next(key for key in one if key.endswith("lora_up.weight"))
    assert torch.nn.functional.cosine_similarity(one[key].float().flatten(), two[key].float().flatten(), dim=0) > 0.9


def test_a_processor_without_bf16_learns_in_fp32_and_says_so(once, run, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    made = run(steps=2, precision="bf16")
    assert [note.text for note in made.of(Note)][0].startswith("Your processor is slow in 16 bits")
    one, other = (safetensors.torch.load_file(one.lora) for one in (once(steps=2), made))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_card_without_bf16_learns_in_fp16_and_a_run_goes_on_on_another_card(run, monkeypatch, tmp_path):
    def on(card):
        monkeypatch.setattr(device, "capability", lambda where: card)

    def scaled(folder):
        kept, _ = checkpoint.newest(folder / "checkpoints")
        return bool(json.loads((kept.folder / "state.json").read_text())["scaler"])

    folder = tmp_path / "moved"
    for steps, card, old in ((1, (8, 6), False), (2, (7, 5), True), (3, (8, 6), False)):
        on(card)
        made = run(folder=folder, precision="bf16", steps=steps, checkpoint_every=1)
        assert isinstance(made.events[-1], Done) and scaled(folder) == old
        assert any("computed in fp16" in note.text for note in made.of(Note)) == old


def learning(base, tmp_path, **settings):
    """The heart of a run, without what stands around it."""
    job = tiny.job(tmp_path, base, **settings)
    cpu = torch.device("cpu")
    encoded, _ = tiny.outcome(cache.build(job, FAMILY, [], cpu, torch.float32))
    parts = FAMILY.denoisers(base, cpu, torch.float32)
    return TrainState(job, FAMILY, parts, encoded, cpu, torch.float32, tmp_path)


def loss_at_fixed_noise(one):
    batch, noise = one.cache.batch([0, 1, 2, 3], 0.0, random.Random(1)), torch.Generator().manual_seed(1)
    with torch.no_grad():
        losses = [one.loss(one.drawn(batch, noise)).mean() for _ in range(8)]
    return float(torch.stack(losses).mean())


def test_the_loss_falls(base, tmp_path):
    one = learning(base, tmp_path, steps=25, layers="all", batch_size=4)
    batches, before = buckets.batches(one.cache.sizes, 4, 1), loss_at_fixed_noise(one)
    for _ in range(12):
        one.one_step(batches)
    assert loss_at_fixed_noise(one) < 0.85 * before


def test_gradient_clipping_really_clips(base, tmp_path):
    norms = {}
    for limit in (0, 1e-3):
        one = learning(base, tmp_path, max_grad_norm=limit)
        one.one_step(buckets.batches(one.cache.sizes, 2, 1))
        averages = [state["exp_avg"] / 0.1 for state in one.optimizer.state.values()]  # 0.1 of the first gradient
        norms[limit] = float(torch.cat([average.flatten() for average in averages]).norm())
    assert norms[0] > 1e-2
    assert norms[1e-3] == pytest.approx(1e-3, rel=1e-3)


def test_accumulation_takes_several_batches_for_one_step(base, tmp_path):
    one = learning(base, tmp_path, accumulation=3, batch_size=1)
    taken = []
    one.one_step(taken.append(batch) or batch for batch in buckets.batches(one.cache.sizes, 1, 1))
    assert len(taken) == 3 == len(one.losses)
    assert one.step == 1


def test_nothing_but_the_lora_gets_gradients(base, tmp_path):
    one = learning(base, tmp_path)
    batch = one.cache.batch([0, 1], 0.0, random.Random(1))
    one.loss(one.drawn(batch, one.generator)).mean().backward()
    assert not [name for name, p in one.parts["unet"].named_parameters() if p.grad is not None]
    assert one.masters[0].arriving.any()


def test_steps_go_on_while_a_checkpoint_is_written_and_the_end_waits_for_it(base, tmp_path, monkeypatch):
    write, begun, may_end = checkpoint._write, [], threading.Event()

    def slow(target, state):
        begun.append(state.step)
        assert may_end.wait(60)
        write(target, state)

    monkeypatch.setattr(checkpoint, "_write", slow)
    seen = []
    for event in train(tiny.job(tmp_path, base, steps=5, checkpoint_every=2), tmp_path, FAMILY):
        seen.append(event)
        if isinstance(event, Step) and event.step == 4:  # the next checkpoint is due: it waits for the one before
            assert until(lambda: begun, 60) and begun == [2] and not any(isinstance(one, Saved) for one in seen)
            may_end.set()
    saved = [event.step for event in seen if isinstance(event, Saved)]
    assert saved == begun == [2, 4, 5]
    assert isinstance(seen[-1], Done) and checkpoint.newest(tmp_path / "checkpoints")[0].step == 5


def test_a_checkpoint_that_cannot_be_written_ends_the_run_with_its_sentence(base, tmp_path, monkeypatch):
    def refused(target, state):
        raise UserError("It could not be saved.", "Make space.")

    monkeypatch.setattr(checkpoint, "_write", refused)
    with pytest.raises(UserError, match="could not be saved"):
        list(train(tiny.job(tmp_path, base, steps=5, checkpoint_every=2), tmp_path, FAMILY))


def test_stop_finishes_the_step_and_publishes_what_there_is(base, tmp_path):
    job, events = tiny.job(tmp_path, base, steps=50), []
    for event in train(job, tmp_path, FAMILY):
        events.append(event)
        if isinstance(event, Saved) and event.step == 2:
            files.touch(tmp_path / "stop")
    stopped = events[-1]
    assert isinstance(stopped, Stopped) and 2 <= stopped.step < 50  # steps go on while a checkpoint is written
    assert files.sha256(Path(stopped.lora)) == stopped.sha256
    assert checkpoint.newest(tmp_path / "checkpoints")[0].step == stopped.step


def test_a_stop_before_anything_was_learnt_publishes_nothing(base, tmp_path):
    files.touch(tmp_path / "stop")
    events = list(train(tiny.job(tmp_path, base), tmp_path, FAMILY))
    assert events[-1] == Stopped(0)
    assert not (tmp_path / "loras").exists()


def test_a_lora_without_effect_is_not_published(base, tmp_path, tell):
    tell("Runs that learn nothing, explode or meet NaN: stopped with advice, nothing published", 1)
    job = tiny.job(tmp_path, base, learning_rate=1e-12)
    with pytest.raises(NoEffectError):
        list(train(job, tmp_path, FAMILY))
    assert not (tmp_path / "loras").exists()


class Broken(tiny.QuickStableDiffusion1):
    """From the fourth step on, what it predicts is `factor` times too large."""

    def __init__(self, factor: float):
        self.factor, self.steps = factor, itertools.count(1)
        self.now = 1.0

    def conditions(self, *args):
        self.now = self.factor if next(self.steps) > 3 else 1.0
        return super().conditions(*args)

    def predict(self, *args):
        return super().predict(*args) * self.now


def test_numbers_that_become_infinite_stop_the_run_at_the_last_good_checkpoint(base, tmp_path, tell):
    tell("Runs that learn nothing, explode or meet NaN: stopped with advice, nothing published", 1)
    job = tiny.job(tmp_path, base, steps=20, learning_rate=1e-2)
    with pytest.raises(UserError, match=r"state of step 2 is kept\. Train again with a lower .* such as 0.003"):
        list(train(job, tmp_path, Broken(float("nan"))))
    assert checkpoint.newest(tmp_path / "checkpoints")[0].step == 2
    assert not (tmp_path / "loras").exists()


def test_a_base_with_a_missing_part_is_a_sentence(tmp_path):
    base = tiny.stable_diffusion_1(tmp_path)
    (base / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(UserError, match="Tiny cannot be opened"):
        list(train(tiny.job(tmp_path, base), tmp_path, FAMILY))


def test_a_name_that_is_taken_gets_a_number_but_the_same_file_is_saved_once(run):
    first = run(steps=2)
    assert run(folder=first.folder, steps=2).lora == first.lora  # killed after saving, before saying so
    (first.folder / "checkpoints").rename(first.folder / "old")
    assert run(folder=first.folder, steps=2, seed=2).lora.name == "tiny-2.safetensors"


def goes_on_to_the_same_bits(job, folder, undisturbed, interrupt):
    """Train with `interrupt` told every event, then train on; the bits are those of the undisturbed run."""
    for event in train(job, folder, FAMILY):
        interrupt(event)
    paused = event
    (folder / "pause").unlink()
    goes_on = list(train(job, folder, FAMILY))
    made = type(undisturbed)(job, folder, goes_on)
    assert goes_on[0].first_step == paused.step
    assert state(made) == state(undisturbed)
    return paused


@pytest.mark.parametrize("at", [1, 2])  # between two checkpoints, and at one that is drawn
def test_a_run_that_was_paused_goes_on_to_the_same_bits(base, once, tmp_path, at):
    undisturbed, folder = once(**BROKEN_OFF), tmp_path / "paused"
    job = tiny.job(folder, base, **BROKEN_OFF)
    real = TrainState.one_step

    def interrupt(event):
        if isinstance(event, Started):
            TrainState.one_step = lambda self, batches: (real(self, batches), self.step == at and files.touch(sign))[0]

    sign = folder / "pause"
    try:
        paused = goes_on_to_the_same_bits(job, folder, undisturbed, interrupt)
    finally:
        TrainState.one_step = real
    assert paused == Paused(at)


def test_a_pause_before_the_first_step_gives_the_memory_back_at_once(base, once, tmp_path):
    undisturbed, folder = once(steps=2), tmp_path / "paused"
    job = tiny.job(folder, base, steps=2)
    paused = goes_on_to_the_same_bits(
        job, folder, undisturbed, lambda event: files.touch(folder / "pause") if isinstance(event, Phase) else None
    )
    assert paused == Paused(0) and not list(folder.glob("ckpt-*"))


def test_a_run_that_died_between_a_checkpoint_and_its_samples_draws_them_after_all(base, run, once, tmp_path):
    folder = tmp_path / "killed"
    job = tiny.job(folder, base, **BROKEN_OFF)
    for event in train(job, folder, FAMILY):
        if isinstance(event, Saved):
            break
    assert state(run(folder=folder, **BROKEN_OFF)) == state(once(**BROKEN_OFF))


def test_a_finished_run_is_trained_further_with_a_curve_of_its_own(base, run):
    first = run(steps=2, scheduler="cosine")
    longer = first.job.model_copy(
        update={"settings": first.job.settings.model_copy(update={"steps": 5}), "extended_at": (2,)}
    )
    said = list(train(longer, first.folder, FAMILY))
    rates = [event.learning_rate for event in said if isinstance(event, Step)]
    assert said[0] == Started(5, 2) and said[-1].steps == 5 and len(rates) == 2
    assert said[-1].lora.endswith("tiny-2.safetensors") and first.lora.exists()
    assert all(0 < rate <= 0.5e-2 for rate in rates) and rates == sorted(rates, reverse=True)


def test_a_finished_run_that_is_trained_further_and_stopped_at_once_has_no_second_lora(run):
    first = run(steps=2)
    longer = first.job.model_copy(
        update={"settings": first.job.settings.model_copy(update={"steps": 42}), "extended_at": (2,)}
    )
    task = TaskFolder(first.folder)
    assert list(publish.from_checkpoint(longer, task))[-1].lora == str(first.lora)  # broken off before the steps
    task.ask("stop")
    *_, last = train(longer, first.folder, FAMILY)
    assert (last.step, last.lora) == (2, str(first.lora)) and files.sha256(first.lora) == last.sha256
    assert list(first.lora.parent.iterdir()) == [first.lora]


def test_a_kept_step_is_published_as_the_end_of_the_run_is(once, tmp_path):
    done = once(steps=2)
    found, _ = checkpoint.newest(TaskFolder(done.folder).checkpoints)
    job = done.job.model_copy(update={"publish_to": str(tmp_path)})
    *_, last = publish.kept(KeepJob(run=job, lora=str(found.lora), step=found.step))
    kept = Path(last.lora)
    assert kept == tmp_path / "tiny-step-2.safetensors" and files.sha256(kept) == last.sha256
    one, other = (safetensors.torch.load_file(path) for path in (kept, done.lora))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in other)
    says = {name: text.replace("tiny-step-2", "tiny") for name, text in read_header(kept).metadata.items()}
    assert says == read_header(done.lora).metadata


def test_a_disk_that_fills_up_pauses_the_run_and_nothing_is_lost(base, run, once, tmp_path, monkeypatch):
    folder = tmp_path / "full"
    job = tiny.job(folder, base, **BROKEN_OFF)
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 10**8))
        *_, paused = train(job, folder, FAMILY)
    assert isinstance(paused, Paused) and paused.step == 2 and paused.what.startswith("Only 0.1 GB are free")
    assert state(run(folder=folder, **BROKEN_OFF)) == state(once(**BROKEN_OFF))


def test_a_loss_that_explodes_stops_the_run_at_the_last_good_checkpoint(base, tmp_path, tell):
    tell("Runs that learn nothing, explode or meet NaN: stopped with advice, nothing published", 1)
    with pytest.raises(UserError, match=r"its loss rose to .*state of step 2 is kept") as broke:
        list(train(tiny.job(tmp_path, base, steps=20), tmp_path, Broken(100.0)))
    assert broke.value.cause == "diverged"
    assert checkpoint.newest(tmp_path / "checkpoints")[0].step == 2 and not (tmp_path / "loras").exists()
