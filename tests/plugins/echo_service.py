"""A service of well-known types only, so that the kit is tested without anybody's domain."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import counting
import grpc
import grpc.aio
from google.longrunning import operations_pb2
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import StringValue

from tagloom import errors
from tagloom.rpc.background import BackgroundServer
from tagloom.rpc.job import Job
from tagloom.rpc.service import Kit

SERVICE = "tagloom.test.Echo"

Serve = Callable[..., contextlib.AbstractContextManager[BackgroundServer]]
"""What the fixture `serve` gives: start a server with these settings."""


def register(kit: Kit) -> None:
    servicer = EchoService(kit)
    handlers = {
        "Echo": grpc.unary_unary_rpc_method_handler(
            servicer.Echo, StringValue.FromString, StringValue.SerializeToString
        ),
        "Repeat": grpc.unary_stream_rpc_method_handler(
            servicer.Repeat, StringValue.FromString, StringValue.SerializeToString
        ),
        "Join": grpc.stream_unary_rpc_method_handler(
            servicer.Join, StringValue.FromString, StringValue.SerializeToString
        ),
        "Count": grpc.unary_unary_rpc_method_handler(
            servicer.Count, Struct.FromString, operations_pb2.Operation.SerializeToString
        ),
    }
    kit.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    kit.announced.append(SERVICE)


class EchoService:
    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        kit.operations.handle("Count", Struct, Struct, self._count, max_attempts=1000)

    async def Echo(self, request: StringValue, context: Any) -> StringValue:
        verb, _, argument = request.value.partition(" ")
        if verb == "sleep":
            await asyncio.sleep(float(argument))
        elif verb == "raise":
            raise getattr(errors, argument)("It is so.", reason="TEST_REASON", field="value")
        elif verb == "crash":
            raise RuntimeError(argument)
        elif verb == "abort":
            await context.abort(grpc.StatusCode.OUT_OF_RANGE, argument)
        elif verb == "burn":  # where it belongs
            await self.kit.workers.run(counting.burn, float(argument))
        elif verb == "block":  # where no service may
            counting.burn(float(argument))
        elif verb == "pid":
            return StringValue(value=str(await self.kit.workers.run(os.getpid)))
        return request

    async def Repeat(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        for index in range(3):
            yield StringValue(value=f"{index} {request.value}")
            if request.value == "fail":
                raise errors.NotFound("It ends here.", reason="TEST_REASON")

    async def Join(self, requests: AsyncIterator[StringValue], context: Any) -> StringValue:
        return StringValue(value="".join([request.value async for request in requests]))

    async def Count(self, request: Struct, context: Any) -> operations_pb2.Operation:
        fields = json_format.MessageToDict(request)

        async def check_is_new() -> None:
            manifest = f"counts/{fields['name']}/manifest.json"
            if await asyncio.to_thread(self.kit.store.exists, manifest):
                raise errors.AlreadyExists("It was counted; name another.", reason="COUNTED")

        return await self.kit.operations.start(
            "Count",
            request,
            target=f"counts/{fields['name']}",
            request_id=fields.get("request_id", ""),
            check=check_is_new,
        )

    async def _count(self, request: Struct, job: Job) -> Struct:
        total = await job.run_in_worker(
            counting.count, request["name"], int(request["units"]), float(request["seconds"])
        )
        response = Struct()
        response.update({"name": request["name"], "total": total})
        return response


class EchoClient:
    """Plain gRPC calls to the service, errors as gRPC raises them."""

    def __init__(self, channel: grpc.Channel) -> None:
        text = (StringValue.SerializeToString, StringValue.FromString)
        self.echo = channel.unary_unary(f"/{SERVICE}/Echo", *text)
        self.repeat = channel.unary_stream(f"/{SERVICE}/Repeat", *text)
        self.join = channel.stream_unary(f"/{SERVICE}/Join", *text)
        self._count = channel.unary_unary(
            f"/{SERVICE}/Count", Struct.SerializeToString, operations_pb2.Operation.FromString
        )

    def count(
        self, name: str, units: int = 3, seconds: float = 0.0, request_id: str = ""
    ) -> operations_pb2.Operation:
        request = Struct()
        request.update({"name": name, "units": units, "seconds": seconds, "request_id": request_id})
        operation: operations_pb2.Operation = self._count(request, timeout=20)
        return operation
