"""Whatever a settings file is written in is read within limits, and what is none is refused in a sentence."""

import json

import pytest

from lora_gui.errors import UserError
from lora_gui.formats import trainers
from lora_gui.formats.trainers import parsing
from tests.formats.test_trainers import AI_TOOLKIT, KOHYA, ONE_TRAINER, read

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
)
MARKED = ("utf-8-sig", "utf-16", "utf-32")  # what writes its mark by itself
AWKWARD = {
    "empty": "",
    "aliases that multiply": BOMB,
    "an alias": "config: &c {process: [{network: {linear: 4}}]}\nmore: *c",
    "deep YAML": "[" * 20_000,
    "deep JSON": '{"a":' * 20_000,
    "deep TOML": "a = " + "[" * 20_000,
    "deep but valid": json.dumps({"network_dim": 4, "x": json.loads("[" * 60 + "]" * 60)}),
    "many values": json.dumps({f"k{n}": n for n in range(6_000)}),
    "an object of Python": "config: !!python/object/apply:os.system ['touch /tmp/evil']\nprocess: 1",
    "a page": "<!DOCTYPE html><html><body>Not found</body></html>",
    "a list": "[1, 2, 3]",
    "a word": "hello",
    "no settings": '{"a": 1}',
    "a huge number": "network_dim: " + "9" * 9_000,
    "a date": "network_dim: 2026-13-45",
    "a NUL": "network_dim = 4\0",
    "two documents": "a: 1\n---\nb: 2",
    "a tab": "config:\n\t- a",
    "merge keys": "a: {<<: [1, 2]}",
}


@pytest.mark.parametrize("data", [b"\xff\xfea", b"\xfe\xff\xd8\x00", b"\xff\xfe\x00\x00a", b"a = \xff"])
def test_bytes_that_are_no_text_are_refused(tmp_path, data):
    (tmp_path / "settings").write_bytes(data)
    with pytest.raises(UserError, match="settings is no TOML, JSON or YAML"):
        trainers.read(tmp_path / "settings")


@pytest.mark.parametrize("name", AWKWARD)
def test_what_is_no_settings_file_is_refused_in_a_sentence(tmp_path, name):
    with pytest.raises(UserError) as caught:
        read(tmp_path, AWKWARD[name])
    assert caught.value.what.endswith(".") and len(caught.value.what) < 200


def test_of_an_alias_it_is_said_which_and_what_to_do(tmp_path):
    with pytest.raises(UserError) as caught:
        read(tmp_path, AWKWARD["an alias"])
    assert caught.value.what == "The file says *c for what stands at &c, which is not read here."
    assert caught.value.remedy.startswith("Write it out")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("content", [KOHYA, AI_TOOLKIT, json.dumps(ONE_TRAINER)])
def test_a_file_is_read_in_whichever_unicode_its_first_bytes_tell(tmp_path, content, encoding):
    (tmp_path / "plain").write_text(content, encoding="utf-8")
    (tmp_path / "marked").write_text(content if encoding in MARKED else f"\ufeff{content}", encoding=encoding)
    assert trainers.read(tmp_path / "marked") == trainers.read(tmp_path / "plain")


def test_a_file_that_is_too_large_missing_or_a_folder_is_refused(tmp_path):
    (tmp_path / "large.json").write_bytes(b'{"network_dim": 4}' + b" " * parsing.LARGEST)
    for path in (tmp_path / "large.json", tmp_path / "gone.json", tmp_path, tmp_path / ("x" * 300)):
        with pytest.raises(UserError):
            trainers.read(path)
