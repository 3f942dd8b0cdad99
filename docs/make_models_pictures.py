"""Draw docs/images/model-*.png, one picture a model: ``python docs/make_models_pictures.py [NAME...]``; MNIST from FASTAE_DATA.

Some minutes on two cores. Trained on 30,000 images, the pictures show test images; docs/models.md tells what they show.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import fastae

FOLDER = Path(__file__).parent / "images"
SHOWN = [3, 2, 1, 18, 4, 8, 21, 0, 61, 7]  # a test image of each digit


def draw(name, rows, zoom=1.6):
    """A PNG of rows of square images, each under its label; an array is of one row, or (rows, images, pixels)."""
    blocks = [(label, np.asarray(images, float)) for label, images in rows.items()]
    side = round(blocks[0][1].shape[-1] ** 0.5)
    columns = blocks[0][1].shape[-2]
    heights = [len(images) if images.ndim == 3 else 1 for _, images in blocks]
    inches = side * zoom / 80
    figure = Figure((columns * inches, sum(heights) * inches + 0.22 * len(rows)), dpi=80)
    axes = figure.subplots(len(rows), 1, squeeze=False, height_ratios=[h * inches + 0.22 for h in heights])[:, 0]
    for axis, (label, images), height in zip(axes, blocks, heights, strict=True):
        tiled = images.reshape(height, columns, side, side).transpose(0, 2, 1, 3).reshape(height * side, columns * side)
        axis.imshow(tiled, cmap="gray_r", interpolation="nearest", aspect="auto")
        axis.set_title(label, fontsize=8, pad=2)
        axis.axis("off")
    figure.subplots_adjust(0, 0, 1, 1 - 0.2 / figure.get_figheight(), hspace=0.22)
    write(name, figure)


def write(name, figure):
    path = FOLDER / f"model-{name}.png"
    figure.savefig(path)
    Image.open(path).convert("RGB").quantize(48).save(path, optimize=True)
    print(f"wrote {path}, {path.stat().st_size / 1024:.0f} KB")


def train(model, x, epochs=10, lr=1e-3, batch_size=128):
    fastae.Trainer(model, fastae.Adam(lr), batch_size=batch_size, seed=0).fit(x, epochs=epochs, progress=True)
    return model


def filters(weight, n):
    """The first n units' weights as images, each from -1 to 1."""
    return weight[:n] / np.abs(weight[:n]).max(axis=1, keepdims=True)


def autoencoder(x, test, _labels):
    model = train(fastae.Autoencoder([784, 512, 128, 16], activation="silu", seed=0), x)
    mean = x.mean(axis=0) / 255
    sample = x[:20000] / 255 - mean
    axes = np.linalg.eigh(sample.T @ sample)[1][:, -16:]
    by_pca = np.clip((test - mean) @ axes @ axes.T + mean, 0, 1)
    error = [np.mean((y - test) ** 2) for y in (model.reconstruct(test), by_pca)]
    print(f"error of 16 numbers: autoencoder {error[0]:.4f}, PCA {error[1]:.4f}")
    draw(
        "autoencoder",
        {
            "test images": test[SHOWN],
            f"from 16 numbers, 784-512-128-16-128-512-784 (mse {error[0]:.4f})": model.reconstruct(test[SHOWN]),
            f"from 16 principal components (mse {error[1]:.4f})": by_pca[SHOWN],
        },
    )


def tied(x, test, _labels):
    model = train(fastae.Autoencoder([784, 100], latent_activation="sigmoid", tied=True, seed=0), x)
    plain = train(fastae.Autoencoder([784, 100], latent_activation="sigmoid", seed=0), x)
    errors = [np.mean(m.reconstruction_error(test)) for m in (model, plain)]
    draw(
        "tied",
        {
            f"weights of 10 of 100 units, tied (test mse {errors[0]:.4f})": filters(model.encoder[0].weight, 10),
            f"the encoder's, not tied (test mse {errors[1]:.4f})": filters(plain.encoder[0].weight, 10),
        },
    )


def denoising(x, test, _labels):
    rng, shown, rows = np.random.default_rng(0), test[SHOWN], {}
    u = rng.random(shown.shape)
    noisy = {
        ("gaussian", 0.5): shown + 0.5 * rng.standard_normal(shown.shape, "float32"),
        ("masking", 0.5): np.where(u < 0.5, 0, shown).astype("float32"),
        ("salt_and_pepper", 0.3): np.where(u < 0.3, u < 0.15, shown).astype("float32"),
    }
    for (noise, level), disturbed in noisy.items():
        model = train(fastae.DenoisingAutoencoder([784, 512, 128], noise=noise, level=level, seed=0), x)
        rows[f"{noise}, {level}"], rows[f"denoised ({noise})"] = np.clip(disturbed, 0, 1), model.reconstruct(disturbed)
    draw("denoising", rows, 1.4)


def sparse(x, test, _labels):
    models = {
        "no penalty": fastae.SparseAutoencoder([784, 196], weight=0, seed=0),
        "kl, rho 0.05": fastae.SparseAutoencoder([784, 196], weight=0.5, seed=0),
        "l1, weight 0.1": fastae.SparseAutoencoder([784, 196], penalty="l1", weight=0.1, seed=0),
    }
    rows = {}
    for name, model in models.items():
        train(model, x)
        z = model.encode(test)
        strongest = model.encoder[0].weight[np.argsort(-z.mean(axis=0))]
        rows[f"{name}: weights of 10 units; a code has {np.mean(z > 0.1):.0%} above 0.1"] = filters(strongest, 10)
    draw("sparse", rows, 1.4)


