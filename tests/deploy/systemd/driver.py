"""What an operator does with the units, and what clients see of it."""

import base64
import hashlib
import os
import pathlib
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

DEADLINE = 60
WATCHDOG = 3
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
CONFIG = pathlib.Path("/etc/framegate/framegate.toml")


def until(what, holds):
    """Waits for an event, with a deadline."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        found = holds()
        if found:
            return found
        time.sleep(0.02)
    sys.exit(f"not within {DEADLINE} s: {what}")


def expect(holds, what):
    if not holds:
        sys.exit(f"failed: {what}")


def systemctl(*words, may_fail=False):
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=60)
    if done.returncode and not may_fail:
        sys.exit(f"systemctl {' '.join(words)}: {done.stdout}{done.stderr}")
    return done


def shown(name):
    return systemctl("show", "--value", "--property", name, "framegate").stdout.strip()


def main_pid():
    return int(shown("MainPID"))


def of_process(pid, name):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return re.search(rf"^{name}:\s+(.*)$", status, re.M)[1]


def exactly(stream, count):
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            return None
        data += more
    return data


def head_of(stream):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = stream.recv(1)
        if not byte:
            break
        head += byte
    return head


def frame_from(stream):
    """(opcode, payload), or None at the end of the stream."""
    first = exactly(stream, 2)
    if first is None:
        return None
    masked, size = first[1] & 0x80, first[1] & 0x7F
    if size == 126:
        (size,) = struct.unpack("!H", exactly(stream, 2))
    elif size == 127:
        (size,) = struct.unpack("!Q", exactly(stream, 8))
    mask = exactly(stream, 4) if masked else b""
    payload = exactly(stream, size)
    if masked:
        key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
        payload = (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")
    return first[0] & 0x0F, payload


def backend():
    """Answers a message with its size, and a Close with its like."""

    def serve(stream):
        with stream:
            converse(stream)

    def converse(stream):
        key = re.search(rb"(?i)sec-websocket-key: (\S+)", head_of(stream))[1]
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        stream.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        while frame := frame_from(stream):
            opcode, payload = frame
            if opcode in (1, 2):
                answer = str(len(payload)).encode()
                stream.sendall(bytes([0x81, len(answer)]) + answer)
            elif opcode == 8:
                stream.sendall(bytes([0x88, len(payload)]) + payload)
                return

    listener = socket.create_server(("127.0.0.1", 9000), backlog=64)

    def accept():
        while True:
            stream, _ = listener.accept()
            threading.Thread(target=serve, args=(stream,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


class Client:
    def __init__(self, port=443, host="127.0.0.1"):
        self.stream = socket.create_connection((host, port), timeout=DEADLINE)
        if port == 443:
            context = ssl.create_default_context(cafile="/etc/framegate/site.pem")
            self.stream = context.wrap_socket(self.stream, server_hostname="localhost")
        self.stream.sendall(
            f"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n".encode()
        )
        head = head_of(self.stream)
        expect(head.startswith(b"HTTP/1.1 101 "), f"the handshake was answered with {head!r}")

    def says(self, size):
        """The mask is of zeros, which leaves the payload as it is."""
        length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 127]) + struct.pack("!Q", size)
        self.stream.sendall(bytes([0x82]) + length + bytes(4) + bytes(size))
        expect(self.hears(1) == str(size).encode(), "the backend got another size")

    def hears(self, wanted):
        while frame := frame_from(self.stream):
            if frame[0] == wanted:
                return frame[1]
        return None

    def is_sent_away(self, answers_after=0):
        payload = self.hears(8)
        expect(payload and struct.unpack("!H", payload[:2]) == (1012,), f"closed with {payload!r} and not 1012")
        time.sleep(answers_after)
        self.stream.sendall(bytes([0x88, 0x80 | 2]) + bytes(4) + payload[:2])
        self.stream.close()


def started():
    systemctl("start", "framegate.socket", "framegate-redirect.socket")
    expect(shown("ActiveState") == "inactive", "nobody has asked for the service yet")
    # The connection starts the service, and is answered by it.
    first = Client()
    first.says(5)
    until("the service is active", lambda: shown("ActiveState") == "active")
    Client(host="::1").says(5)
    return first


def own_limits():
    return pathlib.Path("/proc/1/limits").read_text()


def locked_up():
    pid = main_pid()
    account = subprocess.run(["id", "-u", "framegate"], capture_output=True, text=True).stdout.strip()
    expect(of_process(pid, "Uid").split() == [account] * 4 and account != "0", "the process has another user")
    for kind in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
        # CAP_NET_BIND_SERVICE is the tenth.
        expect(int(of_process(pid, kind), 16) == 1 << 10, f"{kind} is {of_process(pid, kind)}")
    expect((of_process(pid, "NoNewPrivs"), of_process(pid, "Seccomp")) == ("1", "2"), "no filter of system calls")
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    # Where this machine itself may not have as many, as many as it may.
    wanted = min(int(shown("LimitNOFILE")), int(re.search(r"Max open files\s+\d+\s+(\d+)", own_limits())[1]))
    found = int(re.search(r"Max open files\s+\d+\s+(\d+)", limits)[1])
    expect(found == wanted, f"{found} descriptors and not {wanted}")


def large_frames_take_the_short_way():
    """splice(2) and its pipes. Where the filter forbids the call, bytes are copied: only the filter itself can tell."""
    expect("splice" in shown("SystemCallFilter").split(), "the filter forbids splice(2)")

    def pipes():
        folder = pathlib.Path(f"/proc/{main_pid()}/fd")
        return sum(os.readlink(entry).startswith("pipe:") for entry in folder.iterdir())

    client, before = Client(port=81), pipes()
    client.says(8 << 20)
    expect(pipes() > before, "a large frame went through no pipe")


def answers_about_itself():
    """What it says of its process it finds out although it sees little of the machine."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect("/run/framegate/admin.sock")
        stream.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: stream.recv(65536), b"")).decode()
    listed = pathlib.Path(__file__).parents[1].joinpath("metrics.txt").read_text()
    for name in re.findall(r"^\w+ (process_\w+)", listed, re.M):
        expect(re.search(rf"^{name} \d", text, re.M), f"there is no {name}")


