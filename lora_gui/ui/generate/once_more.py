"""The settings of a drawing used once more: back into the form, and what could not be carried over; no component."""

from dataclasses import replace
from pathlib import Path

from lora_gui.errors import UserError
from lora_gui.protocol.jobs import Base
from lora_gui.settings import DrawSettings, check
from lora_gui.studio import again
from lora_gui.studio.paths import Studio
from lora_gui.studio.things import bases, inputs
from lora_gui.ui.draft import DrawDraft, entry_of

_ELSEWHERE = ("prompt", "negative_prompt", "seed", "count", "stack", "picture", "mask")  # not among what is set by hand


def used(studio: Studio, draft: DrawDraft, base: Base, path: Path) -> DrawDraft:
    """The draft as the picture at `path` was made, one of it; with `base` where its own is not here.

    Raises UserError where the picture does not say how it was made.
    """
    notes = list[str]()
    try:
        found = again.read(studio, path)
    except UserError:
        found = again.read(studio, path, base)
        notes.append(f"Its base is not here, so {base.title} draws it, which looks different.")
    settings, usual = found.settings, check(DrawSettings, bases.draw_defaults(found.base))
    values = {name: getattr(settings, name) for name in DrawSettings.model_fields if name not in _ELSEWHERE}
    notes += found.left
    for former in {draft.picture, draft.mask} - {Path(settings.picture).name, Path(settings.mask).name}:
        inputs.forget(studio, former)
    return replace(
        draft,
        prompt=settings.prompt,
        negative=settings.negative_prompt,
        base=found.base.key,
        seed=settings.seed,
        random=False,
        count=1,
        hand={name: value for name, value in values.items() if value != getattr(usual, name)},
        stack=tuple(map(entry_of, settings.stack)),
        picture=Path(settings.picture).name,
        mask=Path(settings.mask).name,
        note=" ".join(notes) or "The settings of that drawing stand in the form; Draw makes the same one again.",
    )
