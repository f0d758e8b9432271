"""Asks for one WebSocket and prints, as JSON, what became of it: python refusals.py CA_FILE URL"""

import asyncio
import json
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

ca_file, url = sys.argv[1:]


async def main():
    try:
        # No proxy: whatever the environment says, this run stays on loopback.
        async with connect(url, ssl=ssl.create_default_context(cafile=ca_file), proxy=None) as connection:
            try:
                await connection.send("anybody there?")
                await connection.recv()
                return {"admitted": True}
            except ConnectionClosed as closed:
                return {"code": closed.rcvd.code, "reason": closed.rcvd.reason}
    except InvalidStatus as refused:
        return {"status": refused.response.status_code}


print(json.dumps(asyncio.run(main())))
