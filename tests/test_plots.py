"""Displays: their numbers against hand-worked ones, their axes, what they refuse; and the report as a browser reads it."""

import base64
import io
import os
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

import fastae
from fastae import plots
from fastae.plots import (
    FeatureErrorDisplay,
    LatentDisplay,
    LossDisplay,
    ReconstructionDisplay,
    TraversalDisplay,
    WeightsDisplay,
)

pytest.importorskip("matplotlib")
from matplotlib import pyplot
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from PIL import Image

HISTORY = fastae.History([4.0, 2.0, 1.0], [5.0, 2.5, 3.0], [0.1, 0.1, 0.1])


def axes():
    return Figure().subplots()


def scaling(first, second, n=4):
    """A linear model that keeps the first two of n features, each times a number, and gives 0 for others."""
    model = fastae.Autoencoder([n, 2], output_activation="identity", seed=0)
    model.encoder[0].weight = np.eye(2, n)
    model.decoder[0].weight = np.eye(n, 2) * [first, second]
    return model


@pytest.fixture(scope="module")
def digits():
    x, labels = fastae.datasets.load_digits()
    model = fastae.Autoencoder([64, 16, 3], seed=0)
    trainer = fastae.Trainer(model, fastae.SGD(1.0, momentum=0.9), "mse", 64, seed=0)
    return model, x, labels, trainer.fit(x, epochs=3, validation_data=x[:100])


# ---- numbers -------------------------------------------------------------------------------------------------------------


def test_losses_as_they_were():
    display = LossDisplay.from_history(HISTORY, ax=axes())
    training, validation = display.ax_.lines
    np.testing.assert_array_equal(training.get_xydata(), [(1, 4), (2, 2), (3, 1)])
    np.testing.assert_array_equal(validation.get_ydata(), [5, 2.5, 3])
    assert (display.best_epoch, display.ax_.get_yscale()) == (2, "log")
    assert "from 4 to 1 in 3 epochs" in display.caption
    assert LossDisplay([1.0, 0.0]).plot(axes()).ax_.get_yscale() == "linear"
    assert LossDisplay([3.0, 1.0, 2.0], [np.nan] * 3).plot(axes()).best_epoch == 2  # nothing is known of the validation data


def test_reconstructions_and_their_errors():
    x = np.array([[1, 2, 3, 0], [0, 4, 0, 0], [9, 9, 9, 9]], np.float32)
    display = ReconstructionDisplay.from_model(scaling(1, 0.5), x, n_samples=2, ax=axes())
    np.testing.assert_array_equal(display.originals, x[:2])
    np.testing.assert_array_equal(display.reconstructions, [[1, 1, 0, 0], [0, 2, 0, 0]])
    np.testing.assert_array_equal(display.errors, [10 / 4, 1])
    assert display.image_shape is None
    original, made = display.ax_.lines
    width = len(original.get_ydata()) // 2
    np.testing.assert_array_equal(original.get_ydata().reshape(2, width)[:, :4], x[:2])
    np.testing.assert_array_equal(made.get_ydata().reshape(2, width)[:, 4:], np.full((2, width - 4), np.nan))
    display = ReconstructionDisplay.from_model(scaling(1, 0.5), x[:2], image_shape=(1, 4), ax=axes())
    np.testing.assert_array_equal(
        display.ax_.images[0].get_array().filled(np.nan),
        [[1, 2, 3, 0, np.nan, 0, 4, 0, 0], [np.nan] * 9, [1, 1, 0, 0, np.nan, 0, 2, 0, 0]],
    )


