"""Files that try to run code, to take memory or time, or to break what reads them.

Written opcode by opcode (`pickletools` lists them). `MARKER` is the file that they would make.
"""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Iterator

__all__ = ["MARKER", "attacks", "legacy_storage", "tensor_file", "text"]

Attack = tuple[str, bytes, str]
"""what it tries, the file, and what the error must say"""

MARKER = "PWNED_by_a_checkpoint"
_COMMAND = f"touch {MARKER} /tmp/{MARKER}"
_CODE = f"open('/tmp/{MARKER}', 'w').close()"


def text(value: str) -> bytes:
    """BINUNICODE"""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _call(module: str, name: str, *arguments: bytes, protocol: int = 2) -> bytes:
    head = b"" if protocol < 2 else bytes([0x80, protocol])
    if protocol >= 4:
        function = text(module) + text(name) + b"\x93"
    else:
        function = f"c{module}\n{name}\n".encode()
    return head + function + b"(" + b"".join(arguments) + b"tR."


def legacy_storage(
    *,
    kind: str = "FloatStorage",
    size: int = 4,
    data: bytes = b"\0" * 16,
    told: int | None = None,
    magic: bytes = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
    storage: bytes | None = None,
) -> bytes:
    """A storage in torch's legacy format, its lies as asked for."""
    version = b"\x80\x02M\xe9\x03."
    machine = b"\x80\x02}" + text("little_endian") + b"\x88s."
    named = f"ctorch\n{kind}\n".encode()
    if storage is None:
        number = b"\x8a\x08" + struct.pack("<q", size)
        storage = text("storage") + named + text("0") + text("cpu") + number
        storage = b"\x80\x02(" + storage + b"NtQ."
    keys = b"\x80\x02]" + text("0") + b"a."
    return magic + version + machine + storage + keys + struct.pack("<q", told or size) + data


def _octets(data: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(data)) + data


