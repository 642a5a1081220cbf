"""Which process this is among those that a launcher started, and which computer it is on."""

import hashlib
import os
import platform
import uuid
from dataclasses import dataclass
from pathlib import Path

# What torchrun and `accelerate launch` say to each process; a child of this app's own hears of it only where meant.
LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_MACHINE = Path("/etc/machine-id")


@dataclass(frozen=True)
class Launched:
    """The place of a process among those that train together; `rank` 0 leads, `local_rank` counts on one computer."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1

    @classmethod
    def here(cls) -> "Launched":
        """This process, by its environment; alone where no launcher started it, or the environment makes no sense."""
        told = [os.environ.get(name, "") for name in LAUNCHER[:4]]
        if not all(os.environ.get(name) for name in LAUNCHER if name != "LOCAL_WORLD_SIZE"):
            return cls()
        rank, count, local_rank, local_count = (int(one) if one.isdecimal() else 0 for one in told)
        return cls(rank, count, local_rank, local_count or count) if rank < count > 1 else cls()


def machine() -> str:
    """What tells this computer from others, and nothing else of it: the same after a restart."""
    try:
        own = _MACHINE.read_text(encoding="ascii").strip() + platform.node()  # containers often lack the former
    except (OSError, ValueError):
        address = uuid.getnode()
        own = platform.node() if address >> 40 & 1 else str(address)  # the bit is set where it was made up just now
    return hashlib.sha256(own.encode("utf-8")).hexdigest()[:16] if own else ""
