"""The proxies that are compared: how each is configured, started and stopped.

Settings are those of a sensible production: two workers each, limits raised so that nobody runs out of connections, an
access log to a file, TLS 1.3 with the same P-256 certificate, session tickets, everything else at its default.
framegate runs its default policy: limits, UTF-8 checks, heartbeat, both of its log lines.
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

WORKERS = 2
CONNECTIONS = 20000
START_SECONDS = 10
STOP_SECONDS = 5

# Debian has its daemons there, which a user's PATH may lack.
SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


class Failed(Exception):
    """Something that was started did not do what it should; the text says what."""


def find(program):
    return shutil.which(program, path=SEARCH)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def first_line(*command):
    """What a program says of its version, on whichever stream."""
    said = subprocess.run(command, capture_output=True, text=True)
    return (said.stdout + said.stderr).strip().splitlines()[0]


class Processes:
    """A program with the processes it forks, as a group of its own; ended on leaving the context."""

    def __init__(self, command, log, **options):
        self.log = log
        with open(log, "ab") as output:
            options = {"stdout": output, "stderr": output, **options}
            self.leader = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options)

    def pids(self):
        """Of all processes in the group, whoever forked them."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(ValueError, OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[2]) == self.leader.pid:
                    found.append(int(entry.name))
        return sorted(found)

    def wait_for(self, is_ready, what):
        deadline = time.monotonic() + START_SECONDS
        while not is_ready():
            if self.leader.poll() is not None or time.monotonic() > deadline:
                tail = pathlib.Path(self.log).read_text(errors="replace").strip().splitlines()[-3:]
                raise Failed(f"{what} did not start: {' / '.join(tail)}")
            time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.leader.terminate()
        try:
            self.leader.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        # What is left of the group, if anything: its number cannot have been given to another while it has members.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.leader.pid, signal.SIGKILL)
        self.leader.wait()


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Peer:
    """One proxy. `key` is its name on the command line and in the JSON, `title` its column."""

    processes = 1

    def __init__(self, key, title, program):
        self.key, self.title, self.program = key, title, program

    def version(self):
        raise NotImplementedError

    def configure(self, folder, ports, backend, certificate):
        """Writes the configuration into `folder`; returns the command."""
        raise NotImplementedError

    @contextlib.contextmanager
    def running(self, folder, backend, certificate):
        """Yields the processes and the ports, by scheme."""
        ports = {"ws": free_port(), "wss": free_port()}
        command = self.configure(folder, ports, backend, certificate)
        with Processes(command, folder / f"{self.key}.log", cwd=folder) as processes:
            processes.wait_for(
                lambda: len(processes.pids()) >= self.processes and all(map(listens, ports.values())), self.title
            )
            yield processes, ports


class Nginx(Peer):
    processes = 1 + WORKERS  # and the master

    def __init__(self, key, title, program, buffers=""):
        super().__init__(key, title, program)
        self.buffers = buffers

    def version(self):
        return first_line(self.program, "-v").rpartition(": ")[2].replace("/", " ")

    def configure(self, folder, ports, backend, certificate):
        file = folder / f"{self.key}.conf"
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temp = "\n".join(f"  {kind}_temp_path {folder}/nginx-{kind};" for kind in kinds)
        # reuseport: without it one worker takes most of a burst of connections.
        file.write_text(f"""
worker_processes {WORKERS};
worker_rlimit_nofile {CONNECTIONS};
pid {folder}/{self.key}.pid;
error_log {folder}/{self.key}.error.log;
events {{ worker_connections {CONNECTIONS}; }}
http {{
{temp}
  access_log {folder}/{self.key}.access.log combined;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
  upstream backend {{ server 127.0.0.1:{backend}; }}
  server {{
    listen 127.0.0.1:{ports["ws"]} reuseport backlog=4096;
    listen 127.0.0.1:{ports["wss"]} ssl reuseport backlog=4096;
    ssl_certificate {certificate.pem};
    ssl_certificate_key {certificate.key};
    ssl_protocols TLSv1.3;
    ssl_session_cache shared:tls:10m;
    location / {{
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_read_timeout 1h;
      proxy_send_timeout 1h;
{self.buffers}
    }}
  }}
}}
""")
        return [self.program, "-c", file, "-e", folder / f"{self.key}.error.log", "-g", "daemon off;"]


class HAProxy(Peer):
    def version(self):
        return re.sub(r"^HAProxy version (\S+?)[-~ ].*", r"HAProxy \1", first_line(self.program, "-v"))

    def configure(self, folder, ports, backend, certificate):
        file = folder / f"{self.key}.cfg"
        file.write_text(f"""
global
  nbthread {WORKERS}
  maxconn {CONNECTIONS // 2 - 500}
  log stdout format raw local0 info
defaults
  mode http
  log global
  option httplog
  option forwardfor
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
frontend site
  bind 127.0.0.1:{ports["ws"]} backlog 4096
  bind 127.0.0.1:{ports["wss"]} backlog 4096 ssl crt {certificate.both} alpn http/1.1 ssl-min-ver TLSv1.3
  http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
  default_backend server
backend server
  server one 127.0.0.1:{backend}
""")
        return [self.program, "-db", "-f", file]


class Framegate(Peer):
    def version(self):
        return first_line(self.program, "--version")

    def configure(self, folder, ports, backend, certificate):
        file = folder / f"{self.key}.toml"
        file.write_text(f"""
workers = {WORKERS}

[[listener]]
bind = "127.0.0.1:{ports["ws"]}"

[[listener]]
bind = "127.0.0.1:{ports["wss"]}"
[listener.tls]
cert = "{certificate.pem}"
key = "{certificate.key}"
min_version = "1.3"

[[route]]
backend = "ws://127.0.0.1:{backend}"
""")
        return [self.program, "run", "--config", file]


class Certificate:
    """Self-signed for localhost, ECDSA P-256, in the three forms that are asked for."""

    def __init__(self, folder):
        self.pem, self.key, self.both = folder / "site.pem", folder / "site.key", folder / "site.both"
        command = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
            " -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE"
        ).split()
        made = subprocess.run([*command, "-keyout", self.key, "-out", self.pem], capture_output=True, text=True)
        if made.returncode:
            raise Failed(f"openssl could not make a certificate: {made.stderr.strip()}")
        self.both.write_text(self.pem.read_text() + self.key.read_text())


BUFFERS_16K = """
      proxy_buffer_size 16k;
      proxy_buffers 8 16k;
      proxy_busy_buffers_size 32k;
"""


def blind(nginx, haproxy):
    """The peers that look at nothing. nginx's own 4 KiB buffer is a weak opponent, so it runs with 16 KiB too."""
    return [
        Nginx("nginx", "nginx", nginx),
        Nginx("nginx16k", "nginx, 16 KiB", nginx, BUFFERS_16K),
        HAProxy("haproxy", "HAProxy", haproxy),
    ]
