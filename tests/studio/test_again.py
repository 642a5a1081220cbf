"""Drawing again what a picture shows: LoRAs by hash, then by name; what cannot be carried over is said."""

import json
from pathlib import Path

import pytest
import safetensors.numpy
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lora_gui.__main__ import main
from lora_gui.errors import UserError
from lora_gui.formats import metadata, png
from lora_gui.formats.generation import Made
from lora_gui.settings import DrawSettings
from lora_gui.studio import again
from lora_gui.studio.paths import HOME, Studio
from lora_gui.studio.things import inputs, loras
from tests import making

TEXT = """a fox {tags}
Steps: 12, Sampler: Euler a, CFG scale: 5, Seed: 7, Size: 132x97, Model: {model}, \
Lora hashes: "{hashes}", Version: v1"""


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME, str(tmp_path / "studio"))
    found = Studio(tmp_path / "studio")
    found.loras.mkdir(parents=True)
    return found


def lora(studio, name, value):
    """As A1111 knows it: with the hash of its weights in its header."""
    path = studio.loras / f"{name}.safetensors"
    data = metadata.with_hashes(safetensors.numpy.save(making.tensors(value), making.SAYS))
    path.write_bytes(data)
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["sshs_model_hash"]


def picture(folder, tags="", model="Starter", hashes="x: 00000000", text=TEXT):
    told = PngInfo()
    told.add_text("parameters", text.format(tags=tags, model=model, hashes=hashes))
    Image.new("RGB", (8, 8)).save(folder / "a.png", pnginfo=told)
    return folder / "a.png"


def test_a_lora_is_found_by_its_hash_though_it_is_called_otherwise_here(studio, tmp_path):
    digest = lora(studio, "renamed", 0.5)
    lora(studio, "ink", 0.25)
    found = again.read(studio, picture(tmp_path, "<lora:ink:0.8>", hashes=f"ink: {digest[:12]}"))
    assert [(Path(one.lora).stem, one.strength) for one in found.settings.stack] == [("renamed", 0.8)]
    assert found.settings.prompt == "a fox" and found.settings.seed == 7 and found.settings.sampler == "Euler a"
    assert found.base.key == "starter" and not [one for one in found.left if "LoRA" in one]


def test_of_copies_with_one_hash_the_one_of_the_same_name_is_taken(studio, tmp_path):
    for name in ("zebra", "ink", "a copy"):
        digest = lora(studio, name, 0.5)
    found = again.read(studio, picture(tmp_path, "<lora:ink:0.8>", hashes=f"ink: {digest[:12]}"))
    assert [Path(one.lora).stem for one in found.settings.stack] == ["ink"]


@pytest.mark.parametrize(
    ("recorded", "sampler", "said"),
    [
        ("Euler a, Schedule type: Karras", "Euler a", ["Euler a does not take the noise schedule Karras"]),
        ("PLMS, Schedule type: Normal", "PLMS", ["PLMS does not take the noise schedule Normal"]),
        ("Euler, Schedule type: Karras", "Euler", []),
    ],
)
def test_a_sampler_or_schedule_that_the_base_has_not_is_said_and_not_refused_at_drawing(
    studio, tmp_path, recorded, sampler, said
):
    found = again.read(studio, picture(tmp_path, text=TEXT.replace("Euler a", recorded)))
    assert found.settings.sampler == sampler and (found.settings.schedule == "base") == bool(said)
    assert [one for one in found.left if "schedule" in one] == [
        f"{one} with this kind of base. That of the base is taken." for one in said
    ]


def test_one_that_does_not_say_its_hash_is_known_by_its_weights(studio, tmp_path):
    digest = loras.weights_hash(making.lora(studio, "ink"))
    found = again.read(studio, picture(tmp_path, "<lora:ink:0.8>", hashes=f"ink: {digest[:12]}"))
    assert not [one for one in found.left if "LoRA" in one]


def test_else_by_its_name_and_that_it_may_be_another_is_said(studio, tmp_path):
    lora(studio, "ink", 0.25)
    found = again.read(studio, picture(tmp_path, "<lora:ink:3:0.5> <lora:gone:1>", hashes=f"ink: {'f' * 12}"))
    (entry,) = found.settings.stack
    assert Path(entry.lora).stem == "ink" and (entry.strength, entry.text_strength) == (0.5, 2.0)
    said = " ".join(found.left)
    assert "it is another one than in the picture" in said and "'gone' is not here" in said
    assert "goes from -2 to 2" in said and (found.settings.width, found.settings.height) == (136, 96)
    assert "Width was 132, which cannot be here; it is 136." in said


def test_a_base_that_is_not_here_can_be_replaced_by_one_that_is(studio, tmp_path):
    path = picture(tmp_path, model="somebody's merge")
    with pytest.raises(UserError, match="somebody's merge"):
        again.read(studio, path)
    assert main(["again", str(path), "--read", "--base", "starter", "--json"]) == 0


def test_the_command_says_what_it_reads(studio, tmp_path, capsys):
    lora(studio, "ink", 0.25)
    assert main(["again", str(picture(tmp_path, "<lora:ink:0.8>")), "--read", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["program"] == "A1111" and said["settings"]["steps"] == 12 and said["base"] == "starter"
    assert main(["again", str(tmp_path / "none.png"), "--json"]) == 1


def test_a_picture_that_it_began_with_is_found_in_the_studio_or_said_to_be_gone(studio, tmp_path):
    made = Made(DrawSettings(prompt="a", picture="/x/lake.png"), "Starter", ("Euler", ""), [], (512, 512), "starter")
    path = tmp_path / "a.png"
    path.write_bytes(png.of(Image.new("RGB", (8, 8)), made))
    gone = again.read(studio, path)
    assert "not here any more" in gone.left[0] and not gone.settings.picture
    inputs.folder(studio).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (512, 512)).save(inputs.folder(studio) / "lake.png")
    assert again.read(studio, path).settings.picture == str(inputs.folder(studio) / "lake.png")
