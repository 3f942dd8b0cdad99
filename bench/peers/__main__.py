"""Measure and print the table: ``python -m bench.peers``."""

import argparse
import importlib.util
import json
from collections import Counter
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from statistics import geometric_mean

from . import table
from .machine import describe
from .parts import DEFAULT, PARTS
from .processes import measure, processes, set_environment
from .row import OWN, PASS
from .worker import peak

# Packages that the engines need beyond NumPy; engines not named here are fastae's own, and always run.
PEERS = {
    "numpy": [],
    "torch": ["torch"],
    "torch-compile": ["torch"],
    "jax": ["jax"],
    "jax-scan": ["jax"],
    "sklearn": ["sklearn"],
    "keras": ["keras", "jax"],
    "onnxruntime": ["onnxruntime", "onnx"],
}
MEAN_BAR = 3.0  # of the ratios to the best peer over the training table


def main():
    options = _options()
    set_environment(options.threads, options.isa)
    machine = describe(options.threads, options.isa)
    print(
        f"{machine['processor']}, {options.threads} threads, {machine['kernels']}; OpenBLAS: {machine['openblas']}\n"
        f"{machine['date']}: "
        + ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        + f"\nfloat32, best of {options.turns} turns"
    )
    if options.isa:
        print("ONNX Runtime cannot be held to AVX2: it runs what the processor has")
    usable = _usable(options.engines)
    records = []
    for part in options.parts:
        records += run(part, usable, machine, options)
        if options.json:  # after each part, so that a run that is stopped leaves what it measured
            options.json.write_text(json.dumps({"machine": machine, "rows": records}, indent=1, default=asdict) + "\n")
    summary(records)


def run(name, usable, machine, options):
    """Measure a part and print it. Returns a record of each row."""
    part = import_module(f".parts.{name}", __package__)
    not_counted = getattr(part, "NOT_COUNTED", ())
    engines = [engine for engine in part.ENGINES if engine not in PEERS or engine in usable]
    rows = part.rows(options.threads)
    records = []
    with processes(engines) as workers:
        # Other work on the machine lowers what is measured of the peak, nothing raises it: the highest of the run counts.
        machine["peak_gflops"] = gflops = max(machine["peak_gflops"], workers[OWN].submit(peak, options.threads).result())
        print(f"\n{part.TITLE}, microseconds; peak {gflops:.0f} GFLOP/s")
        print(table.heading(engines, rows[0].bars), flush=True)
        for number, row in enumerate(rows):
            if options.cases and number not in options.cases:
                continue
            result = measure(workers, name, row, options.turns)
            values = [result.value(row, bar, gflops, not_counted) for bar in row.bars]
            verdict = result.verdict(row, gflops, not_counted)
            print(table.line(row, result, engines, values, verdict), flush=True)
            numbers = [asdict(bar) | {"value": value} for bar, value in zip(row.bars, values, strict=True)]
            records.append({"part": name} | asdict(row) | {"bars": numbers} | asdict(result) | {"verdict": verdict})
    return records


def summary(records):
    """The mean over the training table, and how many rows reach their bars."""
    ratios = [bar["value"] for r in records if r["part"] == "training" for bar in r["bars"] if bar["number"] == "best"]
    ratios = [ratio for ratio in ratios if ratio is not None]
    if ratios:
        mean = geometric_mean(ratios)
        print(
            f"\ngeometric mean of the ratios to the best peer over {len(ratios)} training rows: {mean:.2f}, bar {MEAN_BAR:g}: "
            + (PASS if mean >= MEAN_BAR else "falls short")
        )
    counts = Counter(record["verdict"] for record in records if record["verdict"])
    if counts:
        print("\nrows: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common()))


def _usable(chosen):
    """The chosen peers whose packages are here; says which are not."""
    usable = []
    for name in chosen:
        missing = [package for package in PEERS[name] if importlib.util.find_spec(package) is None]
        if missing:
            print(f"{name}: not installed ({', '.join(missing)})")
        else:
            usable.append(name)
    return usable


def _options():
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=DEFAULT, help="default: all but sweep, which has no bars")
    parser.add_argument("--engines", nargs="+", choices=PEERS, default=list(PEERS), help="peers beside fastae")
    parser.add_argument("--cases", nargs="+", type=int, metavar="N", help="rows of each part, from 0")
    parser.add_argument("--turns", type=int, default=5, metavar="N", help="of each engine; default 5")
    parser.add_argument("--isa", choices=["avx2"], help="hold every engine to this instruction set")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers and the machine's description")
    return parser.parse_args()


if __name__ == "__main__":
    main()
