"""Downloads of known captioners, each known by its folder alone."""

from __future__ import annotations

from lora_gui.errors import UserError, nearest
from lora_gui.formats.captioners import KNOWN
from lora_gui.protocol.jobs import DownloadJob
from lora_gui.protocol.task_folder import placed
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks.fetching import Fetching
from lora_gui.studio.things import captioners

_PREFIX = "captioner-"  # begins the names of their folders


class CaptionerDownload(Fetching):
    """The download of one known captioner into one studio."""

    command = "download"

    def __init__(self, studio: Studio, key: str) -> None:
        """Raises UserError for one that is not known, since folders are called by its key."""
        if key not in KNOWN:
            raise UserError(f"There is no captioner {key!r}.", nearest(key, KNOWN))
        super().__init__(studio.downloads / f"{_PREFIX}{key}", studio.captioners / key)
        self.key = key


def start(studio: Studio, key: str) -> CaptionerDownload:
    """Begin a download, or go on with it; one that goes on already is shared. Raises UserError where it is here."""
    download = CaptionerDownload(studio, key)
    if any(one.title == KNOWN[key].title for one in captioners.here(studio)):
        raise UserError(f"{KNOWN[key].title} is on this computer already.", "Use it.")
    if (studio.captioners / key).exists():
        what = f"There is a folder {studio.captioners / key} that is no whole captioner."
        raise UserError(what, "Move it away or delete it, and try again.")
    download.begin(DownloadJob(base=key, of="captioner", into=placed(str(studio.captioners), studio.home)))
    return download