def test_colour_images(rng):
    x = rng.random((2, 12), "float32")
    display = ReconstructionDisplay(x, x, (2, 2, 3)).plot(axes())
    picture = display.ax_.images[0].get_array()
    assert picture.shape == (5, 5, 4)
    np.testing.assert_array_equal(picture[:2, :2, :3], x[0].reshape(2, 2, 3))
    np.testing.assert_array_equal(picture[3:, 3:, :3], x[1].reshape(2, 2, 3))
    np.testing.assert_array_equal(picture[..., 3], np.outer([1, 1, 0, 1, 1], [1, 1, 0, 1, 1]))  # see-through between them
    shifted = ReconstructionDisplay(10 * x - 5, 10 * x - 5, (2, 2, 3)).plot(axes()).ax_.images[0].get_array()
    assert (shifted[..., :3].min(), shifted[..., :3].max()) == (0, 1)


def test_codes_of_two_features_are_the_points():
    x = np.array([[1, 2, 0, 0], [3, 5, 7, 7]], np.float32)
    display = LatentDisplay.from_model(scaling(1, 1), x, ["b", "a"], ax=axes())
    np.testing.assert_array_equal(display.points, x[:, :2])
    assert display.explained_variance_ratio is None
    np.testing.assert_array_equal(display.ax_.collections[0].get_offsets(), x[:, :2])
    np.testing.assert_allclose(display.ax_.collections[0].get_facecolors(), [to_rgba("C1"), to_rgba("C0")])
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["a", "b"]


def test_more_features_by_principal_components():
    along = np.array([[0, 3, 4, 0], [0, 4, -3, 0]]) / 5  # two directions at right angles, spreads 2 and 1
    amounts = np.array([[2, 0], [-2, 0], [0, 1], [0, -1]])
    display = LatentDisplay(amounts @ along + 7).plot(axes())
    np.testing.assert_allclose(np.abs(display.points), np.abs(amounts), atol=1e-12)
    np.testing.assert_allclose(display.explained_variance_ratio, [0.8, 0.2])
    assert "(80%)" in display.ax_.get_xlabel()
    LatentDisplay(np.ones((1, 5))).plot(axes())  # one sample, no spread


def test_codes_of_one_feature_are_a_histogram():
    codes = np.array([[0.0], [0], [1]])
    assert [patch.get_height() for patch in LatentDisplay(codes).plot(axes(), bins=2).ax_.patches] == [2, 1]
    stacked = LatentDisplay(codes, [True, False, True]).plot(axes(), bins=2).ax_
    assert [patch.get_height() for patch in stacked.patches] == [1, 0, 1, 1]
    quantity = LatentDisplay(codes, [0.5, 1.5, 2.5]).plot(axes()).ax_
    np.testing.assert_array_equal(quantity.collections[0].get_offsets(), [(0, 0.5), (0, 1.5), (1, 2.5)])


@pytest.mark.parametrize("n_latent", [1, 2])
def test_names_are_drawn_as_they_are(n_latent, tmp_path):
    names = [r"$\foo$", "_b", "cost ($), in ($)"]  # no formula, and nothing to hide
    ax = LatentDisplay(np.eye(3, n_latent), names).plot(axes()).ax_
    assert [text.get_text() for text in ax.get_legend().get_texts()] == sorted(names)
    ax.figure.savefig(tmp_path / "codes.png")
    long = "How often, in the last month, did you do without something? " * 3 + "(1 to 5)"
    ax = FeatureErrorDisplay(np.array([3.0, 2, 1, 0]), [*names, long]).plot(axes()).ax_
    assert [text.get_text() for text in ax.get_yticklabels()] == [*names, "How often, in the last mont…ng? (1 to 5)"]
    assert not any(text.get_parse_math() for text in ax.get_yticklabels())
    ax.figure.savefig(tmp_path / "errors.png")


def test_quantities_have_a_colour_bar():
    ax = LatentDisplay(np.eye(30, 2), np.arange(30)).plot(axes()).ax_
    assert ax.get_legend() is None
    assert [bar.get_ylabel() for bar in ax.figure.axes if bar is not ax] == ["label"]


