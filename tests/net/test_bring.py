"""LoRAs are brought from the Hub and from Civitai: links of every form, checksums, keys, and strangers' texts."""

import io
import json
import os

import pytest
import safetensors.torch
import torch
from PIL import Image

from lora_gui import civitai_key
from lora_gui.errors import UserError
from lora_gui.net.bring import bring
from lora_gui.protocol import events, links
from lora_gui.protocol.jobs import BringJob
from lora_gui.studio.library import covers, notes, shelf
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.bringing import Bringing, take_in
from lora_gui.studio.things import loras
from tests import making
from tests.net.civitai import SmallCivitai
from tests.net.server import Reply

WORDS = ("zxy <b>style</b>", "zxy, oil painting")


@pytest.fixture
def studio(tmp_path):
    return Studio(tmp_path / "studio")


@pytest.fixture
def lora(tmp_path):
    """The bytes of a LoRA that says no trigger."""
    return making.lora(Studio(tmp_path / "theirs"), "theirs", **{"modelspec.trigger_phrase": ""}).read_bytes()


@pytest.fixture
def picture():
    made = io.BytesIO()
    Image.new("RGB", (80, 64), "teal").save(made, "JPEG")
    return made.getvalue()


@pytest.fixture
def civitai(monkeypatch, hub, tmp_path):
    """It, and no key of the user's."""
    monkeypatch.delenv("CIVITAI_API_KEY", raising=False)
    monkeypatch.setattr(civitai_key, "place", lambda: tmp_path / "config" / "civitai-key")
    with SmallCivitai() as found:
        monkeypatch.setenv(links.CIVITAI, found.url)
        yield found


def run(studio, link, file=""):
    """Bring it as the child does, into the folder of its task; that, and what was said."""
    folder = studio.downloads / "lora-x"
    folder.mkdir(parents=True, exist_ok=True)
    job = BringJob(link=link, file=file)
    (folder / "job.json").write_text(job.model_dump_json())
    return Bringing(folder), list(bring(job, folder))


def test_a_lora_of_civitai_comes_with_its_cover_its_words_and_its_base_as_plain_text(
    civitai, studio, lora, picture
):
    civitai.add(12, 34, lora, picture, trainedWords=list(WORDS), baseModel="SD 1.5<script>")
    bringing, said = run(studio, f"{civitai.url}/models/12/a-lora?modelVersionId=34")
    assert isinstance(said[-1], events.Done)
    brought = take_in(studio, bringing)
    assert (brought.lora.name, brought.lora.trigger, brought.lora.family) == ("lora-34", WORDS[0], "sd1")
    noted = notes.of(studio, "lora-34").text
    assert "SD 1.5<script>" in noted and WORDS[1] in noted and f"{civitai.url}/models/12?modelVersionId=34" in noted
    (card,) = shelf.shelf(studio).cards
    assert covers.decode(studio, [card]) and Image.open(covers.cover(studio, card)).size == (80, 64)
    assert take_in(studio, bringing) is None and not list(studio.downloads.glob("lora-*"))


@pytest.mark.parametrize(
    "link", ["{}/models/12", "{}/models/12/some-name", "{}/api/download/models/34?type=Model", "{}/models/12?x=1",
             "urn:air:sd1:lora:civitai:12@34", "urn:air:sd1:lora:civitai:12", " {}/models/12?modelVersionId=34 "],
)  # fmt: skip
def test_every_form_of_a_link_to_civitai_leads_there(civitai, studio, lora, link):
    civitai.add(12, 34, lora)
    assert take_in(studio, run(studio, link.format(civitai.url))[0]).about.file == "lora-34.safetensors"


def test_the_key_goes_to_civitai_alone_and_stands_in_no_file_of_a_task(civitai, studio, lora):
    civitai.add(12, 34, lora, b"", True)
    with pytest.raises(UserError, match="only to those who are signed in") as caught:
        run(studio, f"{civitai.url}/models/12")
    assert caught.value.cause == "sign in" and "/user/account" in caught.value.remedy
    civitai_key.keep("wr0ng")
    with pytest.raises(UserError, match="not give this for your key"):
        run(studio, f"{civitai.url}/models/12")
    civitai_key.keep(" k3y\n")
    bringing, _ = run(studio, f"{civitai.url}/models/12")
    assert civitai_key.place().stat().st_mode & 0o077 == 0
    assert {one.bearer for one in civitai.requests("/storage/")} == {""}
    holding = [path for path in studio.home.rglob("*") if path.is_file() and b"k3y" in path.read_bytes()]
    assert holding == [] and take_in(studio, bringing)
    civitai_key.keep("")
    assert civitai_key.read() == ""


