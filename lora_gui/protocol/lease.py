"""The lease of the device: one heavy task at a time has the card, or the processor where there is none.

Held as a lock by the child that computes, so it is free again however that child ends. Whoever waits holds a second
lock meanwhile, by which the holder knows that it is waited for.
"""

import time
from collections.abc import Callable
from pathlib import Path

from lora_gui import files
from lora_gui.protocol.lock import Lock, is_held

LOCK, TURN, HOLDER = "device.lock", "device.turn.lock", "device.json"  # in the studio folder
BETWEEN = 0.1  # seconds between two tries


class Lease:
    """This process's claim on the device of a studio."""

    def __init__(self, studio: Path) -> None:
        self._studio = studio
        self._device, self._turn = Lock(studio / LOCK), Lock(studio / TURN)
        self.held = False

    def take(self, doing: str, waits: Callable[[str], None], given_up: Callable[[], bool] = lambda: False) -> bool:
        """Have the device, after `waits` was told once what it is waited for; False where `given_up` came first.

        `doing` is said to those who wait then, as in "A training is using the card".
        """
        if not self.held:
            files.make_folder(self._studio)
            self.held = self._device.hold() or self._wait(waits, given_up)
            if self.held:
                files.write_json(self._studio / HOLDER, {"doing": doing})
        return self.held

    def is_wanted(self) -> bool:
        """Whether somebody waits for it."""
        return is_held(self._studio / TURN)

    def release(self) -> None:
        if self.held:
            self.held = False
            self._device.release()

    def _wait(self, waits: Callable[[str], None], given_up: Callable[[], bool]) -> bool:
        told, has_turn = False, False
        try:
            while not given_up():
                has_turn = has_turn or self._turn.hold()
                if has_turn and self._device.hold():
                    return True
                if not told:
                    waits(holder(self._studio))
                    told = True
                time.sleep(BETWEEN)
        finally:
            if has_turn:
                self._turn.release()
        return False


def holder(studio: Path) -> str:
    """What has the device now, in words, such as `a training`; empty where nothing has it."""
    if not is_held(studio / LOCK):
        return ""
    said = files.read_json(studio / HOLDER)
    doing = said.get("doing") if isinstance(said, dict) else None
    return doing if isinstance(doing, str) and doing else "another task"
