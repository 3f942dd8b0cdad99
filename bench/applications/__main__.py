"""Runs the applications on real data: ``python -m bench.applications [NAME...]``, each in a process of its own."""

import argparse
import importlib
import importlib.util
import os
import resource
import subprocess
import sys
import time

import fastae

NAMES = (
    "anomaly",
    "compression",
    "denoising",
    "features",
    "generation",
    "imputation",
    "recommendation",
)
NEEDS = "PIL", "bm3d", "constriction", "pywt", "recbole", "scipy", "skimage", "sklearn", "torch"


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.applications", description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        raise SystemExit(f"NAME takes {', '.join(NAMES)}; got {', '.join(sorted(unknown))}")
    if missing := [name for name in NEEDS if importlib.util.find_spec(name) is None]:
        install = "pip install -e '.[applications]' && pip install --no-deps recbole==1.2.1"
        raise SystemExit(f"missing: {', '.join(missing)}; {install}")
    if not os.environ.get("FASTAE_DATA"):
        raise SystemExit("FASTAE_DATA must name the folder that has mnist/, fashion-mnist/ and adbench/")
    fastae.set_num_threads(options.threads)
    if options.one:
        measure(options.names[0], options.seed)
        return
    print(f"{fastae.settings.processor_name()}, {options.threads} threads, fastae {fastae.__version__}, seed {options.seed}\n")
    print("what | fastae | bar | | others\n---|---|---|---|---", flush=True)
    for name in options.names:
        command = [sys.executable, "-m", __package__, name, "--one", "--seed", str(options.seed)]
        subprocess.run([*command, "--threads", str(options.threads)], check=True)


def measure(name, seed):
    start = time.perf_counter()
    for bar in importlib.import_module(f"{__package__}.{name}").bars(seed):
        print(bar, flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name} took {time.perf_counter() - start:.0f} s, peak {peak:.0f} MB | | | |", flush=True)


main()
