"""ScraperService over gRPC: converts and delegates, nothing else."""

from __future__ import annotations

import asyncio
import dataclasses
import os

from google.longrunning import operations_proto_pb2 as operations_pb2
from google.protobuf.empty_pb2 import Empty

from services.scraper import catalog
from services.scraper.collect import CollectRequest, check_source, collect
from services.scraper.convert import collection_message, item_message, source_of
from services.scraper.metrics import ScraperMetrics
from services.scraper.prefix import allowed_prefixes
from tagloom.artifacts import layout
from tagloom.errors import AlreadyExists, TagloomError
from tagloom.folders import served_roots
from tagloom.paging import page_size
from tagloom.rpc.job import Job
from tagloom.rpc.service import Kit
from tagloom.rpc.settings import is_loopback
from tagloom.v1 import scraper_pb2, scraper_pb2_grpc

__all__ = ["ScraperService", "register"]


class ScraperService(scraper_pb2_grpc.ScraperServiceServicer):
    """The methods of scraper.proto."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        loopback = is_loopback(kit.settings.address)
        self._roots = served_roots(os.environ, loopback=loopback)
        self._prefixes = allowed_prefixes(os.environ, loopback=loopback)
        self._metrics = ScraperMetrics(kit.registry)
        kit.on_close(self._close)
        kit.operations.handle(
            "CreateCollection",
            scraper_pb2.CreateCollectionRequest,
            scraper_pb2.Collection,
            self._collect,
        )

    async def CreateCollection(
        self, request: scraper_pb2.CreateCollectionRequest, context: object
    ) -> operations_pb2.Operation:
        """Accepts the work after checking all that can be checked at once."""
        work = self._work(request)
        name = f"collections/{work.collection_id}"

        async def check() -> None:
            await asyncio.to_thread(check_source, self._kit.store, work)
            key = layout.collection_manifest(work.collection_id)
            if await asyncio.to_thread(self._kit.store.exists, key):
                raise AlreadyExists(
                    f"{name} exists already; choose another id or remove it first.",
                    reason="RESOURCE_EXISTS",
                    resource=name,
                )
            if running := await self._kit.operations.unfinished(name):
                raise AlreadyExists(
                    f"{name} is being collected by {running[0]}; wait for it or cancel it first.",
                    reason="COLLECTION_IN_PROGRESS",
                    resource=name,
                    operation=running[0],
                )

        return await self._kit.operations.start(
            "CreateCollection", request, request_id=request.request_id, target=name, check=check
        )

    async def GetCollection(
        self, request: scraper_pb2.GetCollectionRequest, context: object
    ) -> scraper_pb2.Collection:
        """One collection."""
        return collection_message(
            await asyncio.to_thread(catalog.read_collection, self._kit.store, request.name)
        )

    async def ListCollections(
        self, request: scraper_pb2.ListCollectionsRequest, context: object
    ) -> scraper_pb2.ListCollectionsResponse:
        """A page of collections."""
        found, token = await asyncio.to_thread(
            catalog.list_collections,
            self._kit.store,
            page_size(request.page_size),
            request.page_token,
        )
        return scraper_pb2.ListCollectionsResponse(
            collections=map(collection_message, found), next_page_token=token
        )

    async def ListItems(
        self, request: scraper_pb2.ListItemsRequest, context: object
    ) -> scraper_pb2.ListItemsResponse:
        """A page of items."""
        found, token = await asyncio.to_thread(
            catalog.list_items,
            self._kit.store,
            request.parent,
            page_size(request.page_size),
            request.page_token,
        )
        return scraper_pb2.ListItemsResponse(items=map(item_message, found), next_page_token=token)

    async def DeleteCollection(
        self, request: scraper_pb2.DeleteCollectionRequest, context: object
    ) -> Empty:
        """Removes a collection."""
        await asyncio.to_thread(catalog.delete_collection, self._kit.store, request.name)
        return Empty()

    async def _collect(
        self, request: scraper_pb2.CreateCollectionRequest, job: Job
    ) -> scraper_pb2.Collection:
        work = self._work(request)
        log = self._metrics.traffic.new_log()
        try:
            work = dataclasses.replace(work, traffic_log=log)
            collection = await job.run_in_worker(collect, work)
        except TagloomError as error:
            self._metrics.failed(work.source, error)
            raise
        finally:
            await asyncio.to_thread(self._metrics.traffic.end_log, log)
        self._metrics.finished(collection)
        return collection_message(collection)

    def _work(self, request: scraper_pb2.CreateCollectionRequest) -> CollectRequest:
        return CollectRequest(
            request.collection_id,
            source_of(request),
            urls=tuple(request.urls.urls),
            folder_roots=self._roots,
            s3_prefixes=self._prefixes,
        )

    async def _close(self) -> None:
        await asyncio.to_thread(self._metrics.traffic.close)


def register(kit: Kit) -> None:
    """Adds ScraperService to a server (entry point of the group `tagloom.services`)."""
    # One at a time: two jobs of one Instagram account would share its rate limit unknowingly.
    kit.operations.at_once = 1
    scraper_pb2_grpc.add_ScraperServiceServicer_to_server(ScraperService(kit), kit.server)
    kit.announce(scraper_pb2.DESCRIPTOR)
