"""Draw what ``python -m bench.peers --json FILE`` wrote: ``python -m bench.plot FILE...``."""

import argparse
import json
from pathlib import Path
from string import ascii_letters

FOLDER = Path(__file__).parents[1] / "docs" / "images"
COLOURS = {"fastae": "C3", "numpy": "C0", "torch": "C1", "jax-scan": "C2"}  # the same in every plot


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.plot", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="runs on one machine; of a row in several files the last counts")
    parser.add_argument("--output", type=Path, default=FOLDER, metavar="FOLDER", help="default: docs/images")
    options = parser.parse_args()
    for path in draw(options.files, options.output):
        print(f"wrote {path}")


def draw(files, folder):
    """Write the plots that the files have rows for. Returns their paths."""
    runs = [json.loads(file.read_text()) for file in files]
    machines = {describe(run["machine"]) for run in runs}
    if len(machines) > 1:
        raise SystemExit("these files are of several machines or settings:\n" + "\n".join(sorted(machines)))
    rows = {(row["part"], row["label"]): row for run in runs for row in run["rows"] if "fastae" in row["times"]}
    gflops = max(run["machine"]["peak_gflops"] for run in runs)
    steps = [row for (part, _), row in rows.items() if part in ("training", "shapes")]
    by_batch = [row for row in rows.values() if row["part"] == "sweep" and row["case"]["sizes"] == [784, 256, 64]]
    by_width = [row for row in rows.values() if row["part"] == "sweep" and row not in by_batch]
    folder.mkdir(parents=True, exist_ok=True)
    title = machines.pop()
    plots = {
        "roofline.png": steps and roofline(steps, gflops, title),
        "time-by-batch.png": by_batch and times(by_batch, lambda case: case["batch"], "batch size, 784-256-64-256-784", title),
        "time-by-width.png": by_width and times(by_width, lambda case: case["sizes"][0], "n, of n-n/4-n at batch 64", title),
    }
    paths = []
    for name, figure in plots.items():
        if figure:
            paths.append(folder / name)
            figure.savefig(paths[-1], dpi=110)
    return paths


def describe(machine):
    return f"{machine['processor']}, {machine['threads']} threads, {machine['kernels'].partition(',')[0]}"


def roofline(rows, gflops, title):
    """Share of the FMA peak against the arithmetic of a step, fastae and the best peer; letters name the networks."""
    figure, axes = _figure()
    axes.axhline(1, color="black", linewidth=1, label=f"peak of multiply-adds in registers, {gflops:.0f} GFLOP/s")
    key = []
    for letter, row in zip(ascii_letters, sorted(rows, key=lambda row: row["operations"]), strict=False):
        shares = {name: row["operations"] / time / 1e3 / gflops for name, time in row["times"].items()}
        own = shares.pop("fastae")
        best = max(shares.values(), default=own)
        axes.plot([row["operations"]] * 2, [own, best], color="lightgrey", zorder=1)
        axes.plot(row["operations"], best, color="grey", marker="x", linestyle="", label="best peer" * (not key))
        axes.plot(row["operations"], own, color=COLOURS["fastae"], marker="o", linestyle="", label="fastae" * (not key))
        axes.annotate(letter, (row["operations"], own), xytext=(5, 2), textcoords="offset points")
        key.append(f"{letter}  {row['label']}")
    axes.text(1.02, 1, "\n".join(key), transform=axes.transAxes, verticalalignment="top", fontsize=8)
    axes.set(xscale="log", yscale="log", xlabel="floating-point operations of a step", ylabel="share of the peak", title=title)
    axes.legend(loc="lower right")
    return figure


def times(rows, position, label, title):
    """Time per sample of each engine against one number of the case."""
    figure, axes = _figure()
    rows = sorted(rows, key=lambda row: position(row["case"]))
    for name in dict.fromkeys(name for row in rows for name in row["times"]):
        points = [(position(row["case"]), row["times"][name] / row["case"]["batch"]) for row in rows if name in row["times"]]
        axes.plot(*zip(*points, strict=True), marker="o", label=name, color=COLOURS.get(name))
    axes.set_xscale("log", base=2)
    axes.set(yscale="log", xlabel=label, ylabel="microseconds per sample", title=title)
    axes.legend()
    return figure


def _figure():
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.5), layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    return figure, axes


if __name__ == "__main__":
    main()