@pytest.mark.parametrize("key", ["no key", "k" * 300, "schlüssel", "a\nb"])
def test_what_cannot_be_a_key_is_refused(civitai, key):
    with pytest.raises(UserError, match="no key of Civitai"):
        civitai_key.keep(key)


def test_a_checksum_that_is_wrong_is_refused(civitai, studio, lora):
    civitai.add(12, 34, lora)
    civitai.versions[34]["files"][0]["hashes"]["SHA256"] = "0" * 64
    with pytest.raises(UserError, match="checksum"):
        run(studio, f"{civitai.url}/models/12")
    assert not list(studio.loras.glob("*")) if studio.loras.exists() else True


@pytest.mark.parametrize(
    ("match", "reply", "said"),
    [
        ("GET /api/v1", Reply(404), "no such thing on Civitai"),
        ("GET /api/v1", Reply(429, headers={"Retry-After": "7200"}), "120 minutes"),
        ("GET /api/v1", Reply(200, b"<html>"), "not understood"),
        ("GET /api/v1", Reply(200, b"[1]"), "not understood"),
        ("GET /api/v1", Reply(503), "out of order"),
        ("GET /api/download", Reply(200, b"<html>log in", {"Content-Type": "text/html"}), "signed in"),
    ],
)
def test_what_civitai_refuses_is_one_sentence(civitai, studio, lora, match, reply, said):
    civitai.add(12, 34, lora)
    civitai.fault(match, times=99, reply=reply)
    with pytest.raises(UserError, match=said):
        run(studio, f"{civitai.url}/models/12")


def test_odd_answers_of_the_api_are_passed_over_and_never_followed(civitai, studio, lora):
    civitai.add(12, 34, lora, trainedWords=[1, None, "x" * 900, "zxy"], images=[{"url": 5}, 3], baseModel=None)
    said = civitai.versions[34]["files"]
    said.insert(0, {"name": "evil.safetensors", "type": "Model", "downloadUrl": "http://192.0.2.1/x", "sizeKB": 1})
    said.insert(0, {"name": "data.zip", "type": "Training Data", "downloadUrl": f"{civitai.url}/x"})
    brought = take_in(studio, run(studio, f"{civitai.url}/models/12")[0])
    assert brought.about.file == "lora-34.safetensors" and max(map(len, brought.about.words)) == 300
    assert not brought.pictured


def test_a_preview_not_fit_for_everybody_stays_there(civitai, studio, lora, picture):
    civitai.add(12, 34, lora, picture)
    civitai.versions[34]["images"][0]["nsfwLevel"] = 16
    assert not take_in(studio, run(studio, f"{civitai.url}/models/12")[0]).pictured
    assert not civitai.requests("/picture/")


def test_a_preview_that_is_no_picture_is_left_out(civitai, studio, lora):
    civitai.add(12, 34, lora, b"GIF89a" + os.urandom(500))
    assert not take_in(studio, run(studio, f"{civitai.url}/models/12")[0]).pictured


@pytest.mark.parametrize("reply", [
    Reply(302, headers={"Location": "/picture/again.jpeg"}), Reply(302, headers={"Location": "file:///x"}),
    Reply(200, b"not packed", {"Content-Encoding": "gzip"}),
])  # fmt: skip
def test_a_preview_that_cannot_be_had_is_left_out(civitai, studio, lora, picture, reply):
    civitai.add(12, 34, lora, picture)
    civitai.fault("GET /picture", times=99, reply=reply)
    assert not take_in(studio, run(studio, f"{civitai.url}/models/12")[0]).pictured


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(302, headers={"Location": "/storage/again"}), "leads on and on"),
        (Reply(302, headers={"Location": "file:///x"}), "leads on to 'file://.*no address of the web"),
    ],
)
def test_a_file_that_is_somewhere_else_for_ever_or_nowhere_is_one_sentence(civitai, studio, lora, reply, says):
    civitai.add(12, 34, lora)
    civitai.fault("GET /storage", times=99, reply=reply)
    with pytest.raises(UserError, match=says):
        run(studio, f"{civitai.url}/models/12")


def test_an_answer_that_cannot_be_unpacked_is_asked_for_again(civitai, studio, lora):
    civitai.add(12, 34, lora)
    civitai.fault("GET /api/v1", reply=Reply(200, b"not packed", {"Content-Encoding": "gzip"}))
    _, said = run(studio, f"{civitai.url}/models/12")
    assert any("What came cannot be unpacked" in one.name for one in said if isinstance(one, events.Phase))