def test_many_samples_are_drawn_by_a_seed(rng):
    x = rng.random((9000, 4), "float32")
    display = LatentDisplay.from_model(scaling(1, 1), x, np.arange(9000), ax=axes())
    assert len(display.points) == 5000
    np.testing.assert_array_equal(display.points, x[display.labels, :2])  # each with its own label
    assert "5,000 of 9,000" in display.ax_.get_title()
    assert "5,000 of 9,000 samples, drawn at random" in display.caption
    assert display.ax_.collections[0].get_rasterized()
    again = LatentDisplay.from_model(scaling(1, 1), x, max_samples=5000, ax=axes())
    np.testing.assert_array_equal(again.points, display.points)


def test_weights_of_a_layer(digits):
    model = digits[0]
    display = WeightsDisplay.from_model(model, ax=axes())
    np.testing.assert_array_equal(display.weights, model.encoder[0].weight)
    assert display.image_shape == (8, 8)
    image = display.ax_.images[0]
    np.testing.assert_array_equal(image.get_array()[:8, :8], model.encoder[0].weight[0].reshape(8, 8))
    assert image.norm.vmax == -image.norm.vmin == np.abs(model.encoder[0].weight).max()
    last = WeightsDisplay.from_model(model, -1, ax=axes())
    np.testing.assert_array_equal(last.weights, model.decoder[1].weight.T)  # what each unit adds to the output
    largest = WeightsDisplay.from_model(model, 0, max_units=3, ax=axes())
    norms = np.linalg.norm(model.encoder[0].weight, axis=1)
    np.testing.assert_array_equal(norms[largest.units], np.sort(norms)[:-4:-1])
    assert largest.ax_.get_title().endswith(", 3 of 16 units")
    matrix = WeightsDisplay.from_model(model.encoder, 1, ax=axes())
    np.testing.assert_array_equal(matrix.ax_.images[0].get_array(), model.encoder[1].weight)
    for shown in (image, last.ax_.images[0], matrix.ax_.images[0]):
        assert shown.norm.vmax == -shown.norm.vmin > 0


def test_errors_of_features():
    x = np.array([[1, 2, 3, 0], [1, 4, 0, 1]], np.float32)
    display = FeatureErrorDisplay.from_model(scaling(1, 0.5), x, feature_names=["a", "b", "c", "d"], ax=axes())
    np.testing.assert_array_equal(display.errors, [0, (1 + 4) / 2, 9 / 2, 1 / 2])
    assert [bar.get_width() for bar in display.ax_.patches] == [4.5, 2.5, 0.5, 0]
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["c", "b", "d", "a"]
    assert "of feature 'c'" in display.caption
    image = FeatureErrorDisplay.from_model(scaling(1, 0.5), x, image_shape=(2, 2), ax=axes())
    np.testing.assert_array_equal(image.ax_.images[0].get_array(), [[0, 2.5], [4.5, 0.5]])
    coloured = FeatureErrorDisplay(np.arange(12.0), image_shape=(2, 2, 3)).plot(axes())
    np.testing.assert_array_equal(coloured.ax_.images[0].get_array(), [[1, 4], [7, 10]])
    many = FeatureErrorDisplay(np.arange(50.0)).plot(axes())
    assert [bar.get_width() for bar in many.ax_.patches] == list(range(49, 19, -1))
    assert "the 30 largest of 50" in many.ax_.get_title()


def test_errors_agree_with_the_model_in_blocks_and_sparse_rows(digits, monkeypatch):
    model, x, *_ = digits
    sparse = pytest.importorskip("scipy.sparse")
    expected = np.mean(model.reconstruction_error(x))
    for block in (10**6, 100):
        monkeypatch.setattr("fastae.plots.feature_error.BLOCK", block)
        assert FeatureErrorDisplay.from_model(model, x, ax=axes()).errors.mean() == pytest.approx(expected, rel=1e-6)
    assert FeatureErrorDisplay.from_model(model, sparse.csr_matrix(x), ax=axes()).errors.mean() == pytest.approx(expected)
    assert ReconstructionDisplay.from_model(model, sparse.csr_matrix(x), ax=axes()).originals.shape == (10, 64)


