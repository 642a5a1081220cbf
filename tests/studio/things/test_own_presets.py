"""Presets of the user's own: the preset they began from with what differs, on every base and card."""

import json

import pytest

from lora_gui import __main__ as cli
from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Base
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import own_presets, presets

KNOWN = {"starter": "sd1", "sdxl": "sdxl", "klein-9b": "klein", "wuerstchen": "wuerstchen"}
BASES = [Base(key=key, title=key, family=family, path="/x", like=key) for key, family in KNOWN.items()]


@pytest.fixture
def studio(tmp_path):
    return Studio(tmp_path / "studio")


def test_a_kept_preset_is_the_one_it_began_from_with_what_differs_whatever_the_base_and_card(studio):
    hand = {"rank": 77, "steps": 123, "precision": "bf16", "sample_prompts": ('a "b"\\', "c"), "flip": True}
    made = own_presets.save(studio, "Ink drawings", "style", hand)
    assert (made.key, made.title, made.problem) == ("ink-drawings", "Ink drawings", "")
    for base in BASES:
        for card in (0, 6, 24):
            plain = presets.fill(studio, "style", base, 20, hand, card)
            assert presets.fill(studio, "ink-drawings", base, 20, {}, card) == plain, (base.key, card)
    assert "77" in made.path.read_text() and str(studio.home) not in made.path.read_text()


@pytest.mark.parametrize(
    ("title", "start", "hand", "why"),
    [
        ("", "style", {"rank": 4}, "no name"),
        ("Style", "style", {"rank": 4}, "already"),
        ("a", "style", {}, "Nothing differs"),
        ("a", "nothing", {"rank": 4}, "no preset 'nothing'"),
        ("a", "style", {"rank": 4000}, "Rank can be at most"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_leaves_nothing(studio, title, start, hand, why):
    with pytest.raises(UserError, match=why):
        own_presets.save(studio, title, start, hand)
    assert not own_presets.own(studio)


def test_one_is_renamed_shared_and_brought_elsewhere_and_those_of_the_app_stay(studio, tmp_path):
    own_presets.save(studio, "Ink", "character", {"rank": 5})
    made = own_presets.rename(studio, "ink", "Ink & brush")
    assert list(own_presets.own(studio)) == [made.key] == ["ink-brush"] and made.title == "Ink & brush"
    file = own_presets.share(studio, made.key, tmp_path)
    other = Studio(tmp_path / "other")
    for key in ("ink-brush", "ink-brush-2"):
        brought = own_presets.bring(other, file)
        assert (brought.key, brought.title) == (key, "Ink & brush")
        assert presets.fill(other, key, BASES[1], 9) == presets.fill(studio, made.key, BASES[1], 9)
    for act in (lambda: own_presets.rename(studio, "style", "x"), lambda: own_presets.delete(studio, "style")):
        with pytest.raises(UserError, match="came with the app"):
            act()
    (tmp_path / "odd.toml").write_text("[all]\nrnk = 4\n")
    with pytest.raises(UserError, match="unknown key 'rnk'"):
        own_presets.bring(other, tmp_path / "odd.toml")


def test_the_commands_keep_list_and_share_presets(studio, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("LORA_GUI_HOME", str(studio.home))

    def told(*words):
        code = cli.main(["presets", *words, "--json"])
        return code, json.loads(capsys.readouterr().out.strip().splitlines()[-1])

    assert told("save", "Ink", "--set", "rank=5", "--set", "lr=2e-4")[1]["preset"] == "ink"
    assert {one["preset"]: one["own"] for one in told("list")[1]["presets"]} == {
        "style": False, "character": False, "concept": False, "ink": True
    }  # fmt: skip
    assert told("share", "ink", "--out", str(tmp_path))[1]["file"] == str(tmp_path / "ink-preset.toml")
    assert told("rename", "ink", "Brush")[1]["preset"] == "brush" and told("rename", "ink", "x")[0] == 1
    assert cli.main(["presets"]) == 0 and "Brush, yours" in capsys.readouterr().out


def test_a_name_that_differs_in_case_alone_is_the_same_as_it_is_on_many_drives(studio, tmp_path):
    mine = studio.presets / "Sketch.toml"  # put there by hand, or by another program
    mine.parent.mkdir(parents=True)
    mine.write_text('title = "Sketch"\n[all]\nrank = 9\n')
    with pytest.raises(UserError, match="There is a preset Sketch already"):
        own_presets.save(studio, "sketch", "style", {"rank": 5})
    (tmp_path / "from bea.toml").write_text('title = "Sketch"\n[all]\nrank = 7\n')
    assert own_presets.bring(studio, tmp_path / "from bea.toml").key == "sketch-2"
    made = own_presets.rename(studio, "Sketch", "SKETCH")
    assert (made.path, made.title) == (mine, "SKETCH") and "rank = 9" in mine.read_text()
    assert own_presets.rename(studio, "sketch-2", "Pencil").key == "pencil"
    assert sorted(path.name for path in studio.presets.iterdir()) == ["Sketch.toml", "pencil.toml"]


def test_titles_of_which_no_letter_can_stand_in_a_key_are_as_many_as_one_likes(studio):
    for title in ("日本", "日本語"):
        assert own_presets.save(studio, title, "style", {"rank": 8}).title == title
    assert sorted(own_presets.own(studio)) == ["my-lora", "my-lora-2"]
    with pytest.raises(UserError, match="a preset 日本語 already"):
        own_presets.save(studio, " 日本語", "style", {"rank": 8})


def test_a_title_in_another_encoding_is_refused_and_leaves_nothing(studio):
    with pytest.raises(UserError, match="not in UTF-8"):
        own_presets.save(studio, "caf\udce9", "style", {"rank": 5})
    assert not own_presets.own(studio) and not [*studio.presets.glob("*"), *studio.presets.glob(".*")]


@pytest.mark.parametrize("text", ["title = [", "all = 3", "[[all]]\nrank = 4"])
def test_one_that_is_damaged_is_neither_begun_from_nor_written_anew(studio, text):
    studio.presets.mkdir(parents=True)
    (studio.presets / "odd.toml").write_text(text)
    for act, asked in ((own_presets.save, ("New", "odd", {"rank": 4})), (own_presets.rename, ("odd", "x"))):
        with pytest.raises(UserError, match="odd cannot be used as it is"):
            act(studio, *asked)
    assert [(path.name, path.read_text()) for path in studio.presets.iterdir()] == [("odd.toml", text)]
