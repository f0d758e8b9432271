#!/usr/bin/env python3
"""Shows that the lax peers see each fault: Autobahn sends only some, and what nobody reports looks like a pass."""

import unittest

import lax

KEY = b"\x01\x02\x03\x04"


def frame(first, payload=b"", key=KEY, length=None):
    """A frame with any first byte, and with the length bytes given instead of the right ones."""
    head = bytes([first])
    bit = 0x80 if key else 0
    head += length if length else bytes([bit | len(payload)])
    return head + (key or b"") + (lax.mask(payload, key) if key else payload)


def read(data, expect_mask=True):
    """Returns the rules reported and the events, fed a byte at a time, so that no rule depends on how bytes arrive."""
    rules = []
    reader = lax.Reader(expect_mask, lambda rule, detail: rules.append(rule))
    events = []
    for at in range(len(data)):
        events += reader.feed(data[at : at + 1])
    reader.finish()
    return rules, events


class Rules(unittest.TestCase):
    def check(self, data, *rules, expect_mask=True):
        self.assertEqual(read(data, expect_mask)[0], list(rules))

    def test_what_is_right_is_not_reported(self):
        self.check(frame(0x81, b"text") + frame(0x82, b"\xff") + frame(0x89, b"x" * 125) + frame(0x8A) + frame(0x88))
        self.check(frame(0x01, b"\xce") + frame(0x89) + frame(0x80, b"\xba"))
        self.check(frame(0x88, b"\x03\xe8bye"))
        self.check(frame(0x88, b"\x13\x87"))
        self.check(frame(0x82, b"x" * 126, length=b"\xfe\x00\x7e"))
        self.check(frame(0x82, b"x" * 65536, length=b"\xff" + (65536).to_bytes(8, "big")))
        self.check(frame(0x81, b"text", key=None), expect_mask=False)
        self.check(b"")

    def test_header(self):
        self.check(frame(0x81, key=None), "mask")
        self.check(frame(0x81), "mask", expect_mask=False)
        self.check(frame(0xC1), "rsv")
        self.check(frame(0x99), "rsv")
        self.check(frame(0x83), "opcode")
        self.check(frame(0x8B), "opcode")
        self.check(frame(0x89, b"x" * 126, length=b"\xfe\x00\x7e"), "control-length")
        self.check(frame(0x09), "control-fragmented")
        self.check(frame(0x82, b"x" * 125, length=b"\xfe\x00\x7d"), "length-not-minimal")
        self.check(frame(0x82, b"x" * 200, length=b"\xff" + (200).to_bytes(8, "big")), "length-not-minimal")
        self.check(b"\x82\xff\x80" + bytes(7) + KEY + b"rest", "length-top-bit")

    def test_order(self):
        self.check(frame(0x80), "continuation-without-start")
        self.check(frame(0x01) + frame(0x81), "data-inside-message")
        self.check(frame(0x88) + frame(0x81), "after-close")
        self.check(frame(0x88) + frame(0x88), "after-close")

    def test_close(self):
        self.check(frame(0x88, b"\x03"), "close-payload")
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535):
            self.check(frame(0x88, code.to_bytes(2, "big")), "close-code")
        self.check(frame(0x88, b"\x03\xe8\xff"), "close-reason")

    def test_text(self):
        self.check(frame(0x81, b"\xce"), "utf8")
        self.check(frame(0x01, b"\xce") + frame(0x80, b"a"), "utf8")

    def test_text_cut_short(self):
        self.check(frame(0x01, b"ok \xce"))
        self.check(frame(0x01, b"\xff"), "utf8-prefix")
        self.check(frame(0x01, b"\xce") + frame(0x80, b"abc")[:-2], "utf8-prefix")
        self.check(frame(0x81, b"\xf4\x8f")[:-1])
        for invalid in (b"\xf4\x90", b"\xed\xa0", b"\xe0\x80", b"\xf0\x8f", b"\xc0"):
            self.check(frame(0x81, invalid + b"rest")[:-4], "utf8-prefix")

    def test_frame_cut_short(self):
        self.check(b"\xc1", "rsv")
        self.check(frame(0x83, b"x" * 9)[:-9], "opcode")

    def test_events(self):
        data = frame(0x01, b"a") + frame(0x89, b"p") + frame(0x80, b"b") + frame(0x88, b"\x03\xe8")
        self.assertEqual(read(data)[1], [(lax.PING, b"p"), (lax.TEXT, b"ab"), (lax.CLOSE, b"\x03\xe8")])


if __name__ == "__main__":
    unittest.main()
