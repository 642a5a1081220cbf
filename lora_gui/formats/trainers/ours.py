"""Our own settings file: all that starts the same run elsewhere but the pictures, as TOML, read and written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lora_gui.formats import contract
from lora_gui.formats.trainers.carried import Carried, base_name
from lora_gui.settings import TrainSettings

if TYPE_CHECKING:
    from lora_gui.formats.trainers.parsing import Table
    from lora_gui.protocol.jobs import TrainJob

MARK = "lora_studio"
VERSION = 1
_HEAD = """# The settings of a run of LoRA Studio. To start the same run elsewhere, with the same pictures and base:
#   python -m lora_gui settings train FILE --pictures FOLDER
"""


def is_it(table: Table) -> bool:
    return isinstance(table.get(MARK), int) and isinstance(table.get("settings"), dict)


def carried(table: Table) -> Carried:
    """What the file says, each setting checked by itself; those of a newer app are left."""
    found = Carried("LoRA Studio")
    for name in ("name", "trigger", "preset"):
        text = table.get(name)
        setattr(found, name, text.strip()[:60] if isinstance(text, str) else "")
    found.base = base_name(table.get("base"))
    for name, value in table["settings"].items():
        if name in TrainSettings.model_fields:
            found.take(name, value, name)
        else:
            found.leave(name, value, "this version of the app does not know it")
    return found


def written(job: TrainJob) -> str:
    """The file of a run: every setting, so that no preset has a say; no path, no caption and no name of a picture."""
    digests = [picture.digest for picture in job.pictures]
    said = {
        "name": job.name,
        "trigger": job.trigger,
        "preset": job.preset,
        "base": job.base.known or job.base.key,
        "pictures": len(job.pictures),
        "dataset": contract.digest_of(digests) if digests and all(digests) else "",
    }
    return text(said, job.settings)


def text(said: dict[str, Any], settings: TrainSettings) -> str:
    """The file of settings, with what is said of the run besides.

    A warm-up that does not fit into the run, which a preset may ask for and nobody's hand, is written as it is trained.
    """
    values = settings.model_dump() | {"warmup_steps": settings.warmup_in(settings.steps)}
    return _HEAD + toml({MARK: VERSION} | said) + "\n[settings]\n" + toml(values)


def toml(values: dict[str, Any]) -> str:
    """Lines of TOML: texts, numbers, switches, and lists of texts. Strings of JSON are those of TOML."""
    return "".join(f"{name} = {_value(value)}\n" for name, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, float):
        return repr(value)
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False).replace("\x7f", "\\u007f")


def quoted(text: str) -> str:
    """A key of TOML that is more than letters, digits, - and _."""
    return _value(text)
