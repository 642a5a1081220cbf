"""The form of the training settings, made from the settings class, so that a field is written once."""

import json
from typing import Any, Literal, get_args, get_origin

import gradio as gr
from pydantic.fields import FieldInfo

from lora_gui.errors import SettingError
from lora_gui.refinements import KINDS
from lora_gui.refusals import bounds as limits_of
from lora_gui.settings import RECOMPUTED, Settings, TrainSettings, check
from lora_gui.ui.widgets.parts import html

# Only the order and the headings; what is not named here comes under the last one.
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "How long and how fast",
        ("steps", "learning_rate", "scheduler", "optimizer", "batch_size", "accumulation", "warmup_steps", "restarts"),
    ),
    (
        "What the LoRA can hold",
        (
            "rank", "alpha", "adapter", "lokr_factor", "layers", "only_layers", "resolution", "flip",
            "train_text_encoder", "text_encoder_learning_rate",
        ),
    ),
    (
        "More from few pictures",
        (
            "class_words", "class_pictures", "class_weight", "preservation",
            "masked_loss", "unmasked_weight", "caption_lines", "shuffle_tags", "keep_first_tags", "tag_dropout",
            "caption_dropout", "timestep_bias", "learn_below",
            "moved_views", "further_resolutions",
        ),
    ),
    (
        "As practised trainers do",
        (
            "dora", "ema_decay", "lora_plus", "rank_dropout", "module_dropout", "max_norm", "loss", "huber_c",
            "huber_schedule", "debiased", "min_snr_gamma",
        ),
    ),
    ("Samples and checkpoints", ("sample_every", "checkpoint_every", "seed", "sample_prompts")),
    ("Memory and fine print", ("precision", "gradient_checkpointing")),
)
NAMES = {"adamw": "AdamW", "adamw8bit": "AdamW, 8-bit", "int8": "INT8", "nf4": "NF4",
         **KINDS, "snr": "SNR", "base": "As the base says", "v": "Velocity (v)",
         **{key: name[0].upper() + name[1:] for key, name in RECOMPUTED.items()}}  # where a capital is not enough


def grouped() -> list[tuple[str, list[str]]]:
    """Every field of TrainSettings exactly once, under its heading."""
    named = {name for _, names in GROUPS for name in names}
    rest = [name for name in TrainSettings.model_fields if name not in named]
    groups = [(title, list(names)) for title, names in GROUPS]
    groups[-1][1].extend(rest)
    return groups


def build() -> dict[str, Any]:
    """A component for every field, with its label, help and bounds; call it inside the layout."""
    made: dict[str, Any] = {}
    for title, names in grouped():
        html(f'<h3 class="group">{title}</h3>')
        with gr.Row(elem_classes="fields"):
            for name in names:
                made[name] = component(name, TrainSettings.model_fields[name])
    return {name: made[name] for name in TrainSettings.model_fields}


def shown(settings: TrainSettings, hand: dict[str, Any]) -> dict[str, Any]:
    """The settings as the components show them; what the user typed stands as it was typed."""
    values, fields = settings.model_dump(), TrainSettings.model_fields
    typed = {name: value for name, value in hand.items() if name in fields and not _is_switch(fields[name], value)}
    return {name: typed.get(name, as_typed(value)) for name, value in values.items()}


def as_typed(value: Any) -> Any:
    """The value of a setting as it stands in a field: several of them a line each."""
    return "\n".join(map(str, value)) if isinstance(value, (tuple, list)) else value


def _is_switch(info: FieldInfo, value: Any) -> bool:
    """Whether an earlier version had a switch where there are more choices now, as drafts may still hold it."""
    return isinstance(value, bool) and info.annotation is not bool


def usable(
    hand: dict[str, Any], settings: type[Settings] = TrainSettings  # type: ignore[assignment]
) -> tuple[dict[str, Any], dict[str, SettingError]]:
    """The settings among what the user typed, and what is wrong with each of the others."""
    found: dict[str, Any] = {}
    wrong: dict[str, SettingError] = {}
    for name, typed in hand.items():
        info = settings.model_fields.get(name)
        if info is None:
            continue  # a setting of another version
        value = _setting(info, typed)
        try:
            check(settings, {name: value})
            found[name] = value
        except SettingError as error:
            wrong[name] = error
    return found, wrong


def _setting(info: FieldInfo, typed: Any) -> Any:
    """What was typed, as the setting takes it."""
    if get_origin(info.annotation) is tuple:
        return tuple(line.strip() for line in str(typed).splitlines() if line.strip())
    if info.annotation is int and isinstance(typed, float) and typed.is_integer():
        return int(typed)
    return typed


def bounds(info: FieldInfo) -> str:
    """`1 to 256`, `above 0, at most 2`; empty where there are none."""
    limits = limits_of(info)
    if "le" not in limits or not limits.keys() & {"ge", "gt"}:
        return ""
    step = f", in steps of {limits['multiple_of']}" if limits.get("multiple_of") else ""
    low = (
        f"{_number(limits['ge'])} to {_number(limits['le'])}"
        if limits.get("ge") is not None
        else f"Above 0, up to {_number(limits['le'])}"
    )
    return f"{low}{step}."


def component(name: str, info: FieldInfo, form: str = "setting") -> gr.components.Component:
    """The component of a field, with its label, help and bounds."""
    common: dict[str, Any] = {"label": info.title, "elem_id": f"{form}-{name}", "min_width": 240}
    if get_origin(info.annotation) is Literal:
        choices = [(_name(key), key) for key in get_args(info.annotation)]
        return gr.Dropdown(choices, value=info.default, info=info.description, **common)
    if info.annotation is bool:
        return gr.Checkbox(value=info.default, info=info.description, **common)
    if get_origin(info.annotation) is tuple:
        return gr.Textbox("", lines=3, max_lines=8, info=f"{info.description} One a line.", **common)
    if info.annotation is str:
        return gr.Textbox("", max_lines=1, info=info.description, **common)
    help = " ".join(part for part in (info.description, bounds(info)) if part)
    step: Any = 1 if info.annotation is int else "any"
    return gr.Number(value=info.default, info=help, step=step, **common)


def _name(key: str) -> str:
    plain = key.islower() and not key[-1].isdigit()
    return NAMES.get(key) or (key.replace("_", " ").capitalize() if plain else key)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) and value < 1_000_000 else json.dumps(value)
