"""paho-mqtt through the gateway, over wss, and beside it over TCP: CA GATEWAY_PORT BROKER_PORT QUIET_SECONDS.

Prints a line a check, `ok NAME` or `FAIL NAME: why`, and `quiet` when it waits before the last.
"""

import queue
import random
import socket
import sys
import threading
import time

import paho.mqtt.client as mqtt

CA, GATEWAY_PORT, BROKER_PORT, QUIET_SECONDS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
PATIENCE = 30
failures = 0


class Client:
    """One that is connected, with what it receives in a queue."""

    def __init__(self, over, version=mqtt.MQTTv5, will=None):
        self.received = queue.Queue()
        self.events = queue.Queue()
        self.lost = threading.Event()
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            protocol=version,
            transport="websockets" if over == "wss" else "tcp",
        )
        self.client.on_connect = lambda _c, _u, _f, code, _p: self.events.put(code)
        self.client.on_subscribe = lambda *_: self.events.put("subscribed")
        self.client.on_message = lambda _c, _u, message: self.received.put((message.topic, message.payload))
        self.client.on_disconnect = lambda *_: self.lost.set()
        if will:
            self.client.will_set(will, b"gone", qos=1)
        if over == "wss":
            self.client.ws_set_options(path="/mqtt")
            self.client.tls_set(ca_certs=CA)
        # Its own pings must not come before the gateway's.
        port = GATEWAY_PORT if over == "wss" else BROKER_PORT
        self.client.connect("localhost" if over == "wss" else "127.0.0.1", port, keepalive=600)
        self.client.loop_start()
        code = self.events.get(timeout=PATIENCE)
        assert not code.is_failure, code

    def subscribe(self, topic):
        self.client.subscribe(topic, qos=2)
        assert self.events.get(timeout=PATIENCE) == "subscribed"

    def publish(self, topic, payload, qos):
        self.client.publish(topic, payload, qos=qos).wait_for_publish(timeout=PATIENCE)

    def receive(self):
        return self.received.get(timeout=PATIENCE)

    def vanish(self):
        """Ends the connection below MQTT, without DISCONNECT and without a Close."""
        self.client.socket()._socket.shutdown(socket.SHUT_RDWR)


def check(name, body):
    global failures
    try:
        body()
        print(f"ok {name}", flush=True)
    except Exception as error:
        failures += 1
        print(f"FAIL {name}: {error!r}", flush=True)


def passes(sender, receiver, topic, large=10_000):
    """Small messages and a larger one, of each quality of service, in their order.

    Towards a WebSocket mosquitto 2.0.11 sends 4 KiB each 100 ms, with a gateway or without; so not much larger.
    """
    receiver.subscribe(topic)
    large = random.randbytes(large)
    for qos in (0, 1, 2):
        for payload in (b"one", b"", "grüße".encode(), large):
            sender.publish(topic, payload, qos)
            assert receiver.receive() == (topic, payload), f"QoS {qos}, {len(payload)} bytes"


def will_is_sent(beside):
    beside.subscribe("will")
    Client("wss", will="will").vanish()
    assert beside.receive() == ("will", b"gone")


def goes_on(through, beside):
    time.sleep(QUIET_SECONDS)
    assert not through.lost.is_set(), "the connection was lost"
    passes(beside, through, "after")


def main():
    through, beside = Client("wss"), Client("tcp")
    check("MQTT 5, published over TCP, received over wss", lambda: passes(beside, through, "in"))
    check("MQTT 5, published over wss, received over TCP", lambda: passes(through, beside, "out", large=300_000))
    old = Client("wss", mqtt.MQTTv311)
    check("MQTT 3.1.1, from wss to wss", lambda: passes(old, through, "old"))
    check("the will of a client that vanishes is published", lambda: will_is_sent(beside))
    print("quiet", flush=True)
    check("a client that was quiet goes on", lambda: goes_on(through, beside))


main()
sys.exit(1 if failures else 0)
