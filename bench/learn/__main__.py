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
    parser.add_argument(
        "--keras", action="store_true", help="after that the same run in Keras (on JAX), for its time: of blog and blog_deep"
    )
    parser.add_argument("--json", help="append the results to this file, a line each")
    parser.add_argument("--in-keras", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        fastae.set_num_threads(options.threads)
        print(json.dumps(measured(options.names[0], options.seeds[0], options)))
        return
    print(f"{fastae.settings.processor_name()}, {options.threads} threads, fastae {fastae.__version__}")
    for name in options.names:
        report(name, importlib.import_module(f"{__package__}.{name}"), options)


def report(name, protocol, options):
    """Run a protocol with each seed, and print its numbers beside what was published and the bar."""
    if options.keras and not hasattr(protocol, "KERAS"):
        raise SystemExit(f"--keras takes blog or blog_deep, got {name}")
    print(f"\n{protocol.__doc__.strip()}\n\n{settings_of(protocol, options)}\n")
    bar = getattr(protocol, "LONG_BAR", protocol.BAR) if options.long else protocol.BAR
    print(f"published {protocol.PUBLISHED}; bar {bar:g}{', at any length' if options.long else ''}")
    times = []
    for place, seed in enumerate(options.seeds):
        found = in_process(name, seed, options)
        times.append(found["seconds"])
        good = found["number"] <= bar if protocol.LOW else found["number"] >= bar
        verdict = "" if place else ", pass" if good else ", FALLS SHORT"
        print(f"seed {seed}: {numbers(found, protocol)}{verdict}   {found['beside']}", flush=True)
        if options.json:
            with open(options.json, "a") as file:
                file.write(json.dumps({"protocol": name, "seed": seed, "long": options.long, **found}) + "\n")
    if options.keras:
        found = in_process(name, options.seeds[0], options, "--in-keras")
        ratio = found["seconds"] / times[0]
        verdict = f"{ratio:.1f} times as long; bar 4, {'pass' if ratio >= 4 else 'FALLS SHORT'}"
        print(f"Keras on JAX: {numbers(found, protocol)}, {verdict}   {found['beside']}", flush=True)


def numbers(found, protocol):
    return f"{found['number']:.4g} {protocol.UNIT}, trained in {found['seconds']:.0f} s, peak {found['peak']:.0f} MB"


def in_process(name, seed, options, *more):
    """What ``measured`` gives in a process of its own."""
    command = [sys.executable, "-m", __package__, name, "--one", "--seeds", str(seed), "--threads", str(options.threads), *more]
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
    if options.in_keras:
        protocol = importlib.import_module(f"{__package__}.in_keras")
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
