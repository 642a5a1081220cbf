"""Work that takes a while, told step by step where it was asked for; it goes on where nobody looks, until given up."""

import queue
import threading
from collections.abc import Callable, Iterator

from lora_gui.errors import UserError
from lora_gui.ui.widgets import markup

LOOK = 0.2  # seconds between two looks at what it says
CANCELLED = "Cancelled; nothing of it was kept."
GOES_ON = UserError("This is being done already.", "Wait until it is done, or cancel it.")
Say = Callable[[str], None]  # empty words: still the same


class GivenUpError(Exception):
    """It is not wanted any more; raised by what the work calls to tell of itself."""


class Works:
    """What is worked on in one place of the window, by what it is for: one thing for each, which can be given up."""

    def __init__(self) -> None:
        self._given_up: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    def cancel(self, key: str) -> None:
        """Give up what is worked on for `key`, as soon as it tells of itself again."""
        with self._lock:
            if key in self._given_up:
                self._given_up[key].set()

    def told(
        self,
        key: str,
        work: Callable[[Say], str],
        problem: Callable[[UserError], str] = markup.problem,
        cancelled: Callable[[], str] = lambda: CANCELLED,
    ) -> Iterator[str]:
        """A bar with what `work` says, then what it returns, what is wrong, or the words for what was `cancelled`."""
        given_up = threading.Event()
        with self._lock:
            is_first = self._given_up.setdefault(key, given_up) is given_up
        if not is_first:
            yield problem(GOES_ON)
            return
        said: queue.SimpleQueue[str] = queue.SimpleQueue()
        ended: list[str] = []

        def say(words: str) -> None:
            if given_up.is_set():
                raise GivenUpError
            if words:
                said.put(words)

        def run() -> None:
            try:
                ended.append(work(say))
            except UserError as error:
                ended.append(problem(error))
            except GivenUpError:
                ended.append(markup.notice(cancelled(), kind="note"))
            finally:
                del self._given_up[key]

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield from _bars(thread, said, given_up)
        yield ended[0] if ended else problem(UserError("This ended without a word.", "Try it again."))


def _bars(thread: threading.Thread, said: queue.SimpleQueue[str], given_up: threading.Event) -> Iterator[str]:
    """What is said while the thread lives, each thing once."""
    shown = ""
    words = "Beginning"
    while thread.is_alive():
        while not said.empty():
            words = said.get()
        now = "Cancelling" if given_up.is_set() else words
        if now != shown:
            yield bar(now)
        shown = now
        thread.join(LOOK)


def bar(words: str) -> str:
    """How far it is where the words end with per cent, else that it goes on."""
    share = words.removesuffix(" %").rpartition(" ")[2] if words.endswith(" %") else ""
    return markup.bar(int(share) / 100 if share.isdecimal() else -1.0, words, "")
