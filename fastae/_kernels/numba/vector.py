"""Vectors in Numba: types that are LLVM's vectors, so that scalar-looking Python compiles to vector instructions.

    Pointer(real)         an address; p + n is n elements further, p[i] an element
    Vector(real, lanes)   + - * / and comparisons lane by lane, also with numbers; of integers << and >> too
    Mask(lanes)           what a comparison gives; where(mask, a, b) chooses

Numba has neither, and makes vector code only of loops in which LLVM finds it. Nothing is reassociated, and nothing fused but
by ``fma``, so that results are those of the Cython backend.
"""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, register_model

from .machine import BUILD, FUSED, VECTOR_BYTES

INT32, INT64 = ir.IntType(32), ir.IntType(64)


class Pointer(types.Type):
    """An address of numbers of one type."""

    def __init__(self, real):
        self.real = real
        super().__init__(f"Pointer({real}, {BUILD})")


class Vector(types.Type):
    """Numbers of one type, in one register or several."""

    def __init__(self, real, lanes):
        self.real, self.lanes = real, lanes
        super().__init__(f"Vector({real}, {lanes})")


class Mask(types.Type):
    """A truth value for each lane."""

    def __init__(self, lanes):
        self.lanes = lanes
        super().__init__(f"Mask({lanes})")


def native_lanes(real):
    """Of a vector that fills a register."""
    return VECTOR_BYTES * 8 // real.bitwidth


def llvm(t):
    """LLVM's type."""
    if isinstance(t, Mask):
        return ir.VectorType(ir.IntType(1), t.lanes)
    if isinstance(t, Vector):
        return ir.VectorType(llvm(t.real), t.lanes)
    if isinstance(t, Pointer):
        return llvm(t.real).as_pointer()
    if isinstance(t, types.Integer):
        return ir.IntType(t.bitwidth)
    return ir.FloatType() if t == types.float32 else ir.DoubleType()


@register_model(Pointer)
@register_model(Vector)
@register_model(Mask)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, t):
        super().__init__(manager, t, llvm(t))


# ---- pieces of LLVM code, for this file and tile.py ------------------------------------------------------------------


def shuffled(builder, a, b, places):
    """Lanes of a (from 0 on) and b (from its number of lanes on)."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT32, len(places)), list(places)))


def splat(builder, number, lanes):
    """A vector of one number."""
    undefined = ir.Constant(ir.VectorType(number.type, lanes), ir.Undefined)
    return shuffled(builder, builder.insert_element(undefined, number, INT32(0)), undefined, [0] * lanes)


def load_vector(builder, pointer, lanes):
    value = builder.load(builder.bitcast(pointer, ir.VectorType(pointer.type.pointee, lanes).as_pointer()))
    value.align = 4  # any address of a number
    return value


def store_vector(builder, value, pointer):
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer())).align = 4


def call(builder, name, result, *arguments):
    """A function of LLVM's, such as llvm.fma.v16f32."""
    function = ir.FunctionType(result, [a.type for a in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), arguments)


def suffix(vector):
    """Of LLVM's names of functions on vectors."""
    element = vector.element
    return f"v{vector.count}" + ("f32" if element == ir.FloatType() else "f64" if element == ir.DoubleType() else str(element))


def multiply_add(builder, a, b, c):
    """a b + c, rounded once where that is an instruction, as in the Cython backend."""
    if FUSED:
        return call(builder, "llvm.fma." + ("f64" if a.type == ir.DoubleType() else suffix(a.type)), a.type, a, b, c)
    return builder.fadd(builder.fmul(a, b), c)


def widened(context, builder, value, given, wanted):
    """A number as a vector; a vector as it is."""
    if isinstance(given, Vector):
        return value
    return splat(builder, context.cast(builder, value, given, wanted.real), wanted.lanes)


# ---- operators -------------------------------------------------------------------------------------------------------


def _vector_of(arguments):
    """The vector type among numbers, or None where there is none, or two that differ."""
    vectors = {t for t in arguments if isinstance(t, Vector)}
    if len(vectors) != 1 or not all(isinstance(t, (Vector, types.Number)) for t in arguments):
        return None
    return vectors.pop()