def test_missing_values_count_nowhere():
    model = fastae.MaskedAutoencoder([3, 2], output_activation="identity", seed=0)
    model.parameters = np.zeros_like(model.parameters)
    x = np.array([[1, np.nan, 3], [2, np.nan, np.nan]], np.float32)
    np.testing.assert_array_equal(FeatureErrorDisplay.from_model(model, x, ax=axes()).errors, [2.5, np.nan, 9])
    np.testing.assert_array_equal(ReconstructionDisplay.from_model(model, x, ax=axes()).errors, [5, 4])


def test_images_of_uint8_are_scaled():
    x = np.full((2, 4), 255, np.uint8)
    np.testing.assert_array_equal(ReconstructionDisplay.from_model(scaling(1, 1), x, ax=axes()).originals, np.ones((2, 4)))


def test_traversals_by_quantiles_of_codes():
    x = np.zeros((101, 4), np.float32)
    x[:, 0], x[:, 1] = np.arange(101), 2 * np.arange(101)[::-1]
    display = TraversalDisplay.from_model(scaling(1, 1), x, n_steps=3, low=0.1, high=0.9, ax=axes())
    np.testing.assert_allclose(display.values, [[10, 50, 90], [20, 100, 180]], rtol=1e-6)
    np.testing.assert_allclose(display.outputs[0], [(10, 100, 0, 0), (50, 100, 0, 0), (90, 100, 0, 0)], rtol=1e-6)
    np.testing.assert_allclose(display.outputs[1], [(50, 20, 0, 0), (50, 100, 0, 0), (50, 180, 0, 0)], rtol=1e-6)
    chosen = TraversalDisplay.from_model(scaling(1, 1), x, max_features=1, ax=axes())
    assert chosen.features.tolist() == [1]  # which changes the output more
    assert "1 of 2" in chosen.ax_.get_title()


def test_traversals_by_the_prior():
    model = fastae.VariationalAutoencoder([64, 8, 2], seed=0)
    display = TraversalDisplay.from_model(model, n_steps=3, low=0.025, high=0.975, ax=axes())
    np.testing.assert_allclose(display.values, [[-1.959964, 0, 1.959964]] * 2, atol=1e-6)
    np.testing.assert_allclose(display.outputs[1, 0], model.decode(np.array([[0, -1.959964]], "float32"))[0], rtol=1e-5)
    assert display.ax_.images[0].get_array().shape == (2 * 8 + 1, 3 * 8 + 2)


def test_conditional_models(digits):
    _, x, labels, _ = digits
    model = fastae.ConditionalVariationalAutoencoder([64, 8, 2], 10, seed=0)
    joined = model.join(x, labels)
    display = TraversalDisplay.from_model(model, condition=3, n_steps=1, ax=axes())
    np.testing.assert_allclose(display.outputs[0], model.decode(np.zeros((1, 2), "float32"), 3), rtol=1e-6)
    assert ReconstructionDisplay.from_model(model, joined, ax=axes()).image_shape == (8, 8)
    np.testing.assert_array_equal(LatentDisplay.from_model(model, joined, ax=axes()).points, model.encode(x, labels))
    assert FeatureErrorDisplay.from_model(model, joined, ax=axes()).errors.shape == (64,)
    assert WeightsDisplay.from_model(model, ax=axes()).weights.shape == (8, 64)  # without those of the condition


# ---- axes ----------------------------------------------------------------------------------------------------------------


def makers(digits):
    model, x, labels, history = digits
    return [
        lambda **ax: LossDisplay.from_history(history, **ax),
        lambda **ax: ReconstructionDisplay.from_model(model, x, **ax),
        lambda **ax: LatentDisplay.from_model(model, x, labels, **ax),
        lambda **ax: WeightsDisplay.from_model(model, **ax),
        lambda **ax: FeatureErrorDisplay.from_model(model, x, **ax),
        lambda **ax: TraversalDisplay.from_model(model, x, **ax),
    ]


