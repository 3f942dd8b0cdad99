"""Denoising of clothes and of a photograph.

Clothes: Fashion-MNIST, pixels from 0 to 1, Gaussian noise of standard deviation 0.3, not clipped. The denoiser learns from the
60,000 training images, with noise drawn anew. Total variation (Chambolle), non-local means and wavelets are scikit-image's; PCA
keeps the first components. TUNED has their settings, the best for images 58,000 to 59,999 of the training set. "shrunk PCA" is
the best linear denoiser of Gaussian data: it weighs each component by what of its variance is not noise; it is shown beside
them, the bar being 2 dB over the best of the others. All outputs are clipped to 0 to 1.

Photograph: scikit-image's camera, noise of 25/255, not clipped; the denoiser learns from PICTURES, photographs and textures
that come with scikit-image, all of them CC0 or in the public domain. Non-local means are tuned on coffee. BM3D is the package
bm3d. What fastae ships is this network with seed 0, in float16: ``python -m bench.applications.denoising`` writes it.

Hyperparameters are those of fastae.denoising; they were chosen by coffee, having learnt from the others, and by images 58,000
to 59,999, having learnt from the first 50,000.
"""

import time
from pathlib import Path

import bm3d
import numpy as np
import skimage
from PIL import Image
from skimage.metrics import structural_similarity
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle, denoise_wavelet
from sklearn.decomposition import PCA

import fastae
from fastae.denoising import Denoiser, ImageDenoiser, estimate_sigma

from .bars import Bar

PICTURES = ("astronaut", "brick", "chelsea", "coffee", "grass", "gravel", "rocket")
SAMPLES = 5_000_000  # patches that the network of photographs learns from
CLOTHES, PHOTO = 0.3, 25 / 255
GAIN = 2.0  # dB
TUNED = {"total variation": 0.22, "non-local means": (5, 6, 0.5), "wavelets": "sym4", "PCA": 70, "photo": (5, 6, 0.6)}
SHIPPED = Path(fastae.__file__).parent / "data" / "denoiser.npz"


def picture(name):
    """One of scikit-image's."""
    (path,) = (Path(skimage.__file__).parent / "data").glob(f"{name}.*")
    return np.asarray(Image.open(path))


def denoiser(seed, progress=False):
    """An image denoiser of PICTURES."""
    return ImageDenoiser(seed=seed).fit([picture(name) for name in PICTURES], samples=SAMPLES, progress=progress)


def bars(seed):
    yield from clothes(seed)
    yield from photograph(seed)


def clothes(seed):
    x, test = (fastae.datasets.load_fashion_mnist(split)[0] for split in ("train", "test"))
    clean = test / 255
    noisy = clean + np.random.default_rng(seed).normal(0, CLOTHES, clean.shape)
    start = time.perf_counter()
    network = Denoiser(seed=seed).fit_clean(x, CLOTHES)
    training = time.perf_counter() - start
    start = time.perf_counter()
    ours = np.clip(network.denoise(noisy), 0, 1)
    seconds = {"fastae": time.perf_counter() - start}
    outputs = {}
    for name, method in others(x).items():
        start = time.perf_counter()
        outputs[name] = np.clip(method(noisy), 0, 1)
        seconds[name] = time.perf_counter() - start
    qualities = {name: psnr(output, clean) for name, output in outputs.items()}
    what = f"Fashion-MNIST test, noise {CLOTHES}"
    best = max(quality for name, quality in qualities.items() if name != "shrunk PCA")
    yield Bar(f"{what}: PSNR, dB", psnr(ours, clean), best + GAIN, qualities, digits=2)
    shown = slice(0, 2000)
    likeness = {name: ssim(output[shown], clean[shown]) for name, output in outputs.items()}
    yield Bar(f"{what}: SSIM of 2000", ssim(ours[shown], clean[shown]), max(likeness.values()), likeness)
    yield Bar(f"{what}: training, s", training, 300, seconds, low=True, digits=1)


