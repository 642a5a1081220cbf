"""What was chosen on Train and not started yet; kept on the disk, so that a refreshed page asks nothing twice."""

from dataclasses import asdict, dataclass

from lora_gui import files
from lora_gui.studio.paths import Studio

FILE = "draft.json"


@dataclass(frozen=True)
class Draft:
    """`folder` is the name of the picture set's folder; all are empty where nothing was chosen."""

    preset: str = ""
    folder: str = ""
    trigger: str = ""


def load(studio: Studio) -> Draft:
    """What was kept; an empty one where there is nothing or it is damaged."""
    kept = files.read_json(studio.home / FILE)
    if not isinstance(kept, dict):
        return Draft()
    return Draft(**{key: str(kept.get(key, "")) for key in asdict(Draft())})


def save(studio: Studio, draft: Draft) -> None:
    if draft != load(studio):
        files.write_json(studio.home / FILE, asdict(draft))
