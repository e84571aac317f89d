"""What the store says of an experiment: its file, its report, and how it stands.

Steps write it where TAGLOOM_STORE names a store: on a laptop `tagloom run` sets it, on a cluster
the pods of the steps that write get the store's address and credentials. The services have no part
in it: to them an experiment is a sequence of calls.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from datetime import datetime

import yaml

from pipelines.spec import Experiment
from tagloom.artifacts import experiment as artifacts
from tagloom.artifacts import layout
from tagloom.artifacts.base import now
from tagloom.errors import DataLoss, NotFound, TagloomError
from tagloom.store import Store, open_store

__all__ = ["OPTIONS", "Ledger", "earlier", "open_ledger", "to_yaml"]

OPTIONS = "TAGLOOM_COMMAND_OPTIONS"
"""names what a command needs to find the same things, for the reader of a report: `--store DIR`"""


def open_ledger(spec: Experiment, inputs: str, salt: str) -> Ledger | None:
    """The ledger in the store of TAGLOOM_STORE; none without one."""
    url = os.environ.get("TAGLOOM_STORE", "")
    return Ledger(open_store(url), spec, inputs, salt) if url else None


class Ledger:
    """The documents of one experiment, for one set of inputs."""

    def __init__(self, store: Store, spec: Experiment, inputs: str, salt: str) -> None:
        self.store = store
        self.spec = spec
        self.inputs = inputs
        self.salt = salt

    @property
    def report_url(self) -> str:
        """Where the report lies, or will lie."""
        return f"{self.store.url.rstrip('/')}/{layout.experiment_report(self.spec.experiment)}"

    @property
    def partial_report_url(self) -> str:
        """Where the page about a failed experiment lies."""
        key = layout.experiment_partial_report(self.spec.experiment)
        return f"{self.store.url.rstrip('/')}/{key}"

    def begin(self) -> None:
        """Says that these inputs are being worked on.

        What the last complete run made stays named until this one is complete.
        """
        before = earlier(self.store, self.spec.experiment)
        self._write(
            "running",
            before.collection if before else "",
            before.dataset if before else "",
            before.outcomes if before else (),
        )

    def complete(
        self, collection: str, dataset: str, outcomes: Sequence[artifacts.Outcome], html: str
    ) -> None:
        """Keeps the report; the document that says "succeeded" is written last."""
        name = self.spec.experiment
        self.store.put(layout.experiment_spec(name), to_yaml(self.spec).encode())
        self.store.put(layout.experiment_report(name), html.encode())
        self._write("succeeded", collection, dataset, outcomes)
        self.store.delete(layout.experiment_partial_report(name))

    def fail(
        self,
        error: str,
        collection: str,
        dataset: str,
        outcomes: Sequence[artifacts.Outcome],
        html: str,
    ) -> None:
        """Keeps what there is; the report of an earlier, complete run stays where it is."""
        name = self.spec.experiment
        self.store.put(layout.experiment_spec(name), to_yaml(self.spec).encode())
        if html:
            self.store.put(layout.experiment_partial_report(name), html.encode())
        self._write("failed", collection, dataset, outcomes, error)

    def abandon(self, error: str) -> None:
        """Says that the work ended with an error, where nothing said so before.

        The exit handler knows more; it may not have come so far. Never raises: an error is on its
        way already.
        """
        document = earlier(self.store, self.spec.experiment)
        if document is None or document.state != "running":
            return
        ended = document.model_copy(
            update={"state": "failed", "error": error, "update_time": now()}
        )
        with contextlib.suppress(TagloomError):
            self.store.put(layout.experiment_document(document.id), ended.to_bytes())

    def completed(self) -> artifacts.Experiment | None:
        """The document of a complete run of these very inputs, with its report."""
        document = earlier(self.store, self.spec.experiment)
        if (
            document is None
            or document.state != "succeeded"
            or (document.inputs_sha256, document.salt) != (self.inputs, self.salt)
            or not self.store.exists(layout.experiment_report(self.spec.experiment))
        ):
            return None
        return document

    def _write(
        self,
        state: str,
        collection: str,
        dataset: str,
        outcomes: Sequence[artifacts.Outcome],
        error: str = "",
    ) -> None:
        before = earlier(self.store, self.spec.experiment)
        created: datetime = before.create_time if before else now()
        document = artifacts.Experiment.model_validate(
            {
                "id": self.spec.experiment,
                "create_time": created,
                "update_time": now(),
                "state": state,
                "inputs_sha256": self.inputs,
                "salt": self.salt,
                "collection": collection,
                "dataset": dataset,
                "outcomes": tuple(outcomes),
                "error": error,
            }
        )
        self.store.put(layout.experiment_document(self.spec.experiment), document.to_bytes())


def earlier(store: Store, experiment: str) -> artifacts.Experiment | None:
    """What the store says of an experiment; nothing too when the document is damaged.

    Then too much is done again, which costs little: the services know what exists.
    """
    key = layout.experiment_document(experiment)
    try:
        return artifacts.Experiment.load(store, key, f"experiments/{experiment}")
    except (NotFound, DataLoss):
        return None


def to_yaml(spec: Experiment) -> str:
    """The experiment as a file that `tagloom run` takes: what differs from the defaults."""
    data = spec.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
