"""
Backpropagation, number by number
=================================

Backpropagation by hand and by fastae: one step of a net of 2-2-1 neurons, number by number.

The net has no biases and no activations: hidden = W1 x, prediction = W2 hidden. Its error is E = 1/2 (prediction - target)^2.
A step moves each weight against the error's slope, w' = w - lr dE/dw, with every slope taken at the old weights. Each line
below is computed by fastae in float64 and compared with the number worked out by hand; the script fails where they differ.
"""

import numpy as np

import fastae

x, target, lr = np.array([[2.0, 3.0]]), np.array([[1.0]]), 0.05
W1, W2 = np.array([[0.11, 0.21], [0.12, 0.08]]), np.array([[0.14, 0.15]])


def show(name, formula, value, by_hand, rounding=1e-14):
    """Print one line of the lesson, after a comparison with the numbers worked out by hand."""
    np.testing.assert_allclose(np.ravel(value), np.ravel(by_hand), rtol=0, atol=rounding, err_msg=name)
    print(f"  {name:<18} {formula:<36} {'  '.join(f'{v:<14.13g}' for v in np.ravel(value))}".rstrip())


def net(W1, W2):
    """The two layers, with these weights."""
    layers = fastae.Linear(2, 2, bias=False, dtype="float64"), fastae.Linear(2, 1, bias=False, dtype="float64")
    for layer, weight in zip(layers, (W1, W2), strict=True):
        layer.weight = weight
    return layers


def predict(W1, W2):
    """The prediction with these weights."""
    first, second = net(W1, W2)
    return second.forward(first.forward(x))


print("1. Forward: from the input to the prediction")
first, second = net(W1, W2)
hidden = first.forward(x)
show("hidden", "W1 x", hidden, [0.85, 0.48])
prediction = second.forward(hidden)
show("prediction", "W2 hidden", prediction, 0.191)

print("\n2. Error: half the squared distance from the target")
show("E", "1/2 (prediction - target)^2", 0.5 * (prediction - target) ** 2, 0.3272405)

print("\n3. Backward: slopes of E by the chain rule, from the prediction back to the first weights")
d_prediction = prediction - target
show("dE/dprediction", "prediction - target", d_prediction, -0.809)
d_hidden = second.backward(d_prediction)
show("dE/dW2", "dE/dprediction hidden", second.grad_weight, [-0.68765, -0.38832])
show("dE/dhidden", "dE/dprediction W2", d_hidden, [-0.11326, -0.12135])
first.backward(d_hidden)
show("dE/dW1, row 1", "dE/dhidden_1 x", first.grad_weight[0], [-0.22652, -0.33978])
show("dE/dW1, row 2", "dE/dhidden_2 x", first.grad_weight[1], [-0.2427, -0.36405])

print("\n4. Update: each weight a small step down its slope")
new_W1, new_W2 = W1 - lr * first.grad_weight, W2 - lr * second.grad_weight
show("new W2", "W2 - lr dE/dW2", new_W2, [0.1743825, 0.169416])
show("new W1, row 1", "W1 - lr dE/dW1", new_W1[0], [0.121326, 0.226989])
show("new W1, row 2", "", new_W1[1], [0.132135, 0.0982025])
show("new prediction", "new W2 (new W1 x)", predict(new_W1, new_W2), 0.2557457808075)

print("\n5. A common mistake: new W2 in place of W2 in dE/dhidden")
wrong_first, wrong_second = net(W1, new_W2)
wrong_second.forward(wrong_first.forward(x))
wrong_first.backward(wrong_second.backward(d_prediction))
wrong_W1 = W1 - lr * wrong_first.grad_weight
show("wrong prediction", "new W2 (wrong W1 x)", predict(wrong_W1, new_W2), 0.26062834, rounding=5e-9)
h = np.array([[1e-6, 0.0], [0.0, 0.0]])
above, below = (0.5 * (predict(W, W2) - target) ** 2 for W in (W1 + h, W1 - h))
show("slope by W1_11", "[E(W1_11 + h) - E(W1_11 - h)] / 2h", ((above - below) / 2e-6).round(8), -0.22652, rounding=1e-8)
show("  by section 3", "dE/dprediction W2_1 x_1", first.grad_weight[0, 0], -0.22652)
show("  by the mistake", "dE/dprediction new W2_1 x_1", wrong_first.grad_weight[0, 0], -0.282150885)
print("  A gradient is the slope of E at one point of all weights, here the old ones. The mistake takes one factor at the old")
print("  weights and another at the new ones: the slope of E at neither. The difference quotient agrees with section 3. That")
print("  the wrong prediction comes closer to 1 is no merit: its step is longer, and a larger lr does the same.")

print("\n6. More steps: the prediction tends to the target")
model = fastae.Sequential(*net(W1, W2))
trainer = fastae.Trainer(model, fastae.SGD(lr=lr), loss="half_squared")
by_hand = {1: 0.25574578, 2: 0.33231393, 3: 0.41937285, 5: 0.60831396, 10: 0.92564089, 20: 0.99906859}
for n in range(1, 21):
    trainer.step(x, target)
    if n in by_hand:
        show(f"after {n:>2} step{'s' if n > 1 else ''}", "", model(x).round(8), by_hand[n])
