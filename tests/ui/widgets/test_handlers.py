"""How handlers answer: while a LoRA is kept, and one after the other."""

import threading
import time

import gradio as gr
import pytest

from lora_gui.errors import UserError
from lora_gui.ui.widgets.handlers import in_replies, while_kept


@pytest.mark.parametrize(("is_kept", "first"), [(True, "Putting it among your LoRAs"), (False, "")])
def test_while_a_lora_is_kept_it_is_said_and_then_what_came_of_it(is_kept, first):
    said = list(while_kept("place", lambda page: {"heading": page}, lambda _: is_kept)("fox"))
    assert first in said[0]["place"] and bool(said[0]["place"]) == bool(first)
    assert said[1] == {"place": "", "heading": "fox"} and len(said) == 2


def test_what_cannot_be_kept_is_a_sentence_also_where_it_is_gone_before_anybody_looks():
    def gone(_):
        raise UserError("It is gone.", "Train it again.")

    for handler, is_kept in ((gone, lambda _: True), (gone, gone)):
        *_, last = while_kept("place", handler, is_kept)("fox")
        assert "It is gone." in last["place"] and "Train it again." in last["place"]


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_handler_that_answers_in_a_reply_runs_as_often_at_once_as_it_may(at_once):
    going: list[int] = []
    most: list[int] = []
    all_there = threading.Barrier(at_once)

    def handler(word):
        going.append(1)
        most.append(len(going))
        if len(most) <= 6:
            all_there.wait(60)
        time.sleep(0.05)
        going.pop()
        return word

    with gr.Blocks() as window:
        box = gr.Textbox()
        for _ in range(2):  # of one handler, whatever it is that is pressed
            gr.Button().click(handler, box, box, concurrency_limit=at_once)
    in_replies(window)
    pressed = [one.fn for one in window.fns.values()]
    threads = [threading.Thread(target=pressed[n % 2], args=("fox",)) for n in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(most) == 6 and max(most) == at_once
    assert pressed[0]("fox") == "fox" and not any(one.queue for one in window.fns.values())
