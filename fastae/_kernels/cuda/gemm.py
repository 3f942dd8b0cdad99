"""The matrix product: one kernel, specialised by type, tile, layout and what is fused into its store.

    C (M, N) = A (M, K) B (K, N)              a block of threads makes a square tile of C, size x size
      for k0 in steps of depth                tiles of A and B, depth x size, pass through shared memory
        for k in the step                     each thread adds 4 halves x 4 halves products in registers
      the epilogue                            bias, activation, slope, loss or optimiser, on four numbers of a row at a time

Every sum runs over k in ascending order in one register, so that the tile changes no bit of a product.

An operand lies in memory either with k along its rows (A as (M, K), B as (N, K)) or down its columns (A as (K, M), B as
(K, N)); ``by_k`` means the latter. So no product of training needs a transpose:

    forward         x (B, I) W (O, I)^T     neither by k
    input gradient  dz (B, O) W (O, I)      B by k
    weight gradient dz (B, O)^T x (B, I)    both by k

Matrices are padded as memory.py says: rows are whole vectors of four, and zeros fill what is beyond. Loads are predicated by
row; in place of what is outside the matrix a thread loads zeros.
"""

from collections import namedtuple
from functools import cache

import numpy as np

from .toolkit import SHARED_ALIGNMENT, SIMULATED, cuda, device, load4, store4

# size: of C's tile; depth: of a step over k; halves: a thread has 4 halves rows and columns of C, four next to each other in
# each half of the tile, so that the threads of a warp read neighbouring vectors of shared memory; resident: blocks that find
# room on a multiprocessor (65536 registers, 100 KB of shared memory), as tests/test_cuda.py checks of what the compiler made.
Tile = namedtuple("Tile", "size depth halves resident")

# Registers bound the largest tile. 8 x 8 float32 accumulators, 16 numbers of the tiles' rows, 8 of the next tiles and the
# addresses are less than 128 registers, so that 65536 of them hold two blocks of 256 threads; in float64 the same needs twice
# as many, hence 4 x 4. Each number that a thread reads from shared memory takes part in 8 (4) products.
# Shared memory has two stages of A and B: 4 depth (size + 4) numbers, 17 KB for the first; below 48 KB for all.
# The smaller tiles are for products too small to give every multiprocessor a block of the larger.
if SIMULATED:  # a thread of the simulator is a thread of Python: four in a block, each with as much as on a GPU
    TILES: dict[type, tuple[Tile, ...]] = {real: (Tile(16, 4, 2, 1), Tile(8, 4, 1, 1)) for real in (np.float32, np.float64)}
    BLOCKS = 3
else:
    TILES = {
        np.float32: (Tile(128, 8, 2, 2), Tile(64, 16, 1, 4), Tile(32, 8, 1, 12)),
        np.float64: (Tile(64, 16, 1, 2), Tile(32, 8, 1, 8)),
    }
    BLOCKS = 64

Epilogue = namedtuple("Epilogue", "store row finish")  # device functions; see epilogues.py


