"""The learning path: six small cards, opened where their question arises, with drawings of the starter's own."""

import json
from pathlib import Path

import lora_gui
from lora_gui.studio.paths import Studio
from lora_gui.ui.widgets import markup
from lora_gui.ui.widgets.handlers import HIDDEN, Changes
from lora_gui.ui.widgets.parts import html
from lora_gui.ui.widgets.thumbnails import Thumbnails

STRIPS = Path(lora_gui.__file__).parent / "starter" / "learning"  # made by tests/bench/learning_cards.py
SIDE = 1024  # px of a strip at most
Strip = tuple[str, tuple[str, ...], str]  # its name, a label for each of its drawings, a sentence
# Key, title, sentences, and what shows it.
CARDS: tuple[tuple[str, str, str, tuple[Strip, ...]], ...] = (
    (
        "set", "A good set",
        "10 to 50 pictures that share what is to be learnt, and differ in all else: subjects, places, light, poses. "
        "What all of them share is learnt, wanted or not.",
        (
            ("good-style", ("", "", ""), "24 varied pictures in one style: new subjects come out in it."),
            ("too-few", ("", "", ""), "The same from 3 pictures: it knows only those, and new subjects fall apart."),
        ),
    ),
    (
        "trigger", "The trigger word",
        "A made-up word that means nothing yet, such as zxy_style. It is learnt with every picture, so that it "
        "comes to mean what the pictures share; in a prompt it calls your LoRA.",
        (("trigger", ("base", "with yours"), "The same prompt and seed without a LoRA, and with one and its word."),),
    ),
    (
        "captions", "Captions",
        "Say what changes from picture to picture, and not what is to be learnt. What a caption names stays with its "
        "words; what no caption names goes into the trigger word.",
        (
            ("good-style", ("", "", ""), "\u201cred apple on a white background\u201d: the trigger has the style."),
            ("over-described", ("", "", ""), "\u201cflat drawing with outlines\u201d in each: words soaked it up."),
        ),
    ),
    (
        "strength", "Strength",
        "How much of a LoRA counts. 1 is as it was trained. Lower it where it takes too much over, raise it where it "
        "hardly shows; far above 1 drawings get harsh.",
        (("strength", ("0", "0.5", "1", "1.5", "2"), "One seed, more and more of a style."),),
    ),
    (
        "stacking", "Several at once",
        "LoRAs add up. Two at full strength often fight over the same parts: begin each at 0.6 to 0.8, and lower the "
        "one that drowns the other, or see both at several strengths: the button stands under the stack.",
        (("stacking", ("style", "character", "0.7 + 0.8", "1.4 + 1.4"), "A style, a character, and both."),),
    ),
    (
        "wrong", "When it goes wrong",
        "Look at drawings of things that are not in your pictures: they show soonest what is the matter.",
        (
            ("too-few", ("", "", ""), "Too few pictures: add more, and more varied ones."),
            ("one-pose", ("", "", ""), "One pose: every drawing has it, whatever is asked. Add others."),
            ("over-described", ("", "", ""), "Over-described: the look is faint. Shorten the captions."),
            ("too-fast", ("", "", ""), "Learning rate too high: it melts. Go back to the preset's."),
            ("too-long", ("", "", ""), "Trained too long: it repeats its pictures. Use an earlier step."),
        ),
    ),
)  # fmt: skip
_PLACES = {name for _, _, _, strips in CARDS for name, _, _ in strips}
SCRIPT = """
const dialog = element.querySelector('dialog');
document.addEventListener('click', ({ target }) => {
  const card = target.closest?.('[data-learn]')?.dataset.learn;
  if (!card) return;
  if (!props.value || props.value === '{}') trigger('select', {});
  dialog.showModal();
  dialog.querySelector(`#learn-${CSS.escape(card)}`)?.scrollIntoView({ block: 'start' });
});
dialog.addEventListener('click', event => {
  if (event.target === dialog || event.target.closest('.close')) dialog.close();
});
watch('value', () => {
  const addresses = JSON.parse(props.value || '{}');
  for (const image of dialog.querySelectorAll('img[data-strip]')) image.src = addresses[image.dataset.strip] || '';
});
"""


def build(studio: Studio) -> None:
    """Lay it out; its pictures are fetched when it is opened first."""
    board = html("{}", html_template=_markup(), js_on_load=SCRIPT, elem_id="learning")

    def fetched() -> Changes:
        small = Thumbnails(studio, SIDE)
        return {board: json.dumps({name: small(STRIPS / f"{name}.webp") for name in sorted(_PLACES)})}

    board.select(fetched, None, [board], **HIDDEN)


def _markup() -> str:
    cards = "".join(
        f'<section id="learn-{key}"><h3>{markup.text(title)}</h3><p>{markup.text(words)}</p>'
        f"{''.join(_strip(*strip) for strip in strips)}</section>"
        for key, title, words, strips in CARDS
    )
    close = '<button type="button" class="chip close">Close</button>'
    return (
        f'<dialog aria-labelledby="learn-title"><header><h2 id="learn-title">How to make a good LoRA</h2>{close}'
        "</header>"
        f'<div class="cards">{cards}</div></dialog>'
    )


def _strip(name: str, labels: tuple[str, ...], says: str) -> str:
    many = len(labels)
    told = "".join(f"<span>{markup.text(label)}</span>" for label in labels) if any(labels) else ""
    under = f'<div class="labels" style="--many:{many}">{told}</div>' if told else ""
    return (
        f'<figure><div class="strip" style="--many:{many}"><img data-strip="{name}" alt="{markup.text(says)}" '
        f'loading="lazy"></div>{under}<figcaption>{markup.text(says)}</figcaption></figure>'
    )
