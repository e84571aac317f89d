"""Damaged and hostile variations of sound checkpoints, chosen by whoever draws."""

from __future__ import annotations

import functools
import pickletools
import random
from collections.abc import Sequence

__all__ = ["variation"]

_OPCODES = [ord(opcode.code) for opcode in pickletools.opcodes]
_EXTREMES = [
    value.to_bytes(size, "little", signed=value < 0)
    for size in (1, 2, 4, 8)
    for value in (0, 1, (1 << (8 * size - 1)) - 1, -1, -(1 << (8 * size - 1)), 1 << (8 * size - 2))
]
_NAMES = [
    b"torch_utils.persistence",
    b"_reconstruct_persistent_obj",
    b"collections",
    b"OrderedDict",
]
_NAMES += [b"torch._utils", b"_rebuild_tensor_v2", b"torch.storage", b"_load_from_bytes", b"numpy"]
_NAMES += [b"scalar", b"dtype", b"EasyDict", b"FloatStorage", b"storage", b"_parameters"]
_NAMES += [b"_modules", b"_buffers", b"_init_kwargs", b"state", b"G_ema", b"module_src"]
_OTHERS = [b"os", b"system", b"builtins", b"eval", b"exec", b"getattr", b"posix", b"subprocess"]
_OTHERS += [b"Popen", b"__import__", b"__class__", b"..", b"", b"\0", b"\xff" * 8, b"a" * 300]
_PROGRAMS = [
    b"cos\nsystem\n(X\x04\0\0\0truetR",
    b"cbuiltins\neval\n",
    b"(ios\nsystem\n",
    b"\x82\x01",
    b"}}b",
    b"2" * 50,
    b"(" * 50,
    b"]" * 50,
    b"\x94" * 50,
    b"\x85" * 200,
    b"h\x00h\x01h\x02",
    b"\x80\x05",
    b"R" * 5,
    b".",
]


def variation(seeds: Sequence[bytes], draw: random.Random) -> bytes:
    """One of `seeds` after one to six changes that `draw` chooses."""
    data = bytearray(draw.choice(seeds))
    places = _places(bytes(data))
    for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
        _change(data, draw, places, seeds)
    return bytes(data)


@functools.cache
def _places(data: bytes) -> list[int]:
    """Where opcodes begin: changes there reach further than those in the middle of numbers."""
    return [position or 0 for _, _, position in pickletools.genops(data)]


def _change(
    data: bytearray, draw: random.Random, places: Sequence[int], seeds: Sequence[bytes]
) -> None:
    size = max(1, len(data))
    at = draw.choice(places) if draw.random() < 0.7 else draw.randrange(size)
    kind = draw.randrange(10)
    if kind == 0:
        data[at : at + 1] = bytes([draw.randrange(256)])
    elif kind == 1:
        data[at : at + 1] = bytes([draw.choice(_OPCODES)])
    elif kind == 2:
        data[at:at] = bytes([draw.choice(_OPCODES)]) * draw.choice((1, 1, 2, 9))
    elif kind == 3:
        extreme = draw.choice(_EXTREMES)
        data[at + 1 : at + 1 + len(extreme)] = extreme
    elif kind == 4:
        del data[at : at + draw.choice((1, 2, 4, 30, 500))]
    elif kind == 5:
        data[at:at] = draw.choice(_PROGRAMS)
    elif kind == 6:
        name = draw.choice(_NAMES)
        found = data.find(name, draw.randrange(size))
        if found >= 0:
            other = draw.choice(_OTHERS + _NAMES)
            # Often with the length that stands before a short text.
            if found and data[found - 1] == len(name) and len(other) < 256:
                data[found - 1] = len(other)
            data[found : found + len(name)] = other
    elif kind == 7:
        other_file = draw.choice(seeds)
        start = draw.randrange(len(other_file))
        data[at:at] = other_file[start : start + draw.choice((3, 20, 200, 2000))]
    elif kind == 8 and draw.random() < 0.3:
        del data[at:]
    elif at < len(data):
        data[at] ^= 1 << draw.randrange(8)
