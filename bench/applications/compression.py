"""Compression of the 10,000 test images of Fashion-MNIST and MNIST at 0.1, 0.25 and 0.5 bits per pixel.

PSNR is 10 log10(255^2 / MSE) over all pixels of the set. The rate counts a whole file, but not the codec, whose size stands
beside it. JPEG and WebP (Pillow) get all images tiled into one picture of 2800 x 2800, so that headers do not count, or that
picture a half, a third or a quarter as wide and high, since their lowest quality takes 0.29 and 0.35 bits per pixel: the best
PSNR of all qualities and sizes that take at most a tenth more than the bar's rate. PCA, with as many of 784 components as the
rate can use, goes through the same quantiser (one step for all, as is best), tables and coder. Codecs learn from the 60,000
training images, of which the last tenth tells the rate.

Hyperparameters are the defaults of fastae.compression.Codec.fit, but for the epochs below; they were chosen by images 50,000 to
59,999, codecs having learnt from the 50,000 before: 784-512-k-512-784, silu, sigmoid; k and sigma by reverse water-filling;
Adam, 4e-3 falling along a cosine, batches of 64; then the decoder alone for a fifth of the epochs, from 2e-3 on. MARGIN is the
part of the rate that is left for what other images take more.
"""

import bisect
import io
import statistics
import time

import numpy as np
from PIL import Image

import fastae
from fastae.compression import Codec, psnr

from .bars import Bar

RATES, MARGIN = (0.1, 0.25, 0.5), 0.005
EPOCHS = {"Fashion-MNIST": (24, 24, 60), "MNIST": (24, 24, 24)}
SPEED = 100  # MB/s of pixels
SHRINK = (1, 2, 3, 4)  # of the pictures that JPEG and WebP get
GIVEN = 1.1  # times the rate that they may take


def bars(seed):
    for name, load in (("Fashion-MNIST", fastae.datasets.load_fashion_mnist), ("MNIST", fastae.datasets.load_mnist)):
        x, test = load("train")[0], load("test")[0]
        components = principal(x)
        for rate, epochs in zip(RATES, EPOCHS[name], strict=True):
            start = time.perf_counter()
            codec = Codec.fit(x, rate * (1 - MARGIN), epochs=epochs, seed=seed)
            seconds = time.perf_counter() - start
            data = codec.compress(test)
            by_pca = Codec.calibrate(components, x, rate)
            of_pca = by_pca.compress(test)
            others = {"PCA": psnr(by_pca.decompress(of_pca), test), **pictures(test, rate)}
            what = f"{name} test, {rate} bits per pixel"
            yield Bar(f"{what}: PSNR, dB", psnr(codec.decompress(data), test), max(others.values()), others, digits=2)
            sizes = {"PCA": bits(of_pca, test), "codec, MB": size(codec), "its training, s": seconds}
            yield Bar(f"{what}: rate", bits(data, test), rate, sizes, low=True, digits=4)
            yield Bar(f"{what}: encoding, MB/s", test.size / median(codec.compress, test), SPEED, {}, digits=0)
            yield Bar(f"{what}: decoding, MB/s", test.size / median(codec.decompress, data), SPEED, {}, digits=0)
        whole = {kind: bits(picture(test, kind, **how)[0], test) for kind, how in (("PNG", {}), ("WebP", {"lossless": True}))}
        lossless = codec.compress(test, max_error=0)
        assert np.array_equal(codec.decompress(lossless), test)
        yield Bar(f"{name} test, lossless: bits per pixel", bits(lossless, test), min(whole.values()), whole, low=True)


def bits(data, x):
    """Per pixel."""
    return 8 * len(data) / x.size


def size(codec):
    """Of its weights, in MB."""
    return codec.model.parameters.nbytes / 1e6


def median(work, x):
    """Microseconds of nine runs, after one."""
    work(x)
    seconds = []
    for _ in range(9):
        start = time.perf_counter()
        work(x)
        seconds.append(time.perf_counter() - start)
    return 1e6 * statistics.median(seconds)


def principal(x):
    """PCA as a linear autoencoder with a code of all components."""
    mean = x.mean(axis=0) / 255
    centred = x.astype(np.float32) / 255 - mean.astype(np.float32)
    axes = np.linalg.eigh((centred.T @ centred).astype(np.float64))[1].T[::-1]
    model = fastae.Autoencoder([len(axes)] * 2, output_activation="identity", seed=0)
    model.encoder[0].weight, model.encoder[0].bias = axes, -axes @ mean
    model.decoder[0].weight, model.decoder[0].bias = axes.T, mean
    return model


def picture(x, kind, shrink=1, **how):
    """All images in one, so many times smaller each way, in a format of Pillow: the bytes, and what they decode to."""
    side, across = round(x.shape[1] ** 0.5), round(len(x) ** 0.5)
    tiled = x.reshape(across, across, side, side).transpose(0, 2, 1, 3).reshape(across * side, across * side)
    file = io.BytesIO()
    whole = Image.fromarray(tiled)
    whole.resize((whole.width // shrink, whole.height // shrink), Image.Resampling.LANCZOS).save(file, kind, **how)
    back = Image.open(file).convert("L").resize(whole.size, Image.Resampling.LANCZOS)
    decoded = np.asarray(back).reshape(across, side, across, side).transpose(0, 2, 1, 3)
    return file.getvalue(), decoded.reshape(x.shape)


def pictures(x, rate):
    """PSNR of JPEG and WebP by their names and rates: the best of all qualities and sizes."""
    found = {}
    for kind, how in (("JPEG", {"optimize": True, "progressive": True}), ("WebP", {"method": 6})):
        best = (0.0, "")
        for shrink in SHRINK:
            lowest = int(kind == "JPEG")

            def takes(quality, kind=kind, shrink=shrink, how=how):
                return bits(picture(x, kind, shrink, quality=quality, **how)[0], x)

            quality = bisect.bisect(range(lowest, 101), rate * GIVEN, key=takes) + lowest - 1  # the rate rises with it
            if quality >= lowest:
                data, decoded = picture(x, kind, shrink, quality=quality, **how)
                size = f" of 1/{shrink} the size" if shrink > 1 else ""
                best = max(best, (psnr(decoded, x), f"{kind}{size} at {bits(data, x):.3f}"))
        found[best[1]] = best[0]
    return found
