"""One clear sentence for each way an experiment file can be wrong: file, line, key, what to write.

YAML's own loader forgets where a key stood and lets a key appear twice; pydantic knows neither
lines nor near misses. This module joins the three.
"""

from __future__ import annotations

import difflib
import types
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from yaml.reader import ReaderError

from tagloom.errors import InvalidArgument

__all__ = ["MAX_BYTES", "parse_document"]

MAX_BYTES = 1 << 20
"""an experiment file is a page; more is a mistake, or an attack by nested aliases"""

Model = TypeVar("Model", bound=BaseModel)
Path = tuple[str | int, ...]


def parse_document(text: str, file: str, model: type[Model]) -> Model:
    """Parses YAML into `model`. Raises InvalidArgument (SPEC_INVALID)."""
    if len(text) > MAX_BYTES:
        raise _invalid(file, None, f"is larger than {MAX_BYTES} bytes; an experiment is a page")
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            raise _invalid(file, None, "is empty; copy examples/quickstart.yaml to begin with")
        lines = _lines(root, file)
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise _invalid(file, line, f"this is not valid YAML: {error.problem}") from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        complaint = f"the character U+{error.character:04X} is not allowed in YAML; remove it"
        raise _invalid(file, line, complaint) from error
    except ValueError as error:  # what looks like a date or a number, and is none: 2026-13-01
        raise _invalid(file, None, f"is not valid YAML: {error}; quote it") from error
    except RecursionError as error:
        complaint = "nests brackets or keys too deeply; an experiment file has four levels"
        raise _invalid(file, None, complaint) from error
    if not isinstance(document, dict):
        raise _invalid(file, 1, "an experiment file holds keys, such as `experiment: cats`")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise _first(error, file, lines, model) from error


def _lines(root: yaml.Node, file: str) -> dict[Path, int]:
    """The line of every key and list element, by its path; refuses repeated keys and aliases."""
    lines: dict[Path, int] = {(): 1}
    seen: set[int] = set()
    pending: list[tuple[yaml.Node, Path]] = [(root, ())]
    while pending:
        node, path = pending.pop()
        if id(node) in seen:
            # An alias: compact nested ones unfold exponentially.
            raise _invalid(
                file,
                node.start_mark.line + 1,
                "a YAML alias is not understood here; write the value out",
            )
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                place = (*path, str(key.value))
                if place in lines:
                    raise _invalid(
                        file, key.start_mark.line + 1, f"the key `{key.value}` stands here again"
                    )
                lines[place] = key.start_mark.line + 1
                pending.append((value, place))
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                lines[(*path, index)] = value.start_mark.line + 1
                pending.append((value, (*path, index)))
    return lines


def _first(
    error: ValidationError, file: str, lines: dict[Path, int], model: type[BaseModel]
) -> InvalidArgument:
    """The sentence for the error that stands first in the file; misspelt keys go before all.

    A misspelt key often also makes a required one missing: the misspelling is what to mend.
    """
    details = sorted(
        error.errors(include_url=False),
        key=lambda item: (item["type"] != "extra_forbidden", _line(item["loc"], lines)),
    )
    detail = details[0]
    place = tuple(detail["loc"])
    section = ".".join(str(part) for part in place[:-1])
    line = _line(place, lines)
    if detail["type"] == "extra_forbidden":
        key = str(place[-1])
        known = _keys(model, place[:-1])
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        where = f" in `{section}`" if section else ""
        hint = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(known)}."
        return _invalid(file, line, f"unknown key `{key}`{where}; {hint}", key=key)
    if detail["type"] == "missing":
        key = ".".join(str(part) for part in place)
        return _invalid(file, line, f"the key `{key}` is missing", key=key)
    name = ".".join(str(part) for part in place if not _is_branch(part))
    return _invalid(file, line, _complaint(detail, name), key=name)


def _complaint(detail: ErrorDetails, name: str) -> str:
    message = detail["msg"].removeprefix("Value error, ").rstrip(".")
    if detail["type"] == "value_error":
        return f"`{name}`: {message}" if name else message
    if detail["type"] == "string_pattern_mismatch":
        message = "use 1 to 48 of a-z, 0-9 and '-', starting with a letter or digit"
    shown = repr(detail["input"])
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return f"`{name}` cannot be {shown}: {message[:1].lower()}{message[1:]}"


def _is_branch(part: str | int) -> bool:
    """Whether part of a location is pydantic's name for an arm of a union, not a key."""
    return isinstance(part, str) and (part in {"float", "int", "str", "bool"} or "[" in part)


def _line(location: tuple[str | int, ...], lines: dict[Path, int]) -> int:
    """The line of a location, or of the nearest thing around it that the file holds."""
    place = tuple(location)
    while place and place not in lines:
        place = place[:-1]
    return lines[place]


def _keys(model: type[BaseModel], place: tuple[str | int, ...]) -> list[str]:
    """The keys that the model at `place` knows."""
    kind: Any = model
    for part in place:
        if isinstance(part, str) and isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = _model_in(kind.model_fields[part].annotation)
    return list(kind.model_fields)


def _model_in(annotation: Any) -> Any:
    """The model that an annotation such as `tuple[Credit, ...]` or `Spec | None` speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (tuple, list, Union, types.UnionType):
        for argument in get_args(annotation):
            found = _model_in(argument)
            if found is not None:
                return found
    return None


def _invalid(file: str, line: int | None, complaint: str, key: str = "") -> InvalidArgument:
    place = f"{file}, line {line}: " if line else f"{file} "
    sentence = place + complaint
    if not sentence.endswith(("?", ".")):
        sentence += "."
    metadata = {"file": file, "line": line or 0} | ({"key": key} if key else {})
    return InvalidArgument(sentence, reason="SPEC_INVALID", **metadata)
