"""Objects of a cluster, kept up to date here by a watch: nobody polls the API server."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from services.trainer.launch.cluster import Cluster, Expired, Kind, Stream
from tagloom.errors import TagloomError, Unavailable

__all__ = ["Mirror"]

_LOG = logging.getLogger(__name__)
_LONGEST_PAUSE_S = 15.0

Object = dict[str, Any]


class Mirror:
    """The objects of one kind that a selector picks, by uid.

    A thread lists them, and then follows what happens. When the server has forgotten the place to
    go on from (410), or the connection breaks, it lists them again, so that nothing is missed but
    what came and went in between.
    """

    def __init__(self, cluster: Cluster, kind: Kind, **selector: str) -> None:
        """selector: `fieldSelector`, `labelSelector`."""
        self._cluster, self._kind, self._selector = cluster, kind, selector
        self._objects: Mapping[str, Object] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._stream: Stream | None = None
        self._thread = threading.Thread(target=self._follow, name=f"watch-{kind.plural}")
        self._thread.daemon = True
        self.lists = 0
        """how often they were listed: 0 while nothing is known"""
        self.removed: set[str] = set()
        """uids of those that were seen to go"""
        self.trouble: TagloomError | None = None
        """why nothing new is known at the moment"""
        self.on_change: Callable[[], None] = lambda: None
        """called by the thread after each change"""

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        with self._lock:
            if self._stream is not None:
                self._stream.interrupt()
        self._thread.join(timeout=5)

    def objects(self) -> list[Object]:
        """As they are now, the oldest first."""
        found = list(self._objects.values())
        return sorted(
            found, key=lambda o: (o["metadata"]["creationTimestamp"], o["metadata"]["name"])
        )

    def get(self, uid: str) -> Object | None:
        """The object of this uid, if there is one now."""
        return self._objects.get(uid)

    def _follow(self) -> None:
        pause_s = 0.5
        while not self._closed.is_set():
            try:
                objects, place = self._cluster.list(self._kind, self._selector)
                self._show({o["metadata"]["uid"]: o for o in objects})
                self.lists += 1
                self.trouble, pause_s = None, 0.5
                self.on_change()
                while not self._closed.is_set():
                    place = self._watch(place)
            except Expired:
                continue  # list again, at once
            except TagloomError as error:
                self.trouble = error
            except Exception as error:  # a connection breaks in many ways
                _LOG.debug("the watch of %s broke: %r", self._kind.plural, error)
                self.trouble = Unavailable(
                    f"The watch of {self._kind.plural} broke ({error}); it is begun again.",
                    reason="CLUSTER_UNREACHABLE",
                )
            self.on_change()
            self._closed.wait(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _watch(self, place: str) -> str:
        """Until the server ends the stream; returns the place reached."""
        stream = self._cluster.watch(self._kind, self._selector, place)
        with self._lock:
            self._stream = stream
        try:
            if self._closed.is_set():
                return place
            for event, item in stream:
                place = item["metadata"]["resourceVersion"]
                if event == "BOOKMARK":
                    continue
                changed = dict(self._objects)
                if event == "DELETED":
                    changed.pop(item["metadata"]["uid"], None)
                    self.removed.add(item["metadata"]["uid"])
                else:
                    changed[item["metadata"]["uid"]] = item
                self._show(changed)
                self.on_change()
        finally:
            with self._lock:
                self._stream = None
            stream.close()
        return place

    def _show(self, objects: Mapping[str, Object]) -> None:
        self._objects = objects  # replaced whole: readers need no lock


def _age(item: Object) -> tuple[str, str]:
    return item["metadata"]["creationTimestamp"], item["metadata"]["name"]
