"""The running average of the weights (EMA), which is what is drawn, kept and published where one is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lora_gui.engine.train.adapter import Masters


class Average:
    """Of one run; of a `decay` of 0 it is the weights themselves and costs nothing."""

    def __init__(self, masters: list[Masters], decay: float) -> None:
        self._masters, self._decay = masters, decay
        self._averages = [one.flat.data.clone() for one in masters] if decay else []

    @property
    def on(self) -> bool:
        """Whether it is anything but the weights themselves."""
        return bool(self._averages)

    def begin(self) -> None:
        """Begin from the weights as they are now."""
        for average, one in zip(self._averages, self._masters, strict=False):
            average.copy_(one.flat.data)

    def follow(self, step: int) -> None:
        """Take in the weights after so many steps; a rising decay, as TensorFlow's num_updates has it, so that the
        first weights, which are nothing, are soon forgotten."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for average, one in zip(self._averages, self._masters, strict=False):
            average.lerp_(one.flat.data, 1 - decay)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """The adapter is the average meanwhile; nobody learns then."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        for average, one in zip(self._averages, self._masters, strict=False):
            held = one.flat.data.clone()
            one.flat.data.copy_(average)
            average.copy_(held)
            one.refresh()
