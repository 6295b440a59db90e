#!/usr/bin/env python3
# test: alone
# test: seconds 240
"""What goes wrong around a gateway, and what that costs those who have nothing to do with it.

Each row: a fault, what the callers of the service that has it meet, and what a bystander meets who calls another
service. The table stands at the end; its figures are those of this machine.
"""

import contextlib
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import threading
import time

import port
from bystander import Bystander, Service, serving
from port import Failure, Gateway, Skip, check, equal, eventually

SECONDS = float(os.environ.get("CHAOS_SECONDS", "2"))
LONG = max(SECONDS, 8.0)  # a second is lost to each request that waits in vain, and five of them leave an instance out
SLOW_CLIENTS = int(os.environ.get("SLOW_CLIENTS", "1500"))

rows = []


class Sick:
    """An instance that behaves as it is told: `mode` is a function of a connected socket."""

    def __init__(self):
        self.listener, self.port = None, port.free_port()
        self.mode, self.taken = None, 0
        self.up()

    @property
    def address(self):
        return "127.0.0.1:%d" % self.port

    def up(self):
        if self.listener:
            return
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(512)
        self.socks = set()
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def down(self):
        """Killed: nobody listens, and what was connected is reset."""
        listener, self.listener = self.listener, None
        if not listener:
            return
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for sock in list(self.socks):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self.taken += 1
            self.socks.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            (self.mode or well)(sock)
        except OSError:
            pass
        self.socks.discard(sock)
        sock.close()


