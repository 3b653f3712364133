"""Pass a request's body to a route's writer as it arrives: bodies of any size, with a bounded part in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial

from starlette.requests import ClientDisconnect, Request

from penstock.domain.deadline import DeadlineExceeded
from penstock.errors import AccessDenied, PenstockError
from penstock.server.calls import Calls
from penstock.wire.http import BodyWriter, Call, Reply, Route

WRITE_BYTES = 1 << 20
"""Bytes that are collected before they are written. A call of which fewer arrive within the server's timeout ends."""
WRITE_SECONDS = 300.0
FINISH_SECONDS = 1800.0
"""Timeout of the end of a body: the checksum of a large file may be computed then."""
_MAX_DRAINED = 32 << 20
"""Bytes of a body that are read and dropped after an error, since many clients read no answer before they have sent
all."""
_MAX_DRAINED_OF_STRANGERS = 1 << 20
"""The same for callers without access: as much as of any other call's body is read before authentication."""


async def stream_body(
    route: Route, open_body: Callable[[Call], BodyWriter], request: Request, call: Call, calls: Calls
) -> Reply:
    """Answer a call whose body is passed on as it arrives. What was passed on before an interruption stays."""
    run = partial(calls.run, call.authorization, call.address, route=route.path)
    stream = request.stream()
    writer: BodyWriter | None = None
    try:
        try:
            writer = await run(partial(open_body, call), discard=lambda opened: opened.close())
            is_end = False
            while not is_end:
                piece, is_end, problem = await _next_piece(stream, calls.timeout)
                if piece:
                    await run(partial(writer.write, piece), timeout=WRITE_SECONDS)
                if problem is not None:
                    raise problem
            request.state.body_read = True
            return await run(writer.finish, timeout=FINISH_SECONDS)
        except PenstockError as error:
            is_stranger = isinstance(error, AccessDenied)
            await _drain(request, stream, calls.timeout, _MAX_DRAINED_OF_STRANGERS if is_stranger else _MAX_DRAINED)
            raise
    except ClientDisconnect:
        return Reply(content=b"", status=400)  # the client has gone
    except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer; calls have logged it
        return route.dialect.failure(error, call.request_id)
    finally:
        if writer is not None:
            # It may wait for a write in progress, which the event loop must not.
            threading.Thread(target=writer.close, name="upload-close", daemon=True).start()


async def _next_piece(stream: AsyncIterator[bytes], seconds: float) -> tuple[bytes, bool, Exception | None]:
    """The next bytes of a body, whether it has ended, and why it broke off."""
    piece = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while len(piece) < WRITE_BYTES:
                if (chunk := await anext(stream, None)) is None:
                    return bytes(piece), True, None
                piece += chunk
    except TimeoutError:
        # The stream can't be read on: a slow client continues with another call.
        return bytes(piece), False, DeadlineExceeded()
    except ClientDisconnect as error:
        return bytes(piece), False, error
    return bytes(piece), False, None


async def _drain(request: Request, stream: AsyncIterator[bytes], seconds: float, limit: int) -> None:
    size = 0
    try:
        async with asyncio.timeout(seconds):
            while size < limit:
                if (chunk := await anext(stream, None)) is None:
                    request.state.body_read = True
                    return
                size += len(chunk)
    except TimeoutError:
        return
