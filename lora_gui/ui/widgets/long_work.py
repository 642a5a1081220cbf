"""Work that takes a while, told step by step where it was asked for; it goes on where nobody looks, until given up."""

import queue
import threading
from collections.abc import Callable, Iterator

from lora_gui.errors import UserError
from lora_gui.ui.widgets import markup

LOOK = 0.2  # seconds between two looks at whether it has ended
CANCELLED = "Cancelled; nothing of it was kept."
GOES_ON = UserError("This is being done already.", "Wait until it is done, or cancel it.")
Say = Callable[[str], None]  # empty words: still the same


class GivenUpError(Exception):
    """It is not wanted any more; raised by what the work calls to tell of itself."""


class Works:
    """What is worked on in one place of the window, by what it is for: one thing for each, which can be given up."""

    def __init__(self) -> None:
        self.hearers: dict[str, Say] = {}  # of what is going on; who hears of it
        self._given_up = set[str]()
        self._lock = threading.Lock()

    def cancel(self, key: str) -> None:
        """Give up what is worked on for `key`, as soon as it tells of itself again."""
        with self._lock:
            if key in self.hearers:
                self._given_up.add(key)
                self.hearers[key](bar("Cancelling"))

    def begin(
        self,
        key: str,
        work: Callable[[Say], str],
        hear: Say,
        problem: Callable[[UserError], str] = markup.problem,
        cancelled: Callable[[], str] = lambda: CANCELLED,
    ) -> threading.Thread:
        """Let `work` be done in a thread. Raises UserError where something is being done for `key`.

        `hear` is given a bar with whatever it says, and at last what it returns, what is wrong, or the words for what
        was `cancelled`.
        """

        def say(words: str) -> None:
            with self._lock:
                if key in self._given_up:
                    raise GivenUpError
                if words:
                    hear(bar(words))

        def run() -> None:
            ended = problem(UserError("This ended without a word.", "Try it again."))
            try:
                ended = work(say)
            except UserError as error:
                ended = problem(error)
            except GivenUpError:
                ended = markup.notice(cancelled(), kind="note")
            finally:
                with self._lock:
                    hear(ended)
                    del self.hearers[key]
                    self._given_up.discard(key)

        with self._lock:
            if key in self.hearers:
                raise GOES_ON
            self.hearers[key] = hear
            hear(bar("Beginning"))
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def told(self, key: str, work: Callable[[Say], str]) -> Iterator[str]:
        """What `begin` lets hear, one after the other; what is late is passed over."""
        said: queue.SimpleQueue[str] = queue.SimpleQueue()
        try:
            thread = self.begin(key, work, said.put)
        except UserError as error:
            yield markup.problem(error)
            return
        while thread.is_alive() or not said.empty():
            thread.join(LOOK)
            words = ""
            while not said.empty():
                words = said.get()
            if words:
                yield words


def bar(words: str) -> str:
    """How far it is where the words end with per cent, else that it goes on."""
    share = words.removesuffix(" %").rpartition(" ")[2] if words.endswith(" %") else ""
    return markup.bar(int(share) / 100 if share.isdecimal() else -1.0, words, "")
