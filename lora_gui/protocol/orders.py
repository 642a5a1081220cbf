"""The orders of the drawing child, read from its standard input while it works, so that one can be cancelled."""

import json
import queue
import threading
from collections.abc import Callable
from typing import IO

from pydantic import ValidationError

from lora_gui.protocol.jobs import DrawJob

LOOK = 0.5  # seconds between two looks whether the device is waited for


class Orders:
    """Reads lines in a thread until the input ends: `{"draw": ...}` and `{"cancel": id}`."""

    def __init__(self, lines: IO[bytes], refused: Callable[[str], None]) -> None:
        """`refused` is told the id of an order that cannot be read."""
        self._waiting: queue.SimpleQueue[DrawJob | None] = queue.SimpleQueue()
        self._cancelled: set[str] = set()
        threading.Thread(target=self._listen, args=(lines, refused), daemon=True).start()

    def next(self, is_over: Callable[[], bool]) -> DrawJob | None:
        """The next order; None where the input has ended, or `is_over` while there is nothing to do."""
        while True:
            try:
                return self._waiting.get(timeout=LOOK)
            except queue.Empty:
                if is_over():
                    return None

    def is_cancelled(self, id: str) -> bool:
        return id in self._cancelled

    def _listen(self, lines: IO[bytes], refused: Callable[[str], None]) -> None:
        for line in lines:
            order = json.loads(line)
            if "cancel" in order:
                self._cancelled.add(order["cancel"])
            else:
                try:
                    self._waiting.put(DrawJob.model_validate(order["draw"]))
                except ValidationError as error:
                    print(error)  # to the log
                    refused(str(order["draw"].get("id", "")))
        self._waiting.put(None)
