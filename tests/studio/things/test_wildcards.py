"""Words that change from drawing to drawing."""

import os
import threading
from collections import Counter

import pytest

from lora_gui.errors import UserError
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import wildcards
from lora_gui.studio.things.wildcards import chosen


@pytest.fixture
def studio(tmp_path):
    found = Studio(tmp_path)
    wildcards.folder(found).mkdir()
    return found


def listed(studio, name, text):
    (wildcards.folder(studio) / f"{name}.txt").write_text(text, encoding="utf-8")


def test_one_of_each_choice_is_taken_the_same_for_the_same_seed(studio):
    found = {chosen(studio, "a {red|green|} {{dark|light} cat|dog}", str(seed)) for seed in range(60)}
    assert "a green dog" in found and "a red dark cat" in found and "a  light cat" in found
    assert len(found) == 9
    assert chosen(studio, "{a|b|c|d|e|f}", "5") == chosen(studio, "{a|b|c|d|e|f}", "5")


def test_a_list_is_read_line_by_line_and_may_hold_choices(studio):
    listed(studio, "colours", "\ufeff# mine\nred\n\n{dark|light} blue\n")
    found = {chosen(studio, "__colours__ apple", str(seed)) for seed in range(40)}
    assert found == {"red apple", "dark blue apple", "light blue apple"}


def test_what_is_no_choice_stays(studio):
    for text in ("a {cat}", "snake__case__here", "{}", ""):
        assert chosen(studio, text, "1") == text


def test_a_list_that_is_gone_empty_or_names_itself_is_said(studio):
    with pytest.raises(UserError, match="no list called colours"):
        chosen(studio, "__colours__", "1")
    listed(studio, "none", "# nothing\n")
    with pytest.raises(UserError, match="is empty"):
        chosen(studio, "__none__", "1")
    listed(studio, "round", "__round__ __round__")
    with pytest.raises(UserError, match="name each other"):
        chosen(studio, "__round__", "1")


def test_weights_and_several_of_a_choice_are_heeded_as_dynamic_prompts_does(studio):
    def often(text):
        return Counter(chosen(studio, text, str(seed)) for seed in range(300))

    assert set(often("{3::red|blue} fox")) == {"red fox", "blue fox"}
    assert often("{9::a|b}")["a"] > 230 > 60 > often("{0.1::a|b}")["a"] and set(often("{0::a|b}")) == {"b"}
    assert set(often("{2$$a|b|c}")) == {f"{one}, {two}" for one in "abc" for two in "abc" if one != two}
    assert set(often("{1-2$$ and $$a|b}")) == {"a", "b", "a and b", "b and a"}
    assert set(often("{5$$a|b}")) == {"a, b", "b, a"} and set(often("{0-1$$a}")) == {"", "a"}
    assert set(often("{2$$3::a|{b|c}}")) == {"a, b", "a, c", "b, a", "c, a"}
    listed(studio, "colours", "9::red\nblue")
    assert often("__colours__")["red"] > 230 and set(often("{2$$__colours__}")) == {"red, blue", "blue, red"}


def test_a_list_may_lie_in_a_folder_and_in_none_above(studio):
    (wildcards.folder(studio) / "dark").mkdir()
    listed(studio, "dark/red", "wine")
    assert chosen(studio, "a __dark/red__ fox", "1") == "a wine fox"
    for text in ("__../secret__", "__/etc/passwd__", "__dark//red__"):
        assert chosen(studio, text, "1") == text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes in folders")
def test_a_list_that_is_a_pipe_hangs_nobody_and_one_that_is_too_long_is_said(studio):
    os.mkfifo(wildcards.folder(studio) / "pipe.txt")
    said = []

    def drawn():
        with pytest.raises(UserError, match="no list called pipe") as caught:
            chosen(studio, "__pipe__", "1")
        said.append(caught.value)

    thread = threading.Thread(target=drawn, daemon=True)
    thread.start()
    thread.join(60)
    assert said
    listed(studio, "long", "red\n" * 300_000)
    with pytest.raises(UserError, match="too long"):
        chosen(studio, "__long__", "1")
