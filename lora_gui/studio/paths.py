"""The studio folder and everything in it."""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import platformdirs


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


def new_id() -> str:
    """A name that sorts by time, YYYYMMDD-HHMMSS-xxxx; the last part is the fraction of the second."""
    now = datetime.now()
    return f"{now:%Y%m%d-%H%M%S}-{now.microsecond * 65536 // 1_000_000:04x}"
