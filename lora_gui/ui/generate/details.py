"""What is folded under Details: what a drawing is made with besides its words, and how this base reads those."""

from typing import Any

import gradio as gr

from lora_gui.protocol.jobs import Base
from lora_gui.settings import DrawSettings
from lora_gui.studio.capacity import gpu
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import prompt
from lora_gui.ui.generate import quick
from lora_gui.ui.widgets import form, markup
from lora_gui.ui.widgets.parts import html

# Settings as they stand there, under their headings; what is quick or of the window's own stands among them.
GROUPS = {
    "Words": ("negative", "clip_skip"),
    "Seed": ("seed", "random", "seeds", "variation", "variation_seed"),
    "Size": ("ratios", "width", "height", "count"),
    "How it is drawn": ("steps", "guidance", "guidance_end", "sampler", "schedule", "prediction", "on_processor"),
    "Afterwards": ("upscale", "upscale_denoising", "mark"),
}
NUMBERS = ("width", "height", "steps", "guidance", "count")  # whose bounds are not told
_OWN = ("negative", "seed", "random", "count", "on_processor")  # that the draft holds by these names
SETTINGS = tuple(name for names in GROUPS.values() for name in names if name not in (*_OWN, "ratios"))


class Details:
    """Lays itself out where it is made. `fields` are its parts by their names, `said` what stands with the answers."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self.fields: dict[str, Any] = {}
        self.said: dict[str, gr.HTML] = {"reads": html(elem_id="reads")}
        for title, names in GROUPS.items():
            html(f'<h3 class="group">{title}</h3>')
            if "ratios" in names:
                self.said["ratios"] = html(js_on_load=quick.ACTS, elem_id="ratios")
            with gr.Row(elem_classes="fields"):
                self.fields |= {name: _field(name) for name in names if name != "ratios"}
        self.ratios = self.said["ratios"]

    def told(self, base: Base, size: tuple[object, object]) -> dict[str, str]:
        """How the base reads prompts, and the shapes it likes; `size` is width and height as they are shown."""
        return {"reads": markup.quiet(prompt.heeded(self._studio, base)), "ratios": quick.ratios_told(base, size)}


def _field(name: str) -> Any:
    told = DrawSettings.model_fields
    if name == "negative":
        return gr.Textbox(
            "", label="Negative prompt", info=told["negative_prompt"].description, lines=2, elem_id="negative"
        )
    if name == "random":
        return gr.Checkbox(True, label="A new one each time", min_width=140, elem_id="random")
    if name == "on_processor":
        return gr.Checkbox(
            False, label="Draw on the processor", elem_id="on-processor", visible=bool(gpu.memory()),
            info="Slower, but beside a training that has the card.",
        )  # fmt: skip
    if name not in (*NUMBERS, "seed"):
        return form.component(name, told[name], "draw")
    step: Any = 1 if told[name].annotation is int else "any"
    id = name if name in _OWN else f"draw-{name}"
    return gr.Number(label=told[name].title, info=told[name].description, step=step, min_width=140, elem_id=id)
