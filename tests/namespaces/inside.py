"""Inside the namespaces: the loopback is up, /etc/hosts is ours, and the range of source ports is narrow."""

import base64
import hashlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time

FRAMEGATE = os.environ["FRAMEGATE"]
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: gateway.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: ACCEPT\r\n\r\n"
)


def accept_key(head):
    name = b"sec-websocket-key:"
    key = next(line[len(name) :].strip() for line in head.split(b"\r\n") if line.lower().startswith(name))
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def head_of(connection):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            return head
        head += byte
    return head


class Server:
    """Says 101 to everybody and then `greeting`, and answers nothing else."""

    def __init__(self, address, greeting):
        self.listener = socket.create_server(address, backlog=64)
        self.greeting = greeting
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.meet, args=(connection,), daemon=True).start()

    def meet(self, connection):
        answer = SWITCHING.replace(b"ACCEPT", accept_key(head_of(connection)))
        connection.sendall(answer + bytes([0x81, len(self.greeting)]) + self.greeting)
        while connection.recv(4096):
            pass


class Gateway:
    def __init__(self, folder, backend):
        config = folder / "framegate.toml"
        config.write_text(
            '[log]\nformat = "json"\n[[listener]]\nbind = "127.0.0.1:0"\n'
            '[[route]]\nbackend = "pool"\n[[backend]]\nname = "pool"\n' + backend
        )
        self.process = subprocess.Popen([FRAMEGATE, "run", "--config", config], stderr=subprocess.PIPE, text=True)
        self.lines = []
        self.said = threading.Condition()
        threading.Thread(target=self.listen, daemon=True).start()
        host, port = self.wait_for("listening")["bind"].rsplit(":", 1)
        self.address = (host, int(port))

    def listen(self):
        for line in self.process.stderr:
            with self.said:
                self.lines.append(json.loads(line))
                self.said.notify_all()

    def wait_for(self, message, seconds=15):
        deadline = time.monotonic() + seconds
        with self.said:
            while True:
                for line in self.lines:
                    if message in line["message"]:
                        self.lines.remove(line)
                        return line
                left = deadline - time.monotonic()
                if left <= 0 or not self.said.wait(left):
                    raise AssertionError(f"no line says {message!r}: {self.lines}")

    def ask(self):
        client = socket.create_connection(self.address, timeout=15)
        client.sendall(REQUEST)
        return client, head_of(client)

    def open(self):
        """A session, and what its server greets with."""
        client, head = self.ask()
        assert head.startswith(b"HTTP/1.1 101 "), head
        length = client.recv(2)[1]
        return client, client.recv(length).decode()

    def end(self):
        self.process.kill()
        self.process.wait()


def names(folder, hosts):
    """New sessions follow the name; live ones stay; while nobody knows the name, the last good answer stands."""
    port = 9000
    servers = [Server((f"127.0.0.{n}", port), f"server {n}".encode()) for n in (2, 3)]
    hosts.write_text("127.0.0.2 chat.test\n")
    gateway = Gateway(folder, f'servers = ["ws://chat.test:{port}"]\nslow_start = "none"\n')
    live, greeting = gateway.open()
    assert greeting == "server 2", greeting

    hosts.write_text("127.0.0.3 chat.test\n")
    deadline = time.monotonic() + 15
    while gateway.open()[1] != "server 3":
        assert time.monotonic() < deadline, "new sessions do not follow the name"
        time.sleep(0.1)  # the answer is looked at again after five seconds, while sessions come
    line = gateway.wait_for("the name leads elsewhere")
    assert "127.0.0.3" in line["added"] and "127.0.0.2" in line["removed"], line
    live.settimeout(0.2)
    try:
        raise AssertionError(f"the live session heard {live.recv(64)!r}")
    except TimeoutError:
        pass

    hosts.write_text("")
    deadline = time.monotonic() + 15
    said = None
    while said is None:
        assert time.monotonic() < deadline, "nobody said that the name is gone"
        assert gateway.open()[1] == "server 3", "the last good answer stands"
        try:
            said = gateway.wait_for("cannot resolve", seconds=0.1)
        except AssertionError:
            pass
    assert said["host"] == "chat.test", said
    gateway.end()
    assert len(servers) == 2


def source_ports(folder):
    """Without a source port the client hears 503 at once, and the operator which limit it is."""
    pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40000 40009")
    Server(("127.0.0.1", 9100), b"hi")
    gateway = Gateway(folder, 'servers = ["ws://127.0.0.1:9100"]\n')
    # Clients come from another address: the ports are counted for each pair.
    held = []
    while len(held) <= 12:
        client = socket.socket()
        client.bind(("127.0.0.9", 20000 + len(held)))
        client.settimeout(15)
        client.connect(gateway.address)
        client.sendall(REQUEST)
        held.append(client)
        head = head_of(client)
        if not head.startswith(b"HTTP/1.1 101 "):
            break
    assert head.startswith(b"HTTP/1.1 503 ") and b"x-framegate-cause: overload" in head, head
    assert 8 <= len(held) <= 12, len(held)
    line = gateway.wait_for("handshake refused")
    assert "no source port is left" in line["detail"], line
    # One that ends makes room.
    held[0].close()
    gateway.wait_for("session ended")
    gateway.end()


def main():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        hosts = folder / "hosts"
        hosts.write_text("")
        subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
        try:
            names(folder, hosts)
            print("ok    names are followed, live sessions stay, the last good answer stands")
            source_ports(folder)
            print("ok    no source port left: 503, and a line that says so")
        finally:
            subprocess.run(["umount", "/etc/hosts"], check=False)


if __name__ == "__main__":
    sys.exit(main())
