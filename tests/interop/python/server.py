"""A server made with `websockets` that does what the last part of the path asks for.

Prints its port as its first line, and serves until it is killed.
"""

import asyncio
import json
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

# How the connection of a given `id` ended. Whoever asks first, the asker or the connection, the other finds the slot.
endings = {}


def ending(key):
    return endings.setdefault(key, asyncio.get_running_loop().create_future())


async def echo(connection, query):
    async for message in connection:
        await connection.send(message)


async def fragments(connection, query):
    """Answers each message with the list of its fragments, as they were framed."""
    while True:
        received = [part async for part in connection.recv_streaming()]
        await connection.send(json.dumps(received))


async def stream(connection, query):
    """Answers each message with its words, one fragment each."""
    async for message in connection:
        await connection.send(word for word in message.split(" "))


async def ping(connection, query):
    """Pings with each message as payload, and tells when the pong came."""
    async for message in connection:
        await (await connection.ping(message))
        await connection.send(f"pong {message}")


async def handshake(connection, query):
    """Tells what the handshake looked like from here."""
    await connection.send(
        json.dumps(
            {
                "offered": connection.request.headers.get("Sec-WebSocket-Extensions"),
                "agreed": [extension.name for extension in connection.protocol.extensions],
                "subprotocol": connection.subprotocol,
            }
        )
    )


async def close(connection, query):
    """Closes with the code and reason of the query."""
    await connection.close(int(query["code"][0]), query.get("reason", [""])[0])


async def remember(connection, query):
    """Keeps how the client closed, for `recall`."""
    try:
        while True:
            await connection.recv()
    except ConnectionClosed as closed:
        received = closed.rcvd
        ending(query["id"][0]).set_result([received.code, received.reason] if received else None)


async def recall(connection, query):
    await connection.send(json.dumps(await ending(query["id"][0])))


STORIES = {story.__name__: story for story in (echo, fragments, stream, ping, handshake, close, remember, recall)}


async def tell(connection):
    target = urlsplit(connection.request.path)
    story = STORIES[target.path.rsplit("/", 1)[-1]]
    try:
        await story(connection, parse_qs(target.query))
    except ConnectionClosed:
        pass  # The client has left; that is how the endless stories end.


def choose(connection, offered):
    # Given a plain list of subprotocols, `websockets` refuses clients that offer none.
    return "chat.v2" if "chat.v2" in offered else None


async def main():
    async with serve(tell, "127.0.0.1", 0, select_subprotocol=choose, max_size=8 * 2**20) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
