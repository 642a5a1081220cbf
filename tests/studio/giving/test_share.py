"""A folder to share: whole, readable by the Hub, and without a word of this computer, its user or the captions."""

import io
import json
import os
import shlex
import sys
import threading
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from PIL import Image

from lora_gui import __main__ as cli
from lora_gui.commands import give
from lora_gui.errors import UserError
from lora_gui.formats import contract, edit, generation, png
from lora_gui.formats.contract import Contract
from lora_gui.protocol.jobs import Base, TrainJob, TrainPicture
from lora_gui.settings import DrawSettings, TrainSettings
from lora_gui.studio.giving import card, publish, share
from lora_gui.studio.giving.card import Content, Shown
from lora_gui.studio.library import contracts
from lora_gui.studio.tasks import process
from lora_gui.studio.tasks.run import Run
from lora_gui.studio.things import loras
from tests.net.hub import SmallHub
from tests.studio.giving.conftest import CAPTION, HOME

TOLD = Contract(
    owns="style", scope="Flat ink drawings of foxes.", dataset="ab" * 32, pictures=4, rights={"own": 3, "licensed": 1},
    people="none", licence="CC BY 4.0", confirmed="2026-11-28",
)  # fmt: skip


def drawing(path: Path, prompt: str, digest: str = "ab" * 32, **more: str) -> Path:
    """One of ours, with further texts as other programs put them in."""
    made = generation.Made(DrawSettings(prompt=prompt), "Tiny", ("DDIM", ""), [("fox", 0.8, digest)], (64, 64))
    path.parent.mkdir(parents=True, exist_ok=True)
    text = generation.text(made)
    path.write_bytes(png.encode(Image.new("RGB", (64, 64), "red"), text))
    if more:
        from PIL.PngImagePlugin import PngInfo

        texts = PngInfo()
        for name, value in ({"parameters": text} | more).items():
            texts.add_text(name, value)
        Image.new("RGB", (64, 64), "red").save(path, pnginfo=texts)
    return path


def run_with_captions(studio):
    run = Run(studio.runs / "20260101-120000-abcd")
    picture = TrainPicture(path=str(studio.pictures / "annabel" / "0001.png"), caption=CAPTION)
    base = Base(key="tiny", title="Tiny", family="sd1", path="/bases/tiny")
    run.files.write_job(
        TrainJob(name="fox", trigger="zxy", preset="style", base=base, pictures=(picture,), settings=TrainSettings())
    )


def told_of(folder: Path) -> bytes:
    """All that anybody can read in a folder: names, files, and the texts in its pictures."""
    found = b""
    for path in sorted(folder.rglob("*")):
        found += path.relative_to(folder).as_posix().encode()
        if path.is_file():
            data = path.read_bytes()
            found += data
            if path.suffix == ".png":
                found += json.dumps({k: str(v) for k, v in Image.open(io.BytesIO(data)).info.items()}).encode()
    return found


