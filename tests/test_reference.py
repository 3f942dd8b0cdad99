"""The oracle is right: hand-worked numbers first, then finite differences, then proof that these catch a wrong gradient."""

import numpy as np
import pytest
from gradcheck import central_differences, relative_error

from fastae._kernels import reference
from fastae._kernels.names import ACTIVATIONS, LOSSES, keeps_input

HALF_SQUARED = LOSSES.index("half_squared")
ACTIVATION_NUMBERS = pytest.mark.parametrize("activation", range(len(ACTIVATIONS)), ids=ACTIVATIONS)
LOSS_NUMBERS = pytest.mark.parametrize("loss", range(len(LOSSES)), ids=LOSSES)

# The worked example of the founding slides: a 2-2-1 net, no bias, identity.
X, TARGET, LR = [[2.0, 3.0]], [[1.0]], 0.05
W1, W2 = [[0.11, 0.21], [0.12, 0.08]], [[0.14, 0.15]]
NEW_W1, NEW_W2 = [[0.121326, 0.226989], [0.132135, 0.0982025]], [[0.1743825, 0.169416]]
PREDICTIONS = {2: 0.33231393, 3: 0.41937285, 5: 0.60831396, 10: 0.92564089, 20: 0.99906859}  # after so many steps
WRONG = 0.26062834  # prediction after a step whose hidden gradient comes from the new W2


class Example:
    """The example's arrays, and its steps through the functions of a module of kernels."""

    def __init__(self, kernels, dtype):
        self.kernels = kernels
        self.x, self.target, self.w1, self.w2 = (np.array(a, dtype) for a in (X, TARGET, W1, W2))
        self.hidden, self.dhidden = np.empty((2, 1, 2), dtype)
        self.prediction, self.dprediction = np.empty((2, 1, 1), dtype)
        self.dw1, self.dw2 = np.empty_like(self.w1), np.empty_like(self.w2)

    def predict(self):
        self.kernels.linear(self.x, self.w1, None, 0, self.hidden, None, 1)
        self.kernels.linear(self.hidden, self.w2, None, 0, self.prediction, None, 1)
        return self.prediction[0, 0]

    def update(self, w, dw):
        assert self.kernels.update(w.reshape(-1), dw.reshape(-1), None, None, (0, LR, 0.0, False, 0.0, 0, 0), 0, 1)

    def step(self, wrong=False):
        self.predict()
        error = self.kernels.loss(HALF_SQUARED, self.prediction, self.target, self.dprediction, 1)
        self.kernels.linear_grad_weight(self.dprediction, self.hidden, self.dw2, None, 1)
        if wrong:
            self.update(self.w2, self.dw2)
        self.kernels.linear_grad_input(self.dprediction, self.w2, 0, None, self.dhidden, 1)
        self.kernels.linear_grad_weight(self.dhidden, self.x, self.dw1, None, 1)
        if not wrong:
            self.update(self.w2, self.dw2)
        self.update(self.w1, self.dw1)
        return error


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-12), ("float32", 1e-6)])
def test_worked_example(kernels, dtype, rtol):
    net = Example(kernels, dtype)
    error = net.step()
    for value, expected in [
        (net.hidden, [[0.85, 0.48]]),
        (net.prediction, 0.191),
        (error, 0.3272405),
        (net.dprediction, -0.809),
        (net.dw2, [[-0.68765, -0.38832]]),
        (net.dw1, [[-0.22652, -0.33978], [-0.2427, -0.36405]]),
        (net.w2, NEW_W2),
        (net.w1, NEW_W1),
    ]:
        np.testing.assert_allclose(value, expected, rtol=rtol, atol=0)
    np.testing.assert_allclose(net.predict(), 0.2557457808075, rtol=rtol, atol=0)
    for steps in range(2, 21):
        net.step()
        if steps in PREDICTIONS:
            assert abs(net.predict() - PREDICTIONS[steps]) < 5.1e-9 + rtol


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-12), ("float32", 1e-6)])
def test_worked_example_through_plan(kernels, dtype, rtol):
    x, target = np.array(X, dtype), np.array(TARGET, dtype)
    weights = np.array([*np.ravel(W1), *np.ravel(W2)], dtype)
    gradients = np.empty_like(weights)
    plan = kernels.Plan([(2, 2, 0, False), (2, 1, 0, False)], weights, None, 1, HALF_SQUARED, 1)
    sgd = 0, LR, 0.0, False, 0.0, 0, 0
    rows, error = plan.run(x, target, None, 0, 1, sgd, gradients)
    assert rows == 1
    np.testing.assert_allclose(error, 0.3272405, rtol=rtol, atol=0)
    np.testing.assert_allclose(gradients, [-0.22652, -0.33978, -0.2427, -0.36405, -0.68765, -0.38832], rtol=rtol, atol=0)
    np.testing.assert_allclose(weights, [*np.ravel(NEW_W1), *np.ravel(NEW_W2)], rtol=rtol, atol=0)
    for steps in range(1, 21):
        _, error = plan.run(x, target, None, 0, 1, sgd)  # of the prediction after `steps` steps
        prediction = 1 - np.sqrt(2 * error)
        if steps == 1:
            np.testing.assert_allclose(prediction, 0.2557457808075, rtol=rtol, atol=0)
            assert abs(prediction - WRONG) > 1e-3
        elif steps in PREDICTIONS:
            assert abs(prediction - PREDICTIONS[steps]) < 5.1e-9 + rtol


