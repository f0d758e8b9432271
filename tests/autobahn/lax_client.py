#!/usr/bin/env python3
"""The lax testee: asks a fuzzing server for each of its cases, echoes, refuses nothing, reports what is malformed."""

import argparse
import asyncio
import base64
import hashlib
import json
import os
import ssl
import sys
from urllib.parse import quote, urlsplit

import lax


class HandshakeFailed(Exception):
    pass


class Client(lax.Peer):
    expect_mask = False

    def __init__(self, number, path, report, host):
        super().__init__(number, path, report)
        self._host = host
        self._key = base64.b64encode(os.urandom(16)).decode()
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        super().connection_made(transport)
        transport.write(
            (
                "GET %s HTTP/1.1\r\n"
                "Host: %s\r\n"
                "Upgrade: websocket\r\n"
                "Connection: Upgrade\r\n"
                "Sec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: %s\r\n\r\n" % (self.path, self._host, self._key)
            ).encode()
        )

    def on_head(self, lines):
        expected = base64.b64encode(hashlib.sha1((self._key + lax.GUID).encode()).digest()).decode()
        if " 101 " in lines[0] and lax.header(lines, "sec-websocket-accept") == expected:
            return True
        self._end(HandshakeFailed("answered %r" % lines[0]))
        self.transport.abort()
        return False

    def frame(self, opcode, payload):
        return lax.encode_frame(opcode, payload, key=os.urandom(4))

    # After Close the server ends TCP (RFC 6455 7.1.1), so `after_close` stays empty and lingering bounds the wait.

    def connection_lost(self, error):
        if self._reader is None:
            self._end(HandshakeFailed("connection lost: %s" % (error or "end of stream")))
        super().connection_lost(error)
        self._end(None)

    def _end(self, error):
        if not self.done.done():
            if error:
                self.done.set_exception(error)
            else:
                self.done.set_result(None)


class Question(Client):
    """A control connection of the fuzzing server's: keeps the message it gets instead of echoing it."""

    answer = None

    def on_message(self, opcode, payload):
        self.answer = payload


class Testee:
    def __init__(self, options):
        self._url = urlsplit(options.url)
        self._agent = quote(options.agent)
        self._report = lax.Report(options.report)
        self._seconds = options.case_seconds
        self._count = 0
        self._tls = None
        if self._url.scheme == "wss":
            self._tls = ssl.create_default_context(cafile=options.ca)
            if not options.ca:
                self._tls.check_hostname = False
                self._tls.verify_mode = ssl.CERT_NONE

    async def run(self):
        question = await self._visit(Question, "/getCaseCount")
        cases = json.loads(question.answer)
        for case in range(1, cases + 1):
            try:
                await self._visit(Client, "/runCase?case=%d&agent=%s" % (case, self._agent))
            except (HandshakeFailed, asyncio.TimeoutError, OSError) as error:
                # This case will stand in the report as failed; the others are still worth asking for.
                print("case %d: %s" % (case, error or "no end within %d s" % self._seconds), flush=True)
        await self._visit(Question, "/updateReports?agent=%s" % self._agent)

    async def _visit(self, kind, path):
        self._count += 1
        transport, peer = await asyncio.get_running_loop().create_connection(
            lambda: kind(self._count, path, self._report, self._url.netloc),
            self._url.hostname,
            self._url.port,
            ssl=self._tls,
        )
        try:
            await asyncio.wait_for(peer.done, self._seconds)
        finally:
            transport.abort()
        return peer


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="ws://host:port or wss://host:port")
    parser.add_argument("--agent", default="lax")
    parser.add_argument("--report", required=True, help="file for the leaks, one JSON line each")
    parser.add_argument("--ca", help="PEM file to verify wss with; without it nothing is verified")
    parser.add_argument("--case-seconds", type=float, default=75, help="longest time for one case")
    try:
        asyncio.run(Testee(parser.parse_args()).run())
    except (HandshakeFailed, asyncio.TimeoutError, OSError) as error:
        sys.exit("lax_client: %s" % (error or "timed out"))


if __name__ == "__main__":
    main()
