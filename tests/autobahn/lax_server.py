#!/usr/bin/env python3
"""The lax backend: upgrades whoever asks, echoes whatever comes, refuses nothing, reports what is malformed."""

import argparse
import asyncio
import base64
import hashlib
import itertools
import ssl

import lax


class Server(lax.Peer):
    expect_mask = True

    def on_head(self, lines):
        self.path = (lines[0].split(" ") + ["", ""])[1]
        key = lax.header(lines, "sec-websocket-key")
        if key is None:
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlax\n")
            self.transport.close()
            return False
        accept = base64.b64encode(hashlib.sha1((key + lax.GUID).encode("latin-1")).digest()).decode()
        self.transport.write(
            (
                "HTTP/1.1 101 Switching Protocols\r\n"
                "Server: lax\r\n"
                "Upgrade: websocket\r\n"
                "Connection: Upgrade\r\n"
                "Sec-WebSocket-Accept: %s\r\n\r\n" % accept
            ).encode()
        )
        return True

    def after_close(self):
        # RFC 6455 7.1.1: the server ends TCP first. Only our half, so that what is still sent after Close is seen; TLS
        # has no half.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()


async def serve(options):
    report = lax.Report(options.report)
    numbers = itertools.count(1)
    context = None
    if options.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.cert, options.key)
    server = await asyncio.get_running_loop().create_server(
        lambda: Server(next(numbers), "?", report), "127.0.0.1", options.port, ssl=context
    )
    async with server:
        await server.serve_forever()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--report", required=True, help="file for the leaks, one JSON line each")
    parser.add_argument("--cert", help="PEM certificate; with --key, the server speaks TLS")
    parser.add_argument("--key")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
