"""The register tile and the transposition, which Numba's language cannot express, as LLVM code.

    out[i*ldo + j] = start[i] + sum over k of a[i*rs + k*cs] * b[k*ldb + j]     i < mr, j < nv * lanes

cython/tile.h derives the shapes, and says what ahead is for. mr x nv accumulators are values of the loop, so that LLVM keeps
them in registers; there is a function for each size up to MR x NV, since their numbers must be constants.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .machine import MR, NV
from .vector import INT64, llvm, load_vector, multiply_add, native_lanes, prefetch_pointer, shuffled, splat, store_vector

AHEAD = 4  # steps of k for each line of the cache that is asked for


def _function(module, name, arguments, build):
    """A function of the module, made where it is not there yet."""
    if name not in module.globals:
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        build(function, ir.IRBuilder(function.append_basic_block()))
    return module.globals[name]


class _Counted:
    """The values that a counted loop carries from round to round; none of them changes where it has no rounds."""

    def __init__(self, builder, count, values, advance):
        before, loop, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
        builder.cbranch(builder.icmp_signed(">", count, INT64(0)), loop, after)
        builder.position_at_end(loop)
        k, *carried = (builder.phi(value.type) for value in (INT64(0), *values))
        advanced = [builder.add(k, INT64(1)), *advance(builder, carried)]
        for phi, first, then in zip((k, *carried), (INT64(0), *values), advanced, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(then, loop)
        builder.cbranch(builder.icmp_signed("<", advanced[0], count), loop, after)
        builder.position_at_end(after)
        self.values = [builder.phi(value.type) for value in values]
        for phi, first, then in zip(self.values, values, advanced[1:], strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(then, loop)


def _tile(real, mr, nv):
    """Builds the code of one size."""
    lanes = native_lanes(real)

    def build(function, builder):
        kc, a, rs, cs, b, ldb, start, out, ldo, ahead, stride = function.args
        rows = [builder.mul(rs, INT64(i)) for i in range(mr)]
        first = [splat(builder, builder.load(builder.gep(start, [INT64(i)])), lanes) for i in range(mr)]

        def advance(builder, carried):
            a, b, *sums = carried
            row = [load_vector(builder, builder.gep(b, [INT64(j * lanes)]), lanes) for j in range(nv)]
            column = [splat(builder, builder.load(builder.gep(a, [at])), lanes) for at in rows]
            sums = [multiply_add(builder, column[n // nv], row[n % nv], s) for n, s in enumerate(sums)]
            return [builder.gep(a, [cs]), builder.gep(b, [ldb]), *sums]

        def advance_more(builder, carried):
            ahead, *carried = carried
            prefetch_pointer(builder, ahead)
            for _ in range(AHEAD):
                carried = advance(builder, carried)
                builder.asm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", [], True)  # or LLVM mixes the steps
            return [builder.gep(ahead, [stride]), *carried]

        values = [ahead, a, b, *(first[i] for i in range(mr) for _ in range(nv))]
        values = _Counted(builder, builder.sdiv(kc, INT64(AHEAD)), values, advance_more).values
        loop = _Counted(builder, builder.srem(kc, INT64(AHEAD)), values[1:], advance)
        for n, s in enumerate(loop.values[2:]):
            place = builder.add(builder.mul(ldo, INT64(n // nv)), INT64(n % nv * lanes))
            store_vector(builder, s, builder.gep(out, [place]))
        builder.ret_void()

    return build


@intrinsic
def tile(typing, mr, nv, kc, a, rs, cs, b, ldb, start, out, ldo, ahead, stride):
    """One tile of mr x nv vectors; start is read at mr places. ahead: what is asked for meanwhile, stride elements apart."""
    sizes = [(m, n) for m in range(1, MR + 1) for n in range(1, NV + 1)]
    n = types.intp

    def build(context, builder, sig, values):
        arguments = [v.type for v in values[2:]]
        end = builder.append_basic_block()
        choice = builder.switch(builder.add(builder.mul(values[0], INT64(NV)), values[1]), end)
        for size in sizes:
            name = f"fastae_tile_{a.real}_{size[0]}x{size[1]}"
            function = _function(builder.module, name, arguments, _tile(a.real, *size))
            with builder.goto_block(builder.append_basic_block()):
                choice.add_case(INT64(size[0] * NV + size[1]), builder.block)
                builder.call(function, values[2:])
                builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return types.void(n, n, n, a, n, n, b, n, start, out, n, ahead, n), build


def _square(real):
    """Builds the transposition: at step s the pairs of rows i and i + s exchange the columns whose bit s differs."""
    lanes = native_lanes(real)

    def build(function, builder):
        source, lds, target, ldt = function.args
        at = [builder.gep(source, [builder.mul(lds, INT64(i))]) for i in range(lanes)]
        r = [load_vector(builder, p, lanes) for p in at]
        s = 1
        while s < lanes:
            upper = [lanes + n - s if n & s else n for n in range(lanes)]
            lower = [lanes + n if n & s else n + s for n in range(lanes)]
            for i in range(lanes):
                if not i & s:
                    r[i], r[i + s] = shuffled(builder, r[i], r[i + s], upper), shuffled(builder, r[i], r[i + s], lower)
            s *= 2
        for i in range(lanes):
            store_vector(builder, r[i], builder.gep(target, [builder.mul(ldt, INT64(i))]))
        builder.ret_void()

    return build


@intrinsic
def transpose(typing, source, lds, target, ldt):
    """target[j, i] = source[i, j] for a square as wide as a register's vector."""
    n = types.intp

    def build(context, builder, sig, values):
        name = f"fastae_transpose_{source.real}"
        function = _function(builder.module, name, [v.type for v in values], _square(source.real))
        builder.call(function, values)
        return context.get_dummy_value()

    return types.void(source, n, target, n), build


@intrinsic
def fma_chain(typing, rounds, like):
    """Twelve chains of multiply-adds of vectors in registers, of the type of a number: what the peak is measured with."""
    lanes = native_lanes(like)

    def build(context, builder, sig, values):
        real = llvm(like)
        factor = splat(builder, ir.Constant(real, 0.999), lanes)
        chains = [splat(builder, ir.Constant(real, float(i)), lanes) for i in range(12)]
        loop = _Counted(builder, values[0], chains, lambda b, sums: [multiply_add(b, s, factor, factor) for s in sums])
        total = loop.values[0]
        for s in loop.values[1:]:
            total = builder.fadd(total, s)
        return builder.extract_element(total, ir.IntType(32)(0))

    return like(types.intp, like), build
