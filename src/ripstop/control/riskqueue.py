"""Cascade worlds counted by workers over NATS: a work queue in JetStream around `ripstop.risk.work`.

A job's bytes lie in an object store under their digest, a unit is a message of a work queue, and its answer
goes to the asker's inbox. A worker says every second that it is still counting; where it falls silent, the
server gives the unit to another. Nothing that is lost, repeated or late changes the sum.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, TypeVar

from ripstop.core.errors import RipstopError, WireError, missing_extra
from ripstop.risk import Queue, Worker

try:
    import nats
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription
    from nats.errors import Error as NatsError
    from nats.js import JetStreamContext
    from nats.js.api import (
        ConsumerConfig,
        ObjectStoreConfig,
        RetentionPolicy,
        StorageType,
        StreamConfig,
    )
    from nats.js.errors import NotFoundError
    from nats.js.object_store import ObjectStore
except ModuleNotFoundError as error:
    raise missing_extra("nats-py", "nats") from error

STREAM, SUBJECT, BUCKET, CONSUMER = "RIPSTOP_RISK", "ripstop.risk.units", "ripstop-risk", "workers"
REPLY, OBJECT, TROUBLE = "Ripstop-Reply", "Ripstop-Object", "Ripstop-Trouble"
KEPT_S = 3600.0  # jobs, units and large answers are forgotten after it
SILENT_S = 5.0  # a worker that says nothing for so long has lost its unit
BEAT_S = 1.0
CONNECT_S = 5.0
INLINE = 512 * 1024  # bytes of an answer; larger ones go through the object store
LARGEST = 1 << 28  # bytes of an answer; that of ten million nodes is shorter

T = TypeVar("T")


class NatsQueue:
    """Workers over NATS as a pool for `Settings(pool=...)`; to be used in a `with`.

    Args:
        url: of the server, `nats://[user:password@]host:port`; JetStream has to be on.
        parts: units that a question is cut into.
        patience_s: how long a unit may take in all before it is asked for again; ten seconds where no worker
            is there.

    Raises:
        WireError: W1003 on entering, if no server answers or it has no JetStream.
    """

    def __init__(self, url: str, *, parts: int = 16, patience_s: float = 300.0) -> None:
        self._url, self._parts, self._patience_s = url, parts, patience_s
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="risk queue", daemon=True)

    def __enter__(self) -> Queue:
        self._thread.start()
        try:
            self._client, self._stream, self._store = self._wait(_opened(self._url))
        except BaseException:
            self._end()
            raise
        return Queue(self._keep, self._submit, parts=self._parts)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._wait(self._client.close())
        finally:
            self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CONNECT_S)
        self._loop.close()

    def _wait(self, coming: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coming, self._loop).result()

    def _keep(self, digest: str, content: bytes) -> None:
        self._wait(_put(self._store, digest, content))

    def _submit(self, unit: bytes) -> Future[bytes]:
        return asyncio.run_coroutine_threadsafe(self._ask(unit), self._loop)

    async def _ask(self, unit: bytes) -> bytes:
        inbox = self._client.new_inbox()
        answers = await self._client.subscribe(inbox)
        try:
            await self._stream.publish(SUBJECT, unit, headers={REPLY: inbox})
            answer = await self._awaited(answers)
        finally:
            await answers.unsubscribe()
        headers = answer.headers or {}
        if TROUBLE in headers:
            raise WireError(headers[TROUBLE], code="W1001")
        content = answer.data
        if OBJECT in headers:
            size = (await self._store.get_info(headers[OBJECT])).size or 0
            if size > LARGEST:
                raise WireError(f"the answer has {size} bytes, expected {LARGEST} at most", code="W1001")
            content = (await self._store.get(headers[OBJECT])).data or b""
            await self._store.delete(headers[OBJECT])
        return content

    async def _awaited(self, answers: Subscription) -> Msg:
        until = self._loop.time() + self._patience_s
        while True:
            try:
                return await answers.next_msg(timeout=2 * SILENT_S)
            except TimeoutError:
                if self._loop.time() > until or not await self._has_workers():
                    raise

    async def _has_workers(self) -> bool:
        try:
            found = await self._stream.consumer_info(STREAM, CONSUMER)
        except NotFoundError:
            return False
        return bool(found.num_waiting or found.num_ack_pending)


async def serve(url: str, *, ends: asyncio.Event) -> int:
    """Count units as they come until `ends` is set; give how many were counted.

    Raises:
        WireError: W1003, if no server answers or it has no JetStream.
    """
    client, stream, store = await _opened(url)
    loop = asyncio.get_running_loop()

    async def fetched(digest: str) -> bytes:
        return (await store.get(digest)).data or b""

    worker = Worker(lambda digest: asyncio.run_coroutine_threadsafe(fetched(digest), loop).result())
    units = await stream.pull_subscribe(
        SUBJECT, CONSUMER, config=ConsumerConfig(ack_wait=SILENT_S, max_deliver=10)
    )
    counted = 0
    try:
        while not ends.is_set():
            try:
                (message,) = await units.fetch(1, timeout=BEAT_S)
            except (TimeoutError, NatsError):
                continue  # nothing to do, or the line is being mended
            inbox = (message.headers or {}).get(REPLY, "")
            if not inbox:
                await message.term()  # nobody waits for it
                continue
            answer, headers = await _answered(worker, message)
            if len(answer) > INLINE:
                headers[OBJECT] = inbox
                await _put(store, inbox, answer)
                answer = b""
            await client.publish(inbox, answer, headers=headers or None)
            await client.flush()
            await message.ack()
            counted += 1
    finally:
        with contextlib.suppress(NatsError, TimeoutError):
            await client.close()
    return counted


async def _answered(worker: Worker, message: Msg) -> tuple[bytes, dict[str, str]]:
    """Count in a thread, and say meanwhile that the unit is in work."""
    counting = asyncio.create_task(asyncio.to_thread(worker.answer, message.data))
    while not counting.done():
        await asyncio.wait({counting}, timeout=BEAT_S)
        if not counting.done():
            await message.in_progress()
    try:
        return counting.result(), {}
    except (RipstopError, NatsError) as error:
        return b"", {TROUBLE: " ".join(str(error).split())}


async def _opened(url: str) -> tuple[Client, JetStreamContext, ObjectStore]:
    """Connect, and make the work queue and the store where they are not there yet."""

    async def quiet(_: Exception) -> None:
        """Leave it to the calls that fail."""

    try:
        client = await asyncio.wait_for(
            nats.connect(url, error_cb=quiet, max_reconnect_attempts=-1, connect_timeout=2), CONNECT_S
        )
        stream = client.jetstream()
        await stream.add_stream(
            StreamConfig(
                STREAM,
                subjects=[SUBJECT],
                retention=RetentionPolicy.WORK_QUEUE,
                storage=StorageType.MEMORY,
                max_age=KEPT_S,
            )
        )
        store = await stream.create_object_store(BUCKET, ObjectStoreConfig(bucket=BUCKET, ttl=KEPT_S))
    except (NatsError, OSError, TimeoutError, ValueError) as error:
        raise WireError(
            f"no NATS server with JetStream answers at `{url.rpartition('@')[2]}`",
            code="W1003",
            hint="start one with `nats-server -js`, and look at the address",
        ) from error
    return client, stream, store


async def _put(store: ObjectStore, name: str, content: bytes) -> None:
    await store.put(name, content)
