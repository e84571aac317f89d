"""A look at the source text that a checkpoint carries, without ever running it.

The published training code stores the text of the module that defines a network beside the
network, and runs it when the file is opened. Nothing here does; but a text that would touch the
machine says that the file was tampered with, and then its numbers deserve no trust either.
"""

from __future__ import annotations

import ast
import warnings

from tagloom.networks.checkpoints.records import CheckpointError, refused, shown

__all__ = ["check_source_text"]

_MOST = 1 << 20

# Modules that let a text act on the machine, and names that do without a module. No longer than
# needed: a sound file must not be refused for a variable's name.
# fmt: off
_MODULES = frozenset({
    "builtins", "ctypes", "ftplib", "http", "importlib", "marshal", "multiprocessing", "os",
    "pathlib", "posix", "pty", "requests", "runpy", "shutil", "smtplib", "socket", "subprocess",
    "urllib", "webbrowser",
})
_NAMES = frozenset({
    "__builtins__", "__import__", "breakpoint", "compile", "eval", "exec", "execfile", "globals",
    "open",
})
_ATTRIBUTES = frozenset({
    "__builtins__", "__code__", "__globals__", "__loader__", "__subclasses__", "cpp_extension",
    "popen", "system",
})
# fmt: on


def check_source_text(text: str, class_name: str) -> None:
    """Raises CheckpointError when `text` does more than to define classes and functions."""
    if len(text) > _MOST:
        raise CheckpointError(
            "CHECKPOINT_TOO_LARGE",
            f"the source text beside its {shown(class_name)} has {len(text):,} characters",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise refused(
            f"the source text beside its {shown(class_name)} is not Python, so the file was changed"
        ) from None
    for statement in tree.body:
        if isinstance(statement, ast.Expr) and not isinstance(statement.value, ast.Constant):
            raise _changed(class_name, statement, "runs something when it is opened")
    for node in ast.walk(tree):
        _check(node, class_name)


def _check(node: ast.AST, class_name: str) -> None:
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = [node.module or ""]
    for name in names:
        if name.partition(".")[0] in _MODULES:
            raise _changed(class_name, node, f"imports {name[:60]}")
    if isinstance(node, ast.Name) and node.id in _NAMES:
        raise _changed(class_name, node, f"uses {node.id}")
    if isinstance(node, ast.Attribute) and node.attr in _ATTRIBUTES:
        raise _changed(class_name, node, f"uses .{node.attr}")


def _changed(class_name: str, node: ast.AST, what: str) -> CheckpointError:
    line = getattr(node, "lineno", 0)
    return refused(
        f"the source text beside its {shown(class_name)} was changed: line {line} {what}, which no "
        "network's definition does"
    )