def reloads(session):
    pid = main_pid()
    systemctl("reload", "framegate")
    expect(main_pid() == pid, "a reload is no restart")
    session.says(7)
    good = CONFIG.read_text()
    CONFIG.write_text(good.replace("[[route]]", "[[rout]]"))
    failed = systemctl("reload", "framegate", may_fail=True)
    expect(failed.returncode != 0, "a broken file is told to whoever asked for the reload")
    CONFIG.write_text(good)
    expect(shown("ActiveState") == "active" and main_pid() == pid, "a broken file changes nothing")
    session.says(8)


def hands_over(session):
    old = main_pid()
    systemctl("kill", "--kill-whom=main", "--signal=SIGUSR2", "framegate")
    # Nobody is refused meanwhile.
    until("another process is the service's", lambda: Client().says(3) or main_pid() not in (0, old))
    expect(shown("ActiveState") == "active", "the service goes on")
    session.is_sent_away()
    until("the old process is gone", lambda: not pathlib.Path(f"/proc/{old}").exists())
    expect(shown("ActiveState") == "active", "the service is the new process")
    locked_up()
    Client().says(4)
    Client(port=81).says(4)


def stops_during_a_hand_over():
    """systemd ends both processes, in order, and its watchdog leaves the one that drains its time."""
    lasting, old = Client(), main_pid()
    systemctl("kill", "--kill-whom=main", "--signal=SIGUSR2", "framegate")
    until("another process is the service's", lambda: main_pid() not in (0, old))
    new = main_pid()
    stopping = threading.Thread(target=systemctl, args=("stop", "framegate"))
    stopping.start()
    lasting.is_sent_away(answers_after=WATCHDOG + 1)
    stopping.join(DEADLINE)
    for pid in (old, new):
        expect(not pathlib.Path(f"/proc/{pid}").exists(), "a process outlives its service")
    expect(shown("Result") == "success", f"the stop was a {shown('Result')}")


def restarts_without_refusing():
    session = Client()
    restarting = threading.Thread(target=systemctl, args=("restart", "framegate"))
    restarting.start()
    session.is_sent_away()
    # While one stops and the other starts they wait in the queue.
    while restarting.is_alive():
        Client().says(6)
    restarting.join()


def is_watched():
    """A process that stands still is replaced."""
    pid = main_pid()
    os.kill(pid, 19)  # SIGSTOP
    until("a process in its place", lambda: main_pid() not in (0, pid) and shown("ActiveState") == "active")
    expect(int(shown("NRestarts")) >= 1, "it was restarted")
    Client().says(9)


def main():
    backend()
    session = started()
    for step in (locked_up, large_frames_take_the_short_way, answers_about_itself):
        timed(step)
    for step in (reloads, hands_over):
        timed(step, session)
    for step in (is_watched, restarts_without_refusing, stops_during_a_hand_over):
        timed(step)


def timed(step, *arguments):
    since = time.monotonic()
    step(*arguments)
    print(f"{step.__name__.replace('_', ' ')}: {time.monotonic() - since:.1f} s", flush=True)


main()
