"""Vectors of 16 floats for kernels compiled by numba.

Numba leaves vectorising to LLVM, which gives up on loops that read a dozen rows and write another
(it would have to prove that none overlap). These intrinsics say it outright: a `Vector` is LLVM's
`<16 x float>`, which becomes one AVX-512 register, two of AVX, or four of SSE or NEON. Arrays are
flat, positions count elements, and nothing checks bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.datamodel.models import PrimitiveModel
from numba.extending import intrinsic, register_model

__all__ = [
    "LANES",
    "add",
    "fir",
    "fir_phases",
    "greater_bits",
    "load",
    "maximum",
    "minimum",
    "multiply",
    "select_bits",
    "shifted_bits",
    "splat",
    "store",
    "taps",
]

LANES = 16
_FLOAT = ir.FloatType()
_INT = ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_LANE_BITS = ir.VectorType(ir.IntType(1), LANES)


class _VectorType(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"Vector{LANES}")


class _TapsType(types.Type):
    """Filter taps, each already copied to all lanes."""

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(name=f"Taps{count}")

    @property
    def key(self) -> int:
        return self.count


vector_type = _VectorType()


@register_model(_VectorType)
class _VectorModel(PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _VECTOR)  # type: ignore[no-untyped-call]  # numba


@register_model(_TapsType)
class _TapsModel(PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, ir.ArrayType(_VECTOR, fe_type.count))  # type: ignore[no-untyped-call]  # numba


def _define(function: Callable[..., Any]) -> Any:
    """numba's `intrinsic`: what it returns is called with numba's values, not with Python's."""
    return intrinsic(function)


def _data(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    return context.make_array(array_type)(context, builder, array).data


def _pointer(builder: Any, data: Any, position: Any) -> Any:
    return builder.gep(data, [position])


def _load(builder: Any, data: Any, position: Any) -> Any:
    pointer = builder.bitcast(_pointer(builder, data, position), _VECTOR.as_pointer())
    return builder.load(pointer, align=4)


def _splat(builder: Any, value: Any) -> Any:
    single = builder.insert_element(
        ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0)
    )
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(single, ir.Constant(_VECTOR, ir.Undefined), zeros)


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    # "contract" lets LLVM use one instruction where the machine has it.
    product = builder.fmul(a, b, flags=("contract",))
    return builder.fadd(c, product, flags=("contract",))


@_define
def splat(typingctx: Any, value: Any) -> Any:
    """The same float32 in all lanes."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _splat(builder, args[0])

    return vector_type(types.float32), codegen


@_define
def load(typingctx: Any, array: Any, position: Any) -> Any:
    """array[position : position + 16]; any alignment."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _load(builder, _data(context, builder, signature.args[0], args[0]), args[1])

    return vector_type(array, types.intp), codegen


