"""A LoRA that is trained further: it begins as its file, weight for weight, or with a sentence."""

import shutil

import pytest
import safetensors.torch
import torch

from lora_gui.engine.load import lora
from lora_gui.engine.train import beginning, checkpoint, publish
from lora_gui.engine.train.loop import _prepare, train
from lora_gui.engine.train.ranks import ALONE
from lora_gui.engine.train.step import NAME
from lora_gui.errors import UserError
from lora_gui.families import family
from lora_gui.formats import dialects
from lora_gui.formats.header import read_header
from lora_gui.protocol.events import Done, Note, Saved, Started
from lora_gui.protocol.task_folder import PEFT_SETTINGS, PEFT_WEIGHTS, TaskFolder
from lora_gui.studio.library import bin, notes
from lora_gui.studio.paths import Studio
from tests import tiny, tiny_flux_1

FAMILY = tiny.QuickStableDiffusion1()


def further(folder, base, file, **settings):
    """The job of a run that begins with `file`, written into its folder."""
    job = tiny.job(folder, base, **({"steps": 2, "layers": "all", "sample_every": 0} | settings))
    job = job.model_copy(update={"begin_from": str(file)})
    TaskFolder(folder).write_job(job)
    return job


def prepared(job, folder):
    """The state right before the first step, and what was said on the way."""
    work, said = _prepare(job, TaskFolder(folder), FAMILY, None, ALONE), []
    while True:
        try:
            said.append(next(work))
        except StopIteration as end:
            return end.value[0], [event.text for event in said if isinstance(event, Note)]


def test_before_its_first_step_it_is_the_file_bit_for_bit(base, finished, tmp_path):
    folder = tmp_path / "run"
    job = further(folder, base, finished.lora)
    state, said = prepared(job, folder)
    data = publish.encode(job, FAMILY.facts, lora.get_weights(state.parts, NAME), 0)
    mine, theirs = safetensors.torch.load(data), safetensors.torch.load_file(finished.lora)
    assert mine.keys() == theirs.keys() and all(mine[key].equal(theirs[key]) for key in mine)
    assert said == [f"It goes on from the weights of {finished.lora.stem}."]


def test_it_learns_on_from_there_also_once_the_file_is_gone(base, finished, tmp_path):
    folder, file = tmp_path / "run", tmp_path / "fox.safetensors"
    shutil.copy(finished.lora, file)
    job = further(folder, base, file, steps=3, checkpoint_every=1)
    file.unlink()
    for event in train(job, folder, FAMILY):
        if isinstance(event, Saved) and event.step == 1:
            break  # as good as kill -9
    shutil.rmtree(folder / "begin")  # as in a run that came back from another computer
    events = list(train(TaskFolder(folder).read_job(), folder, FAMILY))
    assert events[0] == Started(3, 1) and isinstance(events[-1], Done)
    kept, _ = checkpoint.newest(folder / "checkpoints")
    before, after = safetensors.torch.load_file(finished.lora), safetensors.torch.load_file(events[-1].lora)
    ups = [key for key in after if "lora_up" in key]
    assert kept.step == 3 and not any(before[key].equal(after[key]) for key in ups)
    assert all((before[key] - after[key]).abs().max() < 0.2 for key in ups)  # near where it began, not anew


def test_the_alpha_that_peft_says_beside_a_file_goes_with_it(base, finished, tmp_path):
    by_peft = tmp_path / "peft"
    by_peft.mkdir()
    layers = dialects.read(finished.lora, None, FAMILY.facts, [FAMILY.facts])
    tensors = dialects.build(layers, FAMILY.facts, "diffusers")
    safetensors.torch.save_file({k: t for k, t in tensors.items() if not k.endswith("alpha")}, by_peft / PEFT_WEIGHTS)
    (by_peft / PEFT_SETTINGS).write_text('{"lora_alpha": 3}')
    folder = tmp_path / "run"
    further(folder, base, by_peft / PEFT_WEIGHTS)
    shutil.rmtree(by_peft)
    read = dialects.read(folder / "begin" / PEFT_WEIGHTS, None, FAMILY.facts, [FAMILY.facts])
    assert {layer.alpha for layer in read.values()} == {3.0}


