"""What a run leaves: a record of each row, the file with all of them, and the lines that sum it up."""

import json
from collections import Counter
from dataclasses import asdict
from statistics import geometric_mean

from .row import PASS, SHORT

MEAN_BAR = 3.0  # of the ratios to the best peer over the training table


def record(part, row, result, values, verdict, not_run=()):
    bars = [asdict(bar) | {"value": value} for bar, value in zip(row.bars, values, strict=True)]
    return {"part": part} | asdict(row) | {"bars": bars} | asdict(result) | {"verdict": verdict, "not_run": list(not_run)}


def write(path, machine, records):
    path.write_text(json.dumps({"machine": machine, "rows": records}, indent=1, allow_nan=False) + "\n")


def summary(records):
    """The mean over the training table, and how many rows reach their bars."""
    lines = []
    numbers = [bar for record in records if record["part"] == "training" for bar in record["bars"]]
    ratios = [bar["value"] for bar in numbers if bar["number"] == "best" and bar["value"] is not None]
    if ratios:
        mean = geometric_mean(ratios)
        verdict = PASS if mean >= MEAN_BAR else SHORT
        lines.append(
            f"geometric mean of the ratios to the best peer, {len(ratios)} rows: {mean:.2f}, bar {MEAN_BAR:g}: {verdict}"
        )
    counts = Counter(record["verdict"] for record in records if record["verdict"])
    if counts:
        lines.append("rows: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common()))
    not_run = sorted({name for record in records for name in record["not_run"]})
    if not_run:
        lines.append(
            f"NOT RUN: {', '.join(not_run)}. Each pass is only against the peers that ran: this is not the whole table"
        )
    return lines
