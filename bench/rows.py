"""Time per sample and memory of an epoch over a memory-mapped array, by its number of rows: ``python -m bench.rows``.

Neither should grow with the rows, but for the order of a shuffled epoch: 8 bytes a row, of 256 bytes of data. Each array is
trained on in a process of its own. The file is in the system's temporary folder (10 million rows: 2.6 GB) and gone afterwards.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

SIZES, BATCH = (64, 32, 8), 256
ROWS, LARGE = (100_000, 1_000_000), 10_000_000
BAR = 1.2  # of the time per sample with the fewest rows: what times on a shared machine differ by
EPOCHS, SECONDS = 3, 2.0  # at least, of training; the fastest epoch counts
BLOCK = 100_000  # rows written at a time


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.rows", description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--large", action="store_true", help=f"{LARGE:,} rows as well")
    parser.add_argument("--file", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.file:
        train(options.file, options.threads)
        return
    print(f"{'-'.join(map(str, SIZES))}-..., batch {BATCH}, {options.threads} threads, shuffled, the fastest epoch")
    print(f"{'rows':>12}{'ns a sample':>14}{'x fewest':>10}{'memory growth':>16}{'a row':>10}")
    first = None
    for n in (*ROWS, LARGE) if options.large else ROWS:
        seconds, growth = measure(n, options.threads)
        first = first or seconds
        verdict = "pass" if seconds <= BAR * first else "falls short"
        print(
            f"{n:>12,}{seconds * 1e9:>14.1f}{seconds / first:>10.2f}{growth / 1e6:>13.1f} MB{growth / n:>8.1f} B"
            + f"   bar {BAR}: {verdict}" * (n != ROWS[0]),
            flush=True,
        )


def measure(n, threads):
    """(seconds per sample, bytes of memory that training added) on n rows."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.npy"
        x = np.lib.format.open_memmap(file, "w+", np.float32, (n, SIZES[0]))
        rng = np.random.default_rng(0)
        for start in range(0, n, BLOCK):
            x[start : start + BLOCK] = rng.random((min(BLOCK, n - start), SIZES[0]), np.float32)
        x.flush()
        command = [sys.executable, "-m", "bench.rows", "--file", str(file), "--threads", str(threads)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, growth = map(float, output.split())
    return seconds, growth


def train(file, threads):
    """In a process of its own: train on a file and print what main shows."""
    import fastae

    x = np.load(file, mmap_mode="r")
    trainer = fastae.Trainer(fastae.Autoencoder(SIZES, seed=0), fastae.SGD(lr=0.1), batch_size=BATCH, seed=0, n_threads=threads)
    trainer.fit(x[:BATCH], epochs=1)  # loads the kernels, makes the plan
    before, seconds = private_memory(), []
    with PeakMemory() as peak:
        while len(seconds) < EPOCHS or sum(seconds) < SECONDS:
            start = time.perf_counter()
            trainer.fit(x, epochs=1)
            seconds.append(time.perf_counter() - start)
    print(min(seconds) / len(x), peak.bytes - before)


def private_memory():
    """Resident bytes of this process that no file backs: pages of the mapped array do not count."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    raise OSError("/proc/self/status has no RssAnon; this needs Linux")


class PeakMemory:
    """Looks at the memory every few milliseconds, as the kernel keeps no peak of this kind."""

    def __enter__(self):
        self.bytes, self._stop = private_memory(), threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self):
        while not self._stop.wait(0.005):
            self.bytes = max(self.bytes, private_memory())

    def __exit__(self, *exception):
        self._stop.set()
        self._thread.join()


if __name__ == "__main__":
    main()
