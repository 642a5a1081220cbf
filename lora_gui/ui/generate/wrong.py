"""What is the matter with what Generate asks, by its fields; knows no component."""

from lora_gui.errors import SettingError
from lora_gui.protocol.jobs import Base
from lora_gui.settings import DrawSettings, StackEntry, check
from lora_gui.studio.tasks import order
from lora_gui.studio.things import bases
from lora_gui.ui.draft import DrawDraft
from lora_gui.ui.widgets import form

FIELDS = {"negative_prompt": "negative"}  # settings whose fields are called otherwise


def wrong(draft: DrawDraft, base: Base) -> dict[str, SettingError]:
    """Every field that cannot be as it is, also where its value does not suit the base."""
    typed = {"prompt": draft.prompt, "negative_prompt": draft.negative, "count": draft.count}
    typed |= {} if draft.random else {"seed": draft.seed}
    asked = {name: value for name, value in (draft.hand | typed).items() if value is not None}
    found, faults = form.usable(asked, DrawSettings)
    try:
        order.check_size(base, check(DrawSettings, bases.draw_defaults(base) | found))
    except SettingError as error:
        faults.setdefault(error.setting, error)
    for number, entry in enumerate(draft.stack):
        try:
            check(StackEntry, entry.values)
        except SettingError as error:  # of a part, it stands under the slider, which cannot mend it
            instead = error.instead if error.setting == "strength" else None
            faults[f"strength-{number}"] = SettingError(error.what, error.remedy, error.setting, instead)
    named = {FIELDS.get(name, name): fault for name, fault in faults.items()}
    return {name: SettingError(fault.what, fault.remedy, name, fault.instead) for name, fault in named.items()}
