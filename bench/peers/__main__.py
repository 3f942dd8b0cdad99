"""Measure and print the table: ``python -m bench.peers``."""

import argparse
import importlib.util
from importlib import import_module
from pathlib import Path

from . import results, table
from .machine import describe
from .parts import DEFAULT, PARTS
from .processes import measure, processes, set_environment
from .row import OWN
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
            results.write(options.json, machine, records)
    print("\n" + "\n".join(results.summary(records)))


def run(name, usable, machine, options):
    """Measure a part and print it. Returns a record of each row."""
    part = import_module(f".parts.{name}", __package__)
    not_counted = getattr(part, "NOT_COUNTED", ())
    engines = [engine for engine in part.ENGINES if engine not in PEERS or engine in usable]
    rows = [row for i, row in enumerate(part.rows(options.threads)) if not options.cases or i in options.cases]
    records = []
    if not rows:
        return records
    with processes(engines) as workers:
        # Other work on the machine lowers what is measured of the peak, nothing raises it: the highest of the run counts.
        machine["peak_gflops"] = gflops = max(machine["peak_gflops"], workers[OWN].submit(peak, options.threads).result())
        print(f"\n{part.TITLE}, microseconds; peak {gflops:.0f} GFLOP/s")
        print(table.heading(engines, rows[0].bars), flush=True)
        for row in rows:
            result = measure(workers, name, row, options.turns)
            values = [result.value(row, bar, gflops, not_counted) for bar in row.bars]
            verdict = result.verdict(row, gflops, not_counted)
            print(table.line(row, result, engines, values, verdict), flush=True)
            not_run = [engine for engine in part.ENGINES if engine not in engines]
            records.append(results.record(name, row, result, values, verdict, not_run))
    return records


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
