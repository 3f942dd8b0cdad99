"""Runs protocols: ``python -m bench.learn reconstruction``. Each seed trains in a process of its own."""

import argparse
import importlib
import json
import resource
import subprocess
import sys
import time
from ast import literal_eval

import fastae

PROTOCOLS = ("reconstruction", "blog", "blog_deep", "ksparse", "denoising", "vae", "vae20", "clustering")


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.learn", description=__doc__)
    parser.add_argument("names", nargs="+", choices=PROTOCOLS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="the first is the one that counts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="hyperparameters in place of the protocol's")
    parser.add_argument("--long", action="store_true", help="the protocol's longer training, where it has one")
    parser.add_argument("--json", help="append the results to this file, a line each")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        fastae.set_num_threads(options.threads)
        print(json.dumps(measured(options.names[0], options.seeds[0], options)))
        return
    print(f"{fastae.settings.processor_name()}, {options.threads} threads, fastae {fastae.__version__}")
    for name in options.names:
        protocol = importlib.import_module(f"{__package__}.{name}")
        print(f"\n{protocol.__doc__.strip()}\n\n{settings_of(protocol, options)}\n")
        bar = getattr(protocol, "LONG_BAR", protocol.BAR) if options.long else protocol.BAR
        bar = getattr(protocol, "LONG_BAR", protocol.BAR) if options.long else protocol.BAR
        print(f"published {protocol.PUBLISHED}; bar {bar:g}{', at any length' if options.long else ''}")
        for place, seed in enumerate(options.seeds):
            found = in_process(name, seed, options)
            good = found["number"] <= bar if protocol.LOW else found["number"] >= bar
            verdict = "" if place else ", pass" if good else ", FALLS SHORT"
            print(f"seed {seed}: {found['number']:.4g} {protocol.UNIT}, trained in {found['seconds']:.0f} s,", end=" ")
            print(f"peak {found['peak']:.0f} MB{verdict}   {found['beside']}", flush=True)
            if options.json:
                with open(options.json, "a") as file:
                    file.write(json.dumps({"protocol": name, "seed": seed, "long": options.long, **found}) + "\n")


def in_process(name, seed, options):
    """What ``measured`` gives in a process of its own."""
    command = [sys.executable, "-m", __package__, name, "--one", "--seeds", str(seed), "--threads", str(options.threads)]
    command += ["--set", *options.set] if options.set else []
    command += ["--long"] if options.long else []
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])


def settings_of(protocol, options):
    """The protocol's hyperparameters, with those of the command line."""
    settings = {**protocol.SETTINGS, **(getattr(protocol, "LONG", {}) if options.long else {})}
    for pair in options.set:
        name, _, value = pair.partition("=")
        if name not in settings:
            raise SystemExit(f"--set takes {', '.join(settings)}; got {name!r}")
        try:
            settings[name] = literal_eval(value)
        except (ValueError, SyntaxError):
            settings[name] = value
    return settings


def measured(name, seed, options):
    protocol = importlib.import_module(f"{__package__}.{name}")
    settings = settings_of(protocol, options)
    start = time.perf_counter()
    number, seconds, beside = protocol.run(seed, **settings)
    return {
        "number": number,
        "seconds": seconds,
        "whole": time.perf_counter() - start,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "beside": beside,
        "settings": settings,
    }


main()