def test_a_checkpoint_is_no_lora(civitai, studio, lora):
    civitai.add(12, 34, lora, model={"name": "X", "type": "Checkpoint"})
    with pytest.raises(UserError, match="no LoRA but a Checkpoint"):
        run(studio, f"{civitai.url}/models/12")


def test_a_lora_of_the_hub_comes_with_its_trigger_and_base(hub, civitai, studio, lora, picture):
    card = {"instance_prompt": "in zxy style", "base_model": "stabilityai/sdxl"}
    hub.add("ada/my-lora", {"my_lora.safetensors": lora, "README.md": b"# It", "image_0.png": picture}, card=card)
    brought = take_in(studio, run(studio, "ada/my-lora")[0])
    assert (brought.lora.name, brought.lora.trigger, brought.pictured) == ("my_lora", "in zxy style", True)
    assert "stabilityai/sdxl" in notes.of(studio, "my_lora").text


def test_a_lora_of_the_hub_that_peft_has_saved_comes_as_strong_as_its_settings_say(hub, civitai, studio):
    layer = "base_model.model.mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
    halves = {f"{layer}.lora_A.weight": torch.ones(4, 768), f"{layer}.lora_B.weight": torch.ones(1280, 4)}
    settings = json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 32}).encode()
    files = {"adapter_model.safetensors": safetensors.torch.save(halves), "adapter_config.json": settings}
    hub.add("ada/by-peft", {f"unet/{name}": data for name, data in files.items()})
    assert take_in(studio, run(studio, "ada/by-peft")[0]).lora.alpha == 32


def test_several_loras_are_to_be_chosen_from(hub, civitai, studio, lora):
    hub.add("ada/two", {"a.safetensors": lora, "b.SAFETENSORS": lora})
    folder = studio.downloads / "lora-x"
    folder.mkdir(parents=True)
    said = []
    with pytest.raises(UserError, match="holds 2 files") as caught:
        said += bring(BringJob(link="ada/two"), folder)
    assert caught.value.cause == "choose" and "a.safetensors, b.SAFETENSORS" in caught.value.remedy
    assert take_in(studio, run(studio, "ada/two", "b.SAFETENSORS")[0]).lora.name == "b"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"README.md": b"x"}, "holds no LoRA"),
        ({"model_index.json": b"{}", "unet/x.safetensors": b"x"}, "whole base"),
    ],
)
def test_a_repository_that_is_no_lora_says_what_it_is(hub, civitai, studio, files, said):
    hub.add("ada/other", files)
    with pytest.raises(UserError, match=said):
        run(studio, "ada/other")


def test_what_is_no_lora_at_all_is_not_kept(hub, civitai, studio):
    hub.add("ada/broken", {"x.safetensors": b"not tensors" * 5000})
    bringing, _ = run(studio, "ada/broken")
    with pytest.raises(UserError):
        take_in(studio, bringing)
    assert not list(studio.loras.glob("*.safetensors")) and not bringing.task.path.exists()


def test_a_line_that_drops_loses_nothing_of_a_lora_either(civitai, studio, tmp_path):
    data = making.lora(Studio(tmp_path / "big"), "big", note="x" * 900_000).read_bytes()
    civitai.add(12, 34, data)
    for _ in range(5):
        civitai.fault("GET /storage", cut_after=len(data) // 10)
    bringing, _ = run(studio, f"{civitai.url}/models/12")
    assert civitai.sent("GET /storage") == len(data)
    assert json.loads((bringing.task.path / "about.json").read_text())["sha256"]
    assert loras.describe(take_in(studio, bringing).lora.path)


@pytest.mark.parametrize("refused", ["copy", "edit.edit", "notes.change"])
def test_what_the_drive_refuses_stays_and_comes_once_when_it_lets_it(civitai, studio, lora, refused, monkeypatch):
    civitai.add(12, 34, lora, trainedWords=["zxy"])
    bringing, _ = run(studio, f"{civitai.url}/models/12")
    where = {"copy": "lora_gui.files.copy"}.get(refused, f"lora_gui.studio.tasks.bringing.{refused}")

    def refuse(*_, **__):
        raise UserError("The drive refuses.", "Look after it.")

    with monkeypatch.context() as patched, pytest.raises(UserError, match="The drive refuses"):
        patched.setattr(where, refuse)
        take_in(studio, bringing)
    assert bringing.is_here() and not list(studio.loras.glob("*"))
    assert take_in(studio, bringing).lora.trigger == "zxy" and len(list(studio.loras.glob("*.safetensors"))) == 1
