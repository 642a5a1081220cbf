"""Files of any name are brought, keys stay with whom they are for, and odd answers are sentences."""

import pytest

from lora_gui import civitai_key
from lora_gui.errors import UserError
from lora_gui.net import bring as bringing
from lora_gui.net import civitai as net_civitai
from lora_gui.net.offer import Offer
from lora_gui.protocol.task_folder import BROUGHT
from lora_gui.studio.tasks.bringing import take_in
from tests.net.server import Reply
from tests.net.test_bring import civitai, lora, picture, run, studio  # noqa: F401  fixtures

NAMES = ("风格.safetensors", "画\u3000風.safetensors", "été v1.safetensors", "a [v2], it's.safetensors",
         "v/#1 & 50%.safetensors")  # fmt: skip
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("name", NAMES)
def test_a_lora_of_the_hub_is_brought_whatever_it_is_called(hub, studio, lora, name):  # noqa: F811
    hub.add("ada/loras", {name: lora})
    brought, _ = run(studio, "ada/loras")
    assert take_in(studio, brought).about.file == name


@pytest.mark.parametrize("name", ["../a.safetensors", "a/../b.safetensors", "/a.safetensors", ".a.safetensors",
                                  "a\\b.safetensors", "a\u202eb.safetensors", "a:b.safetensors"])  # fmt: skip
def test_a_name_that_no_drive_takes_or_that_hides_something_is_passed_over(hub, studio, lora, name):  # noqa: F811
    hub.add("ada/loras", {name: lora})
    with pytest.raises(UserError, match="holds no LoRA"):
        run(studio, "ada/loras")


def test_the_key_for_civitai_is_not_shown_to_the_hub_where_a_preview_lies_there(hub, civitai, tmp_path):  # noqa: F811
    civitai_key.keep("k3y")
    hub.add("ada/pictures", {"a.png": b"x" * 20_000})
    page = f"{civitai.url}/models/12"
    offer = Offer(title="A", page=page, files={}, picture=f"{hub.url}/ada/pictures/resolve/main/a.png")
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patched:
        patched.setattr(net_civitai, "_offer", lambda said: offer.model_copy(update={"files": of_civitai(said)}))
        civitai.add(12, 34, b"lora")
        folder = tmp_path / "task"
        folder.mkdir()
        list(bringing.bring(bringing.BringJob(link=page), folder))
    assert [one.bearer for one in hub.requests("resolve")] == [""]
    assert {one.bearer for one in civitai.requests("GET /api/")} == {"k3y"}


def of_civitai(said):
    return dict(net_civitai._files(said["modelVersions"][0]))


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"a":' * 100_000, b"<html>"])
def test_an_answer_that_is_no_json_or_nested_without_end_is_a_sentence(hub, civitai, studio, body):  # noqa: F811
    for server, match, link in (
        (civitai, "GET /api/v1", f"{civitai.url}/models/12"), (hub, "GET /api/models", "ada/loras"),
    ):  # fmt: skip
        server.fault(match, reply=Reply(200, body, JSON), times=9)
        with pytest.raises(UserError, match="not understood"):
            run(studio, link)


def test_an_answer_without_end_is_not_taken_in(hub, civitai, studio, monkeypatch):  # noqa: F811
    monkeypatch.setattr(net_civitai, "_MOST", 1000)
    civitai.fault("GET /api/v1", reply=Reply(200, b" " * 2000, JSON))
    with pytest.raises(UserError, match="far too long"):
        run(studio, f"{civitai.url}/models/12")


SIBLING = {"rfilename": "a.safetensors", "size": 3}
LFS = {"size": 3, "pointerSize": 1}


@pytest.mark.parametrize("said", [
    {"siblings": [{**SIBLING, "rfilename": 5}]}, {"siblings": [{**SIBLING, "blobId": 7}]}, {"siblings": {"a": 1}},
    {"siblings": [{**SIBLING, "lfs": {**LFS, "sha256": 5}}]}, {"sha": 5}, {"cardData": [1]}, {"id": None},
])  # fmt: skip
def test_a_mirror_of_the_hub_that_says_what_it_should_not_is_a_sentence(hub, studio, said):  # noqa: F811
    hub.fault("GET /api/models", reply=Reply.of({"sha": "a" * 40, "id": "ada/loras"} | said), times=9)
    with pytest.raises(UserError):
        run(studio, "ada/loras")


def test_a_part_whose_whole_size_the_server_does_not_know_is_taken(civitai, studio, lora):  # noqa: F811
    civitai.add(12, 34, lora)
    civitai.fault("/storage/", cut_after=len(lora) // 2)
    rest = lora[len(lora) // 2 :]
    said = {"Content-Range": f"bytes {len(lora) // 2}-{len(lora) - 1}/*"}
    real = civitai.answer

    def answer(asked):
        reply, fault = real(asked)
        is_rest = "range" in asked.headers and asked.path.startswith("/storage/")
        return (Reply(206, rest, said), fault) if is_rest else (reply, fault)

    civitai.answer = answer
    brought, _ = run(studio, f"{civitai.url}/models/12")
    assert take_in(studio, brought) and civitai.sent("/storage/") == len(lora)


def test_a_preview_that_hardly_comes_keeps_no_lora_away(civitai, studio, lora, picture, monkeypatch):  # noqa: F811
    civitai.add(12, 34, lora, picture)
    with monkeypatch.context() as patched:
        patched.setattr(bringing, "_PATIENCE", -1.0)
        brought, said = run(studio, f"{civitai.url}/models/12")
    assert civitai.requests("GET /picture") and not list(studio.downloads.rglob(BROUGHT.picture))
    assert take_in(studio, brought)
