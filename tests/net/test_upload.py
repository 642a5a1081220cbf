"""A shared folder on the Hub: private, exactly what was shown, read back; with real huggingface_hub."""

import pytest

from lora_gui import files
from lora_gui.errors import UserError
from lora_gui.net.upload import upload
from lora_gui.protocol.events import Done, Phase, Transfer
from lora_gui.protocol.jobs import UploadJob
from tests.net.server import Reply


@pytest.fixture
def share(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    folder = tmp_path / "fox"
    (folder / "images").mkdir(parents=True)
    (folder / "fox.safetensors").write_bytes(b"weights" * 5000)
    (folder / "README.md").write_bytes(b"---\nlicense: mit\n---\n# fox")
    (folder / "images" / "1.png").write_bytes(b"drawing" * 10)
    (folder / "not shown.txt").write_bytes(b"secret")
    return folder


def job(folder, repo="ada/fox", private=True):
    names = ("fox.safetensors", "README.md", "images/1.png")
    return UploadJob(
        folder=str(folder), repo=repo, private=private, files={name: files.sha256(folder / name) for name in names}
    )


def signed_in(hub, monkeypatch, user="ada"):
    hub.allow("hf_write", user)
    monkeypatch.setenv("HF_TOKEN", "hf_write")


def test_exactly_what_was_shown_is_there_privately_and_its_address_is_said(hub, share, monkeypatch):
    signed_in(hub, monkeypatch)
    last = list(upload(job(share)))[-1]
    assert isinstance(last, Done) and last.lora == f"{hub.url}/ada/fox"
    known = hub.repos["ada/fox"]
    assert known.private and set(known.at("main")[1]) == {
        "fox.safetensors", "README.md", "images/1.png", ".gitattributes"
    }  # fmt: skip
    assert known.at("main")[1]["fox.safetensors"] == b"weights" * 5000
    assert not any(b"secret" in one.body for one in hub.asked)
    (share / "README.md").write_bytes(b"---\nlicense: mit\n---\n# fox, better")
    assert isinstance(list(upload(job(share)))[-1], Done)  # once more, over it
    assert known.at("main")[1]["README.md"].endswith(b"better")


def test_without_a_token_nothing_is_asked_and_the_cause_is_said(hub, share):
    with pytest.raises(UserError, match="wants a token") as caught:
        list(upload(job(share)))
    assert caught.value.cause == "sign in" and not hub.asked


def test_a_file_that_changed_since_it_was_shown_is_not_sent(hub, share, monkeypatch):
    signed_in(hub, monkeypatch)
    wanted = job(share)
    (share / "README.md").write_bytes(b"with my address")
    with pytest.raises(UserError, match="README.md is not as it was shown any more"):
        list(upload(wanted))
    assert not hub.repos


def test_a_public_place_is_not_taken_for_a_private_one_and_public_is_public_when_asked(hub, share, monkeypatch):
    signed_in(hub, monkeypatch)
    hub.add("ada/fox", {"README.md": b"mine"})
    with pytest.raises(UserError, match="there already and public"):
        list(upload(job(share)))
    assert hub.repos["ada/fox"].at("main")[1]["README.md"] == b"mine"
    list(upload(job(share, "ada/open", private=False)))
    assert hub.repos["ada/open"].private is False


@pytest.mark.parametrize("repo", ["bob/fox", "a b/c", "ada/.."])
def test_a_place_of_somebody_else_or_no_place_is_refused_in_a_sentence(hub, share, monkeypatch, repo):
    signed_in(hub, monkeypatch)
    if repo == "bob/fox":
        hub.add(repo, {"README.md": b"his"})
    with pytest.raises(UserError) as caught:
        list(upload(job(share, repo, private=False)))
    assert repo in caught.value.what


def test_a_hub_that_is_busy_is_asked_again_and_one_that_lies_is_found_out(hub, share, monkeypatch):
    signed_in(hub, monkeypatch)
    hub.fault("POST .*commit", reply=Reply(503), times=2)
    said = list(upload(job(share)))
    assert isinstance(said[-1], Done) and any("again in" in one.name for one in said if isinstance(one, Phase))
    add = hub.add
    monkeypatch.setattr(hub, "add", lambda repo, files, *more, **kind: add(repo, files | SPOILT, *more, **kind))
    with pytest.raises(UserError, match="fox.safetensors is not on the Hub as it lies here"):
        list(upload(job(share, "ada/other")))


SPOILT = {"fox.safetensors": b"other" * 7000}


@pytest.mark.parametrize("often", [0.001, 60.0])  # seconds; all of it may go between two looks
def test_how_much_of_it_is_there_is_said_while_it_is_sent_and_never_less_than_before(hub, share, monkeypatch, often):
    signed_in(hub, monkeypatch)
    monkeypatch.setattr("lora_gui.net.upload._OFTEN", often)
    (share / "fox.safetensors").write_bytes(b"weights" * 3_000_000)
    hub.fault("PUT .*", reply=Reply(503), times=1)  # sent once more
    wanted = job(share)
    said = list(upload(wanted))
    told = [one for one in said if isinstance(one, Transfer)]
    assert isinstance(said[-1], Done) and told
    assert [one.done for one in told] == sorted({one.done for one in told})
    assert {one.of for one in told} == {sum((share / name).stat().st_size for name in wanted.files)}
    assert told[-1].done == told[-1].of