def _define(function, build, result=lambda t: t):
    """A Python operator on vectors and numbers; build(builder, integers, *vectors) makes its code."""

    @infer_global(function)
    class _Typing(AbstractTemplate):
        def generic(self, arguments, keywords):
            vector = _vector_of(arguments)
            return None if vector is None else signature(result(vector), *arguments)

    def lower(context, builder, sig, values):
        vector = _vector_of(sig.args)
        operands = [widened(context, builder, v, t, vector) for v, t in zip(values, sig.args, strict=True)]
        return build(builder, isinstance(vector.real, types.Integer), *operands)

    pairs = [(Vector,)] if function is operator.neg else [(Vector, Vector), (Vector, types.Number), (types.Number, Vector)]
    for pair in pairs:
        lower_builtin(function, *pair)(lower)


def _mask(vector):
    return Mask(vector.lanes)


_define(operator.add, lambda b, i, x, y: b.add(x, y) if i else b.fadd(x, y))
_define(operator.sub, lambda b, i, x, y: b.sub(x, y) if i else b.fsub(x, y))
_define(operator.mul, lambda b, i, x, y: b.mul(x, y) if i else b.fmul(x, y))
_define(operator.truediv, lambda b, i, x, y: b.fdiv(x, y))
_define(operator.neg, lambda b, i, x: b.neg(x) if i else b.fneg(x))
_define(operator.lshift, lambda b, i, x, y: b.shl(x, y))
_define(operator.and_, lambda b, i, x, y: b.and_(x, y))
_define(operator.xor, lambda b, i, x, y: b.xor(x, y))
_define(operator.rshift, lambda b, i, x, y: b.ashr(x, y))
for _function, _sign in {operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">=", operator.eq: "=="}.items():
    _define(_function, lambda b, i, x, y, s=_sign: b.icmp_signed(s, x, y) if i else b.fcmp_ordered(s, x, y), _mask)


@infer_global(operator.add)
class _PointerAdd(AbstractTemplate):
    def generic(self, arguments, keywords):
        pointer, n = arguments
        return (
            signature(pointer, pointer, types.intp) if isinstance(pointer, Pointer) and isinstance(n, types.Integer) else None
        )


@lower_builtin(operator.add, Pointer, types.Integer)
def _pointer_add(context, builder, sig, values):
    return builder.gep(values[0], [values[1]])


@infer_global(operator.getitem)
class _PointerGet(AbstractTemplate):
    def generic(self, arguments, keywords):
        pointer, n = arguments
        if isinstance(pointer, Pointer) and isinstance(n, types.Integer):
            return signature(pointer.real, pointer, types.intp)
        return None


@lower_builtin(operator.getitem, Pointer, types.Integer)
def _pointer_get(context, builder, sig, values):
    return builder.load(builder.gep(values[0], [values[1]]))


@infer_global(operator.setitem)
class _PointerSet(AbstractTemplate):
    def generic(self, arguments, keywords):
        pointer, n, value = arguments
        if isinstance(pointer, Pointer) and isinstance(n, types.Integer) and isinstance(value, types.Number):
            return signature(types.none, pointer, types.intp, pointer.real)
        return None


@lower_builtin(operator.setitem, Pointer, types.Integer, types.Number)
def _pointer_set(context, builder, sig, values):
    builder.store(values[2], builder.gep(values[0], [values[1]]))
    return context.get_dummy_value()


# ---- functions -------------------------------------------------------------------------------------------------------


@intrinsic
def pointer(typing, address, like):
    """The address (an integer) as a pointer to numbers of the type of ``like``, a number or a pointer."""
    target = like if isinstance(like, Pointer) else Pointer(like)

    def build(context, builder, sig, values):
        return builder.inttoptr(values[0], llvm(target))

    return target(types.intp, like), build


@intrinsic
def number(typing, value, p):
    """A number rounded to the type of what p points to."""

    def build(context, builder, sig, values):
        return context.cast(builder, values[0], value, p.real)

    return p.real(value, p), build


@intrinsic
def lanes(typing, p):
    """Lanes of a vector of what p points to that fills a register."""
    number = native_lanes(p.real)
    return types.intp(p), lambda context, builder, sig, values: INT64(number)


@intrinsic
def bytes_of(typing, p):
    """Bytes of a number that p points to."""
    number = p.real.bitwidth // 8
    return types.intp(p), lambda context, builder, sig, values: INT64(number)