@_define
def store(typingctx: Any, array: Any, position: Any, value: Any) -> Any:
    """array[position : position + 16] = value; any alignment."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = _data(context, builder, signature.args[0], args[0])
        pointer = builder.bitcast(_pointer(builder, data, args[1]), _VECTOR.as_pointer())
        builder.store(args[2], pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector_type), codegen


def _binary(operation: str) -> Any:
    @_define
    def function(typingctx: Any, a: Any, b: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            x, y = args
            if operation == "add":
                return builder.fadd(x, y)
            if operation == "multiply":
                return builder.fmul(x, y)
            # Comparisons are false for NaN, which therefore stays.
            ordered = builder.fcmp_ordered("<" if operation == "minimum" else ">", y, x)
            return builder.select(ordered, y, x)

        return vector_type(vector_type, vector_type), codegen

    return function


add = _binary("add")
multiply = _binary("multiply")
minimum = _binary("minimum")  # NaN in the first operand stays
maximum = _binary("maximum")  # likewise


@_define
def taps(typingctx: Any, array: Any, first: Any, step: Any, count: Any) -> Any:
    """array[first], array[first + step], … (`count` of them, a literal), each in all lanes."""
    if not isinstance(count, types.IntegerLiteral):
        return None
    taps_type = _TapsType(count.literal_value)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = _data(context, builder, signature.args[0], args[0])
        position = args[1]
        result = ir.Constant(ir.ArrayType(_VECTOR, taps_type.count), ir.Undefined)
        for index in range(taps_type.count):
            value = _splat(builder, builder.load(_pointer(builder, data, position)))
            result = builder.insert_value(result, value, index)
            position = builder.add(position, args[2])
        return result

    return taps_type(array, types.intp, types.intp, count), codegen


@_define
def fir(typingctx: Any, array: Any, first: Any, stride: Any, coefficients: Any) -> Any:
    """Sum over t of coefficients[t] * load(array, first + t * stride)."""
    if not isinstance(coefficients, _TapsType):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = _data(context, builder, signature.args[0], args[0])
        position = args[1]
        total = None
        for index in range(coefficients.count):
            value = _load(builder, data, position)
            tap = builder.extract_value(args[3], index)
            total = (
                builder.fmul(value, tap)
                if total is None
                else _multiply_add(builder, value, tap, total)
            )
            position = builder.add(position, args[2])
        return total

    return vector_type(array, types.intp, types.intp, coefficients), codegen


@_define
def fir_phases(
    typingctx: Any, array: Any, base: Any, phase_stride: Any, first: Any, phases: Any, tap: Any
) -> Any:
    """Sum over t of tap[t] times sample `first + t` of a line that is stored phase by phase.

    Sample s lies at base + (s % phases) * phase_stride + s // phases, with `phases` a literal;
    neighbouring lanes are `phases` samples apart.
    """
    if not isinstance(tap, _TapsType) or not isinstance(phases, types.IntegerLiteral):
        return None
    count = phases.literal_value

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = _data(context, builder, signature.args[0], args[0])
        total = None
        divisor = ir.Constant(_INT, count)
        for index in range(tap.count):
            sample = builder.add(args[3], ir.Constant(_INT, index))
            offset = builder.mul(builder.urem(sample, divisor), args[2])
            position = builder.add(args[1], builder.add(offset, builder.udiv(sample, divisor)))
            value = _load(builder, data, position)
            coefficient = builder.extract_value(args[5], index)
            total = (
                builder.fmul(value, coefficient)
                if total is None
                else _multiply_add(builder, value, coefficient, total)
            )
        return total

    signature = vector_type(array, types.intp, types.intp, types.intp, phases, tap)
    return signature, codegen


@_define
def greater_bits(typingctx: Any, a: Any, b: Any) -> Any:
    """Bit i of the uint16 is set where lane i of a is greater than that of b (not for NaN)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(builder.fcmp_ordered(">", args[0], args[1]), ir.IntType(LANES))

    return types.uint16(vector_type, vector_type), codegen


@_define
def shifted_bits(typingctx: Any, bits: Any, position: Any, skew: Any) -> Any:
    """16 bits of a uint16 array read as one string, from bit position * 16 + skew on."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(builder, _data(context, builder, signature.args[0], args[0]), args[1])
        word = ir.IntType(2 * LANES)
        low = builder.zext(builder.load(pointer), word)
        high = builder.zext(builder.load(builder.gep(pointer, [ir.Constant(_INT, 1)])), word)
        both = builder.or_(low, builder.shl(high, ir.Constant(word, LANES)))
        return builder.trunc(builder.lshr(both, builder.trunc(args[2], word)), ir.IntType(LANES))

    return types.uint16(bits, types.intp, types.intp), codegen


@_define
def select_bits(typingctx: Any, bits: Any, a: Any, b: Any) -> Any:
    """Lane i of a where bit i of the uint16 is set, of b elsewhere."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = builder.bitcast(args[0], _LANE_BITS)
        return builder.select(lanes, args[1], args[2])

    return vector_type(types.uint16, vector_type, vector_type), codegen