def _integer(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def _tuple(*values: int) -> bytes:
    return b"(" + b"".join(map(_integer, values)) + b"t"


def _tensor(storage: bytes, offset: int, shape: bytes, strides: bytes) -> bytes:
    load = b"ctorch.storage\n_load_from_bytes\n(" + _octets(storage) + b"tR"
    parts = load + _integer(offset) + shape + strides + b"\x89N"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + parts + b"tR"


def module(parameters: bytes, *, arguments: bytes = b"}", modules: bytes = b"}") -> bytes:
    """A persistent object with these values for its dictionaries."""
    state = b"}(" + text("_parameters") + parameters + text("_modules") + modules
    state += text("_init_kwargs") + arguments + b"u"
    meta = b"}(" + text("type") + text("class") + text("class_name") + text("Generator")
    meta += text("module_src") + text("import torch\n") + text("state") + state + b"u"
    return b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n(" + meta + b"tR"


def _file(record: bytes) -> bytes:
    return b"\x80\x04}" + text("G_ema") + record + b"s."


def tensor_file(
    storage: bytes | None = None,
    offset: int = 0,
    shape: tuple[int, ...] = (2, 2),
    strides: tuple[int, ...] = (2, 1),
) -> bytes:
    """A checkpoint whose one network has one tensor."""
    tensor = _tensor(storage or legacy_storage(), offset, _tuple(*shape), _tuple(*strides))
    return _file(module(b"}" + text("weight") + tensor + b"s"))


def attacks() -> Iterator[Attack]:
    """All of them."""
    yield from _calls()
    yield from _opcodes()
    yield from _lies()
    yield from _bombs()
    yield from _tensors()
    yield from _other_files()


def _calls() -> Iterator[Attack]:
    command, code = text(_COMMAND), text(_CODE)
    for protocol in range(6):
        word = f"V{_COMMAND}\n".encode() if protocol == 0 else command
        yield (
            f"os.system, protocol {protocol}",
            _call("os", "system", word, protocol=protocol),
            "asks for os.system",
        )
    for module_name, name in (
        ("posix", "system"),
        ("nt", "system"),
        ("subprocess", "Popen"),
        ("subprocess", "check_output"),
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("__builtin__", "eval"),
        ("builtins", "__import__"),
        ("builtins", "getattr"),
        ("builtins", "open"),
        ("builtins", "compile"),
        ("builtins", "globals"),
        ("builtins", "type"),
        ("importlib", "import_module"),
        ("operator", "attrgetter"),
        ("functools", "partial"),
        ("pickle", "loads"),
        ("_pickle", "loads"),
        ("torch", "load"),
        ("torch.hub", "load"),
        ("torch.serialization", "load"),
        ("torch.utils.cpp_extension", "load_inline"),
        ("torch.jit", "load"),
        ("torch._utils", "_import_dotted_name"),
        ("torch._utils", "__builtins__"),
        ("numpy", "load"),
        ("numpy.core.multiarray", "fromfile"),
        ("numpy.testing._private.utils", "runstring"),
        ("collections", "namedtuple"),
        ("collections", "OrderedDict.__class__"),
        ("copyreg", "add_extension"),
        ("dnnlib.util", "open_url"),
        ("dnnlib.tflib.network", "Network"),
        ("torch_utils.persistence", "import_hook"),
        ("runpy", "run_path"),
        ("sys", "modules"),
        ("\N{LATIN SMALL LETTER O WITH DIAERESIS}s", "system"),
    ):
        says = "asks for " if module_name != "__builtin__" else "asks for __builtin__.eval"
        yield f"{module_name}.{name}", _call(module_name, name, code, protocol=4), says
    yield from (
        ("a name that is not called", b"\x80\x04cos\nsystem\n.", "asks for os.system"),
        (
            "a dotted name",
            _call("builtins", "eval.__call__", code, protocol=4),
            "asks for builtins.eval.__call__",
        ),
        ("a name made of numbers", b"\x80\x04K\x01K\x02\x93.", "takes 1, 2 for the name"),
        (
            "a call in a tensor's own pickle",
            tensor_file(legacy_storage(storage=_call("posix", "system", command))),
            "asks for posix.system, which is no kind of tensor memory",
        ),
        (
            "a call in place of a magic number",
            tensor_file(legacy_storage(magic=_call("posix", "system", command))),
            "asks for posix.system",
        ),
        (
            "a class that can only be named",
            b"\x80\x02cnumpy\nndarray\n(tR.",
            "calls numpy.ndarray",
        ),
        ("a class with other arguments", b"\x80\x02cnumpy\nndarray\n)\x81.", "other arguments"),
        ("a function as a class", b"\x80\x02c_codecs\nencode\n)\x81.", "no class of a checkpoint"),
        (
            "another codec",
            _call("_codecs", "encode", code, text("zip_codec")),
            "other arguments",
        ),
        (
            "a chain of constructors",
            b"\x80\x02ccopyreg\n_reconstructor\n(cbuiltins\nset\ncbuiltins\ndict\n}tR.",
            "other arguments",
        ),
        (
            "a tensor's class as its function",
            b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(c_codecs\nencode\nN("
            + code
            + b"tNtR.",
            "other arguments",
        ),
        (
            "a persistent object of another type",
            _call(
                "torch_utils.persistence",
                "_reconstruct_persistent_obj",
                b"}" + text("type") + code + b"s",
            ),
            "other arguments",
        ),
    )


def _opcodes() -> list[Attack]:
    command = text(_COMMAND)
    return [
        ("INST", b"(" + command + b"ios\nsystem\n.", "operation INST"),
        ("OBJ", b"(cos\nsystem\n" + command + b"o.", "asks for os.system"),
        ("OBJ, known name", b"(c_codecs\nencode\n" + command + b"o.", "operation OBJ"),
        (
            "NEWOBJ_EX",
            b"\x80\x04ccollections\nOrderedDict\n)}\x92.",
            "operation NEWOBJ_EX",
        ),
        ("EXT1", b"\x80\x02\x82\x01.", "operation EXT1"),
        ("EXT2", b"\x80\x02\x83\x01\x00.", "operation EXT2"),
        ("EXT4", b"\x80\x02\x84\x01\x00\x00\x00.", "operation EXT4"),
        ("PERSID", b"(Pevil\n.", "data outside"),
        ("BINPERSID", b"\x80\x02" + command + b"Q.", "data outside"),
        ("NEXT_BUFFER", b"\x80\x05\x97.", "operation NEXT_BUFFER"),
        ("READONLY_BUFFER", b"\x80\x05C\x01x\x98.", "operation READONLY_BUFFER"),
        ("an unknown opcode", b"\x80\x04\xff.", "operation 0xff"),
        ("REDUCE of a text", b"\x80\x04" + command + b"(tR.", "calls '"),
        ("REDUCE of a result", b"\x80\x04})R.", "calls a dict"),
        ("REDUCE of no tuple", b"\x80\x02ccollections\nOrderedDict\n]R.", "for arguments"),
        ("BUILD of a name", b"\x80\x02ccollections\nOrderedDict\n}b.", "insides of collections"),
        (
            "BUILD of a network",
            b"\x80\x02" + module(b"}") + b"}" + text("class_name") + b"K\x01sb.",
            "changes the insides of a ModuleRecord",
        ),
        ("BUILD with slots", b"\x80\x02}N}\x86b.", "insides of a dict"),
        ("SETITEM on a name", b"\x80\x02ccollections\nOrderedDict\nNNs.", "takes none"),
        ("APPEND on a name", b"\x80\x02ccollections\nOrderedDict\nNa.", "takes none"),
        ("ADDITEMS on a list", b"\x80\x04](N\x90.", "takes none"),
        ("odd items", b"\x80\x04}(Nu.", "takes none"),
        ("a protocol of the future", b"\x80\x63N.", "protocol 99"),
    ]


def _lies() -> list[Attack]:
    huge = struct.pack("<Q", 1 << 62)
    return [
        ("BINBYTES8", b"\x80\x04\x8e" + huge + b"x.", "declares 4,611,686,018,427,387,904 bytes"),
        ("BINUNICODE8", b"\x80\x04\x8d" + huge + b"x.", "a text of 4,611,686,018,427,387,904"),
        ("BINUNICODE", b"\x80\x02X\xff\xff\xff\x0fx.", "declares 268,435,455 bytes"),
        ("BYTEARRAY8", b"\x80\x05\x96" + huge + b"x.", "declares"),
        ("FRAME", b"\x80\x04\x95" + huge + b"N.", "declares"),
        ("LONG4", b"\x80\x02\x8b\xff\xff\xff\x7fx.", "an integer of 2,147,483,647 bytes"),
        ("negative LONG4", b"\x80\x02\x8b\xff\xff\xff\xffx.", "an integer of -1 bytes"),
        ("LONG1", b"\x80\x02\x8a\xff" + b"\x7f" * 255 + b".", "an integer of 255 bytes"),
        ("a number of many digits", b"(I" + b"9" * 1_000_000 + b"\n.", "a line of more than"),
        ("a number of letters", b"(Iabc\n.", "'abc' for a number"),
        ("an endless name", b"(c" + b"a" * 1_000_000, "a line of more than"),
        ("an endless text", b"(V" + b"a" * 1_000_000, "cut off"),
        ("a wrong escape", b"(V\\u12\n.", "wrong escape"),
        ("no text", b"\x80\x04\x8c\x01\xff.", "not UTF-8"),
        ("nothing to recall", b"\x80\x02h\x07.", "never kept"),
        ("a place that is no number", b"(px\n.", "for a place"),
        ("too little", b"\x80\x020.", "not there"),
        ("nothing to keep", b"\x80\x02q\x01.", "not there"),
        ("values below a mark", b"\x80\x02N(0\x85.", "ends with|not there|holds"),
        ("an open group", b"\x80\x02(N.", "left over"),
        ("two values", b"\x80\x02NN.", "left over"),
        ("a closed group", b"\x80\x02t.", "not opened"),
        ("no end", b"\x80\x02N", "cut off"),
    ]


def _bombs() -> list[Attack]:
    many = 2_100_000
    colliding = b"".join(_integer(i * ((1 << 61) - 1)) + b"N" for i in range(1, 20_000))
    laughs = b"]q\x000" + b"".join(b"](" + b"h\x00" * 9 + b"eq\x000" for _ in range(60)) + b"h\x00"
    deep = b"}" + text("x") + b"](" * 5000 + b"e" * 5000 + b"s"
    wide = b"}" + text("x") + b"](" + b"N" * 5000 + b"es"
    modules = b"}q\x05" + text("a")
    inner = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n(}("
    inner += text("type") + text("class") + text("class_name") + text("A") + text("module_src")
    inner += text("") + text("state") + b"}" + text("_modules") + b"h\x05su" + b"tR"
    return [
        ("operations", b"\x80\x02" + b"N0" * (many // 2) + b"N.", "operations"),
        ("values waiting", b"\x80\x02" + b"N" * 300_000 + b".", "values waiting"),
        ("groups", b"\x80\x02" + b"(" * 300_000 + b".", "groups"),
        ("memories", b"\x80\x04N" + b"\x94" * 1_100_000 + b".", "remembers more"),
        ("a far memory", b"\x80\x02Nr\xff\xff\xff\xffj\xff\xff\xff\xff0.", "holds None"),
        ("nested tuples", b"\x80\x02N" + b"\x85" * 400_000 + b".", "holds a tuple"),
        ("nested lists", b"\x80\x02" + b"](" * 90_000 + b"e" * 90_000 + b".", "holds a list"),
        ("a tuple as key", b"\x80\x02}N" + b"\x85" * 100_000 + b"Ns.", "as a key"),
        ("keys of one hash", b"\x80\x02}(" + colliding + b"u.", "as a key"),
        (
            "a billion laughs",
            _file(module(b"}", arguments=b"}" + text("x") + laughs + b"s")),
            "more arguments",
        ),
        ("deep settings", _file(module(b"}", arguments=deep)), "more arguments"),
        (
            "an endless setting",
            _file(module(b"}", arguments=b"}q\x00" + text("x") + b"h\x00s")),
            "more",
        ),
        ("wide settings", _file(module(b"}", arguments=wide)), "more arguments"),
        ("a module within itself", _file(module(b"}", modules=modules + inner + b"s")), "deeper"),
        (
            "many names of one memory",
            _file(module(_aliases(2000, 100_000))),
            "larger than the file",
        ),
    ]


def _aliases(count: int, size: int) -> bytes:
    storage = legacy_storage(size=size, data=b"\0" * (4 * size))
    load = b"ctorch.storage\n_load_from_bytes\n(" + _octets(storage) + b"tRq\x09"
    parts = b"}("
    for index in range(count):
        source = load if index == 0 else b"h\x09"
        parts += text(f"w{index}") + b"ctorch._utils\n_rebuild_tensor_v2\n("
        parts += source + b"K\x00" + _tuple(size) + _tuple(1) + b"\x89NtR"
    return parts + b"u"


def _tensors() -> list[Attack]:
    return [
        ("beyond its memory", tensor_file(shape=(1 << 20, 1 << 10)), "reaches beyond"),
        ("an offset beyond", tensor_file(offset=1), "reaches beyond"),
        ("a stride beyond", tensor_file(strides=(3, 1)), "reaches beyond"),
        ("repeated memory", tensor_file(shape=(1 << 30,), strides=(0,)), "repeats its memory"),
        ("overlapping rows", tensor_file(shape=(3, 2), strides=(1, 1)), "repeats its memory"),
        ("a negative size", tensor_file(shape=(-1, 4)), "other arguments"),
        ("a negative stride", tensor_file(strides=(-2, 1)), "other arguments"),
        ("a negative offset", tensor_file(offset=-1), "other arguments"),
        ("a size of 2^70", tensor_file(shape=(1 << 70, 1)), "other arguments"),
        ("sizes whose product wraps", tensor_file(shape=(1 << 33, 1 << 33)), "reaches beyond"),
        ("strides of another length", tensor_file(strides=(1,)), "other arguments"),
        ("many dimensions", tensor_file(shape=(1,) * 40, strides=(1,) * 40), "40 dimensions"),
        ("too many dimensions", tensor_file(shape=(1,) * 90, strides=(1,) * 90), "other arguments"),
        (
            "a huge memory declared",
            tensor_file(legacy_storage(size=1 << 36)),
            r"declares 274,877,906,944 bytes where 16 are there",
        ),
        ("two sizes", tensor_file(legacy_storage(told=5)), "two different sizes"),
        (
            "memory of an unknown kind",
            tensor_file(legacy_storage(kind="EvilStorage")),
            "EvilStorage",
        ),
        ("a wrong magic number", tensor_file(legacy_storage(magic=b"K\x01.")), "format 1001"),
        (
            "a storage that is none",
            tensor_file(legacy_storage(storage=b"N.")),
            "one piece of memory",
        ),
        ("a storage that is a zip", tensor_file(b"PK\x03\x04" + b"\0" * 40), "cut off"),
        ("a text for a tensor", _file(module(b"}" + text("w") + text("x") + b"s")), "no tensor"),
        ("a path for a name", _file(module(b"}" + text("../../x") + b"Ns")), "called '../../x'"),
        ("an empty name", _file(module(b"}" + text("") + b"Ns")), "called ''"),
    ]


def _other_files() -> list[Attack]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", b"\0" * 50_000_000)
    return [
        ("a zip bomb", archive.getvalue(), "is a zip file"),
        ("a gzip bomb", gzip.compress(b"\0" * 50_000_000), "compressed"),
        ("an empty file", b"", "is empty"),
        ("a text file", b"#!/bin/sh\ntouch x\n", "no pickle"),
        ("zeros", b"\0" * 1000, "no pickle"),
        ("a dictionary of nothing", b"\x80\x02}.", "holds no network"),
        ("a dictionary of texts", b"\x80\x02}" + text("G_ema") + text("x") + b"s.", "no network"),
        ("a number", b"\x80\x02K\x01.", "holds 1"),
    ]
