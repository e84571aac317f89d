"""`--profile`: the name of one that the filter brings, or a file of one's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagloom.errors import InvalidArgument

if TYPE_CHECKING:
    from tagloom.v1 import filter_pb2

__all__ = ["read_profile"]

_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_EXTENDS = "extends"


def read_profile(wanted: str) -> tuple[str, list[filter_pb2.Threshold]]:
    """The profile to begin with ("" for the default), and the thresholds that differ from it.

    A file maps checks to bounds (`sharpness: 0.5`) or `off`; `extends: strict` begins with another
    profile than the default. Raises InvalidArgument (PROFILE_INVALID) naming file and key.
    """
    path = Path(wanted)
    if _NAME.fullmatch(wanted) and not path.is_file():
        return wanted, []
    document = _document(path)
    name = document.pop(_EXTENDS, "")
    if not isinstance(name, str):
        raise _invalid(path, f"`{_EXTENDS}` must name a profile, such as strict, not {name!r}")
    return name, [_threshold(path, check, bound) for check, bound in document.items()]


def _document(path: Path) -> dict[Any, Any]:
    import yaml

    try:
        document = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise InvalidArgument(
            f"The profile {path} cannot be read ({reason}); give the name of one (default, strict, "
            "lenient) or a YAML file.",
            reason="PROFILE_INVALID",
            file=path,
        ) from error
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark else ""
        raise _invalid(path, f"it is no YAML{place}") from error
    if not isinstance(document, dict):
        raise _invalid(path, "it does not")
    return document


def _threshold(path: Path, check: object, bound: object) -> filter_pb2.Threshold:
    from tagloom.v1 import filter_pb2

    off = bound is False or bound == "off"
    number = isinstance(bound, (int, float)) and not isinstance(bound, bool)
    if not isinstance(check, str) or not (number or off):
        raise _invalid(path, f"{check!r}: {bound!r} is neither")
    value = float(bound) if isinstance(bound, (int, float)) and number else 0.0
    return filter_pb2.Threshold(check=check, enabled=not off, value=value)


def _invalid(path: Path, what: str) -> InvalidArgument:
    return InvalidArgument(
        f"The profile {path} must map checks to bounds, such as `sharpness: 0.5` or `faces: off`; "
        f"{what}.",
        reason="PROFILE_INVALID",
        file=path,
    )