def test_new_weights_in_the_hidden_gradient_would_be_noticed():
    right, wrong = Example(reference, "float64"), Example(reference, "float64")
    right.step()
    wrong.step(wrong=True)
    assert abs(wrong.predict() - WRONG) < 5.1e-9
    assert abs(right.predict() - WRONG) > 1e-3


# ---- finite differences ----------------------------------------------------------------------------------------------


def activation_error(kernels, activation, rng):
    """Relative error of ``differentiate``, at points on both sides of the kink at 0, none nearer than 0.01."""
    z = np.concatenate([np.geomspace(0.01, 6, 12), -np.geomspace(0.01, 6, 12)])[None]
    dy = rng.uniform(0.5, 1, z.shape)
    y, dz = np.empty_like(z), np.empty_like(z)

    def f(z):
        kernels.activate(activation, z, y, 1)
        return dy * y

    expected = central_differences(f, z)
    f(z)
    kernels.differentiate(activation, z if keeps_input(activation) else y, dy, dz, 1)
    return relative_error(dz, expected)


def loss_error(kernels, loss, rng):
    """Relative error of a loss's gradient; outputs and targets from 0.1 to 0.9 suit all of them."""
    y, target = rng.uniform(0.1, 0.9, (2, 4, 5))
    dy = np.empty_like(y)
    kernels.loss(loss, y, target, dy, 1)
    return relative_error(dy, central_differences(lambda y: kernels.loss(loss, y, target, None, 1), y))


def network_error(kernels, activation, loss, rng):
    """Relative error of all gradients of a 4-5-3-2 net, biases not 0; a learning rate of 0 leaves the weights."""
    last = ACTIVATIONS.index("sigmoid") if LOSSES[loss] == "bce" else activation
    layers = [(4, 5, activation, True), (5, 3, activation, True), (3, 2, last, True)]
    weights = rng.uniform(-0.8, 0.8, sum((n_in + 1) * n_out for n_in, n_out, *_ in layers))
    x, target = rng.uniform(-1, 1, (6, 4)), rng.uniform(0.1, 0.9, (6, 2))
    gradients = np.empty_like(weights)
    plan = kernels.Plan(layers, weights, None, len(x), loss, 1)

    def f(_):
        rows, total = plan.run(x, target, None, 0, len(x), (0, 0.0, 0.0, False, 0.0, 0, 0), gradients)
        assert rows == len(x)
        return total / len(x)

    expected = central_differences(f, weights)
    f(weights)
    return relative_error(gradients, expected)


@ACTIVATION_NUMBERS
def test_slopes_of_activations(kernels, activation, rng):
    assert activation_error(kernels, activation, rng) < 1e-6


@LOSS_NUMBERS
def test_gradients_of_losses(kernels, loss, rng):
    assert loss_error(kernels, loss, rng) < 1e-6


@ACTIVATION_NUMBERS
def test_gradients_of_a_network(kernels, activation, rng):
    assert network_error(kernels, activation, HALF_SQUARED, rng) < 1e-6


@LOSS_NUMBERS
def test_gradients_of_a_network_by_loss(kernels, loss, rng):
    assert network_error(kernels, ACTIVATIONS.index("tanh"), loss, rng) < 1e-6


@pytest.mark.parametrize("activation", [i for i, name in enumerate(ACTIVATIONS) if name != "identity"])
def test_a_slope_off_by_one_percent_is_caught(monkeypatch, activation, rng):
    slope = reference._SLOPE[ACTIVATIONS[activation]]
    monkeypatch.setitem(reference._SLOPE, ACTIVATIONS[activation], lambda kept: 1.01 * slope(kept))
    assert activation_error(reference, activation, rng) > 5e-3
    assert network_error(reference, activation, HALF_SQUARED, rng) > 5e-3


@LOSS_NUMBERS
def test_a_loss_gradient_off_by_one_percent_is_caught(monkeypatch, loss, rng):
    terms = reference._terms
    monkeypatch.setattr(reference, "_terms", lambda *given: (terms(*given)[0], 1.01 * terms(*given)[1]))
    assert loss_error(reference, loss, rng) > 5e-3
    assert network_error(reference, ACTIVATIONS.index("tanh"), loss, rng) > 5e-3
