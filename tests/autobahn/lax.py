"""What both lax peers share: a WebSocket reader that refuses nothing and reports everything.

A strict peer behind a gateway hides the gateway's faults, because it refuses the bad frame itself. A lax one goes on
with whatever arrives, so every refusal that the test suite sees must be the gateway's own; and what the gateway should
have refused but forwarded is written down, one JSON line a fault, as a leak.
"""

import asyncio
import codecs
import json
import struct

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# One broken connection must not fill the disk: 65,536 bad fragments tell no more than the first few.
REPORTS_PER_CONNECTION = 20

# How long a peer listens on after the closing handshake, for bytes that should not come and for the other side's FIN.
LINGER_SECONDS = 2.0


class Report:
    """The leak report: a file of JSON lines, flushed line by line because the process ends by a signal."""

    def __init__(self, path):
        self._file = open(path, "w", encoding="utf-8")

    def add(self, connection, path, rule, detail):
        line = {"connection": connection, "path": path, "rule": rule, "detail": detail}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def mask(payload, key):
    """XOR with the repeated key; masks and unmasks. As one big integer, since a Python loop takes seconds a message."""
    size = len(payload)
    pad = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")


def encode_frame(opcode, payload, key=None):
    """One final frame, masked when a key is given."""
    size, bit = len(payload), 0x80 if key else 0
    if size < 126:
        head = bytes((0x80 | opcode, bit | size))
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, bit | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, bit | 127, size)
    if key is None:
        return head + payload
    return head + key + mask(payload, key)


def close_code_is_legal(code):
    """RFC 6455 section 7.4, with the codes that IANA has registered since (1012 to 1014)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def utf8_fault(data, complete):
    """The fault in `data` as text, or None. An unfinished character is a fault only at the end of a message."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(data, final=complete)
    except UnicodeDecodeError as error:
        return "%s at byte %d" % (error.reason, error.start)
    # Python's decoder waits for the third byte of a surrogate, though two are enough to know that it is invalid.
    pending = decoder.getstate()[0]
    if len(pending) == 2 and pending[0] == 0xED and pending[1] >= 0xA0:
        return "surrogate at byte %d" % (len(data) - 2)
    return None


class Reader:
    """Bytes in, (opcode, payload) out: whole data messages and control frames, however wrong they are.

    Each rule of RFC 6455 is checked beside the parsing and only reported; the parse goes on with the likeliest meaning.
    """

    def __init__(self, expect_mask, report):
        self._expect_mask = expect_mask
        self._report = report
        self._buffer = bytearray()
        self._frame = None  # the header in progress: (opcode, fin, key, length)
        self._opcode = None  # of the fragmented message in progress
        self._fragments = []
        self._lost = False  # an absurd length: there is no next frame to find
        self.closed = False

    def feed(self, data):
        events = []
        if self._lost:
            return events
        buffer, at = self._buffer, 0
        buffer += data
        while not self._lost:
            if self._frame is None:
                size = self._read_header(at)
                if size == 0:
                    break
                at += size
            opcode, fin, key, length = self._frame
            if len(buffer) - at < length:
                break
            payload = bytes(buffer[at : at + length])
            at += length
            self._frame = None
            self._read_frame(opcode, fin, mask(payload, key) if key else payload, events)
        del buffer[:at]
        return events

    def finish(self):
        """The connection is over: judges what was left unfinished, since forwarded is forwarded."""
        if self._lost:
            return
        if self._frame is None:
            if self._buffer:
                self._check_first_byte(self._buffer[0])
            partial = b""
        else:
            opcode, _, key, _ = self._frame
            payload = bytes(self._buffer)
            partial = mask(payload, key) if key else payload
            if opcode == TEXT:
                self._opcode, self._fragments = TEXT, []
            elif opcode != CONTINUATION:
                partial = b""
        if self._opcode == TEXT:
            fault = utf8_fault(b"".join(self._fragments) + partial, complete=False)
            if fault:
                self._report("utf8-prefix", fault)

    def _read_header(self, at):
        """Sets `_frame` and returns the header's size, or 0 when more bytes are needed.

        A header is judged as soon as it is here: the gateway must decide on it before it forwards any of the payload.
        """
        buffer = self._buffer
        have = len(buffer) - at
        if have < 2:
            return 0
        first, second = buffer[at], buffer[at + 1]
        length, size = second & 0x7F, 2
        extended = {126: 2, 127: 8}.get(length, 0)
        masked = bool(second & 0x80)
        if have < size + extended + (4 if masked else 0):
            return 0
        if extended:
            length = int.from_bytes(buffer[at + 2 : at + 2 + extended], "big")
            size += extended
        key = None
        if masked:
            key = bytes(buffer[at + size : at + size + 4])
            size += 4
        opcode, fin = first & 0x0F, bool(first & 0x80)

        if self.closed:
            self._report("after-close", "opcode 0x%X, %d bytes" % (opcode, length))
        self._check_first_byte(first)
        if masked != self._expect_mask:
            self._report("mask", "masked from a server" if masked else "not masked from a client")
        if opcode >= 0x8 and length > 125:
            self._report("control-length", "opcode 0x%X with %d bytes" % (opcode, length))
        if (extended == 2 and length < 126) or (extended == 8 and length < 1 << 16):
            self._report("length-not-minimal", "%d in %d bytes" % (length, extended))
        if length >> 63:
            self._report("length-top-bit", "0x%X" % length)
            self._lost = True
        if not self.closed:
            if opcode == CONTINUATION and self._opcode is None:
                self._report("continuation-without-start", "%d bytes" % length)
            elif opcode in (TEXT, BINARY) and self._opcode is not None:
                self._report("data-inside-message", "opcode 0x%X" % opcode)
        self._frame = (opcode, fin, key, length)
        return size

    def _check_first_byte(self, first):
        opcode = first & 0x0F
        if first & 0x70:
            self._report("rsv", "bits 0x%X, opcode 0x%X" % ((first & 0x70) >> 4, opcode))
        if 0x3 <= opcode <= 0x7 or opcode >= 0xB:
            self._report("opcode", "0x%X is reserved" % opcode)
        elif opcode >= 0x8 and not first & 0x80:
            self._report("control-fragmented", "opcode 0x%X" % opcode)

    def _read_frame(self, opcode, fin, payload, events):
        if self.closed:
            return
        if opcode == CLOSE:
            self._check_close(payload)
            self.closed = True
            events.append((CLOSE, payload))
        elif opcode in (PING, PONG):
            events.append((opcode, payload))
        elif opcode in (CONTINUATION, TEXT, BINARY):
            if opcode != CONTINUATION or self._opcode is None:
                self._opcode, self._fragments = opcode or BINARY, []
            self._fragments.append(payload)
            if fin:
                self._read_message(events)

    def _read_message(self, events):
        opcode, payload = self._opcode, b"".join(self._fragments)
        self._opcode, self._fragments = None, []
        if opcode == TEXT:
            fault = utf8_fault(payload, complete=True)
            if fault:
                self._report("utf8", fault)
        events.append((opcode, payload))

    def _check_close(self, payload):
        if len(payload) == 1:
            self._report("close-payload", "1 byte")
        elif payload:
            code = int.from_bytes(payload[:2], "big")
            if not close_code_is_legal(code):
                self._report("close-code", str(code))
            fault = utf8_fault(payload[2:], complete=True)
            if fault:
                self._report("close-reason", fault)


