"""The studio folder and everything in it."""

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import platformdirs

_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")
_SECOND = "%Y%m%d-%H%M%S"


@dataclass(frozen=True)
class Studio:
    """Where the user's things live. `LORA_GUI_HOME` moves it."""

    home: Path

    @classmethod
    def default(cls) -> "Studio":
        given = os.environ.get("LORA_GUI_HOME")
        return cls(Path(given) if given else platformdirs.user_data_path("lora-studio", appauthor=False))

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    @property
    def loras(self) -> Path:
        return self.home / "loras"

    @property
    def drawings(self) -> Path:
        return self.home / "drawings"

    @property
    def pictures(self) -> Path:
        return self.home / "pictures"

    @property
    def bases(self) -> Path:
        return self.home / "bases"

    @property
    def presets(self) -> Path:
        return self.home / "presets"

    @property
    def cache(self) -> Path:
        """Can be deleted at any time."""
        return self.home / "cache"


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
