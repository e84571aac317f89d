"""Typed clients of all services: connect, call, wait for operations, page through lists.

    with connect("127.0.0.1:50051") as clients:
        operation = clients.filter.CreateDataset(request)
        dataset = clients.wait(operation, filter_pb2.Dataset, on_progress=show)

Every failed call raises the `tagloom.errors` class that the server raised.
"""

from __future__ import annotations

from tagloom.client.channel import Credentials
from tagloom.client.clients import Clients, connect
from tagloom.client.in_process import in_process
from tagloom.client.paging import iterate

__all__ = ["Clients", "Credentials", "connect", "in_process", "iterate"]