def ksparse(x, test, _labels):
    rows = {}
    for k in (5, 20, 60):
        model = train(fastae.KSparseAutoencoder([784, 400], k, seed=0), x)
        used = np.argsort(-np.mean(model.encode(test) != 0, axis=0))
        rows[f"k = {k}: weights of 10 of 400 units (test mse {np.mean(model.reconstruction_error(test)):.4f})"] = filters(
            model.encoder[0].weight[used], 10
        )
    draw("ksparse", rows, 1.4)


def contractive(x, test, _labels):
    figure = Figure((4.5, 3), dpi=80, layout="constrained")
    axis = figure.subplots()
    for weight in (0.0, 0.1, 1.0):
        model = train(fastae.ContractiveAutoencoder([784, 120], weight=weight, seed=0), x)
        h, w = (a.astype("float64") for a in (model.encode(test[:100]), model.encoder[0].weight))
        slope = h * (1 - h)
        squares = np.linalg.eigvalsh(slope[:, :, None] * (w @ w.T) * slope[:, None])  # of the Jacobian's singular values
        axis.plot(
            np.sqrt(np.maximum(squares, 0)).mean(axis=0)[::-1],
            label=f"weight {weight:g}, test mse {np.mean(model.reconstruction_error(test)):.4f}",
        )
    axis.set(xlabel="number", ylabel="singular value of dh/dx", yscale="log", ylim=(1e-4, None))
    axis.legend(fontsize=8)
    write("contractive", figure)


def variational(x, test, _labels):
    model = fastae.VariationalAutoencoder([784, 512, 256, 20], activation="silu", binarize=True, seed=0)
    train(model, x, 25)
    binary = (np.random.default_rng(0).random(test.shape) < test).astype("float32")
    elbo, likelihood = model.elbo(binary, seed=0).mean(), model.log_likelihood(binary[:200], 2000, seed=0).mean()
    print(f"binarized test images: ELBO {elbo:.2f}; log-likelihood of the first 200, 2000 codes each, {likelihood:.2f}")
    draw(
        "variational",
        {
            f"drawn from p(z) (ELBO {elbo:.1f}, log p(x) {likelihood:.1f} nats)": model.sample(20, seed=3).reshape(2, 10, -1),
            "from a test image to another": np.stack([model.interpolate(test[a], test[b], 10) for a, b in ((2, 3), (18, 0))]),
        },
    )


def conditional(x, test, labels):
    model = fastae.ConditionalVariationalAutoencoder([784, 512, 256, 10], 10, activation="silu", binarize=True, seed=0)
    train(model, model.join(x, labels))
    z = np.repeat(np.random.default_rng(1).standard_normal((4, 10), "float32"), 10, axis=0)
    draw(
        "conditional", {"a code z each row, a label each column": model.decode(z, np.tile(np.arange(10), 4)).reshape(4, 10, -1)}
    )


def masked(x, test, _labels):
    rng = np.random.default_rng(0)
    model = fastae.MaskedAutoencoder([784, 512, 128], noise="masking", level=0.3, seed=0)
    incomplete = model.hide(x, rng.random(x.shape, "float32") > 0.3)
    train(model, incomplete)
    shown = test[SHOWN].copy()
    shown[:, 392:] = np.where(rng.random((10, 392)) < 0.8, np.nan, shown[:, 392:])
    shown[:, :392] = np.where(rng.random((10, 392)) < 0.3, np.nan, shown[:, :392])
    draw(
        "masked",
        {
            "observed; what is missing is grey": np.nan_to_num(shown, nan=0.35),
            "imputed, after training on images of which 30 % are missing": model.impute(shown),
            "whole": test[SHOWN],
        },
    )


def multinomial(_x, _test, _labels):
    images, _ = fastae.datasets.load_digits()
    counts = (images * 16).round()  # a digit is a user, its 64 pixels are items
    model = train(fastae.MultinomialAutoencoder([64, 48, 16], seed=0), counts[:1500], 300, 3e-3, 64)
    rng, shown = np.random.default_rng(0), counts[1500:1510]
    given = np.where(rng.random(shown.shape) < 0.5, 0, shown).astype("float32")
    draw(
        "multinomial",
        {
            "a user's items, half of them hidden": given / 16,
            "what the user will like: probabilities": model.reconstruct(given)
            / model.reconstruct(given).max(axis=1, keepdims=True),
            "all items of that user": shown / 16,
        },
        5,
    )


PICTURES = {
    f.__name__: f
    for f in (autoencoder, tied, denoising, sparse, ksparse, contractive, variational, conditional, masked, multinomial)
}


def main():
    x, labels = (a[:30000] for a in fastae.datasets.load_mnist("train"))
    test = fastae.datasets.load_mnist("test")[0].astype("float32") / 255
    for name in sys.argv[1:] or PICTURES:
        PICTURES[name](x, test, labels)


if __name__ == "__main__":
    main()
