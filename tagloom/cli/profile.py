"""`--profile`: the name of one that the filter brings, or a file of one's own."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagloom.cli.files import read_text
from tagloom.errors import InvalidArgument

if TYPE_CHECKING:
    from tagloom.v1 import filter_pb2

__all__ = ["read_profile"]

_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_EXTENDS = "extends"
_MAX_BYTES = 256 * 1024
"""a profile has a line for each check: some hundred bytes"""
_OFF = ("off", "false", "no")
_SCALAR_TAGS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool", "str"))


def read_profile(wanted: str) -> tuple[str, list[filter_pb2.Threshold]]:
    """The profile to begin with ("" for the default), and the thresholds that differ from it.

    A file maps checks to bounds (`sharpness: 0.5`) or `off`; `extends: strict` begins with another
    profile than the default. Raises InvalidArgument (PROFILE_INVALID) naming file, line and key.
    """
    if not wanted.strip():
        raise InvalidArgument(
            "The name of the profile is empty; give one (default, strict, lenient), a YAML file, "
            "or leave the option out.",
            reason="PROFILE_INVALID",
        )
    path = Path(wanted)
    if _NAME.fullmatch(wanted) and not path.is_file():
        return wanted, []
    name, thresholds, seen = "", [], set[str]()
    for line, key, bound in _entries(path):
        if key in seen:
            raise _invalid(path, line, f"{key!r} is there twice; keep one of them")
        seen.add(key)
        if key == _EXTENDS:
            if not isinstance(bound, str) or not _NAME.fullmatch(bound):
                raise _invalid(path, line, f"`{_EXTENDS}` must name a profile, such as strict")
            name = bound
        else:
            thresholds.append(_threshold(path, line, key, bound))
    return name, thresholds


def _entries(path: Path) -> list[tuple[int, str, str | float | None]]:
    """(line, key, value) of the mapping: a value is a number, text, or None for all else.

    The file is not constructed but looked at, node by node: an alias is not followed, a tag calls
    nothing, and a key that is there twice is seen.
    """
    import yaml

    text = read_text(
        path,
        _MAX_BYTES,
        f"The profile {path}",
        "give the name of one (default, strict, lenient) or a YAML file",
        "PROFILE_INVALID",
    )
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise _invalid(path, mark.line + 1 if mark else 0, "it is no YAML") from error
    if root is None:
        raise _invalid(path, 0, "it is empty")
    if not isinstance(root, yaml.MappingNode):
        kind = "list" if isinstance(root, yaml.SequenceNode) else "single value"
        raise _invalid(path, 0, f"it holds a {kind}")
    return [(key.start_mark.line + 1, _text(key), _value(value)) for key, value in root.value]


def _text(node: Any) -> str:
    return node.value if node.id == "scalar" else ""


def _value(node: Any) -> str | float | None:
    if node.id != "scalar" or node.tag not in _SCALAR_TAGS:
        return None
    plain = node.style is None
    if plain and node.value.lower() not in _OFF:
        try:
            return float(node.value)  # YAML 1.1 takes 1e-1 for text
        except ValueError:
            pass
    return str(node.value)


def _threshold(
    path: Path, line: int, check: str, bound: str | float | None
) -> filter_pb2.Threshold:
    from tagloom.v1 import filter_pb2

    if not _NAME.fullmatch(check):
        raise _invalid(path, line, f"{check[:40]!r} is no check")
    off = isinstance(bound, str) and bound.lower() in _OFF
    if not off and not isinstance(bound, float):
        if difflib.get_close_matches(check, [_EXTENDS], cutoff=0.8):
            raise _invalid(path, line, f"{check!r} is no check: did you mean `{_EXTENDS}`?")
        said = f"{bound[:40]!r}" if bound else "what stands there"
        raise _invalid(path, line, f"{said} is no bound of {check!r}")
    value = bound if isinstance(bound, float) else 0.0
    return filter_pb2.Threshold(check=check, enabled=not off, value=value)


def _invalid(path: Path, line: int, what: str) -> InvalidArgument:
    """`line` 0: of the whole file."""
    where = f"The profile {path}{f', line {line}' * (line > 0)}"
    return InvalidArgument(
        f"{where}: {what}; write lines such as `sharpness: 0.5` and `faces: off`.",
        reason="PROFILE_INVALID",
        file=path,
        line=line,
    )
