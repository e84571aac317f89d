"""Evaluations that exist: read, listed page by page, removed."""

from __future__ import annotations

from tagloom.artifacts import layout
from tagloom.artifacts.evaluation import Evaluation
from tagloom.errors import AlreadyExists, NotFound
from tagloom.paging import place_of, token_of
from tagloom.store.interface import Store

__all__ = [
    "check_absent",
    "delete_evaluation",
    "list_evaluations",
    "read_evaluation",
]

_PREFIX, _SUFFIX = "evaluations/", ".json"


def read_evaluation(store: Store, name: str) -> Evaluation:
    """The evaluation called `evaluations/{id}`.

    Raises InvalidArgument (INVALID_NAME), NotFound (RESOURCE_NOT_FOUND).
    """
    (evaluation_id,) = layout.parse_name(name, "evaluations/{}")
    return Evaluation.load(store, layout.evaluation(evaluation_id), name)


def check_absent(store: Store, evaluation_id: str) -> None:
    """Raises AlreadyExists (RESOURCE_EXISTS) when an evaluation has that id."""
    if store.exists(layout.evaluation(evaluation_id)):
        raise AlreadyExists(
            f"evaluations/{evaluation_id} exists already; choose another id or remove it first.",
            reason="RESOURCE_EXISTS",
            resource=f"evaluations/{evaluation_id}",
        )


def list_evaluations(store: Store, size: int, token: str) -> tuple[list[Evaluation], str]:
    """At most `size` evaluations by key, after the one that `token` names; the next token or "".

    Raises InvalidArgument (PAGE_TOKEN_INVALID).
    """
    place = place_of(token, "evaluations")
    page = store.list(_PREFIX, after=layout.evaluation(place) if place else "", limit=size)
    found = []
    last = ""
    for info in page.objects:
        last = info.key.removeprefix(_PREFIX).removesuffix(_SUFFIX)
        try:
            found.append(read_evaluation(store, f"evaluations/{last}"))
        except NotFound:
            continue  # removed since the listing
    return found, token_of("evaluations", last) if page.next_after is not None else ""


def delete_evaluation(store: Store, name: str) -> None:
    """Removes an evaluation; nothing depends on one.

    Raises InvalidArgument (INVALID_NAME), NotFound (RESOURCE_NOT_FOUND).
    """
    evaluation = read_evaluation(store, name)
    store.delete(layout.evaluation(evaluation.id))
