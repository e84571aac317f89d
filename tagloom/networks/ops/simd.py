"""Vectors of 16 floats for kernels compiled by numba.

Numba leaves vectorising to LLVM, which gives up on loops that read a dozen rows and write another
(it would have to prove that none overlap). These intrinsics say it outright: a `Vector` is LLVM's
`<16 x float>`, which becomes one AVX-512 register, two of AVX, or four of SSE or NEON. Arrays are
flat, positions count elements, and nothing checks bounds. An array of uint16 holds bfloat16: the
upper half of a float32, so that loading shifts and storing rounds.
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
    "greater_bits",
    "load",
    "maximum",
    "minimum",
    "multiply",
    "select_bits",
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


_WORDS = ir.VectorType(ir.IntType(32), LANES)
_HALVES = ir.VectorType(ir.IntType(16), LANES)


def _load_wide(builder: Any, array_type: Any, data: Any, position: Any) -> Any:
    """`_load` for float32 or bfloat16."""
    if array_type.dtype == types.float32:
        return _load(builder, data, position)
    pointer = builder.bitcast(_pointer(builder, data, position), _HALVES.as_pointer())
    halves = builder.zext(builder.load(pointer, align=2), _WORDS)
    return builder.bitcast(builder.shl(halves, _all(16)), _VECTOR)


def _all(value: int) -> Any:
    return ir.Constant(_WORDS, [value] * LANES)


def _to_bfloat16(builder: Any, value: Any) -> Any:
    """Rounded to the nearest, ties to even; NaN stays one."""
    word = builder.bitcast(value, _WORDS)
    odd = builder.and_(builder.lshr(word, _all(16)), _all(1))
    rounded = builder.lshr(builder.add(builder.add(word, odd), _all(0x7FFF)), _all(16))
    is_nan = builder.fcmp_unordered("uno", value, value)
    return builder.trunc(builder.select(is_nan, _all(0x7FC0), rounded), _HALVES)


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
        array_type = signature.args[0]
        return _load_wide(
            builder, array_type, _data(context, builder, array_type, args[0]), args[1]
        )

    return vector_type(array, types.intp), codegen


@_define
def store(typingctx: Any, array: Any, position: Any, value: Any) -> Any:
    """array[position : position + 16] = value; any alignment."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array_type = signature.args[0]
        pointer = _pointer(builder, _data(context, builder, array_type, args[0]), args[1])
        if array_type.dtype == types.float32:
            builder.store(args[2], builder.bitcast(pointer, _VECTOR.as_pointer()), align=4)
        else:
            halves = _to_bfloat16(builder, args[2])
            builder.store(halves, builder.bitcast(pointer, _HALVES.as_pointer()), align=2)
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
def greater_bits(typingctx: Any, a: Any, b: Any) -> Any:
    """Bit i of the uint16 is set where lane i of a is greater than that of b (not for NaN)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(builder.fcmp_ordered(">", args[0], args[1]), ir.IntType(LANES))

    return types.uint16(vector_type, vector_type), codegen


@_define
def select_bits(typingctx: Any, bits: Any, a: Any, b: Any) -> Any:
    """Lane i of a where bit i of the uint16 is set, of b elsewhere."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = builder.bitcast(args[0], _LANE_BITS)
        return builder.select(lanes, args[1], args[2])

    return vector_type(types.uint16, vector_type, vector_type), codegen