def test_a_shared_folder_is_whole_and_says_nothing_of_this_computer_its_user_or_the_captions(
    studio, drawer, lora, tmp_path, monkeypatch
):
    monkeypatch.setenv("LOGNAME", "secretname")
    run_with_captions(studio)
    edit.edit(lora.path, contract.fields_of(TOLD) | {"modelspec.author": "secretname"})
    lora = loras.describe(lora.path)
    chosen = [
        drawing(tmp_path / "secretname" / "a.png", "zxy, a fox", workflow=f"in {HOME}", Author="secretname"),
        drawing(tmp_path / "b.png", f"zxy, {CAPTION.upper()}"),
        drawing(tmp_path / "c.png", "zxy after /home/secretname/x"),
    ]
    made = share.share(studio, drawer, lora, chosen, 0.8, tmp_path / "fox", [].append)
    assert set(made.files) == {"fox.safetensors", "README.md", "cover.png", "images/1.png"}
    assert made.files == {name: (made.folder / name).stat().st_size for name in made.files}
    told = told_of(made.folder)
    for secret in (CAPTION, CAPTION.upper(), "Annabel", "secretname", HOME, str(studio.home), str(tmp_path), "c.png"):
        assert secret.encode() not in told, secret
    assert [note.partition(" stays here")[0] for note in made.notes[1:]] == ["b.png", "c.png"]
    assert len(made.proofs) == 2 and "by diffusers itself" in made.proofs[1]
    assert "<lora:fox:0.8>" in Image.open(made.folder / "images" / "1.png").info["parameters"]
    assert contract.read(edit.metadata(made.folder / "fox.safetensors")).rights == TOLD.rights
    read = ModelCard.load(made.folder / "README.md")
    assert (read.data.instance_prompt, read.data.license, read.data.library_name) == ("zxy", "cc-by-4.0", "diffusers")
    assert read.data.widget == [{"text": "zxy, a fox", "output": {"url": "images/1.png"}}]
    assert {"lora", "template:sd-lora", "text-to-image"} <= {*read.data.tags}
    for words in ("`zxy`", "Strength: 0.8", "Flat ink drawings of foxes.", "3 my own, 1 under a licence", "`fox.safe"):
        assert words in read.text


def test_where_nobody_chose_drawings_some_are_made_and_nothing_else_stays(studio, drawer, lora, tmp_path, monkeypatch):
    monkeypatch.setattr(share, "_PROMPTS", {"style": ("{}, a fox",), "concept": ()})
    monkeypatch.setattr(
        "lora_gui.studio.giving.proof.bases.draw_defaults",
        lambda base: {"width": 64, "height": 64, "steps": 2, "guidance": 4},
    )
    made = share.share(studio, drawer, lora, (), 1.0, tmp_path / "fox", [].append)
    assert set(made.files) == {"fox.safetensors", "README.md", "cover.png", "images/1.png"}
    assert {path.name for path in made.folder.iterdir()} == {"fox.safetensors", "README.md", "cover.png", "images"}
    with pytest.raises(UserError, match="is there already"):
        share.share(studio, drawer, lora, (), 1.0, tmp_path / "fox", [].append)