def test_it_keeps_its_own_layers_and_says_so_where_others_are_asked_for(base, finished, tmp_path):
    folder = tmp_path / "run"
    state, said = prepared(further(folder, base, finished.lora, layers="attention"), folder)
    found = lora.get_weights(state.parts, NAME)
    assert said[-1] == f"It learns the {len(found)} layers that this LoRA has, not those that 'Layers' names."
    assert len(found) == read_header(finished.lora).layers


def test_what_its_file_has_besides_and_does_not_learn_is_said(base, finished, tmp_path):
    texts = {f"lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_{half}.weight": torch.ones(shape)
             for half, shape in (("down", (4, 32)), ("up", (32, 4)))}  # fmt: skip
    file, folder = tmp_path / "more.safetensors", tmp_path / "run"
    with safetensors.safe_open(finished.lora, "pt") as whole:
        held = safetensors.torch.load_file(finished.lora) | texts
        file.write_bytes(safetensors.torch.save(held, whole.metadata()))
    _, said = prepared(further(folder, base, file), folder)
    assert f"Of its {len(held)} tensors some are left out: 2 of a text encoder that is not changed here." in said


def test_a_dora_that_its_file_could_not_say_is_refused_new_or_trained_further(tmp_path):
    flux, cpu = family("flux1"), torch.device("cpu")
    base = tiny_flux_1.flux_1(tmp_path / "base")
    job = tiny.job(tmp_path / "run", base, dora=True)
    job = job.model_copy(update={"base": job.base.model_copy(update={"family": "flux1"})})
    parts = flux.denoisers(base, cpu, torch.float32)
    with pytest.raises(UserError, match=r"which this kind of file cannot say. Set Layers to linear"):
        beginning.add(job, tmp_path / "run", flux, parts, NAME)
    file = tmp_path / "begun.safetensors"
    tensors = dialects.build(lora.get_weights(parts, NAME), flux.facts, "diffusers")
    safetensors.torch.save_file({key: one.contiguous() for key, one in tensors.items()}, file)
    job = job.model_copy(update={"begin_from": str(file)})
    TaskFolder(tmp_path / "run").write_job(job)
    with pytest.raises(UserError, match=r"which this kind of file cannot say. Begin anew"):
        beginning.add(job, tmp_path / "run", flux, flux.denoisers(base, cpu, torch.float32), NAME)


@pytest.mark.parametrize(("setting", "value"), [("rank", 8), ("alpha", 1.0)])
def test_another_rank_or_alpha_is_a_sentence_that_names_the_one_it_has(base, finished, tmp_path, setting, value):
    folder = tmp_path / "run"
    with pytest.raises(UserError) as caught:
        list(train(further(folder, base, finished.lora, **{setting: value}), folder, FAMILY))
    assert f"has {setting} 4, and this run asks for {value:g}" in caught.value.what
    assert caught.value.remedy == f"Set {setting.capitalize()} to 4, or begin anew."


def test_a_file_that_is_not_there_is_a_sentence(base, finished, tmp_path):
    folder = tmp_path / "run"
    job = further(folder, base, tmp_path / "gone.safetensors")
    with pytest.raises(UserError, match="gone is not in the run's folder"):
        list(train(job, folder, FAMILY))


def test_a_lora_deleted_while_a_run_trains_further_from_it_under_its_name_comes_back_beside_the_new_one(
    base, finished, tmp_path
):
    studio = Studio(tmp_path / "studio")
    old = studio.loras / "fox.safetensors"
    old.parent.mkdir(parents=True)
    shutil.copy(finished.lora, old)
    notes.change(studio, "fox", text="the first one")
    before, folder, gone = old.read_bytes(), tmp_path / "run", None
    job = further(folder, base, old, steps=3).model_copy(update={"name": "fox", "publish_to": str(studio.loras)})
    for event in train(job, folder, FAMILY):
        if isinstance(event, Started):
            gone = bin.delete(studio, old)
    assert isinstance(event, Done) and event.lora == str(old) and old.read_bytes() != before
    assert notes.of(studio, "fox").text == ""
    assert gone and (back := bin.restore(studio, gone)).name == "fox-2.safetensors"
    assert back.read_bytes() == before and notes.of(studio, "fox-2").text == "the first one"
