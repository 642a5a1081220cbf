"""Files for other programs: proven before they have their name, and silent about this computer."""

import json

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from lora_gui import __main__ as cli
from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.formats.header import read_header
from lora_gui.settings import DrawSettings, StackEntry
from lora_gui.studio.giving import exports, share
from lora_gui.studio.giving.proof import Prover, bases_for
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import loras
from tests.studio.giving.conftest import CAPTION, HOME, TELLS, saved


@pytest.mark.parametrize("program", ["comfyui", "forge", "diffusers", "invokeai"])
def test_the_file_for_a_program_draws_what_the_lora_draws_and_tells_nothing_of_this_computer(
    studio, drawer, lora, program, tmp_path
):
    given = exports.for_program(studio, drawer, lora, program, tmp_path, [].append)
    assert given.proof.drawn and "draws the same test drawing on tiny" in given.proof.sentence
    assert ("by diffusers itself" in given.proof.sentence) == (program == "diffusers")
    assert [path.name for path in tmp_path.iterdir()] == [f"fox-{program}.safetensors"]
    data = given.file.read_bytes()
    assert CAPTION.encode() not in data and HOME.encode() not in data and b"secretname" not in data
    fields = read_header(given.file).metadata
    assert (fields["modelspec.trigger_phrase"], fields["ss_sd_model_name"]) == ("zxy", "Tiny")
    assert json.loads(fields["ss_tag_frequency"]) == {"1_zxy": {"zxy": 1}}
    assert {"ss_dataset_dirs", "ss_tag_frequency", "training_config", "modelspec.comment"} <= {*given.left_out}


def test_a_real_pipeline_of_diffusers_draws_with_the_file_for_it_what_we_draw_with_the_lora(
    studio, drawer, lora, tiny_base, tmp_path
):
    given = exports.for_program(studio, drawer, lora, "diffusers", tmp_path, [].append)
    base = bases_for(studio, lora)[0]
    settings = DrawSettings(
        prompt="zxy", width=64, height=64, steps=2, guidance=4, stack=(StackEntry(lora=str(lora.path)),)
    )
    *_, status = drawer.wait(drawer.order(base, settings, tmp_path / "ours"))
    pipeline = DiffusionPipeline.from_pretrained(tiny_base)
    pipeline.load_lora_weights(given.file.parent, weight_name=given.file.name)
    theirs = pipeline(
        prompt="zxy", width=64, height=64, num_inference_steps=2, guidance_scale=4,
        generator=torch.Generator().manual_seed(1),
    ).images[0]  # fmt: skip
    with Image.open(status.drawings[0]) as ours:
        assert np.abs(np.array(ours, dtype=int) - np.array(theirs, dtype=int)).max() <= 1


def test_a_copy_that_draws_something_else_is_refused_and_nothing_is_left(
    studio, drawer, lora, tiny_base, tmp_path, monkeypatch
):
    with Prover(studio, drawer, lora, [].append) as prover:
        assert prover.prove(saved(tiny_base, tmp_path / "same.safetensors", {}), "somebody").drawn
        for number, strength in enumerate((0.8, 1.2, -1)):
            other = saved(tiny_base, tmp_path / f"{number}.safetensors", {}, strength)
            with pytest.raises(UserError, match="draws something else than fox itself"):
                prover.prove(other, "somebody", "diffusers")

    def wrong(studio, path, dialect, out, fields):
        saved(tiny_base, out, fields, 1.5)

    monkeypatch.setattr(loras, "convert", wrong)
    place = tmp_path / "place"
    with pytest.raises(UserError, match="draws something else"):
        exports.for_program(studio, drawer, lora, "forge", place, [].append)
    assert not place.exists() and not list(tmp_path.glob(".*"))
    assert not list(studio.cache.glob(".test-drawings*"))


@pytest.mark.soak
def test_a_name_that_no_drive_takes_is_a_sentence_and_leaves_nothing(studio, drawer, lora, tmp_path):
    place = tmp_path / ("n" * 300)
    for give in (
        lambda: exports.for_program(studio, drawer, lora, "forge", place, [].append),
        lambda: share.share(studio, drawer, lora, folder=place, say=[].append),
    ):
        with pytest.raises(UserError, match="its name, or that of its folder, is too long for the drive"):
            give()
    assert not list(tmp_path.iterdir())


def test_without_a_base_the_layers_are_compared_alone_and_that_is_said(lora, drawer, tmp_path):
    bare = Studio(tmp_path / "bare")
    files.copy(lora.path, bare.loras / "fox.safetensors")
    (tmp_path / "sd15").mkdir()
    own = loras.named(bare, "fox")
    given = exports.for_program(bare, drawer, own, "forge", tmp_path / "out", [].append)
    assert not given.proof.drawn and "Its layers are the same; no test drawing was made" in given.proof.sentence
    assert given.file.is_file()


def test_the_command_gives_for_a_program_and_refuses_what_reads_no_such_lora(studio, lora, monkeypatch, capsys):
    monkeypatch.setenv("LORA_GUI_HOME", str(studio.home))
    assert cli.main(["give", "fox", "--for", "invokeai", "--json"]) == 0
    said = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert said["drawn"] and said["file"] == str(studio.given / "fox-invokeai.safetensors")
    odd = [["fox", way, "--strength", value] for way in ("share", "civitai") for value in ("nan", "5", "-1", "0")]
    for wrong in (["fox"], ["fox", "--for", "paint"], ["fox", "share", "--for", "forge"], ["nobody", "share"], *odd):
        assert cli.main(["give", *wrong, "--json"]) == 1
        assert "error" in json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def test_what_a_header_may_not_tell_is_listed_by_name_alone(lora):
    from lora_gui.formats import private

    kept, dropped = private.fields(lora.path)
    assert kept.keys() <= TELLS.keys() and not set(dropped) & kept.keys()
    assert not any(private.holds_a_path(text) for text in kept.values())


@pytest.mark.parametrize(
    ("text", "is_path"),
    [
        ("/home/me/a.png", True), ("made in ~/pictures", True), ("C:\\Users\\me", True), ("d:/loras", True),
        ("\\\\server\\share", True), ("file:///home/me", True), ('{"/mnt/x": 1}', True),
        ("stable-diffusion-v1/lora", False), ("https://example.org/a", False), ("(512, 512)", False),
        ("a cat and/or a dog", False), ("1/2", False), ("CreativeML Open RAIL++-M", False),
    ],
)  # fmt: skip
def test_a_path_of_any_system_is_known_by_its_look(text, is_path):
    from lora_gui.formats import private

    assert private.holds_a_path(text) == is_path
