"""Checks run with the `websockets` client: python client.py CA_FILE BASE_URL [direct]

Under BASE_URL are /py/ (the route's defaults), /py-passthrough/ and /py-strip/, all leading to server.py, and
/node/, leading to a `ws` server that echoes. Prints `ok name`, `FAIL name: why` or `skip name: why` for each check.
"""

import asyncio
import json
import os
import ssl
import sys
from urllib.parse import quote

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

CHECK_SECONDS = 10
MIB = 2**20

ca_file, base = sys.argv[1:3]
direct = "direct" in sys.argv[3:]
tls = ssl.create_default_context(cafile=ca_file)

checks = []


def check(name, gateway_only=False):
    def register(body):
        checks.append((name, gateway_only, body))
        return body

    return register


def opened(path, **options):
    # No proxy: whatever the environment says, this run stays on loopback.
    return connect(base + path, ssl=tls, proxy=None, max_size=8 * MIB, **options)


def agreed(connection):
    return [extension.name for extension in connection.protocol.extensions]


async def echoes(path, message, **options):
    async with opened(path, **options) as connection:
        await connection.send(message)
        answer = await connection.recv()
        assert answer == message, f"{len(message)} sent, something else of {len(answer)} came back"


@check("echo of text and binary")
async def _():
    for message in ["Grüße, 世界 🌍", "", b"\x00\x7f\x80\xff", b""]:
        await echoes("/py/echo", message)


@check("echo of 4 MiB, without compression")
async def _():
    await echoes("/py/echo", os.urandom(4 * MIB), compression=None)
    await echoes("/py/echo", "€🌍a" * (MIB // 2), compression=None)


@check("messages sent while others come back")
async def _():
    async with opened("/py/echo") as connection:
        sent = [os.urandom(1 + n * 97 % 5000) for n in range(500)]

        async def send():
            for message in sent:
                await connection.send(message)

        sending = asyncio.create_task(send())
        for message in sent:
            assert await connection.recv() == message
        await sending


@check("fragments arrive as they were framed")
async def _():
    async def parts():
        for part in ["one", "", "drei 🌍", "4"]:
            yield part

    async with opened("/py/fragments", compression=None) as connection:
        await connection.send(parts())
        # `websockets` ends a fragmented message with an empty final frame.
        assert json.loads(await connection.recv()) == ["one", "", "drei 🌍", "4", ""]


@check("fragments of the server arrive as they were framed")
async def _():
    async with opened("/py/stream", compression=None) as connection:
        await connection.send("a stream of words")
        received = [part async for part in connection.recv_streaming()]
        assert received == ["a", "stream", "of", "words", ""], received


@check("pings from the client")
async def _():
    async with opened("/py/echo") as connection:
        for payload in [b"one", b"two", b"x" * 125]:
            await (await connection.ping(payload))


@check("pings from the server")
async def _():
    async with opened("/py/ping") as connection:
        await connection.send("are you there")
        assert await connection.recv() == "pong are you there"


@check("a close by the server, code and reason")
async def _():
    for code, reason in [(1000, ""), (1001, "later"), (4001, "bye"), (3000, "ü" * 61)]:
        async with opened(f"/py/close?code={code}&reason={quote(reason)}") as connection:
            try:
                await connection.recv()
                raise AssertionError("a message came instead of a Close")
            except ConnectionClosed as closed:
                assert closed.rcvd is not None, f"no Close came for {code}"
                assert (closed.rcvd.code, closed.rcvd.reason) == (code, reason), closed.rcvd


@check("a close by the client, code and reason")
async def _():
    for code, reason in [(1000, ""), (4001, "bye"), (4999, "ü" * 61)]:
        async with opened(f"/py/remember?id={code}") as connection:
            await connection.close(code, reason)
            assert connection.close_code == code, f"its echo came back as {connection.close_code}"
        async with opened(f"/py/recall?id={code}") as connection:
            assert json.loads(await connection.recv()) == [code, reason]


@check("subprotocol")
async def _():
    async with opened("/py/handshake", subprotocols=["chat.v1", "other", "chat.v2"]) as connection:
        told = json.loads(await connection.recv())
        assert connection.subprotocol == told["subprotocol"] == "chat.v2", (connection.subprotocol, told)


@check("compression passthrough")
async def _():
    async with opened("/py-passthrough/handshake") as connection:
        told = json.loads(await connection.recv())
        assert agreed(connection) == told["agreed"] == ["permessage-deflate"], (agreed(connection), told)
    await echoes("/py-passthrough/echo", "compresses well " * (MIB // 16))
    await echoes("/py-passthrough/echo", os.urandom(MIB))


@check("compression passthrough, in fragments with a ping between")
async def _():
    async with opened("/py-passthrough/fragments") as connection:
        assert agreed(connection) == ["permessage-deflate"]

        async def parts():
            yield "first " * 1000
            await (await connection.ping(b"between"))
            yield "second " * 1000

        await connection.send(parts())
        assert json.loads(await connection.recv()) == ["first " * 1000, "second " * 1000, ""]


@check("compression strip, neither side gets it", gateway_only=True)
async def _():
    async with opened("/py-strip/handshake") as connection:
        told = json.loads(await connection.recv())
        assert agreed(connection) == told["agreed"] == [], (agreed(connection), told)
        assert not told["offered"], f"the server was offered {told['offered']}"
    await echoes("/py-strip/echo", "plain " * (MIB // 6))


@check("a `websockets` client and a `ws` server")
async def _():
    await echoes("/node/echo", "über den Zaun")
    await echoes("/node/echo", os.urandom(MIB))


async def main():
    for name, gateway_only, body in checks:
        if gateway_only and direct:
            print(f"skip {name}: needs the gateway", flush=True)
            continue
        try:
            await asyncio.wait_for(body(), CHECK_SECONDS)
            print(f"ok {name}", flush=True)
        except Exception as error:
            print(f"FAIL {name}: {type(error).__name__}: {error}".replace("\n", " "), flush=True)


asyncio.run(main())
