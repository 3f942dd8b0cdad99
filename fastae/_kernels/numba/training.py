"""The loop over a training plan's steps, run by a team without the GIL; cython/plan.pxi tells how.

Phase 1 divides samples among the members, phase 2 rectangles of weights, and the optimiser is applied to a tile's gradient at
once. During a run weights live in padded rows; the flat arrays stay those before it, and serve to start again when a step
fails.
"""

import math

from .backward import batch_loss, exchange_all, gather, learn, pass_block, pass_few, rectangle_at, start_step
from .elementwise import interleaved_sum
from .functions import SGD, compiled, loss_divisor
from .network import LAYER, MANY, MATRIX, block_samples, layer_at, part
from .team import meet
from .tiny import begin_singles, end_singles, learn_tiny, pass_tiny, step_single, turn_all
from .vector import bytes_of, fma, number, pointer, record

_LAYERS, _MATRICES = LAYER.itemsize, MATRIX.itemsize


@compiled
def first_rectangle(p, member, size):
    """Where a member's part begins, the parts being nearly equal in weights."""
    q = 0
    while q < p.n_rectangles and rectangle_at(p, q).before * size < p.n_weights * member:
        q += 1
    return q if member < size else p.n_rectangles


@compiled
def all_true(flags, n):
    for m in range(n):
        if flags[m] == 0:
            return False
    return True


@compiled
def divisor_of(p, rows):
    """What the sum of all terms of a step is divided by."""
    return rows / p.scale if p.scale != 0 else loss_divisor(p.loss, rows, layer_at(p.layers, p.n_layers - 1).n_out)


@compiled
def steps(p, last, team, member, like):
    """Steps over order[first:last], from the flat weights, which stay as they are. Returns where a step failed, or last."""
    q0, q1 = first_rectangle(p, member, team.size), first_rectangle(p, member + 1, team.size)
    room = pointer(p.rooms + member * p.room_bytes, like)
    layers, target = p.blocks + member * p.n_layers * _LAYERS, record(p.targets + member * _MATRICES, MATRIX)
    flags = pointer(p.finite, 0)
    start, taken, total = p.first, 0, p.before
    exchange_all(p, q0, q1, True, room)
    meet(team)
    while start < last:
        rows = min(p.batch_size, last - start)
        divisor = divisor_of(p, rows)
        if member == 0:  # after the last step's barrier, and before the next one
            start_step(p, taken)
        scale = number(1 / divisor, room)
        few = rows < MANY
        if few:
            pass_few(p, start, rows, scale, team, member, room)
        else:
            s, s1 = part(rows, team, member)
            block = block_samples(s1 - s, p.widest, bytes_of(room))
            while s < s1:
                pass_block(p, layers, target, start, s, min(s + block, s1), scale, room)
                s += block
        meet(team)
        value = batch_loss(p, rows, not few) / divisor
        if not math.isfinite(value):
            return start
        flags[member] = 1 if learn(p, rows, few, q0, q1, room) else 0
        meet(team)
        if not all_true(flags, team.size):
            return start
        start, taken = start + rows, taken + 1
        total = fma(value, rows, total)  # as the C compiler has it
        if member == 0:
            p.total = total
    return start


@compiled
def train(p, team, member, like):
    last, reached = p.last, p.last
    while True:
        reached = steps(p, last, team, member, like)
        if reached == last:
            break
        last = reached  # the weights are lost: take the good steps again, to the same bits
        meet(team)
        if member == 0:
            p.total = p.before
    q0, q1 = first_rectangle(p, member, team.size), first_rectangle(p, member + 1, team.size)
    exchange_all(p, q0, q1, False, pointer(p.rooms, like))
    if member == 0:
        p.done = reached - p.first
    meet(team)


@compiled
def singles(p, last, like):
    """As steps_tiny, of single samples by plain SGD. Below 0 where not all went well, which is only seen in the end."""
    room, losses, start, now, total = pointer(p.rooms, like), pointer(p.sample_loss, 1.0), p.first, 1, p.before
    divisor = divisor_of(p, 1)
    scale = number(p.optimizer.lr / divisor, room)
    exchange_all(p, 0, p.n_rectangles, True, room)
    turn_all(p, room)
    begin_singles(p, room)
    while start < last:
        now = 1 - now
        gather(p, start - now, now, now + 1, room)
        step_single(p, now, scale, room)
        value = losses[0] / divisor
        if not math.isfinite(value):
            return -1
        start, total = start + 1, total + value
        p.total = total
    return start if end_singles(p, now, room) else -1


@compiled
def steps_tiny(p, last, like):
    """The same of a tiny network, on one thread."""
    room, losses, start, total = pointer(p.rooms, like), pointer(p.sample_loss, 1.0), p.first, p.before
    taken, same = 0, p.schedule == 0 and p.optimizer.kind == SGD
    if p.batch_size == 1 and same and p.optimizer.momentum == 0 and p.optimizer.weight_decay == 0 and p.gradients == 0:
        done = singles(p, last, like)
        if done >= 0:
            return done
        p.total = p.before
    exchange_all(p, 0, p.n_rectangles, True, room)
    turn_all(p, room)
    while start < last:
        rows = min(p.batch_size, last - start)
        divisor = divisor_of(p, rows)
        if taken == 0 or not same:
            start_step(p, taken)
        gather(p, start, 0, rows, room)
        pass_tiny(p, rows, number(1 / divisor, room), room)
        value = interleaved_sum(rows, losses) / divisor
        if not (math.isfinite(value) and learn_tiny(p, rows, room)):
            return start
        start, taken = start + rows, taken + 1
        total = fma(value, rows, total)
        p.total = total
    return start


@compiled
def train_tiny(p, team, member, like):
    reached = steps_tiny(p, p.last, like)
    if reached < p.last:
        p.total = p.before
        steps_tiny(p, reached, like)
    exchange_all(p, 0, p.n_rectangles, False, pointer(p.rooms, like))
    p.done = reached - p.first
