"""Contract cards of this studio's LoRAs, and which LoRAs learnt from a picture."""

import json

import pytest
import safetensors.numpy
from numpy import float16, ones
from PIL import Image

from lora_gui import __main__ as cli
from lora_gui.errors import UserError
from lora_gui.formats import contract, edit
from lora_gui.protocol import events
from lora_gui.protocol.jobs import Base
from lora_gui.settings import TrainSettings
from lora_gui.studio.library import contracts, origins
from lora_gui.studio.library.contracts import Answers
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import runs
from lora_gui.studio.things import loras, pictures

LAYER = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
ALL_MINE = Answers(owns="style", rights="own", people="none")


def lora_file(path, **fields):
    tensors = {f"{LAYER}.lora_down.weight": ones((2, 8), float16), f"{LAYER}.lora_up.weight": ones((8, 2), float16)}
    path.parent.mkdir(parents=True, exist_ok=True)
    safetensors.numpy.save_file(tensors, path, fields or None)
    return path


@pytest.fixture
def studio(tmp_path, monkeypatch):
    """Three pictures, a run that learnt from them, and its LoRA."""
    found = Studio(tmp_path / "studio")
    monkeypatch.setenv("LORA_GUI_HOME", str(found.home))
    inbox = tmp_path / "in"
    inbox.mkdir()
    for n, name in enumerate(("a.png", "b.png", "c.png")):
        Image.effect_noise((80, 80), 20 + n).convert("RGB").save(inbox / name)
    chosen, _ = pictures.import_pictures(found, [inbox])
    base = Base(key="sd15", title="SD 1.5", family="sd1", path="/bases/sd15", like="sd15")
    job = runs.new_job(found, "fox", "zxy", "style", base, chosen.pictures, TrainSettings())
    run = runs.make(found, job)
    path = lora_file(found.loras / "fox.safetensors", **{"modelspec.trigger_phrase": "zxy"})
    said = events.Started(10), events.Done(str(path), "ab", 10, 1.0)
    run.files.events.write_text("".join(events.to_line(event) + "\n" for event in said))
    return found


def test_a_card_is_begun_from_the_run_and_kept_in_the_file_without_touching_its_tensors(studio):
    lora = loras.named(studio, "fox")
    begun, learnt = contracts.begun(studio, lora)
    assert [one.label for one in learnt] == ["a.png", "b.png", "c.png"] and len({one.digest for one in learnt}) == 3
    assert begun.pictures == 3 and begun.dataset == contract.digest_of(one.digest for one in learnt)
    before = safetensors.numpy.load_file(lora.path)
    others = {2: "licensed"}
    contracts.record(studio, lora, Answers("style", "own", "none", " Ink\ndrawings ", others, "CC BY 4.0"))
    told = contracts.of(lora.path)
    assert (told.rights, told.scope, told.each, told.licence) == (
        {"own": 2, "licensed": 1}, "Ink drawings", {}, "CC BY 4.0"
    )  # fmt: skip
    assert contracts.require_publishable(lora.path) == told
    after = safetensors.numpy.load_file(lora.path)
    assert all((before[name] == after[name]).all() for name in before)
    contracts.record(studio, lora, Answers("style", "unknown", "none", is_open=True))
    told = contracts.of(lora.path)
    assert told.each == {one.digest: "unknown" for one in learnt}
    with pytest.raises(UserError, match="The rights of 3 pictures are not known"):
        contracts.require_publishable(lora.path)
    with pytest.raises(UserError, match="There is no picture 4"):
        contracts.record(studio, lora, Answers("style", "own", "none", others={4: "own"}))


def test_unknown_rights_never_stand_in_the_way_of_a_training(studio):
    with pytest.raises(UserError, match="Nobody has said yet"):
        contracts.require_publishable(studio.loras / "fox.safetensors")
    assert origins.run_of(studio, loras.named(studio, "fox"))  # it was ordered without any of this


def test_the_loras_that_learnt_from_a_picture_are_found_by_its_pixels_whatever_file_it_is_in(studio, tmp_path):
    assert [(one.lora, one.by) for one in learnt(studio, tmp_path / "in" / "b.png")] == [("fox", "run")]
    with Image.open(tmp_path / "in" / "b.png") as image:
        image.save(tmp_path / "same.webp", lossless=True)
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "mirrored.png")
        turned = Image.Exif()
        turned[0x0112] = 3  # to be shown upside down
        image.transpose(Image.Transpose.ROTATE_180).save(tmp_path / "turned.png", exif=turned)
    assert len(learnt(studio, tmp_path / "same.webp")) == len(learnt(studio, tmp_path / "turned.png")) == 1
    assert learnt(studio, tmp_path / "mirrored.png") == []


def learnt(studio, picture):
    return origins.learnt_from(studio, origins.digest_of(picture))


def test_a_lora_that_was_brought_with_an_open_card_answers_too_and_a_renamed_one_is_still_its_runs(studio, tmp_path):
    lora = loras.named(studio, "fox")
    contracts.record(studio, lora, Answers("style", "own", "none", is_open=True))
    other = Studio(tmp_path / "other")
    brought = loras.import_lora(other, lora.path)
    assert [(one.lora, one.by) for one in learnt(other, tmp_path / "in" / "a.png")] == [(brought.name, "card")]
    lora.path.rename(studio.loras / "renard.safetensors")
    assert origins.run_of(studio, loras.named(studio, "renard")) is not None


def test_the_commands_record_a_card_show_it_and_answer_for_a_picture(studio, tmp_path, capsys):
    def told(*words):
        code = cli.main([*words, "--json"])
        return code, json.loads(capsys.readouterr().out.strip().splitlines()[-1])

    assert told("contract", "fox")[1]["holds_back"] == [
        "Nobody has said yet whose the pictures are that it learnt from."
    ]
    code, said = told("contract", "fox", "--owns", "style", "--rights", "own", "--people", "none", "--picture",
                      "2=licensed", "--scope", "Ink foxes.")  # fmt: skip
    assert code == 0 and said["rights"] == {"own": 2, "licensed": 1} and said["holds_back"] == []
    assert [one["picture"] for one in said["learnt_from"]] == ["a.png", "b.png", "c.png"]
    for wrong in (["--owns", "style"], ["--owns", "style", "--rights", "own", "--people", "none", "--picture", "x"]):
        assert told("contract", "fox", *wrong)[0] == 1
    code, said = told("learnt", str(tmp_path / "in" / "a.png"))
    assert code == 0 and [one["lora"] for one in said["learnt"]] == ["fox"]
    assert cli.main(["contract", "fox"]) == 0 and "It is a style: Ink foxes." in capsys.readouterr().out
    assert edit.metadata(studio.loras / "fox.safetensors")[contract.CONSENT] == "none"
