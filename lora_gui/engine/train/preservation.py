"""What a step learns beside the pictures, so that the rest of the base stays as it is: one more pass for each.

Pictures of the class are learnt at their weight (Ruiz et al. 2023, eq. 2). And what the base predicts without the
adapter is kept to, of the same pictures at words that do not name what is learnt: none, or those of the class. That is
ai-toolkit's blank prompt and differential output preservation (extensions_built_in/sd_trainer/SDTrainer.py), here not
beside every batch, and at as much more weight: lazy regularization (Karras et al. 2020, arXiv 1912.04958, 3.1).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from lora_gui.engine.load import lora
from lora_gui.engine.train import losses
from lora_gui.engine.train.cache import Cache
from lora_gui.families.base import Batch, Conditions, Family, Noising
from lora_gui.protocol.jobs import TrainJob


class Held(NamedTuple):
    """What a part is held to the base by: what it is given, and the conditions that the base itself has of it."""

    drawn: losses.Drawn
    of_base: Conditions


class Preservation:
    """Of one run: which pictures of the class, and what the base is held to; knows no optimizer."""

    def __init__(
        self, job: TrainJob, encoded: Cache, family: Family, parts: lora.Parts, noising: dict[str, Noising], name: str
    ) -> None:
        """`name` is the adapter's, without which the base predicts."""
        self._job, self._cache, self._family, self._parts, self._noising = job, encoded, family, parts, noising
        self._layers = [layer for _, layer in lora.adapter_layers(parts, name)]
        # a decoder that is told pictures and no captions is told none, or it would be held to the user's own; and at
        # those it is told all, as the base beside it is
        self._blank, self._own = (
            job.settings.evenly.model_copy(update={"caption_dropout": share}) for share in (1.0, 0.0)
        )

    def class_batch(self, numbers: list[int], rng: random.Random, share: slice) -> Batch:
        """As many pictures of the class as there are `numbers`, with their own words."""
        chosen = [rng.choice(self._cache.of_class) for _ in numbers]
        return self._cache.batch(chosen, 0.0, rng, share)

    def held(self, batch: Batch, generator: torch.Generator, turn: int) -> dict[str, Held]:
        """What each part is held to the base by: the pictures of a batch, noised anew, at other words.

        Where only clearer steps are learnt, in every second `turn` at their own words, as noisy as is not learnt.
        """
        below = self._job.settings.learn_below
        noisy = below < 1 and turn % 2 == 0
        settings, within = (self._own, (below, 1.0)) if noisy else (self._blank, None)
        held = batch if noisy else self._cache.at(batch, self._cache.held_at)
        given = losses.drawn(self._family, self._parts, held, self._noising, settings, generator, within)
        with torch.no_grad(), self._without_adapter():
            return {
                part: Held(one, self._family.conditions(part, self._parts, held, settings, generator))
                for part, one in given.items()
            }

    def distance(self, held: dict[str, Held]) -> torch.Tensor:
        """How far the predictions are from the base's own: the mean squared difference, the sum over the parts, ()."""
        found = []
        for part, (drawn, of_base) in held.items():
            noisy = self._noising[part].noisy(drawn.latents, drawn.noise, drawn.timesteps)
            with torch.no_grad(), self._without_adapter():
                wanted = self._family.predict(part, self._parts[part], noisy, drawn.timesteps, of_base)
            got = self._family.predict(part, self._parts[part], noisy, drawn.timesteps, drawn.conditions)
            channels = drawn.latents.shape[1]
            found.append(losses.mean_error(got[:, :channels], wanted[:, :channels]).mean())
        return torch.stack(found).sum()

    @contextmanager
    def _without_adapter(self) -> Iterator[None]:
        """As `disable_adapters` says to layers; peft's own switch would also change what asks for gradients."""
        self._switch(True)
        try:
            yield
        finally:
            self._switch(False)

    def _switch(self, off: bool) -> None:
        layer: Any
        for layer in self._layers:
            layer._disable_adapters = off
