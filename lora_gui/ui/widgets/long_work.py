"""Work that takes a while, told step by step where it was asked for; it goes on where nobody looks any more."""

import queue
import threading
from collections.abc import Callable, Iterator

from lora_gui.errors import UserError

LOOK = 0.2  # seconds between two looks at what it says
Say = Callable[[str], None]


def told(work: Callable[[Say], str], phase: Callable[[str], str], problem: Callable[[UserError], str]) -> Iterator[str]:
    """What `work` says, each as `phase` shows it, then what it returns, or what is wrong as `problem` shows it."""
    said: queue.SimpleQueue[str] = queue.SimpleQueue()
    ended: list[str] = []

    def run() -> None:
        try:
            ended.append(work(said.put))
        except UserError as error:
            ended.append(problem(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(LOOK)
        words = ""
        while not said.empty():
            words = said.get()
        if words and thread.is_alive():
            yield phase(words)
    yield ended[0] if ended else problem(UserError("This ended without a word.", "Try it again."))
