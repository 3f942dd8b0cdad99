"""What an application's measurements give: numbers, each with its bar and with what others reach."""

from typing import NamedTuple


class Bar(NamedTuple):
    """A number beside its bar."""

    what: str  # data and measure
    value: float
    bar: float
    others: dict[str, float]  # of baselines, in the same run
    low: bool = False  # whether less is better
    digits: int = 3

    @property
    def passes(self):
        """Whether the bar is met."""
        return self.value <= self.bar if self.low else self.value >= self.bar

    def __str__(self):
        others = ", ".join(f"{name} {value:.{self.digits}f}" for name, value in self.others.items())
        verdict = "pass" if self.passes else "FALLS SHORT"
        takes = "<=" if self.low else ">="
        return f"{self.what} | {self.value:.{self.digits}f} | {takes} {self.bar:.{self.digits}f} | {verdict} | {others}"
