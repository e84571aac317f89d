"""JSON of Kubeflow's API, as strict as its server is: read and written by the SDK's own models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import kfp_server_api
from kfp_server_api import models

__all__ = ["Refused", "invalid", "parse", "plain"]

_API = kfp_server_api.ApiClient()
_PRIMITIVES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "float": (int, float),
}


@dataclass
class Refused(Exception):
    """An answer that is no success: HTTP status, gRPC code and what the server says."""

    status: int
    code: int
    message: str


def invalid(message: str) -> Refused:
    """INVALID_ARGUMENT."""
    return Refused(400, 3, message)


def parse(kind: str, data: Any, where: str = "body") -> Any:
    """`data` as the model (or type) `kind`; unknown fields and wrong types are refused."""
    if data is None:
        return None
    if found := re.fullmatch(r"list\[(.+)\]", kind):
        if not isinstance(data, list):
            raise invalid(f"{where} must be a list")
        return [parse(found[1], item, f"{where}[{i}]") for i, item in enumerate(data)]
    if found := re.fullmatch(r"dict\(str, (.+)\)", kind):
        if not isinstance(data, dict):
            raise invalid(f"{where} must be an object")
        return {key: parse(found[1], value, f"{where}.{key}") for key, value in data.items()}
    if kind == "object":
        return data
    if kind in _PRIMITIVES:
        if not isinstance(data, _PRIMITIVES[kind]):
            raise invalid(f"{where} must be of type {kind}")
        return data
    if kind == "datetime":
        return datetime.fromisoformat(data)
    return _model(getattr(models, kind), data, where)


def _model(model: Any, data: Any, where: str) -> Any:
    if not model.openapi_types:  # an enumeration
        if data not in model.allowable_values:
            raise invalid(f"{where}: {data!r} is not a {model.__name__}")
        return data
    if not isinstance(data, dict):
        raise invalid(f"{where} must be an object")
    names = {json_name: name for name, json_name in model.attribute_map.items()}
    for key in data:
        if key not in names:
            raise invalid(f'{where}: unknown field "{key}" in {model.__name__}')
    values = {
        names[key]: parse(model.openapi_types[names[key]], value, f"{where}.{key}")
        for key, value in data.items()
    }
    return model(**values)


def plain(value: Any) -> Any:
    """What the models hold, as JSON."""
    return _API.sanitize_for_serialization(value)