def _loading(vector):
    return lambda context, builder, sig, values: load_vector(builder, values[0], vector.lanes)


@intrinsic
def load(typing, p):
    """A vector that fills a register."""
    vector = Vector(p.real, native_lanes(p.real))
    return vector(p), _loading(vector)


@intrinsic
def load16(typing, p):
    """A vector of sixteen, however wide registers are."""
    vector = Vector(p.real, 16)
    return vector(p), _loading(vector)


@intrinsic
def load_like(typing, p, v):
    """A vector with as many lanes as another."""
    vector = Vector(p.real, v.lanes)
    return vector(p, v), _loading(vector)


@intrinsic
def store(typing, p, v):
    """Writes a vector."""
    if not isinstance(v, Vector):
        return None

    def build(context, builder, sig, values):
        store_vector(builder, values[1], values[0])
        return context.get_dummy_value()

    return types.void(p, v), build


def _first(builder, n, count):
    """A mask of the first n lanes."""
    number = ir.Constant(ir.VectorType(INT64, count), list(range(count)))
    return builder.icmp_signed("<", number, splat(builder, n, count))


@intrinsic
def lanes_below(typing, n, v):
    """A mask of the first n lanes of vectors like v."""

    def build(context, builder, sig, values):
        return _first(builder, values[0], v.lanes)

    return Mask(v.lanes)(types.intp, v), build


def _loading_some(vector):
    def build(context, builder, sig, values):
        t = llvm(vector)
        source = builder.bitcast(values[0], t.as_pointer())
        mask = _first(builder, values[1], vector.lanes)
        return call(builder, f"llvm.masked.load.{suffix(t)}.p0", t, source, INT32(4), mask, ir.Constant(t, None))

    return build


@intrinsic
def load_some(typing, p, n):
    """The first n lanes of a vector, the others 0; nothing behind them is read."""
    vector = Vector(p.real, native_lanes(p.real))
    return vector(p, types.intp), _loading_some(vector)


@intrinsic
def load16_some(typing, p, n):
    """The same of sixteen."""
    vector = Vector(p.real, 16)
    return vector(p, types.intp), _loading_some(vector)


@intrinsic
def store_some(typing, p, v, n):
    """Writes the first n lanes."""
    if not isinstance(v, Vector):
        return None

    def build(context, builder, sig, values):
        target = builder.bitcast(values[0], llvm(v).as_pointer())
        name = f"llvm.masked.store.{suffix(llvm(v))}.p0"
        call(builder, name, ir.VoidType(), values[1], target, INT32(4), _first(builder, values[2], v.lanes))
        return context.get_dummy_value()

    return types.void(p, v, types.intp), build


@intrinsic
def fma(typing, a, b, c):
    """a b + c, of vectors and numbers; or of numbers alone, in float64."""
    vector = _vector_of((a, b, c))
    if vector is None:
        real = types.float64

        def build_one(context, builder, sig, values):
            numbers = (context.cast(builder, v, t, real) for v, t in zip(values, sig.args, strict=True))
            return multiply_add(builder, *numbers)

        return real(a, b, c), build_one

    def build(context, builder, sig, values):
        return multiply_add(builder, *(widened(context, builder, v, t, vector) for v, t in zip(values, sig.args, strict=True)))

    return vector(a, b, c), build


@intrinsic
def where(typing, mask, a, b):
    """a in the lanes where the mask is true, else b."""
    vector = _vector_of((a, b))

    def build(context, builder, sig, values):
        pair = (widened(context, builder, v, t, vector) for v, t in zip(values[1:], sig.args[1:], strict=True))
        return builder.select(values[0], *pair)

    return vector(mask, a, b), build


@intrinsic
def full(typing, number, like):
    """The number in each lane of a vector like another."""

    def build(context, builder, sig, values):
        return widened(context, builder, values[0], number, like)

    return like(number, like), build


@intrinsic
def absolute(typing, v):
    """|v|"""

    def build(context, builder, sig, values):
        return call(builder, f"llvm.fabs.{suffix(llvm(v))}", llvm(v), values[0])

    return v(v), build


@intrinsic
def square_root(typing, v):
    """The square root of each lane."""

    def build(context, builder, sig, values):
        return call(builder, f"llvm.sqrt.{suffix(llvm(v))}", llvm(v), values[0])

    return v(v), build