def head_of(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            raise OSError
        data += piece


def well(sock):
    while True:
        head_of(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")


def slowly(sock):
    """A byte a second."""
    while True:
        head_of(sock)
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n":
            sock.sendall(bytes([byte]))
            time.sleep(1)


def garbage(sock):
    head_of(sock)
    sock.sendall(os.urandom(400))
    time.sleep(0.2)


def early(sock):
    head_of(sock)
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\nhalf of")


def at_once(sock):
    head_of(sock)


def silent(sock):
    head_of(sock)
    time.sleep(30)


def errors(sock):
    while True:
        head_of(sock)
        sock.sendall(b"HTTP/1.1 500 Oh\r\nContent-Length: 3\r\n\r\nno\n")


class World:
    """Service `ours` has a good instance and a sick one, `calm` is the bystander's."""

    def __init__(self, data=None, change=None):
        self.calm, self.good, self.sick = Service(), Service(), Sick()
        self.port = port.free_port()
        config = {
            "listen": {"gateway": "127.0.0.1:%d" % self.port},
            "timeouts": {"head": "20s", "connect": "500ms", "response": "1s", "total": "3s"},
            "limits": {"connections": 18000},
            "services": {"ours": {"instances": [self.good.address, self.sick.address]},
                         "calm": {"instances": [self.calm.address]}},
            "actions": {"ours": {"match": "* /ours/{rest*}", "to": "ours", "public": True},
                        "calm": {"match": "* /calm/{rest*}", "to": "calm", "public": True}}}
        if data:
            config["data"] = data
        if change:
            change(config)
        self.gateway = Gateway(config)
        self.bystander, self.own = Bystander(self.port, "/calm/x"), Bystander(self.port, "/ours/x")

    def stop(self):
        for part in (self.bystander, self.own, self.calm, self.good):
            part.stop()
        self.sick.down()
        self.gateway.stop()


@contextlib.contextmanager
def world(*args):
    """A fresh one: an instance that was found ill is left out for longer than a row takes."""
    w = World(*args)
    try:
        time.sleep(0.3)
        w.own.since(), w.bystander.since()
        yield w
    finally:
        w.stop()


def measured(w, what, seconds=SECONDS, own=True):
    """Lets it go on for so long; what it was like for both."""
    w.own.since(), w.bystander.since()
    time.sleep(seconds)
    mine, others = w.own.since(), w.bystander.since()
    rows.append((what, mine if own else None, others))
    equal(others["wrong"], 0, "answers that the bystander did not get (%s)" % others["what"])
    check(others["p99"] < 500, "the bystander waited: %s" % others)
    return mine


def is_well(w):
    """Somebody serves it."""
    eventually(lambda: port.fetch(w.port, "/ours/x").status == 200, "the service answers", 5)


@port.test("calm: nothing is wrong")
def calm():
    with world() as w:
        equal(measured(w, "nothing is wrong")["wrong"], 0, "wrong answers")


@port.test("an instance is killed: its callers meet nothing, the other has them")
def killed():
    with world() as w:
        w.own.since()
        w.sick.down()
        mine = measured(w, "one of two instances is killed")
        check(mine["wrong"] <= 1, "its callers: %s" % mine)  # the one request that it had taken
        is_well(w)


@port.test("both instances are killed: errors at once, for them alone; they come back, and so does the service")
def both():
    with world() as w:
        w.sick.down()
        w.good.signal(signal.SIGSTOP)
        w.good.stop()
        mine = measured(w, "all instances of a service are killed")
        equal(mine["wrong"], mine["n"], "answers without a service")
        w.good = Service(str(w.good.port))
        is_well(w)


for name, mode, what in (("a byte a second", slowly, "one of two instances sends a byte a second"),
                         ("garbage", garbage, "one of two instances answers garbage"),
                         ("early close in the body", early, "one of two instances closes in its answer"),
                         ("close without a word", at_once, "one of two instances closes without a word"),
                         ("silence", silent, "one of two instances never answers"),
                         ("errors", errors, "one of two instances answers 500")):
    def ill(mode=mode, what=what):
        with world() as w:
            w.sick.mode = mode
            for sock in list(w.sick.socks):  # those who are connected meet it, too
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            mine = measured(w, what, LONG if mode in (slowly, silent) else SECONDS + 1)
            check(mine["n"] > mine["wrong"], "its callers got nothing at all: %s" % mine)
            check(mine["wrong"] <= 12 or mode is errors, "it was not left out: %s" % mine)
    port.test("an instance is ill: " + name)(ill)


@port.test("an instance is frozen: it takes connections and says nothing")
def frozen():
    with world() as w:
        w.sick.down()
        frozen_one = Service(str(w.sick.port))
        eventually(lambda: port.fetch(w.port, "/ours/x").status == 200, "the service answers", 5)
        time.sleep(0.3)
        frozen_one.signal(signal.SIGSTOP)
        mine = measured(w, "one of two instances is frozen (SIGSTOP)", LONG)
        check(mine["n"] > mine["wrong"], "its callers got nothing at all: %s" % mine)
        frozen_one.signal(signal.SIGCONT)
        frozen_one.stop()
        is_well(w)


@port.test("an instance flaps: down and up five times a second")
def flapping():
    with world() as w:
        stop = threading.Event()

        def flap():
            while not stop.is_set():
                w.sick.down()
                time.sleep(0.1)
                w.sick.up()
                time.sleep(0.1)
        flapper = threading.Thread(target=flap)
        flapper.start()
        try:
            mine = measured(w, "one of two instances flaps, 5 times a second", SECONDS + 1)
        finally:
            stop.set()
            flapper.join()
        check(mine["wrong"] <= mine["n"] // 50 + 5, "its callers: %s" % mine)
        is_well(w)


@port.test("a thousand connections come and go at once")
def storm():
    with world() as w:
        stop = threading.Event()

        def knock():
            while not stop.is_set():
                with contextlib.suppress(OSError, Failure):
                    socks = [socket.create_connection(("127.0.0.1", w.port)) for _ in range(100)]
                    for s in socks:
                        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        s.close()
        threads = [threading.Thread(target=knock) for _ in range(2)]
        for t in threads:
            t.start()
        try:
            mine = measured(w, "connections opened and reset without end")
        finally:
            stop.set()
            for t in threads:
                t.join()
        equal(mine["wrong"], 0, "its callers")


def raise_limit(n):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < n:
        raise Skip("no more than %d descriptors may be open here" % hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, n), hard))


def slow_clients(w, n, seconds):
    """n clients that send a byte of their head now and then; (how many are open, connections that were opened to
    services for them)."""
    raise_limit(n + 500)
    before = w.good.connections() + w.calm.connections() + w.sick.taken
    head = b"GET /ours/slow HTTP/1.1\r\nHost: gateway.test\r\nX-Slow: "
    socks, stop = [], threading.Event()

    def connect(many):
        for _ in range(many):
            s = socket.socket()
            s.settimeout(20)
            s.connect(("127.0.0.1", w.port))
            s.sendall(head)
            socks.append(s)
    threads = [threading.Thread(target=connect, args=(n // 4,)) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()

    def drip():
        while not stop.is_set():
            for s in list(socks):
                if stop.is_set():
                    return
                with contextlib.suppress(OSError):
                    s.send(b"x")
                time.sleep(seconds / n / 2)
    dripper = threading.Thread(target=drip)
    dripper.start()
    try:
        measured(w, "%d clients send their heads a byte at a time" % n, seconds)
        gauge = eventually(lambda: w.gateway.metrics()["sallyport_connections"], "the gauge")
        opened = w.good.connections() + w.calm.connections() + w.sick.taken - before
    finally:
        stop.set()
        dripper.join()
        for s in socks:
            s.close()
    return gauge, opened


@port.test("%d slow clients: no connection to a service is opened for a head that is not whole" % SLOW_CLIENTS)
def many_slow():
    with world() as w:
        time.sleep(0.5)
        gauge, opened = slow_clients(w, SLOW_CLIENTS, SECONDS + 1)
        check(gauge >= SLOW_CLIENTS, "only %d are connected" % gauge)
        check(opened <= 8, "%d connections to services" % opened)  # those that the bystanders' own requests renew


@port.test("no more descriptors: who is connected is served, who comes waits, and is served when there are some again")
def descriptors():
    with world() as w:
        pid = serving(w.gateway.pid)
        used = len(os.listdir("/proc/%d/fd" % pid))
        whole = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        waiting = []
        try:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 10, whole[1]))
            for _ in range(60):
                s = socket.socket()
                s.settimeout(5)
                s.connect(("127.0.0.1", w.port))  # the queue of the socket takes it
                waiting.append(s)
            stop = threading.Event()

            def renew():  # connections to a service end, and others are needed while clients wait for descriptors
                while not stop.wait(0.3):
                    for sock in list(w.sick.socks):
                        with contextlib.suppress(OSError):
                            sock.shutdown(socket.SHUT_RDWR)
            renewer = threading.Thread(target=renew)
            renewer.start()
            try:
                mine = measured(w, "no more file descriptors (60 clients wait)")
            finally:
                stop.set()
                renewer.join()
            equal(mine["wrong"], 0, "who was connected: %s" % mine["what"])
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, whole)
        for s in waiting:
            s.sendall(b"GET /calm/x HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n")
        answered = 0
        for s in waiting:
            with contextlib.suppress(OSError):
                answered += s.recv(15).startswith(b"HTTP/1.1 200")
            s.close()
        equal(answered, 60, "of those who waited were answered")


@port.test("a full disk: requests are served, changes that cannot be kept are refused, and go on when there is room")
def full_disk():
    if os.geteuid() != 0:
        raise Skip("only root may mount a small disk")
    where = port.folder()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m,mode=0700", "tmpfs", where], capture_output=True).returncode:
        raise Skip("no file system can be mounted here")
    w = None
    try:
        def with_store(config):
            config["store"] = {}
            config["products"] = {"desk": {"may": ["keyed"]}}
            config["actions"]["keyed"] = {"match": "* /keyed/{rest*}", "to": "calm", "accept": "apikey"}
        w = World(os.path.join(where, "data"), with_store)
        cli = lambda *args: port.cli(*args, env=dict(os.environ, SALLYPORT_SOCKET=os.path.join(  # noqa: E731
            where, "data", "cli.sock")))
        code, out, err = cli("key", "new", "--product", "desk", "--json")
        equal(code, 0, "a key before (%s)" % err)
        key = [("apikey", json.loads(out)["key"])]
        eventually(lambda: port.fetch(w.port, "/keyed/x", key).status == 200, "the key works", 5)
        with open(os.path.join(where, "ballast"), "wb", buffering=0) as ballast:
            with contextlib.suppress(OSError):
                while True:
                    ballast.write(b"x" * 65536)
            with contextlib.suppress(OSError):
                while True:
                    ballast.write(b"x")
        measured(w, "the disk of the data folder is full")
        refused = 0
        for i in range(40):  # what is on the disk already has some room of its own
            code, out, err = cli("key", "new", "--product", "desk", "--label", "x" * 200, "--json")
            refused += code != 0
            if code:
                break
        check(refused, "forty changes on a full disk, and none was refused")
        check("sallyport" in err, "it does not say why: %r" % err)
        equal(port.fetch(w.port, "/keyed/x", key).status, 200, "the key while the disk is full")
        os.unlink(os.path.join(where, "ballast"))
        eventually(lambda: cli("key", "new", "--product", "desk", "--json")[0] == 0, "changes are taken again", 15, 0.2)
        code, out, err = cli("key", "new", "--product", "desk", "--json")
        fresh = [("apikey", json.loads(out)["key"])]
        eventually(lambda: port.fetch(w.port, "/keyed/x", fresh).status == 200, "a new key works", 5)
    finally:
        if w:
            w.stop()
        subprocess.run(["umount", where], check=True)


@port.test("the table")
def table():
    def cell(was):
        return "%6.1f %7.1f %5d/%-6d" % (was["p50"], was["p99"], was["wrong"], was["n"]) if was else "-"
    print("# %-52s %-28s   %-28s" % ("", "callers of that service", "a bystander"))
    print("# %-52s %-28s   %-28s" % ("fault", "p50 ms  p99 ms wrong/asked", "p50 ms  p99 ms wrong/asked"))
    for what, mine, others in rows:
        print("# %-52s %-28s   %-28s" % (what, cell(mine), cell(others)))


if __name__ == "__main__":
    port.main()