def threads(tile):
    """Of a block."""
    return (tile.size // (4 * tile.halves)) ** 2


def grid(tile, m, n):
    """Blocks of a product, along N and along M."""
    return max(1, -(-n // tile.size)), max(1, -(-m // tile.size))


def tile_of(real, m, n):
    """The largest tile of which there are enough, a function of the shape alone."""
    for tile in TILES[real]:
        across, down = grid(tile, m, n)
        if across * down >= BLOCKS:
            break
    return tile


def _mover(real, tile, by_k):
    """Device functions that take an operand's tile from global memory to registers, and on to shared memory, as [k][i]."""
    size, depth, n_threads = tile.size, tile.depth, threads(tile)
    across = (size if by_k else depth) // 4  # vectors in a row of the operand's part
    held = size * depth // 4 // n_threads  # by each thread
    zero = real(0)

    @device
    def fetch(operand, i0, k0, n_rows, t, vectors):
        """n_rows: of the operand as it lies in memory."""
        for v in range(held):
            down, along = (t + v * n_threads) // across, (t + v * n_threads) % across * 4
            row = (k0 if by_k else i0) + down
            column = (i0 if by_k else k0) + along
            inside = row < n_rows and column < operand.shape[1]
            four = load4(operand, row, column) if inside else (zero, zero, zero, zero)
            for e in range(4):
                vectors[v, e] = four[e]

    @device
    def stash(vectors, t, tiles, base):
        for v in range(held):
            down, along = (t + v * n_threads) // across, (t + v * n_threads) % across * 4
            if by_k:
                store4(tiles, base + down, along, (vectors[v, 0], vectors[v, 1], vectors[v, 2], vectors[v, 3]))
            else:
                for e in range(4):
                    tiles[base + along + e, down] = vectors[v, e]

    return fetch, stash, held


@cache
def gemm(real, tile, a_by_k, b_by_k, epilogue):
    """The kernel for (M, N, K, A, B, operands): the epilogue takes ``operands`` apart."""
    size, depth, halves, _ = tile
    n_threads, side = threads(tile), size // (4 * halves)  # side x side threads
    mine, half = 4 * halves, 4 * side
    fetch_a, stash_a, held = _mover(real, tile, a_by_k)
    fetch_b, stash_b, _ = _mover(real, tile, b_by_k)
    # Four numbers more than a row needs: vectors stay aligned, and the float32 that a warp stores into a transposed tile fall
    # into banks of their own (depth 8: 16 columns, and rows 4 (size + 4), 16 banks, apart) or two into each (depth 16).
    shared_shape = 4 * depth, size + 4
    held_shape, accumulators = (held, 4), (mine, mine)
    stage_a, stage_b = 0, 2 * depth  # rows in shared memory of the two stages of A and of B
    store, row_of, finish = epilogue
    zero = real(0)

    def kernel(m, n, k, a, b, operands):
        tiles = cuda.shared.array(shared_shape, real, alignment=SHARED_ALIGNMENT)
        sums = cuda.local.array(accumulators, real)  # and these are registers: all their indices are known when compiled
        row_sums = cuda.local.array(mine, real)
        next_a = cuda.local.array(held_shape, real)
        next_b = cuda.local.array(held_shape, real)
        column = cuda.local.array(mine, real)
        row = cuda.local.array(mine, real)
        t = cuda.threadIdx.x
        x, y = t % side, t // side
        i0, j0 = cuda.blockIdx.y * size, cuda.blockIdx.x * size
        for i in range(mine):
            row_sums[i] = zero
            for j in range(mine):
                sums[i, j] = zero
        stage = 0
        for k0 in range(0, k + depth, depth):  # loads tile k0 while it computes with the tile before
            if k0 < k:
                fetch_a(a, i0, k0, k if a_by_k else m, t, next_a)
                fetch_b(b, j0, k0, k if b_by_k else n, t, next_b)
            if k0 > 0:
                for d in range(depth):
                    for h in range(halves):
                        down = load4(tiles, stage_a + stage * depth + d, h * half + y * 4)
                        along = load4(tiles, stage_b + stage * depth + d, h * half + x * 4)
                        for e in range(4):
                            column[h * 4 + e] = down[e]
                            row[h * 4 + e] = along[e]
                    for i in range(mine):
                        for j in range(mine):
                            sums[i, j] += column[i] * row[j]
                    if row_of is not None and j0 == 0:  # the blocks of the first columns also add up A's rows
                        for i in range(mine):
                            row_sums[i] += column[i]
                stage = 1 - stage
            if k0 < k:
                stash_a(next_a, t, tiles, stage_a + stage * depth)
                stash_b(next_b, t, tiles, stage_b + stage * depth)
            cuda.syncthreads()
        total = zero
        for i in range(mine):  # not unrolled where the epilogue is long, and registers have no index: row 0 is always the next
            at, j = i0 + i // 4 * half + y * 4 + i % 4, j0 + x * 4
            if at < m:
                if j < n:
                    total += store(at, j, (sums[0, 0], sums[0, 1], sums[0, 2], sums[0, 3]), n - j, operands)
                if halves == 2 and j + half < n:
                    total += store(at, j + half, (sums[0, 4], sums[0, 5], sums[0, 6], sums[0, 7]), n - j - half, operands)
                if row_of is not None and j == 0:
                    row_of(at, row_sums[0], operands)
            for r in range(mine - 1):
                row_sums[r] = row_sums[r + 1]
                for c in range(mine):
                    sums[r, c] = sums[r + 1, c]
        if finish is not None:
            finish((cuda.blockIdx.y * cuda.gridDim.x + cuda.blockIdx.x) * n_threads + t, total, operands)

    return cuda.jit(kernel)


def multiply(real, m, n, k, a, b, a_by_k, b_by_k, epilogue, operands, stream=0):
    """Launch a product."""
    tile = tile_of(real, m, n)
    kernel = gemm(real, tile, a_by_k, b_by_k, epilogue)
    kernel[grid(tile, m, n), threads(tile), stream](m, n, k, a, b, operands)
