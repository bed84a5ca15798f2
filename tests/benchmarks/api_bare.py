"""A bare app whose one route does one GET: the least that a lookup over HTTP can cost.

Another one reads the body of a POST and forgets it, beside which the collector is measured.

It runs as the API does: Starlette on uvicorn with the same options, redis-py on an event loop.
"""

import asyncio
import os
import socket

import uvicorn
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def create(url: str, prefix: str) -> Starlette:
    redis = Redis.from_url(url)

    async def persona(request: Request) -> Response:
        record = await redis.get(f"{prefix}persona:{request.path_params['customer_id']}")
        return Response(record, media_type="application/json")

    async def events(request: Request) -> Response:
        await request.body()
        return Response(b'{"accepted":1}', media_type="application/json")

    return Starlette(
        routes=[Route("/events", events, methods=["POST"]), Route("/{customer_id}", persona)]
    )


def main() -> None:
    app = create(
        os.environ["STREAM_PERSONA_REDIS_URL"], os.environ.get("STREAM_PERSONA_PREFIX", "")
    )
    with socket.create_server(("127.0.0.1", 0), backlog=2_048) as listening:
        # As on sockets that uvicorn makes itself: a head and a body are two writes, and without it
        # the second one waits for the caller's delayed acknowledgement, some 40 ms.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = uvicorn.Config(app, log_config=None, access_log=False)
        print(f"listening on http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        asyncio.run(uvicorn.Server(config).serve(sockets=[listening]))


if __name__ == "__main__":
    main()
