"""The numbers of the benchmarks' table, on made-up times; nothing is timed here, and no peer but NumPy is needed."""

import json
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest

from fastae import benchmark
from fastae.benchmark import numpy_step

ROOT = Path(__file__).parents[1]
if not (ROOT / "bench").is_dir():  # as in a folder with the tests of an installed wheel
    pytest.skip("the folder bench is not here", allow_module_level=True)
sys.path.append(str(ROOT))

from bench import plot  # noqa: E402
from bench.peers import processes, results, table  # noqa: E402
from bench.peers.network import Network  # noqa: E402
from bench.peers.parts import PARTS, training  # noqa: E402
from bench.peers.row import DIFFERS, NO_BAR, NOT_MEASURED, PASS, SHORT, Bar, Result, Row  # noqa: E402


def row(*bars, **others):
    return Row("a row", None, list(bars), threads=2, **others)


def test_operations_by_hand():
    # Both products have 24 multiply-adds a sample: two forward, two weight gradients, one input gradient.
    assert Network((8, 3), 1).operations == 5 * 24 * 2
    assert Network((8, 3), 32).operations == 32 * 5 * 24 * 2
    network = Network((8, 3), 4, rest=1)
    assert network.samples == 4 * network.full_steps + 1 == len(network.data())
    assert network.operations * network.steps == pytest.approx(network.samples * 5 * 24 * 2)


def test_mean_over_samples_by_hand():
    network = Network((1001, 37), 129, rest=1)
    losses = [1.0] * network.full_steps + [2.0]
    assert network.mean(losses) == pytest.approx((network.samples + 1) / network.samples)


def test_numbers_by_hand():
    result = Result({"fastae": 2.0, "numpy": 6.0, "torch": 5.0})
    case = row(operations=3e5)
    assert result.value(case, Bar("best"), 300.0) == 2.5
    assert result.value(case, Bar("best"), 300.0, ["torch"]) == 3.0
    assert result.value(case, Bar("numpy"), 300.0) == 3.0
    assert result.value(case, Bar("cost"), 300.0) == 0.4
    assert result.value(case, Bar("us"), 300.0) == 2.0
    assert result.value(case, Bar("peak"), 300.0) == pytest.approx(0.5)  # 3e5 operations in 2 us are 150 GFLOP/s
    assert result.value(case, Bar("jax"), 300.0) is None


@pytest.mark.parametrize(
    ("bars", "result", "verdict"),
    [
        ([Bar("best", 2.0)], Result({"fastae": 1.0, "numpy": 2.0}), PASS),
        ([Bar("best", 2.0)], Result({"fastae": 1.0, "numpy": 1.99}), SHORT),
        ([Bar("best", 2.0)], Result({"fastae": 1.0, "numpy": 3.0, "torch": 1.9}), SHORT),
        ([Bar("us", 3.0, most=True)], Result({"fastae": 3.0}), PASS),
        ([Bar("us", 3.0, most=True)], Result({"fastae": 3.1}), SHORT),
        ([Bar("torch", 1.0), Bar("numpy", 3.0)], Result({"fastae": 1.0, "torch": 1.0, "numpy": 2.0}), SHORT),
        ([Bar("torch", 1.0), Bar("numpy", 3.0)], Result({"fastae": 1.0, "numpy": 3.0}), NOT_MEASURED),
        ([Bar("torch", 1.0), Bar("numpy", 3.0)], Result({"fastae": 1.0, "numpy": 2.0}), SHORT),
        ([Bar("best", 2.0)], Result({"fastae": 1.0}), NOT_MEASURED),
        ([Bar("best", 2.0)], Result({"numpy": 1.0}, left_out={"fastae": "broken"}), SHORT),
        ([Bar("best", 2.0)], Result({"fastae": 1.0, "numpy": 9.0}, differ={"torch": "far away"}), DIFFERS),
        ([Bar("best"), Bar("peak")], Result({"fastae": 1.0, "numpy": 0.5}), NO_BAR),
    ],
)
def test_verdict(bars, result, verdict):
    assert result.verdict(row(*bars), 100.0) == verdict


class Worker:
    """Stands for an engine's process: gives a result to compare, or raises; each turn takes a second less."""

    def __init__(self, computed, seconds=10.0):
        self.computed, self.seconds, self.tasks = computed, seconds, []

    def submit(self, function, *arguments):
        self.tasks.append(function.__name__)
        return self

    def result(self):
        if self.tasks[-1] == "turn":
            self.seconds -= 1
            if self.seconds < 0:
                raise MemoryError("too much")
            return self.seconds
        if isinstance(self.computed, Exception):
            raise self.computed
        return self.computed