@pytest.mark.parametrize("layout", [None, "constrained"])
def test_axes_that_are_given_are_drawn_on_and_pyplot_is_left_alone(digits, layout, monkeypatch):
    monkeypatch.setattr(pyplot, "subplots", None)
    figures = pyplot.get_fignums()
    for make in makers(digits):
        ax, other = (Figure(layout=layout).subplots() for _ in range(2))
        display = make(ax=ax)
        assert display.ax_ is ax
        assert display.figure_ is ax.figure
        assert display.plot(other) is display  # drawn again
        assert display.ax_ is other
        other.figure.savefig(io.BytesIO(), format="png")
        assert display.caption.endswith(".")
    assert pyplot.get_fignums() == figures


def test_without_axes_pyplot_has_a_new_figure(digits):
    pyplot.close("all")
    displays = [make() for make in makers(digits)]
    assert len(pyplot.get_fignums()) == len(displays)
    assert pyplot.gcf() is displays[-1].figure_
    pyplot.close("all")


# ---- what is refused -----------------------------------------------------------------------------------------------------

MODEL, X = scaling(1, 1), np.zeros((3, 4), np.float32)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: LossDisplay.from_history(fastae.History()), ValueError, "one epoch at least"),
        (lambda: LossDisplay.from_history([1.0]), TypeError, "history takes .* got list"),
        (lambda: LossDisplay([1.0, np.nan]), ValueError, "loss has NaN"),
        (lambda: LossDisplay([1.0, 2.0], [1.0]), ValueError, "as many losses as loss, 2, or none; got 1"),
        (lambda: ReconstructionDisplay.from_model(MODEL.encoder, X), TypeError, "encoder and decoder; got Sequential"),
        (lambda: LatentDisplay.from_model("model", X), TypeError, "got str"),
        (lambda: FeatureErrorDisplay.from_model(MODEL, X[:, :3]), ValueError, r"x takes .*\(samples, 4\), got \(3, 3\)"),
        (lambda: LatentDisplay.from_model(MODEL, X[:0]), ValueError, "x is empty"),
        (lambda: LatentDisplay.from_model(MODEL, X + np.nan), ValueError, "x has NaN"),
        (lambda: FeatureErrorDisplay.from_model(MODEL, X + np.inf), ValueError, "x has NaN"),
        (lambda: ReconstructionDisplay.from_model(MODEL, X + np.nan), ValueError, "x has NaN"),
        (lambda: TraversalDisplay.from_model(MODEL, X + np.nan), ValueError, "x has NaN"),
        (lambda: ReconstructionDisplay.from_model(MODEL, X, n_samples=0), ValueError, "n_samples takes a positive"),
        (
            lambda: ReconstructionDisplay.from_model(MODEL, X, image_shape=(3, 2)),
            ValueError,
            "of 4 features.* got 3 x 2, which has 6",
        ),
        (lambda: ReconstructionDisplay.from_model(MODEL, X, image_shape=4), ValueError, "image_shape takes"),
        (lambda: ReconstructionDisplay.from_model(MODEL, X, ax="here"), TypeError, "ax takes one Axes of matplotlib, got str"),
        (lambda: LatentDisplay.from_model(MODEL, X, [1, 2]), ValueError, r"each of 3 samples, shape \(3,\); got \(2,\)"),
        (
            lambda: LatentDisplay.from_model(MODEL, X, [1, 2, np.nan]),
            ValueError,
            "labels has NaN or infinity, the first in row 2",
        ),
        (lambda: LatentDisplay.from_model(MODEL, X, max_samples=0), ValueError, "max_samples takes a positive"),
        (
            lambda: LatentDisplay(np.ones((30, 2)), [f"{i}" for i in range(30)]),
            ValueError,
            "at most 20 different strings, got 30",
        ),
        (lambda: WeightsDisplay.from_model(MODEL, 2), ValueError, "from -2 to 1 of a model with 2 layers, got 2"),
        (lambda: WeightsDisplay.from_model(MODEL, 0.5), TypeError, "layer takes an integer"),
        (lambda: WeightsDisplay.from_model(X), TypeError, "Autoencoder or a Sequential, got ndarray"),
        (lambda: FeatureErrorDisplay.from_model(MODEL, X, feature_names="abcd"), ValueError, "one for each of 4 features"),
        (
            lambda: FeatureErrorDisplay.from_model(MODEL, X, feature_names=["a"]),
            ValueError,
            "one for each of 4 features, got 1",
        ),
        (lambda: TraversalDisplay.from_model(MODEL), ValueError, "x is needed"),
        (lambda: TraversalDisplay.from_model(MODEL, X, low=0.9, high=0.1), ValueError, "high takes"),
        (lambda: TraversalDisplay.from_model(MODEL, X, low=0), ValueError, "low takes"),
        (lambda: TraversalDisplay.from_model(MODEL, X, condition=1), ValueError, "condition is what"),
        (
            lambda: TraversalDisplay.from_model(fastae.ConditionalVariationalAutoencoder([4, 2], 2, seed=0)),
            ValueError,
            "condition is what a conditional model, and only such, needs; got None",
        ),
        (lambda: plots.write_report("report.pdf", MODEL, X), ValueError, "'.pdf'; .html or .htm is written"),
        (lambda: plots.write_report("r.html", MODEL, X, title=None), TypeError, "title takes a string, got NoneType"),
        (lambda: plots.write_report("r.html", MODEL, X, tables=[1]), TypeError, "tables takes mappings of names to values by"),
        (lambda: plots.write_report("r.html", MODEL, X, tables={"a": 1}), TypeError, "by their titles, got {'a': 1}"),
    ],
)
def test_what_is_refused(make, error, says, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=says):
        make()
    assert pyplot.get_fignums() == []
    assert list(tmp_path.iterdir()) == []


