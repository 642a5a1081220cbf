"""Downloads of known bases and captioners, each known by its folder alone; and who the hub knows the user as."""

from __future__ import annotations

from pathlib import Path

from lora_gui import files
from lora_gui.errors import UserError, nearest
from lora_gui.formats.captioners import KNOWN
from lora_gui.protocol import events
from lora_gui.protocol.jobs import DownloadJob
from lora_gui.protocol.task_folder import placed
from lora_gui.studio.paths import Studio
from lora_gui.studio.tasks import process
from lora_gui.studio.tasks.fetching import Fetching
from lora_gui.studio.things import bases, captioners

_SIGNING_IN = 120.0  # seconds
_CAPTIONER = "captioner-"  # begins the names of their folders


class Download(Fetching):
    """The download of one known base into one studio."""

    command = "download"

    def __init__(self, studio: Studio, base: str) -> None:
        """Raises UserError for one that is not known, since folders are called by its key."""
        known = bases.known_bases()
        if base not in known:
            raise UserError(f"There is no base {base!r}.", nearest(base, known))
        super().__init__(studio.downloads / base, studio.bases / base)
        self.base = base


class CaptionerDownload(Fetching):
    """The download of one known captioner into one studio."""

    command = "download"

    def __init__(self, studio: Studio, key: str) -> None:
        """Raises UserError as `Download`."""
        if key not in KNOWN:
            raise UserError(f"There is no captioner {key!r}.", nearest(key, KNOWN))
        super().__init__(studio.downloads / f"{_CAPTIONER}{key}", studio.captioners / key)


def start(studio: Studio, base: str) -> Download:
    """Begin a download, or go on with it; one that goes on already, whoever began it, is shared.

    Raises UserError where there is no such base to be had, or it is here.
    """
    download = Download(studio, base)
    _require_wanted(studio, base)
    download.begin(DownloadJob(base=base, into=placed(str(studio.bases), studio.home)))
    return download


def start_captioner(studio: Studio, key: str) -> CaptionerDownload:
    """As `start`, of a captioner."""
    download = CaptionerDownload(studio, key)
    if any(one.title == KNOWN[key].title for one in captioners.here(studio)):
        raise UserError(f"{KNOWN[key].title} is on this computer already.", "Use it.")
    _require_room(studio.captioners / key, "captioner")
    download.begin(DownloadJob(base=key, of="captioner", into=placed(str(studio.captioners), studio.home)))
    return download


def begun(studio: Studio) -> list[Download]:
    """Every download that is not finished, by name; what is left of finished ones is put away."""
    found = []
    known = bases.known_bases()
    for path in sorted(studio.downloads.glob("*/job.json")):
        if path.parent.name not in known:
            continue
        one = Download(studio, path.parent.name)
        if one.status().state != "finished":
            found.append(one)
        else:
            files.remove_folder(path.parent)
    return found


def sign_in(studio: Studio, token: str) -> str:
    """Have huggingface_hub keep the user's token; whose it is. Raises UserError where the hub does not know it."""
    said = process.ask("sign_in", [" ".join(token.split())], studio.cache / "sign-in.txt", _SIGNING_IN)
    return next((event.text for event in said if isinstance(event, events.Note)), "")


def _require_wanted(studio: Studio, base: str) -> None:
    known = bases.known_bases()
    if not known[base].repo:
        raise UserError(f"{known[base].title} comes with the app.", "Get the app again where it is missing.")
    here = {one.key: one for one in bases.list_bases(studio)}
    if base in here:
        raise UserError(f"{known[base].title} is on this computer already, in {here[base].path}.", "Use it.")
    _require_room(studio.bases / base, "base")


def _require_room(folder: Path, kind: str) -> None:
    """Raises UserError where something lies in the place of a download that is none of its kind."""
    if folder.exists():
        what = f"There is a folder {folder} that is no whole {kind}."
        raise UserError(what, "Move it away or delete it, and try again.")