def test_measure_compares_then_times(monkeypatch):
    monkeypatch.setattr(processes, "REST", 0)
    workers = {
        "fastae": Worker(np.array([1.0, 100.0])),
        "near": Worker(np.array([1.009, 100.0]), seconds=20.0),  # within 1e-4 of the largest number
        "far": Worker(np.array([1.0, 100.02])),
        "nan": Worker(np.array([1.0, np.nan])),
        "silent": Worker(None),
        "broken": Worker(ValueError("takes batches of one size\nand more")),
        "breaks": Worker(None, seconds=2.0),
    }
    result = processes.measure(workers, "training", row(steps=4), turns=3)
    assert result.times == {"fastae": 7e6 / 4, "near": 17e6 / 4, "silent": 7e6 / 4}
    assert result.left_out == {"broken": "ValueError: takes batches of one size", "breaks": "MemoryError: too much"}
    assert set(result.differ) == {"far", "nan"}
    assert workers["far"].tasks == ["prepare"]


def test_a_process_that_dies_is_replaced(monkeypatch):
    monkeypatch.setattr(processes, "REST", 0)
    dead = Worker(BrokenProcessPool("it ended"))
    workers = {"fastae": Worker(None), "peer": dead}
    result = processes.measure(workers, "training", row(), turns=1)
    assert result.left_out == {"peer": "BrokenProcessPool: it ended"}
    assert workers["peer"] is not dead


@pytest.mark.parametrize("sizes", [(30, 16, 8), (784, 256, 64), (784, 1000, 500, 250, 30)], ids=str)
def test_a_peer_that_does_not_train_is_noticed(sizes):
    # Few and small steps, to be quick; more would only widen the gap.
    network = Network(sizes, 32)
    batches, trained = network.batches(network.data())[:8], network.weights()
    losses = {"untrained": np.mean([numpy_step(network.weights(), x, 0.0) for x in batches])}
    for epoch in ("first", "second"):
        losses[epoch] = np.mean([numpy_step(trained, x, network.lr) for x in batches])
    assert losses["untrained"] - losses["second"] > 2 * processes.TOLERANCE * losses["untrained"]


@pytest.mark.parametrize("name", PARTS)
def test_parts_have_one_form(name):
    part = __import__(f"bench.peers.parts.{name}", fromlist=["rows"])
    rows = part.rows(2)
    assert rows
    assert next(iter(part.ENGINES)) == "fastae"
    assert len({case.label for case in rows}) == len(rows)
    for case in rows:  # under one heading
        assert [bar.number for bar in case.bars] == [bar.number for bar in rows[0].bars]
        assert all(bar.number in {"best", "cost", "us", "peak", *part.ENGINES} for bar in case.bars)


def test_line():
    case = row(Bar("best", 1.25), Bar("peak", 0.9), operations=3e5)
    result = Result({"fastae": 2.0, "numpy": 6.0}, left_out={"jax": "ImportError: no"})
    line = table.line(case, result, ["fastae", "numpy", "jax"], [3.0, 0.5], SHORT)
    assert " ".join(line.split()) == "a row 2.00 6.00 - 3.00 1.25 50% 90% falls short jax left out: ImportError: no"


@pytest.fixture
def run(tmp_path):
    """A file as a run would leave it."""
    records = []
    sweep = [Network((784, 256, 64), 1), Network((784, 256, 64), 2), Network((16, 4), 64), Network((32, 8), 64)]
    for part, networks in (("training", [Network((8, 3), 1), Network((8, 3), 32)]), ("sweep", sweep)):
        for network in networks:
            case, result = training.row(network, [Bar("best", 2.0)], 2), Result({"fastae": 1.0, "numpy": 4.0})
            value = result.value(case, case.bars[0], 100.0)
            records.append(results.record(part, case, result, [value], result.verdict(case, 100.0)))
    machine = {"processor": "a processor", "threads": 2, "kernels": "avx2, 32-byte vectors", "peak_gflops": 100.0}
    results.write(tmp_path / "run.json", machine, records)
    return tmp_path / "run.json"


def test_records_and_summary(run):
    records = json.loads(run.read_text())["rows"]
    assert records[0]["case"] == {"sizes": [8, 3], "batch": 1, "rest": 0}
    assert records[0]["times"] == {"fastae": 1.0, "numpy": 4.0}
    assert records[0]["bars"] == [{"number": "best", "limit": 2.0, "most": False, "value": 4.0}]
    mean, count = results.summary(records)
    assert mean.endswith("2 rows: 4.00, bar 3: pass")
    assert count == "rows: 6 pass"
    assert results.summary([]) == []
    records[0]["not_run"] = ["jax-scan"]
    assert results.summary(records)[-1].startswith("NOT RUN: jax-scan. Each pass is only against the peers that ran")


def test_plots(run, tmp_path):
    pytest.importorskip("matplotlib")
    paths = plot.draw([run, run], tmp_path / "images")
    assert [path.name for path in paths] == ["roofline.png", "time-by-batch.png", "time-by-width.png"]
    assert all(path.stat().st_size > 5000 for path in paths)


def test_plots_refuse_another_machine(run, tmp_path):
    other = tmp_path / "other.json"
    other.write_text(run.read_text().replace("a processor", "another"))
    with pytest.raises(SystemExit, match="several machines"):
        plot.draw([run, other], tmp_path)


def test_fastae_bench_times_the_same_training_twice():
    losses = [benchmark._call("step", ([6, 3], 8), numpy, 1)[0]() for numpy in (False, True)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
