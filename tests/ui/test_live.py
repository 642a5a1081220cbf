"""Who looks when, as the server answers it."""

import json

import gradio as gr

from lora_gui.ui.live import Live, Standing


def test_what_ends_while_the_views_look_is_looked_at_once_more():
    draws, looks = [True], []

    def views_look():
        draws.clear()  # the drawing is ready a moment after it was seen at work
        return {}

    with gr.Blocks() as blocks:
        live = Live()
        live.watch(views_look, [], [])

        def load(look, *places, **how):
            looks.append(look)
            return blocks.load(look, *places, **how)

        live.connect(load, lambda: Standing(draws=bool(draws)))
    answer = looks[0]("")
    assert json.loads(answer[live._pulse])["every"] > 0
    assert json.loads(looks[0](answer[live._pulse])[live._pulse])["every"] == 0