class Peer(asyncio.Protocol):
    """A connection of either peer: first an HTTP head, then frames, echoed.

    A subclass sets `expect_mask`, answers the head in `on_head`, and may take messages for itself in `on_message`.
    """

    expect_mask = False
    HEAD_LIMIT = 1 << 16

    def __init__(self, number, path, report):
        self.number = number
        self.path = path
        self.close_received = None
        self.transport = None
        self._report = report
        self._reports = 0
        self._head = bytearray()
        self._reader = None
        self._linger = None

    # What a subclass fills in.

    def on_head(self, lines):
        """Takes the HTTP head; returns True when frames follow."""
        raise NotImplementedError

    def frame(self, opcode, payload):
        return encode_frame(opcode, payload)

    def on_message(self, opcode, payload):
        self.transport.write(self.frame(opcode, payload))

    def after_close(self):
        """The closing handshake is done; the subclass knows which side ends TCP."""

    # asyncio's callbacks.

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if self._reader is None:
            data = self._read_head(data)
            if data is None:
                return
        for opcode, payload in self._reader.feed(data):
            if opcode == PING:
                # A ping that is too long has been reported; the pong stays well-formed, to keep one fault one fault.
                self.transport.write(self.frame(PONG, payload[:125]))
            elif opcode == CLOSE:
                self.close_received = payload
                self.transport.write(self.frame(CLOSE, payload[:125]))
                self._linger = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._stop_lingering)
                self.after_close()
            elif opcode != PONG:
                self.on_message(opcode, payload)

    def connection_lost(self, error):
        if self._linger:
            self._linger.cancel()
        if self._reader:
            self._reader.finish()
        self.log("%s, %s, %d leaks" % (self._describe_close(), error or "end of stream", self._reports))

    def log(self, text):
        print("connection %d %s: %s" % (self.number, self.path, text), flush=True)

    def _read_head(self, data):
        self._head += data
        head, separator, rest = bytes(self._head).partition(b"\r\n\r\n")
        if not separator:
            if len(self._head) > self.HEAD_LIMIT:
                self.transport.abort()
            return None
        if not self.on_head(head.decode("latin-1").split("\r\n")):
            return None
        self._reader = Reader(self.expect_mask, self._leak)
        return rest

    def _leak(self, rule, detail):
        self._reports += 1
        if self._reports <= REPORTS_PER_CONNECTION:
            self._report.add(self.number, self.path, rule, detail)

    def _stop_lingering(self):
        self.log("the other side has not ended TCP %.0f s after Close" % LINGER_SECONDS)
        self.transport.abort()

    def _describe_close(self):
        if self.close_received is None:
            return "no Close"
        if len(self.close_received) < 2:
            return "empty Close"
        return "Close %d" % int.from_bytes(self.close_received[:2], "big")


def header(lines, name):
    """The value of a header field in an HTTP head, or None."""
    for line in lines[1:]:
        field, _, value = line.partition(":")
        if field.strip().lower() == name:
            return value.strip()
    return None
