"""What all manifests share: a schema number, JSON in and out, and one clear error."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tagloom.errors import AlreadyExists, DataLoss, NotFound
from tagloom.store.interface import ObjectNotFound, PreconditionFailed, Store

__all__ = ["Manifest", "Record", "now"]


_set = object.__setattr__  # looked up once: frozen records have none of their own


def now() -> datetime:
    """The current time in UTC, to the millisecond."""
    time = datetime.now(UTC)
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


class Record(BaseModel):
    """A typed part of a manifest. Unknown fields are ignored: newer writers may add some."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @classmethod
    def trusted(cls, values: dict[str, Any]) -> Self:
        """A record of values that fit its fields, every one of which is given: not validated.

        For rows by the hundred thousand; pydantic's own `model_construct` takes longer than its
        validation does. The record keeps `values` itself.
        """
        made = cls.__new__(cls)
        _set(made, "__dict__", values)
        # One set for the whole class: frozen records never change it, and one for each would take
        # more memory than the record itself.
        _set(made, "__pydantic_fields_set__", _all_fields(cls))
        _set(made, "__pydantic_extra__", None)
        _set(made, "__pydantic_private__", None)
        return made


@cache
def _all_fields(cls: type[Record]) -> set[str]:
    return set(cls.model_fields)


class Manifest(Record):
    """A JSON document in the store that makes a resource exist."""

    schema_: int = Field(default=1, alias="schema", ge=1, le=1)

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    def to_bytes(self) -> bytes:
        """UTF-8 JSON, indented, with a final newline."""
        return (self.model_dump_json(by_alias=True, indent=2) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes, key: str) -> Self:
        """Parses a document; DataLoss (DAMAGED_DOCUMENT) names the key and what is wrong."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the document"
            raise DataLoss(
                f"{key} is damaged or from a newer version: {place}: {first['msg']}.",
                reason="DAMAGED_DOCUMENT",
                key=key,
            ) from error

    @classmethod
    def load(cls, store: Store, key: str, name: str) -> Self:
        """Reads the document of the resource `name`; NotFound (RESOURCE_NOT_FOUND) without one."""
        return cls.load_with_etag(store, key, name)[0]

    @classmethod
    def load_with_etag(cls, store: Store, key: str, name: str) -> tuple[Self, str]:
        """As `load`, with the ETag of these bytes, to `replace` them."""
        try:
            data, etag = store.get_with_etag(key)
        except ObjectNotFound as error:
            raise NotFound(
                f"There is no {name}; `tagloom ls {name.rpartition('/')[0]}` lists what there is.",
                reason="RESOURCE_NOT_FOUND",
                resource=name,
            ) from error
        return cls.from_bytes(data, key), etag

    def replace(self, store: Store, key: str, etag: str) -> None:
        """Writes the document over the one that had this ETag. Raises PreconditionFailed."""
        store.put(key, self.to_bytes(), if_match=etag)

    def create(self, store: Store, key: str, name: str) -> None:
        """Writes the document if nothing lies there: the commit point of the resource.

        AlreadyExists (RESOURCE_EXISTS) when it does.
        """
        try:
            store.put(key, self.to_bytes(), if_none_match=True)
        except PreconditionFailed as error:
            raise AlreadyExists(
                f"{name} exists already; choose another id or remove it first.",
                reason="RESOURCE_EXISTS",
                resource=name,
            ) from error
