"""The studio folder and everything in it."""

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import platformdirs

from lora_gui import drive, files
from lora_gui.drive import Named
from lora_gui.errors import UserError

HOME = "LORA_GUI_HOME"  # the variable
MARK = "studio.json"  # in the studio folder, once it was closed to other users
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")
_SECOND = "%Y%m%d-%H%M%S"
_NAME_ONE = f"Set {HOME} to the whole path of a folder, and start again."
_CLOSED = "Other users of this computer could look into {}; from now on only you can."


@dataclass(frozen=True)
class Studio:
    """Where the user's things live. `LORA_GUI_HOME` moves it."""

    home: Path
    runs = Named(within="home")
    loras = Named(within="home")
    library = Named(within="home")  # what the user notes of the LoRAs
    bin = Named(within="home")  # LoRAs, drawings and sheets that were deleted, and can be had back
    drawings = Named(within="home")
    pictures = Named(within="home")
    bases = Named(within="home")
    captioners = Named(within="home")
    downloads = Named(within="home")
    presets = Named(within="home")
    given = Named(within="home")  # what was made to be given away
    cache = Named(within="home")  # can be deleted at any time

    @classmethod
    def default(cls) -> "Studio":
        """The user's. Raises UserError where what is named as its folder cannot be one."""
        given = os.environ.get(HOME, "").strip().strip('"')  # Windows keeps quotes that are typed around a value
        try:
            home = Path(os.path.expandvars(given)).expanduser() if given else _usual()
            home = home.absolute()  # a child works in another folder
        except (RuntimeError, OSError) as error:  # nobody's home is known, or the current folder is gone
            raise UserError(f"No studio folder can be told from {given or 'your account'}.", _NAME_ONE) from error
        if os.path.lexists(home) and not os.path.isdir(home):
            kind = "a link that leads nowhere" if home.is_symlink() and not home.exists() else "a file"
            raise UserError(f"The studio folder {home} is {kind}.", _NAME_ONE)
        return cls(home)

    def prepare(self) -> str:
        """Make the folder, and see that it can be written to; its owner alone may look into it, which is seen to once.

        Returns what is to be said of it. Raises UserError where the disk refuses.
        """
        is_new = not os.path.exists(self.home)
        files.make_folder(self.home)
        for name in FOLDERS:
            _require_own(self.home / name)
        if os.path.isfile(self.home / MARK):
            files.touch(self.home / MARK)
            return ""
        try:
            was_open = self._close()
        except OSError as error:
            raise drive.refused(self.home / MARK, error) from error
        files.write_json(self.home / MARK, {"closed_to_others": True})
        return _CLOSED.format(self.home) if was_open and not is_new else ""

    def _close(self) -> bool:
        """Shut out other users; whether they could look in. In a folder that has other things, only what is new."""
        others = {path.name for path in self.home.iterdir()} - {MARK}
        is_shared = bool(others) and others.isdisjoint(FOLDERS)
        if is_shared or self.home == home_folder() or os.path.ismount(self.home):
            for name in set(FOLDERS) - others:
                files.make_private_folder(self.home / name)
            return False
        was_open = os.name != "nt" and bool(self.home.stat().st_mode & 0o077)
        drive.make_private(self.home)
        return was_open


FOLDERS = tuple(name for name, one in vars(Studio).items() if isinstance(one, Named))


def _require_own(folder: Path) -> None:
    """Refuse one that cannot be looked into, as of who started this as root once: it would seem to be empty."""
    if folder.is_symlink():  # to a drive that may not answer
        return
    try:
        os.scandir(folder).close()
    except PermissionError:
        what = f"You may not look into {folder}, a folder of your studio."
        raise UserError(what, f"Make it your own again, {drive.ELSEWHERE}") from None
    except OSError:  # it is not there yet; whoever needs it says what else is the matter
        return


def home_folder() -> Path | None:
    """The user's home folder; None where none is known, as of an account that a container made up."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def _usual() -> Path:
    """Where an app's data lies on this system. Raises RuntimeError where no home folder is known."""
    home = platformdirs.user_data_path("lora-studio", appauthor=False)
    if home.parts[0].startswith("~"):
        raise RuntimeError("no home folder")
    return home


def new_id(beside: Path) -> str:
    """A name that sorts behind all of its kind in the folder `beside`: YYYYMMDD-HHMMSS-xxxx, as a rule the time in UTC.

    The clock can be set back and the time zone changed; the names only grow all the same.
    """
    now = datetime.now(UTC)
    new = f"{now:{_SECOND}}-{now.microsecond * 65536 // 1_000_000:04x}"
    there = beside.iterdir() if beside.is_dir() else ()
    newest = max((found[0] for path in there if (found := _ID.match(path.name))), default="")
    return new if new > newest else _after(newest)


def _after(id: str) -> str:
    """The next name after `id`, in the same second or the one after it."""
    second, _, part = id.rpartition("-")
    if part < "ffff":
        return f"{second}-{int(part, 16) + 1:04x}"
    try:
        later = datetime.strptime(second, _SECOND) + timedelta(seconds=1)
    except (ValueError, OverflowError):  # of a folder that was not named by us
        return f"{second}-ffff0"
    return f"{later:{_SECOND}}-0000"