@intrinsic
def copy_sign(typing, magnitude, sign):
    """|magnitude| with another's sign."""

    def build(context, builder, sig, values):
        t = llvm(magnitude)
        return call(builder, f"llvm.copysign.{suffix(t)}", t, *values)

    return magnitude(magnitude, sign), build


def _integers(vector):
    return Vector(types.int32 if vector.real.bitwidth == 32 else types.int64, vector.lanes)


@intrinsic
def bits(typing, v):
    """The bits as integers as wide."""
    integers = _integers(v)
    return integers(v), lambda context, builder, sig, values: builder.bitcast(values[0], llvm(integers))


@intrinsic
def from_bits(typing, v, like):
    """Integers as the bits of a vector like another."""
    return like(v, like), lambda context, builder, sig, values: builder.bitcast(values[0], llvm(like))


@intrinsic
def converted(typing, v, like):
    """Each lane rounded to the type of another vector, or of a number."""
    real = like.real if isinstance(like, Vector) else like
    vector = Vector(real, v.lanes)

    def build(context, builder, sig, values):
        if isinstance(v.real, types.Integer):
            return builder.sitofp(values[0], llvm(vector))
        if v.real == real:
            return values[0]
        return builder.fpext(values[0], llvm(vector)) if real == types.float64 else builder.fptrunc(values[0], llvm(vector))

    return vector(v, like), build


@intrinsic
def lane(typing, v, i):
    """One lane."""
    return v.real(v, types.intp), lambda context, builder, sig, values: builder.extract_element(values[0], values[1])


@intrinsic
def with_lane(typing, v, i, number):
    """The vector with one lane replaced."""

    def build(context, builder, sig, values):
        return builder.insert_element(values[0], values[2], values[1])

    return v(v, types.intp, v.real), build


@intrinsic
def every(typing, mask):
    """Whether the mask is true in every lane."""

    def build(context, builder, sig, values):
        return call(builder, f"llvm.vector.reduce.and.v{mask.lanes}i1", ir.IntType(1), values[0])

    return types.boolean(mask), build


@intrinsic
def sum_tree(typing, v):
    """The lanes' sum as a tree: those half the width apart, then a quarter, down to neighbours."""

    def build(context, builder, sig, values):
        value = values[0]
        while value.type.count > 1:
            half = value.type.count // 2
            upper = shuffled(builder, value, value, range(half, 2 * half))
            value = builder.fadd(shuffled(builder, value, value, range(half)), upper)
        return builder.extract_element(value, INT32(0))

    return v.real(v), build


def prefetch_pointer(builder, pointer, write=0, locality=2):
    """Asks for a cache line, into L2 if not said otherwise: more than L1 holds is asked for at once."""
    target = builder.bitcast(pointer, ir.IntType(8).as_pointer())
    call(builder, "llvm.prefetch.p0", ir.VoidType(), target, INT32(write), INT32(locality), INT32(1))


def _prefetching(*how):
    def build(context, builder, sig, values):
        prefetch_pointer(builder, builder.inttoptr(values[0], ir.IntType(8).as_pointer()), *how)
        return context.get_dummy_value()

    return build


@intrinsic
def room(typing, n, p):
    """Memory on the stack for n (a constant) numbers of what p points to."""
    if not isinstance(n, types.IntegerLiteral):
        return None

    def build(context, builder, sig, values):
        return cgutils.alloca_once(builder, llvm(p.real), size=n.literal_value)

    return p(n, p), build


@intrinsic
def prefetch(typing, address):
    """Asks for a cache line."""
    return types.void(types.intp), _prefetching()


@intrinsic
def prefetch_write(typing, address):
    """Asks for a cache line that will be written."""
    return types.void(types.intp), _prefetching(1, 3)


@intrinsic
def address_of(typing, p):
    """The integer that a pointer is."""
    return types.intp(p), lambda context, builder, sig, values: builder.ptrtoint(values[0], INT64)


@intrinsic
def record(typing, address, dtype):
    """The record of a structured type that lies at an address."""
    target = dtype.dtype

    def build(context, builder, sig, values):
        return builder.inttoptr(values[0], context.get_value_type(target))

    return target(types.intp, dtype), build
