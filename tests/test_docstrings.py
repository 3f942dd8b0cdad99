"""Examples in docstrings of public names give what they say; the names one meets first have some."""

import doctest
import inspect
from importlib import import_module

import pytest

import fastae

MODULES = [fastae, *(getattr(fastae, name) for name in fastae.__all__ if inspect.ismodule(getattr(fastae, name)))]
NEEDS = {
    "activation": "numba",
    "compression": "constriction",
    "generation": "sklearn",
    "interchange": "torch",
    "loss": "numba",
    "sklearn": "sklearn",
}
FIRST = [
    "fastae.Autoencoder",
    "fastae.Trainer",
    "fastae.SGD",
    "fastae.Adam",
    "fastae.Linear",
    "fastae.Sequential",
    "fastae.VariationalAutoencoder",
    "fastae.DenoisingAutoencoder",
    "fastae.load",
    "fastae.activation",
    "fastae.find_learning_rate",
    "fastae.set_num_threads",
    "fastae.ops.linear",
    "fastae.ops.matmul",
    "fastae.callbacks.EarlyStopping",
    "fastae.schedules.Cosine",
    "fastae.datasets.load_digits",
    "fastae.anomaly.AnomalyDetector",
    "fastae.compression.Codec",
    "fastae.denoising.Denoiser",
    "fastae.features.FeatureExtractor",
    "fastae.generation.Generator",
    "fastae.imputation.Imputer",
    "fastae.recommendation.EASE",
    "fastae.sklearn.AutoencoderTransformer",
    "fastae.sklearn.VAETransformer",
    "fastae.sklearn.DenoisingTransformer",
    "fastae.sklearn.AnomalyDetector",
    "fastae.sklearn.AutoencoderImputer",
]


def examples(name):
    """The doctests of a public name and, if it is a class, of its methods; a name has those of its own module alone."""
    module, _, last = name.rpartition(".")
    named = getattr(import_module(module), last)
    return [test for test in doctest.DocTestFinder(exclude_empty=True).find(named, name) if test.examples]


def names():
    for module in (*(module.__name__ for module in MODULES), *(f"fastae.{name}" for name in fastae._APPLICATIONS)):
        try:
            public = import_module(module)
        except ImportError:  # of what is not installed
            continue
        yield from (f"{module}.{name}" for name in public.__all__ if not inspect.ismodule(getattr(public, name)))


NAMES = list(names())


@pytest.mark.parametrize("name", NAMES)
def test_is_documented(name):
    module, _, last = name.rpartition(".")
    assert inspect.getdoc(getattr(import_module(module), last))


@pytest.mark.parametrize("name", [name for name in NAMES if name in FIRST or examples(name)])
def test_examples(name, tmp_path, monkeypatch):
    pytest.importorskip(NEEDS.get(name.split(".")[1], "numpy"))
    monkeypatch.chdir(tmp_path)
    found = examples(name)
    assert found, f"{name} has no example"
    for test in found:
        said = []
        doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS).run(test, out=said.append)
        assert not said, "".join(said)
