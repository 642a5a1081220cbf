"""Bases that are one file: unpacked once, with the app's own configuration, into exactly their networks."""

import functools
import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from lora_gui import families
from lora_gui.engine.draw.drawer import Drawer
from lora_gui.engine.load import tokenizers, unpack
from lora_gui.engine.train.loop import train
from lora_gui.errors import UserError
from lora_gui.families import family
from lora_gui.families.shared.latent import scheduler_of
from lora_gui.protocol.events import Done, Drawn, Note, Phase
from lora_gui.protocol.jobs import Base, DrawJob
from lora_gui.settings import DrawSettings
from tests import tiny, tiny_single_file

CPU = torch.device("cpu")
TINY = {
    "sd1": ("sd15", tiny_single_file.SD15, {"model.diffusion_model.input_blocks.0.0.weight": 4}),
    "sdxl": ("sdxl", tiny_single_file.SDXL, {"conditioner.embedders.1.model.positional_embedding": 24}),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """By its key a folder with a base as one file, and the base's networks; none changes them."""
    home = tmp_path_factory.mktemp("written")
    return functools.cache(lambda key: (home / key, tiny_single_file.write(home / key, *TINY[key][:2])[1]))


@pytest.fixture(params=TINY)
def single(request, written, tmp_path, monkeypatch):
    """A base as one file, and its networks; known by a tensor of its own, since it is so small."""
    inputs, (folder, networks) = TINY[request.param][2], written(request.param)
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "My base.safetensors"
    monkeypatch.setattr(tokenizers, "CLIP", tmp_path / "configs" / "clip")
    monkeypatch.setattr(families, "configuration", lambda key: tmp_path / "configs" / f"{key}.json")
    facts = families.facts_of(request.param)
    builds, quick = (replace(facts.single_files[0], inputs=inputs),), facts.draw_defaults | {"steps": 2}
    changed = replace(facts, single_files=builds, draw_defaults=quick)
    monkeypatch.setattr(type(family(request.param)), "facts", changed)
    known = families.facts() | {request.param: changed}
    monkeypatch.setattr(families, "facts", lambda: known)
    return Base(key="My base", title="My base", family=request.param, path=str(path)), networks


of_one_kind = pytest.mark.parametrize("single", ["sd1"], indirect=True)  # what files of every kind have in common


def as_folder(base, cache) -> tuple[Path, list]:
    made, events = tiny.outcome(unpack.as_folder(base, str(cache)))
    return Path(made.path), events


def test_it_is_unpacked_once_into_its_networks_and_trains_and_draws(single, tmp_path):
    base, networks = single
    cache = tmp_path / "cache"
    job = tiny.job(tmp_path, Path(base.path), steps=2, checkpoint_every=2, precision="fp32")
    job = job.model_copy(update={"base": base, "cache": str(cache)})
    done = list(train(job, tmp_path, family(base.family)))[-1]
    assert isinstance(done, Done)

    folder, events = as_folder(base, cache)
    assert events == [] and folder.parent.parent == cache  # the training has done it
    (folder / "._model.safetensors").write_bytes(b"of macOS")  # as it puts beside others on drives not its own
    assert as_folder(base, cache) == (folder, [])
    own = family(base.family)
    parts = own.denoisers(folder, CPU, torch.float16) | own.text_encoders(folder, CPU, torch.float16)
    parts["vae"] = own.kit(folder, CPU, torch.float32).vae.half()
    for name, network in networks.items():
        held = parts[name].state_dict()
        assert held.keys() == network.state_dict().keys()
        assert all(torch.equal(held[key], value) for key, value in network.state_dict().items()), name

    settings = DrawSettings(prompt="the thing", width=64, height=64, steps=2)
    order = DrawJob(id="a", base=base, settings=settings, folder=str(tmp_path), cache=str(cache))
    assert sum(isinstance(event, Drawn) for event in Drawer().draw(order, print, lambda: False)) == 1


def test_a_file_with_a_tensor_missing_is_refused_and_leaves_nothing_that_counts(single, tmp_path):
    base, _ = single
    tensors = safetensors.torch.load_file(base.path)
    del tensors["model.diffusion_model.time_embed.0.bias"]
    safetensors.torch.save_file(tensors, base.path)
    with pytest.raises(UserError, match="My base cannot be opened: a part of it is missing"):
        as_folder(base, tmp_path / "cache")
    assert not [p for p in (tmp_path / "cache" / "unpacked").iterdir() if p.suffix != ".tmp" and p.is_dir()]


@of_one_kind
def test_an_unpacked_copy_that_is_damaged_is_made_again_with_a_note(single, tmp_path):
    base, _ = single
    folder, _ = as_folder(base, tmp_path / "cache")
    weights = max(folder.rglob("*.safetensors"), key=lambda file: file.stat().st_size)
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    again, events = as_folder(base, tmp_path / "cache")
    assert again == folder and weights.read_bytes() == whole
    assert [type(event) for event in events] == [Note, Phase] and "damaged" in events[0].text
    assert as_folder(base, tmp_path / "cache")[1] == []


@of_one_kind
def test_what_was_unpacked_of_a_file_that_is_gone_or_has_changed_makes_room(single, tmp_path):
    base, _ = single
    first, _ = as_folder(base, tmp_path / "cache")
    other = Path(base.path).with_name("other.safetensors")
    other.write_bytes(Path(base.path).read_bytes())
    second, _ = as_folder(base.model_copy(update={"path": str(other)}), tmp_path / "cache")
    assert first.is_dir() and second.is_dir()
    other.unlink()
    os.utime(base.path, (1, 1))
    third, _ = as_folder(base, tmp_path / "cache")
    assert [one for one in third.parent.iterdir() if one.is_dir()] == [third]


def test_the_tokenizer_is_that_of_clip():
    expected = [49406, 320, 1125, 539, 550, 18376, 6765, 320, 4558, 49407]
    tokenizer = tokenizers.clip_tokenizer("tokenizer_2")
    assert tokenizer("A photo of an astronaut riding a horse").input_ids == expected
    assert len(tokenizer) == 49408 and tokenizer.pad_token_id == 0 and tokenizer.model_max_length == 77


def test_the_tokenizer_of_t5_reads_as_that_which_flux_came_with():
    """Ids that FLUX.1's own tokenizer_2 gives, full width, ligatures and letters in circles among them."""
    t5 = tokenizers.t5_tokenizer()
    odd = "\uff26\uff55\uff4c\uff4c width \u2460 \ufb01ne  two   spaces\ttab\nnew"
    assert t5("a photo of a red fox").input_ids == [3, 9, 1202, 13, 3, 9, 1131, 3, 20400, 1]
    assert t5(odd).input_ids == [4043, 9400, 209, 1399, 192, 4856, 3808, 126, 1]
    assert len(t5) == 32100 and t5.pad_token_id == 0 and t5.model_max_length == 512


def test_a_folder_stays_where_it_is(base, tmp_path):
    found, events = as_folder(Base(key="tiny", title="Tiny", family="sd1", path=str(base)), tmp_path)
    assert found == base and not [event for event in events if isinstance(event, Phase)]


@pytest.mark.skipif(sys.platform != "linux", reason="names are text here")
def test_a_folder_whose_path_holds_bytes_that_are_no_letters_is_refused_as_that(base, tmp_path):
    odd = tmp_path / os.fsdecode(b"f\xfcchse")
    odd.symlink_to(base)
    with pytest.raises(UserError, match="Tiny cannot be opened: the path of its folder holds bytes"):
        as_folder(Base(key="tiny", title="Tiny", family="sd1", path=str(odd)), tmp_path)


def scheduler(folder):
    return json.loads((folder / "scheduler" / "scheduler_config.json").read_text())


def test_a_yaml_beside_a_checkpoint_is_heeded_and_a_change_of_it_too(single, tmp_path):
    base, _ = single
    first, _ = as_folder(base, tmp_path / "cache")
    assert scheduler(first).get("prediction_type", "epsilon") == "epsilon"
    Path(base.path).with_suffix(".yaml").write_text("parameterization: v\nzero_terminal_snr: true\n")
    second, events = as_folder(base, tmp_path / "cache")
    assert scheduler(second)["prediction_type"] == "v_prediction" and "heeded" in events[1].text
    held = scheduler_of(second)
    assert held.config.timestep_spacing == "trailing" and held.config.rescale_betas_zero_snr


def test_a_checkpoint_trained_with_edm_noise_is_refused_by_name(single, tmp_path):
    base, _ = single
    tensors = safetensors.torch.load_file(base.path) | {"edm_vpred.sigma_max": torch.tensor(120.0)}
    safetensors.torch.save_file(tensors, base.path)
    with pytest.raises(UserError, match="trained with EDM noise"):
        as_folder(base, tmp_path / "cache")


def rewritten(base, change, name="My base.safetensors", header=None):
    """The base with its tensors changed in place, under a name."""
    tensors = safetensors.torch.load_file(base.path)
    change(tensors)
    path = Path(base.path).with_name(name)
    safetensors.torch.save_file(tensors, path, header)
    return base.model_copy(update={"path": str(path)})


def tensors_of(folder):
    return {k: v for file in folder.glob("*.safetensors") for k, v in safetensors.torch.load_file(file).items()}


@pytest.mark.parametrize("scale", ["scale_weight", "weight_scale"])
def test_scaled_fp8_is_made_whole_again_and_int8_is_refused(single, tmp_path, scale):
    base, networks = single

    def reduce(tensors, most=448, kind=torch.float8_e4m3fn):
        for name in [name for name in tensors if name.endswith(".weight") and tensors[name].ndim == 2]:
            step = tensors[name].float().abs().max() / most
            tensors[name] = (tensors[name].float() / step).to(kind)
            tensors[f"{name.removesuffix('weight')}{scale}"] = step
        tensors["model.diffusion_model.scaled_fp8"] = torch.zeros(2).to(torch.float8_e4m3fn)

    folder, _ = as_folder(rewritten(base, reduce), tmp_path / "cache")
    held = tensors_of(folder / "unet")
    for name, value in networks["unet"].state_dict().items():
        assert torch.allclose(held[name].float(), value.float(), atol=0.05), name
    few = rewritten(base, lambda tensors: reduce(tensors, 100, torch.int8), "few.safetensors")
    with pytest.raises(UserError, match="few.safetensors is held in few bits"):
        as_folder(few, tmp_path / "cache")


@of_one_kind
@pytest.mark.parametrize("name", ["My base.SAFETENSORS", "My base.sft"])
def test_a_checkpoint_is_unpacked_whatever_its_ending(single, tmp_path, name):
    base, networks = single
    folder, _ = as_folder(rewritten(base, lambda tensors: None, name), tmp_path / "cache")
    assert torch.equal(tensors_of(folder / "unet")["conv_in.weight"], networks["unet"].conv_in.weight)


def test_a_text_encoder_by_its_old_names_is_read(single, tmp_path):
    base, networks = single

    def spell(tensors):
        for name in [name for name in tensors if name.startswith("cond_stage_model.transformer.text_model.")]:
            tensors[name.replace("text_model.", "")] = tensors.pop(name)

    folder, _ = as_folder(rewritten(base, spell), tmp_path / "cache")
    held = {name.removeprefix("text_model."): value for name, value in tensors_of(folder / "text_encoder").items()}
    own = networks["text_encoder"].state_dict().items()
    assert all(torch.equal(held[name.removeprefix("text_model.")], value) for name, value in own)


@of_one_kind
def test_a_header_that_says_v_is_heeded(single, tmp_path):
    base, _ = single
    said = {"modelspec.prediction_type": "v"}
    folder, _ = as_folder(rewritten(base, lambda tensors: None, header=said), tmp_path / "cache")
    assert scheduler(folder)["prediction_type"] == "v_prediction"


@of_one_kind
@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_what_was_unpacked_of_a_link_with_a_yaml_beside_it_stays(single, tmp_path):
    base, _ = single
    link = tmp_path / "links" / "My base.safetensors"
    link.parent.mkdir()
    link.symlink_to(base.path)
    link.with_suffix(".yaml").write_text("parameterization: v")
    first, _ = as_folder(base.model_copy(update={"path": str(link)}), tmp_path / "cache")
    second, _ = as_folder(base, tmp_path / "cache")
    assert first.is_dir() and first != second


@of_one_kind
def test_room_for_what_fp8_comes_to_is_asked_for_before_it_is_unpacked(single, tmp_path, monkeypatch):
    base, _ = single
    path = tmp_path / "few.safetensors"
    held = {name: value.to(torch.float8_e4m3fn) for name, value in safetensors.torch.load_file(base.path).items()}
    safetensors.torch.save_file(held, path)
    free = unpack._SPARE + path.stat().st_size + 1000
    monkeypatch.setattr(unpack.shutil, "disk_usage", lambda place: type("Disk", (), {"free": free}))
    with pytest.raises(UserError, match="on your disk"):
        as_folder(base.model_copy(update={"path": str(path)}), tmp_path / "cache")
