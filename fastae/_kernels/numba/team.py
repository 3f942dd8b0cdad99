"""Threads: a team runs one compiled function together, meeting at barriers.

Workers are Python threads that sleep on a semaphore between jobs; inside a job, without the GIL, members meet by spinning
and, after a while, by leaving the processor to others. There is one team at a time in a process: whoever finds it taken
runs alone, with the same result, since no order of summation depends on the number of threads.
"""

import operator
import os
import threading
from collections import deque
from functools import partial

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .functions import compiled
from .machine import ISA
from .vector import INT64, call

MAX_TEAM = 256
SPINS = 2000  # rounds at a barrier before the processor is offered to others, some 50 us
WORK_PER_THREAD = 1 << 22  # floating-point operations that outweigh waking a thread, some 50 us

# arrived and generation are written by all members: each has a cache line of its own.
TEAM = np.dtype(
    {
        "names": ["size", "address", "arrived", "generation"],
        "formats": [np.int64] * 4,
        "offsets": [0, 8, 64, 128],
        "itemsize": 192,
    }
)


def _at(builder, address):
    return builder.inttoptr(address, INT64.as_pointer())


@intrinsic
def atomic_add(typing, address, n):
    """Adds to the integer at an address, whose value before it returns; all that was written before is seen by who reads it."""

    def build(context, builder, sig, values):
        return builder.atomic_rmw("add", _at(builder, values[0]), values[1], "seq_cst")

    return types.intp(types.intp, types.intp), build


@intrinsic
def atomic_load(typing, address):
    def build(context, builder, sig, values):
        return builder.load_atomic(_at(builder, values[0]), "seq_cst", 8)

    return types.intp(types.intp), build


@intrinsic
def atomic_store(typing, address, n):
    def build(context, builder, sig, values):
        builder.store_atomic(values[1], _at(builder, values[0]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), build


@intrinsic
def relax(typing):
    """Tells the processor that this is a spinning loop."""

    def build(context, builder, sig, values):
        if ISA == "neon":
            call(builder, "llvm.aarch64.hint", ir.VoidType(), ir.IntType(32)(1))
        elif ISA in ("avx512", "avx2"):
            call(builder, "llvm.x86.sse2.pause", ir.VoidType())
        return context.get_dummy_value()

    return types.void(), build


@intrinsic
def give_way(typing):
    """Offers the processor to other threads."""

    def build(context, builder, sig, values):
        name = "SwitchToThread" if os.name == "nt" else "sched_yield"
        builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.IntType(32), []), name), [])
        return context.get_dummy_value()

    return types.void(), build


@compiled
def meet(team):
    """A barrier: what each member wrote before is seen by all after. Free of cost for one who is alone."""
    if team.size == 1:
        return
    wait(team.address, team.size)


@compiled
def wait(address, size):
    arrived, generation = address + 64, address + 128
    before = atomic_load(generation)
    if atomic_add(arrived, 1) + 1 == size:
        atomic_store(arrived, 0)
        atomic_add(generation, 1)
        return
    spins = 0
    while atomic_load(generation) == before:
        spins += 1
        if spins < SPINS:
            relax()
        else:
            give_way()


def _team():
    """A team's record, at the start of a cache line."""
    block = np.zeros(TEAM.itemsize + 64, np.uint8)
    start = -block.ctypes.data % 64
    team = block[start : start + TEAM.itemsize].view(TEAM)
    team["size"], team["address"] = 1, team.ctypes.data
    return team


class Pool:
    """The workers of a process, and the team that they form with a caller, who is member 0."""

    def __init__(self):
        self._taken = threading.Lock()
        self._wake = []  # a locked lock of each worker, released for a job
        self._team = _team()
        self._job = None

    def _work(self, member, wake):
        while True:
            wake.acquire()
            entry, job = self._job
            entry(job, self._team.ctypes.data, member)

    def _grow(self, workers):
        while len(self._wake) < workers:
            wake = threading.Lock()
            wake.acquire()
            arguments = len(self._wake) + 1, wake
            threading.Thread(target=self._work, args=arguments, name="fastae", daemon=True).start()
            self._wake.append(wake)

    def run(self, entry, job, n):
        """entry(job, team, member) for members 0 to n - 1 at once, each ending in a barrier; alone where the pool is taken."""
        if n > 1 and not self._taken.locked():
            with self._taken:  # should two come here at once, one waits
                self._grow(n - 1)
                self._team["size"] = n
                self._job = entry, job
                # Without a step of Python's in between, in which Ctrl-C could leave workers waiting for member 0.
                calls = [wake.release for wake in self._wake[: n - 1]]
                calls.append(partial(entry, job, self._team.ctypes.data, 0))
                deque(map(operator.call, calls), maxlen=0)
        else:
            entry(job, _ALONE.ctypes.data, 0)


_ALONE = _team()
_pool = Pool()


def team_size(operations, n_threads):
    """Threads that so much work is worth."""
    return max(1, min(n_threads, MAX_TEAM, int(operations / WORK_PER_THREAD)))


def run(entry, job, n):
    """On n threads; see Pool.run."""
    _pool.run(entry, job, n)


def _after_fork():
    """In a child only the thread that forked lives on."""
    global _pool
    _pool = Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
