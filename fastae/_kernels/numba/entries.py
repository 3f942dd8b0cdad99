"""The compiled functions that Python calls, each compiled when it is first needed and kept on disk.

Their arguments are addresses, (job, team, member), so that a call costs little; the records that lie there are laid out by
the callers. Numba keys what it keeps by the bytecode and the closure of a function, not by the functions that it calls: so
the closure holds a number made of machine.BUILD, whose type is the element type.
"""

import zlib
from functools import cache

from numba import njit, types

from .backward import TRAINING
from .gemm import PRODUCT
from .gemm import multiply as multiply_member
from .inference import PASSAGE
from .inference import infer as infer_member
from .machine import BUILD
from .order import PLACES, permute
from .passes import CHAIN, ELEMENTS, LOSS, UPDATE
from .passes import chain as chain_member
from .passes import elements as elements_member
from .passes import losses as losses_member
from .passes import sum_columns as columns_member
from .passes import update_all as update_member
from .passes import whole_losses as whole_losses_member
from .recipes import train as train_recipe_member
from .subnormal import set_float_mode, zero_subnormals
from .team import TEAM
from .training import train as train_member
from .training import train_tiny as train_tiny_member
from .unit import cached, define
from .vector import record

_NUMBER = zlib.crc32(BUILD.encode()) % (1 << 24)  # which float32 holds exactly
_SIGNATURE = types.void(types.intp, types.intp, types.intp)


def _functions(like):
    def train(job, team, member):
        before = zero_subnormals()
        train_member(record(job, TRAINING), record(team, TEAM), member, like)
        set_float_mode(before)

    def train_tiny(job, team, member):
        before = zero_subnormals()
        train_tiny_member(record(job, TRAINING), record(team, TEAM), member, like)
        set_float_mode(before)

    def train_recipe(job, team, member):
        before = zero_subnormals()
        train_recipe_member(record(job, TRAINING), record(team, TEAM), member, like)
        set_float_mode(before)

    def infer(job, team, member):
        before = zero_subnormals()
        infer_member(record(job, PASSAGE), record(team, TEAM), member, like)
        set_float_mode(before)

    def multiply(job, team, member):
        multiply_member(record(job, PRODUCT), record(team, TEAM), member, like)

    def elements(job, team, member):
        elements_member(record(job, ELEMENTS), record(team, TEAM), member, like)

    def sum_columns(job, team, member):
        columns_member(record(job, ELEMENTS), record(team, TEAM), member, like)

    def losses(job, team, member):
        losses_member(record(job, LOSS), record(team, TEAM), member, like)

    def whole_losses(job, team, member):
        whole_losses_member(record(job, LOSS), record(team, TEAM), member, like)

    def update(job, team, member):
        update_member(record(job, UPDATE), record(team, TEAM), member, like)

    def measure(job, team, member):
        chain_member(record(job, CHAIN), record(team, TEAM), like)

    def shuffle(job, team, member):
        permute(record(job, PLACES))

    training = (train, train_tiny, train_recipe, infer)
    passes = (multiply, elements, sum_columns, losses, whole_losses, update, measure, shuffle)
    return {f.__name__: f for f in (*training, *passes)}


_GROUPS = {"train_tiny": "tiny", "train_recipe": "recipes", "whole_losses": "recipes"}  # of units


def _nogil(signature, **options):
    return njit(signature, nogil=True, **options)


@cache
def entry(name, dtype):
    """A function by its name, for float32 or float64; for int64 where it has to do with neither."""
    if dtype.kind == "f":
        define(dtype, _GROUPS.get(name))
    return cached(_nogil, _SIGNATURE, _functions(dtype.type(_NUMBER))[name])
