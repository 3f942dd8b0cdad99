"""In a process of its own: an epoch on 20 million ratings; prints peak memory in MB and seconds."""

import resource
import sys
import time

import numpy as np
from scipy import sparse

import fastae
from fastae.recommendation import AutoRec

USERS, ITEMS, EACH = 1_000_000, 20_000, 20


def main():
    seed, threads = map(int, sys.argv[1:])
    fastae.set_num_threads(threads)
    ratings = synthetic(seed)
    start = time.perf_counter()
    AutoRec("user", 32, scale=(1, 5), epochs=1, batch_size=128, seed=seed).fit(ratings)
    seconds = time.perf_counter() - start
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, seconds)


def synthetic(seed):
    """Ratings 1 to 5 of a tastes' model of four dimensions; each user rates 20 items, one in each of 20 equal parts."""
    rng = np.random.default_rng(seed)
    indices, data = np.empty((USERS, EACH), np.int32), np.empty((USERS, EACH), np.float32)
    tastes = rng.standard_normal((ITEMS, 4), np.float32)
    for start in range(0, USERS, 10_000):
        rows = slice(start, start + 10_000)
        indices[rows] = rng.integers(0, ITEMS // EACH, (10_000, EACH)) + np.arange(EACH) * (ITEMS // EACH)
        liked = np.einsum("uk,uik->ui", rng.standard_normal((10_000, 4), np.float32), tastes[indices[rows]])
        data[rows] = np.clip(np.rint(3 + liked / 2 + rng.standard_normal((10_000, EACH), np.float32) / 2), 1, 5)
    bounds = np.arange(0, USERS * EACH + 1, EACH, dtype=np.int32)
    return sparse.csr_array((data.reshape(-1), indices.reshape(-1), bounds), (USERS, ITEMS))


if __name__ == "__main__":
    main()
