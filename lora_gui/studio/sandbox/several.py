"""Decode many pictures at once, in as many children as there are cores to spare; the answers come in their order."""

import os
import queue
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar

from lora_gui.errors import UserError
from lora_gui.studio.sandbox.picture_sandbox import Decoder

MOST = 4  # children; each holds a picture in memory
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


def decoded(orders: Iterable[Asked], ask: Callable[[Decoder, Asked], Answer]) -> Iterator[Answer | UserError]:
    """What `ask` gets of a decoder for each order, or why it gets nothing; only a few are held at a time."""
    count = max(1, min(MOST, os.cpu_count() or 1))
    with ExitStack() as stack:
        free: queue.SimpleQueue[Decoder] = queue.SimpleQueue()
        for _ in range(count):
            free.put(stack.enter_context(Decoder()))
        pool = stack.enter_context(ThreadPoolExecutor(count))
        waiting: deque[Future[Answer | UserError]] = deque()
        for order in orders:
            waiting.append(pool.submit(_answer, free, order, ask))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _answer(
    free: queue.SimpleQueue[Decoder], order: Asked, ask: Callable[[Decoder, Asked], Answer]
) -> Answer | UserError:
    decoder = free.get()
    try:
        return ask(decoder, order)
    except UserError as error:
        return error
    finally:
        free.put(decoder)