def test_a_model_whose_output_is_something_else():
    model = fastae.Autoencoder(encoder=fastae.Sequential(fastae.Linear(4, 2)), decoder=fastae.Sequential(fastae.Linear(2, 3)))
    with pytest.raises(ValueError, match="gives 3 features for 4"):
        FeatureErrorDisplay.from_model(model, X)


def test_matplotlib_is_not_imported_before_it_is_used(tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('not here')")
    code = """
import sys, fastae, fastae.plots
assert "matplotlib" not in sys.modules
display = fastae.plots.LossDisplay([1.0])
try:
    display.plot()
except ImportError as error:
    assert "pip install 'fastae[plot]'" in str(error), error
else:
    raise AssertionError("drawn without matplotlib")
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)


# ---- the report ----------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a browser would find: images, text, what is fetched from elsewhere, tags that do not match."""

    EMPTY = ("meta", "source", "img", "link", "br")

    def __init__(self, text):
        super().__init__()
        self.images, self.alternatives, self.elsewhere, self.text, self.open = [], [], [], "", []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag not in self.EMPTY:
            self.open.append(tag)
        if tag == "img":
            self.alternatives.append(found["alt"])
        for name in ("src", "srcset", "href"):
            if name in found:
                (self.images if found[name].startswith("data:") else self.elsewhere).append(found[name])
        if tag in ("script", "iframe", "object"):
            self.elsewhere.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def opened(image):
    kind, data = image.removeprefix("data:").split(";base64,")
    with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as picture:
        picture.load()
        assert picture.get_format_mimetype() == kind
        return picture.convert("RGBA")


def test_a_report_is_one_page_with_all_pictures(digits, tmp_path, monkeypatch):
    model, x, labels, history = digits
    monkeypatch.setitem(pyplot.rcParams, "figure.dpi", 77)
    plots.write_report(
        tmp_path / "r.html", model, x, history, labels=labels, title="<b>&", tables={"<i>Facts": {"a<b": "</td>&amp;"}}
    )
    assert pyplot.rcParams["figure.dpi"] == 77  # put back
    text = (tmp_path / "r.html").read_text("utf-8")
    page = Page(text)
    assert page.open == []
    assert page.elsewhere == []
    assert "url(" not in text
    assert "@import" not in text
    pictures = [opened(image) for image in page.images]
    assert len(pictures) == 2 * len(page.alternatives) == 14  # for light and dark screens
    for dark, light in zip(pictures[::2], pictures[1::2], strict=True):
        ink = [np.asarray(picture)[np.asarray(picture)[..., 3] == 255][:, :3] for picture in (dark, light)]
        assert ink[0].size > 0
        assert (ink[0] == 255).all(axis=1).any()  # letters, white on dark screens
        assert (ink[1] == 0).all(axis=1).any()  # and black on light ones
    assert all(len(words) > 40 for words in page.alternatives)
    assert page.text.count("<b>&") == 2  # in the title and the heading, as it is
    assert "a<b" in page.text
    assert "<i>Facts" in page.text
    assert "</td>&amp;" in page.text
    assert "64 to 16, relu" in page.text


def test_a_report_that_fails_leaves_the_old_one(digits, tmp_path):
    model, x, *_ = digits
    (tmp_path / "r.html").write_text("old")
    with pytest.raises(ValueError, match="labels takes one for each"):
        plots.write_report(tmp_path / "r.html", model, x, labels=[1])
    assert (tmp_path / "r.html").read_text() == "old"


def train(folder, *arguments, code=0, **environment):
    command = [sys.executable, "-P", "-W", "error", "-m", "fastae", "train", *map(str, arguments)]
    environment = {**os.environ, "MPLBACKEND": "Agg", **environment}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_train_writes_a_report(tmp_path, rng):
    table = rng.standard_normal((120, 9)) * [1, 2, 3, 4, 5, 6, 7, 8, 90]
    np.savetxt(tmp_path / "<t>.csv", table, delimiter=",", header=",".join("abcdefgh") + ",i & <i>", comments="")
    done = train(tmp_path, "--data", "<t>.csv", "--epochs", 3, "--output", "o", "--report", "o/r.html")
    assert "o/training.png, o/r.html" in done.stdout
    page = Page((tmp_path / "o/r.html").read_text("utf-8"))
    assert len(page.images) == 14
    for words in (
        *("fastae train --data '<t>.csv' --epochs 3", "96 samples to train, 24 to test, 9 features", "standardised"),
        *("9-4-1-4-9", "silu", "SGD(lr=0.05, momentum=0.9", fastae.__version__, "samples/s of NumPy", "of PCA, 1 component"),
    ):
        assert words in page.text
    error = done.stdout.split("test error   fastae ")[1].split()[0]
    assert f"mean squared error, test{error}" in page.text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--report", "none/r.html"], "none/r.html: No such file or directory"),
        (["--report", "r.pdf"], "'.pdf'; .html or .htm is written"),
        (["--report", "folder.html"], "folder.html: Is a directory"),
    ],
)
def test_a_report_that_cannot_be_written_is_said_before_the_training(arguments, says, tmp_path):
    (tmp_path / "folder.html").mkdir()
    done = train(tmp_path, "--output", "o/p", "--epochs", 10**9, *arguments, code=2)
    assert says in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["folder.html"]


def test_nothing_is_written_over_the_data(tmp_path, rng):
    np.savetxt(tmp_path / "t.csv", rng.random((9, 3)), delimiter=",")
    (tmp_path / "r.html").symlink_to("t.csv")
    done = train(tmp_path, "--data", "t.csv", "--epochs", 10**9, "--output", "o", "--report", "r.html", code=2)
    assert "r.html would be written over t.csv, which is read" in done.stderr
    assert not (tmp_path / "o").exists()


def test_a_report_needs_matplotlib_before_the_training(tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('not here')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = train(tmp_path, "--epochs", 10**9, "--report", "r.html", code=2, PYTHONPATH=path)
    assert done.stderr == "fastae train: plots need matplotlib, which is not installed: pip install 'fastae[plot]'\n"
    assert done.stdout == ""
