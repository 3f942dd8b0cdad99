"""A row of the table: what is measured, the numbers made of its times, and whether they reach their bars."""

from dataclasses import dataclass, field
from typing import Any

OWN = "fastae"
PASS, SHORT, NO_BAR, NOT_MEASURED, DIFFERS = "pass", "falls short", "", "not measured", "results differ"


@dataclass(frozen=True)
class Bar:
    """A number of a row, and the least it must be (with ``most``: the most). Without a limit it is only shown.

    Numbers, with T an engine's time and t fastae's:
    "best" least T / t; an engine's name: its T / t; "cost" t / T; "peak" share of the FMA peak; "us" t in microseconds.
    """

    number: str
    limit: float | None = None
    most: bool = False

    def reached(self, value):
        return value <= self.limit if self.most else value >= self.limit


@dataclass(frozen=True)
class Row:
    """Case and threads go to the engines, which do ``steps`` steps of so many floating-point ``operations`` in a call."""

    label: str
    case: Any
    bars: list
    threads: int
    operations: float = 0.0
    steps: int = 1


@dataclass
class Result:
    """Microseconds of a step by engine; why some were left out; which computed something else than fastae."""

    times: dict = field(default_factory=dict)
    left_out: dict = field(default_factory=dict)
    differ: dict = field(default_factory=dict)

    def value(self, row, bar, gflops, not_counted=()):
        """The number of a bar, or None where what it needs was not measured."""
        own = self.times.get(OWN)
        peers = {name: time for name, time in self.times.items() if name != OWN and name not in not_counted}
        if own is None or (bar.number in ("best", "cost") and not peers):
            return None
        if bar.number == "best":
            return min(peers.values()) / own
        if bar.number == "cost":
            return own / min(peers.values())
        if bar.number == "peak":
            return row.operations / own / 1e3 / gflops
        if bar.number == "us":
            return own
        return peers[bar.number] / own if bar.number in peers else None

    def verdict(self, row, gflops, not_counted=()):
        if self.differ:
            return DIFFERS
        if OWN in self.left_out:
            return SHORT
        limits = [(bar, self.value(row, bar, gflops, not_counted)) for bar in row.bars if bar.limit is not None]
        if any(value is not None and not bar.reached(value) for bar, value in limits):
            return SHORT
        if any(value is None for _, value in limits):
            return NOT_MEASURED
        return PASS if limits else NO_BAR
