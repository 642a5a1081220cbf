"""The settings of a drawing that are folded under Details: each once, as the settings class has it."""

from typing import Any

import gradio as gr

from lora_gui.settings import DrawSettings
from lora_gui.studio.capacity import gpu
from lora_gui.ui.widgets import form

NUMBERS = ("width", "height", "steps", "guidance")  # quiet ones, under Details
MORE = ("sampler", "schedule", "clip_skip", "seeds", "variation", "variation_seed", "upscale", "upscale_denoising")
HAND = (*NUMBERS, *MORE, "prediction", "mark", "turns")  # what is the base's own until it is set by hand


def build() -> dict[str, Any]:
    """The fields by their names; call it inside the layout."""
    fields = DrawSettings.model_fields
    negative = gr.Textbox(
        "", label="Negative prompt", info=fields["negative_prompt"].description, lines=2, elem_id="negative"
    )
    with gr.Row(elem_classes="fields"), gr.Column(min_width=200):
        seed = gr.Number(1, label="Seed", info=fields["seed"].description, step=1, elem_id="seed")
        new_seed = gr.Checkbox(True, label="A new one each time", elem_id="random")
        on_processor = gr.Checkbox(
            False, label="Draw on the processor", elem_id="on-processor", visible=bool(gpu.memory()),
            info="Slower, but beside a training that has the card.",
        )  # fmt: skip
    with gr.Row(elem_classes="fields"):
        many = fields["count"]
        count = gr.Number(1, label=many.title, info=many.description, step=1, min_width=140, elem_id="count")
        numbers = {
            name: gr.Number(
                label=fields[name].title,
                info=fields[name].description,
                elem_id=f"draw-{name}",
                min_width=140,
                **({"step": 1} if fields[name].annotation is int else {"step": "any"}),
            )
            for name in NUMBERS
        }
    with gr.Row(elem_classes="fields"):
        more = {name: form.component(name, fields[name], "draw") for name in MORE}
    more |= {name: form.component(name, fields[name], "draw") for name in ("prediction", "mark")}
    rest = more | {"count": count, "random": new_seed, "on_processor": on_processor}
    return {"negative": negative, "seed": seed} | rest | numbers