def test_the_command_shares_and_a_picture_of_somebody_else_leaves_nothing(studio, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("LORA_GUI_HOME", str(studio.home))
    (tmp_path / "no.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    wrong = ["give", "fox", "share", "--drawing", str(tmp_path / "no.png"), "--out", str(out), "--json"]
    assert cli.main(wrong) == 1 and "no whole drawing" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["no.png"]
    right = ["give", "fox", "share", "--drawing", str(drawing(tmp_path / "a.png", "zxy")), "--json"]
    assert cli.main(right) == 0
    said = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert said["folder"] == str(studio.given / "fox") and said["lora"] == "fox.safetensors"


@pytest.mark.parametrize(
    ("base", "hub", "name"),
    [("sd15", "creativeml-openrail-m", None), ("flux1-dev", "other", "flux.1-dev-non-commercial-license")],
)
def test_a_card_names_the_base_and_its_licence_as_the_hub_calls_them(lora, base, hub, name):
    from dataclasses import replace

    known = card.bases.known_bases()[base]
    own = replace(lora, base_key=base, trigger="a: [b] `c`", name="fox *bold*")
    content = Content(own, "fox.safetensors", Contract(), samples=[Shown("images/1.png", "{x}: - [y](z)")])
    read = ModelCard(card.written(content))
    assert (read.data.base_model, read.data.license, read.data.license_name) == (known.repo, hub, name)
    assert read.data.base_model_relation == "adapter" and read.data.instance_prompt == "a: [b] `c`"
    assert (read.data.license_link is None) == (hub != "other")
    assert "fox \\*bold\\*" in read.text and "Nobody has recorded whose the pictures are" in read.text


def test_the_line_to_publish_with_is_one_for_the_shell_of_this_system(monkeypatch):
    words = ["give", "red fox", "--folder", "C:\\fox"]
    lines = {"linux": "give 'red fox' --folder 'C:\\fox'", "win32": 'give "red fox" --folder C:\\fox'}
    for system, line in lines.items():
        monkeypatch.setattr(sys, "platform", system)
        assert give._in_shell(words) == line


def test_publishing_shows_first_what_would_be_uploaded_and_sends_it_only_then(
    studio, lora, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("LORA_GUI_HOME", str(studio.home))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    edit.edit(lora.path, dict.fromkeys((contract.RIGHTS, contract.CONSENT)))

    def told(*more):
        code = cli.main(["give", "fox", "publish", "--repo", "ada/fox", *more, "--json"])
        return code, json.loads(capsys.readouterr().out.strip().splitlines()[-1])

    assert told()[1]["error"].startswith("Nobody has said yet whose")
    edit.edit(lora.path, contract.fields_of(TOLD))
    chosen = ["--drawing", str(drawing(tmp_path / "a.png", "zxy, a fox")), "--out", str(tmp_path / "out")]
    with SmallHub() as hub:
        hub.allow("hf_write", "ada")
        for name, value in hub.environment().items():
            monkeypatch.setenv(name, value)
        code = cli.main(["give", "fox", "publish", "--repo", "ada/fox", "--public", *chosen, "--json"])
        line = capsys.readouterr().err.strip().splitlines()[-1]
        again = cli.parser().parse_args(shlex.split(line.partition("say: ")[2], posix=sys.platform != "win32"))
        assert code == 0 and again.public and again.yes and again.folder.is_dir()
        assert told("--for", "kohya")[1]["error"] == "A LoRA is given in one way at a time."
        code, said = told("--folder", str(again.folder))
        assert code == 0 and said["address"] == "" and said["private"] and not hub.asked
        assert set(said["files"]) == {"fox.safetensors", "README.md", "cover.png", "images/1.png"}
        folder = ["--folder", said["folder"], "--yes"]
        monkeypatch.setattr(process, "COMMAND", (sys.executable, "-m", "lora_gui.worker"))  # it reads what is set here
        assert told(*folder)[1]["error"].startswith("The Hub wants a token")
        monkeypatch.setenv("HF_TOKEN", "hf_write")
        code, said = told(*folder)
        assert code == 0 and said["address"] == f"{hub.url}/ada/fox", said
        assert set(hub.repos["ada/fox"].at("main")[1]) == {*said["files"], ".gitattributes"}
        assert hub.repos["ada/fox"].private


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes in folders")
def test_a_pipe_in_place_of_a_drawing_hangs_nobody(tmp_path, lora, studio):
    os.mkfifo(tmp_path / "pipe.png")
    folder = share._Folder(studio, lora, tmp_path / "made", None)
    said = []

    def chosen():
        with pytest.raises(UserError, match="no whole drawing") as caught:
            folder.write_samples([tmp_path / "pipe.png"])
        said.append(caught.value)

    thread = threading.Thread(target=chosen, daemon=True)
    thread.start()
    thread.join(60)
    assert said


def test_a_card_in_another_encoding_is_told_before_anything_is_uploaded(tmp_path, monkeypatch):
    monkeypatch.setattr(contracts, "require_publishable", lambda path: None)
    for text, right in (("# caf\xe9".encode("latin-1"), False), ("\ufeff# caf\xe9".encode(), True)):
        (tmp_path / "README.md").write_bytes(text)
        if right:
            assert publish.shown(tmp_path, "fox.safetensors", "ada/fox").card == "# caf\xe9"
        else:
            with pytest.raises(UserError, match="README.md cannot be read"):
                publish.shown(tmp_path, "fox.safetensors", "ada/fox")


@pytest.mark.parametrize("name", ["ink", "My LoRA v2", "a  b"])
def test_of_a_prompt_no_part_of_a_loras_tag_is_left_whatever_it_is_called(name):
    record = f"a fox, <lora:{name}:0.5:0.8> in snow <lora:{name}:1>\nNegative prompt: grey\nSteps: 4, Sampler: Euler"
    assert share._prompt(record) == "a fox, in snow"
