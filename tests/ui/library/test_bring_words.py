"""What a link leads to is said in a stranger's words, which stay words."""

import pytest

from lora_gui.studio.library.dropped import Dropped
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.bringing import About, Bringing, Brought
from lora_gui.studio.tasks.fetching import FetchStatus
from lora_gui.studio.things import loras
from lora_gui.ui.library import bring_words
from tests import making
from tests.security.test_hostile_text import HARMLESS, HOSTILE, TAGS, Seen


def status(words, **more):
    found = {"title": words, "files": {words: 5_000_000}}
    return FetchStatus(what=words, remedy=words, notes=(words,), found=found, doing=words, **more)


@pytest.fixture
def bringing(tmp_path):
    return Bringing(tmp_path / "lora-x")


@pytest.fixture
def lora(tmp_path):
    return loras.describe(making.lora(Studio(tmp_path), "mine"))


@pytest.mark.parametrize("words", HOSTILE)
def test_no_word_of_a_stranger_becomes_markup(bringing, lora, words):
    about = About(title=words, page=words, base=words, words=(words,), file=words)
    pieces = [
        bring_words.under_way([(bringing, status(words, state="failed", cause="choose"))]),
        bring_words.under_way([(bringing, status(words, state="running", done=1, of=2))]),
        bring_words.taken(Brought(lora, about, False)),
        bring_words.dropped(Dropped([lora], [words])),
    ]
    seen = Seen("".join(pieces))
    assert seen.tags <= TAGS and seen.attributes <= HARMLESS | {"data-act", "data-name"}
    assert not any(sign in piece for piece in pieces for sign in ("${", "{{", "{%", "`"))


def test_a_name_of_which_letters_were_lost_is_told_wherever_it_came_from(lora):
    said = "is called mine here: names keep a-z, digits, - and _."
    assert said in bring_words.taken(Brought(lora, About(file="مانجا mine.safetensors"), False))
    assert said not in bring_words.taken(Brought(lora, About(file="Miné.safetensors"), False))
    assert "is called" in bring_words.dropped(Dropped([lora], called=["'x' is called mine here."]))


def test_each_state_offers_what_can_be_done(bringing):
    offered = {
        state: bring_words.under_way([(bringing, FetchStatus(state, cause=cause, found={"files": {"a": 1}}))])
        for state, cause in (("running", ""), ("paused", ""), ("failed", "choose"))
    }
    acts = {state: {act for act in ("pause", "go-on", "cancel", "choose") if f'data-act="{act}"' in piece}
            for state, piece in offered.items()}  # fmt: skip
    assert acts == {"running": {"pause", "cancel"}, "paused": {"go-on", "cancel"}, "failed": {"choose", "cancel"}}
