"""The contract card in a header: whole again, private unless opened, and deaf to nonsense."""

import json
from dataclasses import replace

import pytest

from lora_gui.formats import contract
from lora_gui.formats.contract import Contract

PICTURES = [f"{n:064x}" for n in range(4)]
CARD = Contract(
    owns="character", scope="Anna, a puppet with red hair.", base="SDXL", repo="a/b", pictures=4,
    dataset=contract.digest_of(PICTURES), rights={"own": 3, "permission": 1}, people="consented", licence="CC BY 4.0",
    allowed_use="Anything but adverts.", confirmed="2026-11-28", each=dict.fromkeys(PICTURES, "own"),
)  # fmt: skip


def written(card, is_open=False):
    return {name: text for name, text in contract.fields_of(card, is_open).items() if text is not None}


def test_a_card_is_read_as_it_was_written_and_names_pictures_in_the_open_form_alone():
    assert contract.read(written(CARD, is_open=True)) == CARD
    private = written(CARD)
    assert contract.read(private) == replace(CARD, each={})
    assert not any(digest in text for text in private.values() for digest in PICTURES)


def test_the_digest_of_a_data_set_is_that_of_its_pictures_in_any_order():
    assert contract.digest_of(reversed(PICTURES)) == CARD.dataset != contract.digest_of(PICTURES[:3])


def test_a_card_says_in_sentences_what_it_is_and_that_nothing_is_proved():
    words = " ".join(contract.in_words(CARD))
    for said in ("It is a character: Anna", "4 pictures: 3 my own, 1 with their maker's permission", "has agreed",
                 "recorded this on 28 Nov 2026; it is not proved"):  # fmt: skip
        assert said in words
    assert "4 pictures, all my own." in " ".join(contract.in_words(replace(CARD, rights={"own": 4})))
    assert contract.in_words(Contract(dataset="ab" * 32, pictures=4)) == []


@pytest.mark.parametrize(
    ("card", "why"),
    [
        (CARD, ()),
        (Contract(), ("Nobody has said yet",)),
        (replace(CARD, rights={"own": 3, "unknown": 1}), ("The rights of 1 picture are",)),
        (replace(CARD, rights={"own": 2}), ("The rights of 2 pictures are",)),  # of the rest nobody said anything
        (replace(CARD, people="unknown"), ("Whether the people",)),
        (replace(CARD, rights={}, people="unknown"), ("The rights of 4", "Whether the people")),
    ],
)
def test_what_is_not_known_holds_publishing_back(card, why):
    assert len(card.holds_back) == len(why) and all(map(str.startswith, card.holds_back, why))


NONSENSE = ["", "{", "[]", "3", "null", '"x"', "[" * 9000, '{"pictures": {"own": "x", "a": 1}}',
            '{"pictures": {"own": -4}, "confirmed": "yesterday"}', '{"kind": [], "scope": {}}', '{"dataset": "zz"}',
            '{"pictures": 1e99, "dataset": 7}', '{"kind": "all", "scope": 5}',
            json.dumps({"x" * 64: "own"})]  # fmt: skip


@pytest.mark.parametrize("text", NONSENSE)
def test_nonsense_in_a_header_is_as_if_it_were_not_there(text):
    fields = dict.fromkeys(written(CARD, is_open=True), text)
    found = contract.read(fields)
    assert (found.owns, found.dataset, found.pictures, found.each) == ("", "", 0, {})
    assert found.people == "unknown" and found.holds_back and sum(found.rights.values()) == 0


def test_strangers_words_are_one_short_line_of_text():
    found = contract.read({contract.OWNS: json.dumps({"kind": "style", "scope": "a\n\u202eb" * 900})})
    assert len(found.scope) <= contract.LONGEST and "\n" not in found.scope and "\u202e" not in found.scope
