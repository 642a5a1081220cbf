"""What is found of a run: its kinds, each with a sentence, what to do about it, and a picture."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from lora_gui.studio.doctor.finding import SEVERITIES, Severity

# In the order in which they are told within a severity.
KINDS: dict[str, Severity] = {
    "memory": "high",
    "diverged": "high",
    "molten": "high",
    "no effect": "high",
    "copying": "high",
    "by heart": "high",
    "collapse": "medium",
    "takes over": "medium",
    "bleed": "medium",
    "forgetting": "medium",
    "too few": "low",
}


@dataclass(frozen=True)
class Finding:
    """`says` is what is wrong and why, `remedy` what to do about it; `changes` are settings that would mend it."""

    kind: str  # in KINDS
    says: str
    remedy: str
    picture: str = ""  # name of a file among what was drawn of the run
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def severity(self) -> Severity:
        return KINDS[self.kind]

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"severity": self.severity}


def sorted_by_weight(found: list[Finding]) -> list[Finding]:
    """The worst first."""
    order = list(KINDS)
    return sorted(found, key=lambda one: (SEVERITIES.index(one.severity), order.index(one.kind)))