def others(x):
    """Functions (n, 784) -> (n, 784) of what people would use instead."""
    some = x[:: max(len(x) // 20000, 1)] / 255
    components = PCA(svd_solver="full").fit(some)
    mean, axes, variances = components.mean_, components.components_, components.explained_variance_
    weights = {"PCA": np.arange(784) < TUNED["PCA"], "shrunk PCA": variances / (variances + CLOTHES**2)}
    size, distance, h = TUNED["non-local means"]
    means = {"patch_size": size, "patch_distance": distance, "h": h * CLOTHES, "sigma": CLOTHES}

    def each(method):
        return lambda noisy: np.stack([method(image) for image in noisy.reshape(-1, 28, 28)]).reshape(noisy.shape)

    def linear(weight):
        return lambda noisy: mean + (noisy - mean) @ axes.T * weight @ axes

    return {
        "total variation": each(lambda image: denoise_tv_chambolle(image, weight=TUNED["total variation"])),
        "non-local means": each(lambda image: denoise_nl_means(image, **means)),
        "wavelets": each(lambda image: denoise_wavelet(image, sigma=CLOTHES, wavelet=TUNED["wavelets"])),
        **{name: linear(weight) for name, weight in weights.items()},
    }


def photograph(seed):
    clean = picture("camera") / 255
    noisy = clean + np.random.default_rng(seed).normal(0, PHOTO, clean.shape)
    size, distance, h = TUNED["photo"]
    start = time.perf_counter()
    learnt = denoiser(seed)
    training = time.perf_counter() - start
    methods = {
        "fastae": lambda: learnt.denoise(noisy, PHOTO),
        "shipped": lambda: ImageDenoiser().denoise(noisy, PHOTO),
        "non-local means": lambda: denoise_nl_means(noisy, size, distance, h * PHOTO, sigma=PHOTO),
        "total variation": lambda: denoise_tv_chambolle(noisy, weight=0.1),
        "BM3D": lambda: bm3d.bm3d(noisy, PHOTO),
    }
    qualities, likeness, seconds = {}, {}, {}
    for name, method in methods.items():
        start = time.perf_counter()
        output = np.clip(method(), 0, 1)
        seconds[name] = time.perf_counter() - start
        qualities[name] = psnr(output, clean)
        likeness[name] = structural_similarity(output, clean, data_range=1)
    for measure, found in (("PSNR, dB", qualities), ("SSIM", likeness)):
        ours = found.pop("fastae")
        digits = 2 if "dB" in measure else 3
        yield Bar(f"camera, noise 25: {measure}", ours, found["non-local means"], found, digits=digits)
    yield Bar("camera, noise 25: shipped network, PSNR, dB", qualities["shipped"], qualities["non-local means"], {}, digits=2)
    yield Bar("camera, noise 25: s", seconds.pop("fastae"), seconds["BM3D"], seconds, low=True, digits=2)
    estimated = estimate_sigma(noisy) * 255
    yield Bar("camera, noise 25: error of the estimate", abs(estimated - 25), 2.5, {"estimate": estimated}, low=True, digits=2)
    yield Bar("photographs: training, s", training, 300, {}, low=True, digits=0)
    yield large()


def large():
    """Speed on a noisy picture of 5 megapixels in three colours."""
    clean = np.tile(picture("astronaut"), (4, 5, 1))
    noisy = np.clip(clean + np.random.default_rng(0).normal(0, 25, clean.shape), 0, 255).astype(np.uint8)
    start = time.perf_counter()
    ImageDenoiser().denoise(noisy, 25)
    rate = noisy.size / 3 / (time.perf_counter() - start) / 1e6
    return Bar("5 megapixels in colour: megapixels/s", rate, 0.2, {}, digits=2)


def psnr(output, clean):
    """Peak signal-to-noise ratio in dB, over all pixels; 1 is white."""
    return -10 * np.log10(np.mean((output - clean) ** 2))


def ssim(outputs, clean):
    """Mean structural similarity of images of 28 x 28."""
    pairs = zip(outputs.reshape(-1, 28, 28), clean.reshape(-1, 28, 28), strict=True)
    return np.mean([structural_similarity(a.astype(float), b, data_range=1) for a, b in pairs])


if __name__ == "__main__":
    start = time.perf_counter()
    layers = denoiser(0, progress=True).model.layers
    arrays = {f"weight{n}": layer.weight for n, layer in enumerate(layers)} | {f"bias{n}": a.bias for n, a in enumerate(layers)}
    np.savez_compressed(SHIPPED, **{name: array.astype(np.float16) for name, array in arrays.items()})
    print(f"wrote {SHIPPED}, {SHIPPED.stat().st_size:,} bytes, after {time.perf_counter() - start:.0f} s")
