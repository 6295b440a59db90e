#!/usr/bin/env python3
"""Instances that are names: looked up, kept fresh, never lost to a name server; and health checks of instances."""
# test: seconds 240

import contextlib
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

import port
from port import Client, Failure, Gateway, Upstream, check, equal, ok

A, NS, CNAME, SOA, AAAA, SRV = 1, 2, 5, 6, 28, 33


# --- a name server --------------------------------------------------------------------------------------------------

def _name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".") if label) + b"\0"


class NameServer:
    """UDP and TCP at one port. records: {(name, type): [(ttl, value), …]}; value: an address, a name (CNAME), or
    (priority, weight, port, target). mode: "well", "silent", "refuse", "garbage", "nobody" (there are no names)."""

    def __init__(self, records=None):
        self.records, self.mode, self.delay = dict(records or {}), "well", {}
        self.asked, self.lock = [], threading.Lock()
        self.port = port.free_port()
        self.udp = socket.socket(type=socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.tcp = socket.socket()
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind(("127.0.0.1", self.port))
        self.tcp.listen(16)
        threading.Thread(target=self._udp, daemon=True).start()
        threading.Thread(target=self._tcp, daemon=True).start()

    address = property(lambda self: "127.0.0.1:%d" % self.port)

    def set(self, name, kind, values, ttl=1):
        self.records[name, kind] = [(ttl, value) for value in values]

    def count(self, name=None, kind=None):
        with self.lock:
            return sum(1 for n, k, _ in self.asked if name in (None, n) and kind in (None, k))

    def _answer(self, query, tcp):
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1"))
            at += 1 + query[at]
        name, kind = ".".join(labels).lower(), struct.unpack(">H", query[at + 1:at + 3])[0]
        with self.lock:
            self.asked.append((name, kind, time.monotonic()))
        if self.mode == "silent":
            return None
        time.sleep(self.delay.get(name, 0))
        question, records, owner = query[12:at + 5], [], name
        if self.mode == "refuse":
            return query[:2] + struct.pack(">5H", 0x8182, 1, 0, 0, 0) + question
        if self.mode == "garbage":
            return query[:2] + struct.pack(">5H", 0x8180, 1, 3, 0, 0) + question + os.urandom(60)
        known = self.mode == "well" and any(n == name for n, _ in self.records)
        while (owner, CNAME) in self.records and kind != CNAME:
            ttl, to = self.records[owner, CNAME][0]
            records.append((owner, CNAME, ttl, _name(to)))
            owner = to
        for ttl, value in self.records.get((owner, kind), []) if known else []:
            if kind == A:
                data = socket.inet_aton(value)
            elif kind == AAAA:
                data = socket.inet_pton(socket.AF_INET6, value)
            else:
                data = struct.pack(">3H", *value[:3]) + _name(value[3])
            records.append((owner, kind, ttl, data))
        soa = b""
        if not records:
            data = _name("ns.test") + _name("x.test") + struct.pack(">5I", 1, 1, 1, 1, 1)
            soa = _name("test") + struct.pack(">HHIH", SOA, 1, 1, len(data)) + data
        body = b"".join(_name(n) + struct.pack(">HHIH", k, 1, t, len(d)) + d for n, k, t, d in records)
        flags = 0x8180 | (0 if known else 3)
        if not tcp and len(body) > 1200:
            return query[:2] + struct.pack(">5H", flags | 0x200, 1, 0, 0, 0) + question
        return query[:2] + struct.pack(">5H", flags, 1, len(records), 1 if soa else 0, 0) + question + body + soa

    def _udp(self):
        while True:
            try:
                query, peer = self.udp.recvfrom(4096)
            except OSError:
                return

            def one(query=query, peer=peer):
                answer = self._answer(query, False)
                with contextlib.suppress(OSError):  # the test may be over
                    if answer:
                        self.udp.sendto(answer, peer)
            threading.Thread(target=one, daemon=True).start()

    def _tcp(self):
        while True:
            try:
                sock, _ = self.tcp.accept()
            except OSError:
                return

            def one(sock=sock):
                with sock, contextlib.suppress(OSError, struct.error, IndexError):
                    while True:
                        n = struct.unpack(">H", sock.recv(2, socket.MSG_WAITALL))[0]
                        answer = self._answer(sock.recv(n, socket.MSG_WAITALL), True)
                        if answer:
                            sock.sendall(struct.pack(">H", len(answer)) + answer)
            threading.Thread(target=one, daemon=True).start()

    def stop(self):
        self.udp.close()
        with contextlib.suppress(OSError):
            self.tcp.shutdown(socket.SHUT_RDWR)
        self.tcp.close()


# --- instances at further addresses of this machine -----------------------------------------------------------------

class At(Upstream):
    """Upstream at an address of 127/8, so that several share a port. It answers with its own address."""

    def __init__(self, host, number, answer=None):
        self.host = host
        super().__init__(answer or (lambda seen, client: ok(host.encode(), seen.method)), port=0)
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, number))
        self.listener.listen(512)
        self.port, self.address = number, "%s:%d" % (host, number)
        threading.Thread(target=self._accept, daemon=True).start()


class Load:
    """Keep-alive clients that ask all the time: who answered, and everything that was not 200."""

    def __init__(self, to, clients=4, path="/x"):
        self.served, self.failures, self.ending, self.lock = {}, [], threading.Event(), threading.Lock()
        self.to, self.path = to, path
        self.threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        client = None
        while not self.ending.is_set():
            try:
                client = client or Client(self.to)
                reply = client.get(self.path)
                with self.lock:
                    if reply.status != 200:
                        self.failures.append("%d %s" % (reply.status, reply.body[:200]))
                    else:
                        by = reply.body.decode()
                        self.served[by] = self.served.get(by, 0) + 1
                if reply.get("connection") == "close":
                    client = None
            except (Failure, OSError) as why:
                self.failures.append(str(why))
                client = None
            time.sleep(0.002)

    def clear(self):
        with self.lock:
            self.served = {}

    def now(self, seconds=0.4):
        """Who answers now."""
        self.clear()
        time.sleep(seconds)
        with self.lock:
            return dict(self.served)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join()

    def well(self):
        check(self.served and not self.failures, lambda: "%d failed: %r" % (len(self.failures), self.failures[:3]))


def config(instances, server=None, **service):
    if not isinstance(instances, list):
        instances = [instances]
    made = {"services": {"app": dict({"instances": instances}, **service)},
            "actions": {"open": {"match": "* /{rest*}", "to": "app", "public": True}}}
    if server:
        made["dns"] = {"servers": [server.address]}
    return made


@contextlib.contextmanager
def stopping(*things):
    try:
        yield things
    finally:
        for thing in things:
            thing.stop()


def events(gateway, text):
    return [r for r in gateway.log() if text in r["msg"]]


def verbose(gateway):
    return Client(gateway.admin).get("/readyz?verbose", host="127.0.0.1:%d" % gateway.admin).body.decode()


# --- names ----------------------------------------------------------------------------------------------------------

@port.test("every address of a name is an instance, and other addresses take over under load: no request fails")
def addresses_change():
    number = port.free_port()
    hosts = ["127.0.0.%d" % n for n in range(2, 7)]
    dns = NameServer()
    dns.set("app.test", A, hosts[:2])
    with stopping(dns, *[At(h, number) for h in hosts]), Gateway(config("app.test:%d" % number, dns)) as g:
        with Load(g.port) as load:
            equal(set(load.now()), set(hosts[:2]), "who answers at first")
            for want in (hosts[1:3], hosts[2:], hosts[:1], hosts[3:]):
                dns.set("app.test", A, want)
                port.eventually(lambda: set(load.now(0.2)) == set(want), "%r answer" % want, 6)
        load.well()
        check(g.metrics()["sallyport_dns_changes_total"] >= 4, "changes are counted")
        told = events(g, "other addresses")
        equal((told[0]["added"], told[0]["removed"]), ("%s:%d" % (hosts[2], number), "%s:%d" % (hosts[0], number)),
              "the event of the first change")


@port.test("IPv4 and IPv6 side by side, behind an alias")
def both_families():
    dns, number = NameServer(), port.free_port()
    dns.records["alias.test", CNAME] = [(1, "app.test")]
    dns.set("app.test", A, ["127.0.0.2"])
    dns.set("app.test", AAAA, ["::1"])
    with contextlib.ExitStack() as stack:
        stack.enter_context(stopping(dns, At("127.0.0.2", number)))
        try:
            six = socket.create_server(("::1", number), family=socket.AF_INET6)
        except OSError:
            raise port.Skip("no IPv6 here")
        upstream = Upstream.__new__(Upstream)
        Upstream.__init__(upstream, lambda seen, client: ok(b"six", seen.method))
        upstream.listener.shutdown(socket.SHUT_RDWR)
        upstream.listener = six
        threading.Thread(target=upstream._accept, daemon=True).start()
        stack.callback(upstream.stop)
        g = stack.enter_context(Gateway(config("alias.test:%d" % number, dns)))
        with Load(g.port) as load:
            port.eventually(lambda: set(load.now(0.2)) == {"127.0.0.2", "six"}, "both families answer")
        load.well()


@port.test("SRV: ports, weights and priorities; a change of them under load")
def services():
    dns = NameServer()
    hosts = ["127.0.0.%d" % n for n in range(2, 6)]
    ports = [port.free_port() for _ in hosts]
    for host in hosts:
        dns.set("h%s.test" % host[-1], A, [host])
    name = "_http._tcp.app.test"
    dns.set(name, SRV, [(0, 300, ports[0], "h2.test"), (0, 100, ports[1], "h3.test"), (9, 100, ports[2], "h4.test")])
    with stopping(dns, *[At(h, p) for h, p in zip(hosts, ports)]), \
            Gateway(config("srv:" + name, dns, balance="round-robin")) as g:
        with Load(g.port) as load:
            port.eventually(lambda: len(load.now(0.2)) == 2, "two answer")
            shares = load.now(1.5)
            equal(set(shares), set(hosts[:2]), "the first priority alone serves")
            ratio = shares[hosts[0]] / shares[hosts[1]]
            check(2.4 <= ratio <= 3.6, "weights 300 and 100 came out as %.2f to 1" % ratio)
            dns.set(name, SRV, [(9, 100, ports[2], "h4.test"), (5, 10, ports[3], "h5.test")])
            port.eventually(lambda: set(load.now(0.2)) == {hosts[3]}, "the better priority of the new ones answers", 6)
            dns.set(name, SRV, [(9, 100, ports[2], "h4.test")])
            port.eventually(lambda: set(load.now(0.2)) == {hosts[2]}, "the last one answers", 6)
        load.well()


@port.cases("a name server that is no help takes no instance away", [
    ("silent", "silent"), ("refuses", "refuse"), ("garbage", "garbage"), ("says there is no such name", "nobody")])
def no_help(_, mode):
    dns, number = NameServer(), port.free_port()
    dns.set("app.test", A, ["127.0.0.2"])
    dns.set("h3.test", A, ["127.0.0.3"])
    dns.set("_http._tcp.app.test", SRV, [(0, 1, number, "h3.test")])
    with stopping(dns, At("127.0.0.2", number), At("127.0.0.3", number), At("127.0.0.4", number)), \
            Gateway(config(["app.test:%d" % number, "srv:_http._tcp.app.test"], dns)) as g:
        with Load(g.port) as load:
            equal(set(load.now()), {"127.0.0.2", "127.0.0.3"}, "who answers at first")
            dns.mode = mode
            port.eventually(lambda: g.metrics()["sallyport_dns_names_failing"] == 2, "both fail", 15)
            equal(set(load.now(1)), {"127.0.0.2", "127.0.0.3"}, "who answers meanwhile")
            check("2 of 2 cannot be looked up" in verbose(g), "readyz tells: " + verbose(g))
            dns.set("app.test", A, ["127.0.0.4"])
            dns.mode = "well"
            port.eventually(lambda: set(load.now(0.2)) == {"127.0.0.3", "127.0.0.4"}, "the new address answers", 20)
        load.well()
        check(g.metrics()["sallyport_dns_failures_total"] >= 2, "failures are counted")
        equal(len(events(g, "cannot be looked up")), 2, "one event each when it begins")
        equal(len(events(g, "can be looked up again")), 2, "and one when it is over")


@port.test("a target of a service that cannot be asked for stays; one that is taken out goes")
def partly():
    dns, number = NameServer(), port.free_port()
    dns.set("h2.test", A, ["127.0.0.2"])
    dns.set("h3.test", A, ["127.0.0.3"])
    dns.set("_x._tcp.test", SRV, [(0, 1, number, "h2.test"), (0, 1, number, "h3.test")])
    with stopping(dns, At("127.0.0.2", number), At("127.0.0.3", number), At("127.0.0.4", number)), \
            Gateway(config("srv:_x._tcp.test", dns)) as g:
        with Load(g.port) as load:
            equal(set(load.now()), {"127.0.0.2", "127.0.0.3"}, "who answers at first")
            dns.delay["h3.test"] = 30
            dns.set("h2.test", A, ["127.0.0.4"])
            port.eventually(lambda: set(load.now(0.2)) == {"127.0.0.3", "127.0.0.4"}, "the others' changes count", 12)
            dns.set("_x._tcp.test", SRV, [(0, 1, number, "h2.test")])
            port.eventually(lambda: set(load.now(0.2)) == {"127.0.0.4"}, "what is taken out goes", 12)
        load.well()


@port.test("a name that is not there yet: 503 until it is, and no restart")
def later():
    dns, number = NameServer(), port.free_port()
    dns.set("other.test", A, ["127.0.0.9"])
    with stopping(dns, At("127.0.0.2", number)), Gateway(config("app.test:%d" % number, dns)) as g:
        reply = port.fetch(g.port, "/x")
        equal((reply.status, reply.json()["code"]), (503, "upstream_none"), "without an address")
        dns.set("app.test", A, ["127.0.0.2"])
        port.eventually(lambda: port.fetch(g.port, "/x").status == 200, "it is found", 8)


@port.test("addresses that nobody may be led to are left out")
def never():
    dns, number = NameServer(), port.free_port()
    dns.set("app.test", A, ["169.254.169.254", "127.0.0.2", "0.0.0.0", "224.0.0.1"])
    with stopping(dns, At("127.0.0.2", number)), Gateway(config("app.test:%d" % number, dns)) as g:
        with Load(g.port) as load:
            equal(set(load.now()), {"127.0.0.2"}, "who answers")
            dns.set("app.test", A, ["169.254.169.254"])
            port.eventually(lambda: g.metrics()["sallyport_dns_names_failing"] == 1, "that is no address", 5)
            equal(set(load.now()), {"127.0.0.2"}, "who answers then")
        load.well()
        check(events(g, "never connected to"), "an event tells")


@port.test("a time to live is kept: neither asked before nor long after")
def time_to_live():
    dns, number = NameServer(), port.free_port()
    dns.set("two.test", A, ["127.0.0.2"], ttl=2)
    dns.set("zero.test", A, ["127.0.0.2"], ttl=0)
    dns.set("long.test", A, ["127.0.0.2"], ttl=100000)
    for name in ("two.test", "zero.test", "long.test"):
        dns.set(name, AAAA, ["::1"], ttl=100000)
    with stopping(dns, At("127.0.0.2", number)), \
            Gateway(config(["%s.test:%d" % (n, number) for n in ("two", "zero", "long")], dns)):
        time.sleep(4.5)
        with dns.lock:
            asked = list(dns.asked)
        counts = {name: sum(1 for n, k, _ in asked if n == name and k == A)
                  for name in ("two.test", "zero.test", "long.test")}
        check(3 <= counts["two.test"] <= 4, "every 2 s: %r" % counts)
        check(4 <= counts["zero.test"] <= 6, "0 counts as one second: %r" % counts)
        equal(counts["long.test"], 1, "an hour at most")


@port.test("a reload with new names does not hold up what runs, and has them when it is in force")
def reload_waits_aside():
    dns, number = NameServer(), port.free_port()
    dns.set("app.test", A, ["127.0.0.2"])
    dns.set("new.test", A, ["127.0.0.3"], ttl=60)
    dns.delay["new.test"] = 1.5
    with stopping(dns, At("127.0.0.2", number), At("127.0.0.3", number)), \
            Gateway(config("app.test:%d" % number, dns)) as g:
        with Load(g.port) as load:
            g.config["services"]["app"]["instances"] = ["new.test:%d" % number]
            g.write_config()
            result = []
            thread = threading.Thread(target=lambda: result.append(g.reload()))
            began = time.monotonic()
            thread.start()
            slowest = 0
            while thread.is_alive():
                start = time.monotonic()
                equal(Client(g.admin).get("/livez", host="127.0.0.1:%d" % g.admin).status, 200, "livez meanwhile")
                slowest = max(slowest, time.monotonic() - start)
                time.sleep(0.02)
            took = time.monotonic() - began
            equal(result[0][0], 0, "exit code of reload: %r" % (result[0],))
            check(1.3 < took < 4, "it took %.2f s" % took)
            check(slowest < 0.5, "the control thread was held up for %.2f s" % slowest)
            port.eventually(lambda: set(load.now(0.2)) == {"127.0.0.3"}, "the new name's address answers")
            # a second one knows all names, and asks nobody
            before = dns.count("new.test")
            equal(g.reload()[0], 0, "exit code of another reload")
            equal(dns.count("new.test"), before, "questions for it")
            # a name that is not to be had delays it, no more
            dns.delay["never.test"] = 60
            g.config["services"]["app"]["instances"].append("never.test:%d" % number)
            g.write_config()
            began = time.monotonic()
            equal(g.reload()[0], 0, "exit code with a name that is silent")
            check(time.monotonic() - began < 8, "it took %.1f s" % (time.monotonic() - began))
            port.eventually(lambda: set(load.now(0.2)) == {"127.0.0.3"}, "the new name's address answers")
            # the same by a signal
            dns.set("third.test", A, ["127.0.0.2"], ttl=60)
            dns.delay["third.test"] = 0.5
            g.config["services"]["app"]["instances"] = ["third.test:%d" % number]
            g.write_config()
            g.process.signal(signal.SIGHUP)
            port.eventually(lambda: set(load.now(0.2)) == {"127.0.0.2"}, "the third name's address answers")
        load.well()


@port.test("other name servers by a reload: they are asked from then on, the former ones no more")
def other_servers():
    one, two, number = NameServer(), NameServer(), port.free_port()
    one.set("app.test", A, ["127.0.0.2"])
    two.set("app.test", A, ["127.0.0.3"])
    with stopping(one, two, At("127.0.0.2", number), At("127.0.0.3", number)), \
            Gateway(config("app.test:%d" % number, one)) as g:
        with Load(g.port) as load:
            equal(set(load.now()), {"127.0.0.2"}, "who answers at first")
            g.config["dns"]["servers"] = ["127.0.0.1:1", two.address]  # the first of them is not there
            g.write_config()
            equal(g.reload()[0], 0, "exit code of reload")
            port.eventually(lambda: set(load.now(0.2)) == {"127.0.0.3"}, "the other server's address answers", 8)
            before = one.count()
            time.sleep(1.5)
            equal(one.count(), before, "questions to the former server")
            g.config["dns"]["servers"] = ["ns.test"]
            g.write_config()
            code, out, err = g.reload()
            equal(code, 78, "exit code with a server that is no address")
            check("an IP address, with a port or without" in out + err, out + err)
        load.well()


@port.test("two hundred names: a few questions at once, all answered")
def many_names():
    dns, number = NameServer(), port.free_port()
    names = ["n%d.test" % i for i in range(200)]
    for name in names:
        dns.set(name, A, ["127.0.0.2"], ttl=1)
    with stopping(dns, At("127.0.0.2", number)), Gateway(config(["%s:%d" % (n, number) for n in names], dns)) as g:
        time.sleep(3)
        metrics = g.metrics()
        equal(metrics["sallyport_dns_names"], 200, "names")
        equal(metrics["sallyport_dns_names_failing"], 0, "of them failing")
        check(all(dns.count(n, A) >= 2 for n in names), "each was asked for again")
        equal(port.fetch(g.port, "/x").status, 200, "status")


# --- health ---------------------------------------------------------------------------------------------------------

class Patient(At):
    """An instance whose health is what `state` says: a status, or a function of the connection."""

    def __init__(self, host, number):
        self.state, self.checks, self.times = 200, [], []
        super().__init__(host, number, self.answer_to)

    def answer_to(self, seen, client):
        if not seen.target.startswith("/healthz"):
            return ok(self.host.encode(), seen.method)
        self.checks.append(seen)
        self.times.append(time.monotonic())
        if callable(self.state):
            return self.state(seen, client)
        return ok(b"as it is", seen.method, status="%d x" % self.state)


HEALTH = {"request": "GET /healthz?full=1", "every": "100ms", "timeout": "100ms", "healthy": 2, "unhealthy": 3}


def patients(n=2, **health):
    number = port.free_port()
    all = [Patient("127.0.0.%d" % (2 + i), number) for i in range(n)]
    return all, config([p.address for p in all], health=dict(HEALTH, **health))


@port.test("an instance that is not well gets nothing, and something again when it is")
def down_and_up():
    (a, b), made = patients()
    with stopping(a, b), Gateway(made) as g:
        with Load(g.port) as load:
            equal(set(load.now()), {a.host, b.host}, "who answers at first")
            a.state = 503
            port.eventually(lambda: set(load.now(0.2)) == {b.host}, "only the other one answers")
            metrics = g.metrics()
            equal(metrics['sallyport_upstream_healthy{service="app",upstream="%s"}' % a.address], 0, "its metric")
            equal(metrics['sallyport_upstream_healthy{service="app",upstream="%s"}' % b.address], 1, "the other's")
            text = verbose(g)
            check("1 of 2 checked instances are down: app %s (status 503)" % a.address in text, "readyz: " + text)
            code, out, err = g.cli("upstreams")
            line = next(l for l in out.split("\n") if l.split()[:1] == [a.address])
            check(line.endswith("(status 503)") and " down " in line, "sallyport upstreams: " + line)
            told = events(g, "health checks fail")
            equal((told[-1]["service"], told[-1]["instance"], told[-1]["error"]), ("app", a.address, "status 503"),
                  "the event")
            # a reload forgets nothing
            g.config["hops"] = 5
            g.write_config()
            equal(g.reload()[0], 0, "exit code of reload")
            equal(set(load.now(0.5)), {b.host}, "who answers after a reload")
            a.state = 200
            port.eventually(lambda: set(load.now(0.2)) == {a.host, b.host}, "both answer again")
            # without checks nothing is known to be down
            a.state = 503
            port.eventually(lambda: set(load.now(0.2)) == {b.host}, "only the other one answers")
            del g.config["services"]["app"]["health"]
            g.write_config()
            equal(g.reload()[0], 0, "exit code of reload")
            equal(set(load.now(0.5)), {a.host, b.host}, "who answers without checks")
        load.well()


@port.test("what a check is like")
def form():
    (a, b), made = patients()
    with stopping(a, b), Gateway(made) as g:
        port.eventually(lambda: len(a.checks) >= 5 and len(b.checks) >= 5, "checks come")
        seen = a.checks[-1]
        equal((seen.method, seen.target), ("GET", "/healthz?full=1"), "the request")
        equal({n.lower(): v for n, v in seen.fields},
              {"host": a.address, "user-agent": "sallyport-health", "accept": "*/*", "connection": "close"}, "its fields")
        equal(a.connections, len(a.checks), "connections, one a check")
        gaps = [t - s for s, t in zip(a.times, a.times[1:])]
        check(0.08 <= min(gaps) and sum(gaps) / len(gaps) < 0.13, "about ten a second: %r" % gaps)


def _trickle(seen, client):
    client.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(40):
        time.sleep(0.05)
        client.send("x")


def _endless(seen, client):
    client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        client.send(b"8000\r\n" + b"x" * 0x8000 + b"\r\n")


def _head(lines, body=b""):
    return lambda seen, client: ("HTTP/1.1 " + "\r\n".join(lines) + "\r\n\r\n").encode() + body


WELL, ILL = True, False


ANSWERS = [
    ("204", lambda seen, client: b"HTTP/1.1 204 No Content\r\n\r\n", WELL),
    ("299", _head(["299 odd", "Content-Length: 0"]), WELL),
    ("100, then 200", lambda seen, client: b"HTTP/1.1 100 Continue\r\n\r\n" + ok(b""), WELL),
    ("200 with a body until the end", lambda seen, client: client.send(b"HTTP/1.1 200 OK\r\n\r\nhello") and False, WELL),
    ("200 with an endless body", _endless, WELL),
    ("200 with ten megabytes", _head(["200 OK", "Content-Length: 10000000"], b"x" * 10000000), WELL),
    ("301", _head(["301 Moved", "Location: /", "Content-Length: 0"]), ILL),
    ("401", _head(["401 No", "Content-Length: 0"]), ILL),
    ("500", _head(["500 No", "Content-Length: 0"]), ILL),
    ("silence", lambda seen, client: time.sleep(1), ILL),
    ("a byte now and then", _trickle, ILL),
    ("the end", lambda seen, client: False, ILL),
    ("200 that breaks off", lambda seen, client: client.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx") and False, ILL),
    ("a reset", lambda seen, client: client.reset(), ILL),
    ("garbage", lambda seen, client: os.urandom(5000), ILL),
    ("SSH", lambda seen, client: b"SSH-2.0-OpenSSH_9.2\r\n", ILL),
    ("another version", lambda seen, client: b"HTTP/2.0 200 OK\r\n\r\n", ILL),
    ("two lengths", _head(["200 OK", "Content-Length: 1", "Content-Length: 2"], b"xx"), ILL),
    ("a head without end", lambda seen, client: b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000, ILL),
    ("101", _head(["101 Switching", "Upgrade: x", "Connection: upgrade"]), ILL),
    ("100 without end", lambda seen, client: b"HTTP/1.1 100 Continue\r\n\r\n" * 100, ILL),
]


@port.test("answers to checks, each of an instance of its own: good ones, bad ones, and what is no answer")
def answers():
    all, made = patients(len(ANSWERS) + 1, every="200ms", timeout="150ms")
    for patient, (_, answer, _) in zip(all, ANSWERS):
        patient.state = answer
    ill = {p.host for p, (_, _, well) in zip(all, ANSWERS) if not well}
    with stopping(*all), Gateway(made) as g:
        with Load(g.port) as load:
            port.eventually(lambda: len(events(g, "health checks fail")) >= len(ill), "the bad ones are found out", 8)
            time.sleep(1)
            metrics = g.metrics()
            for patient, (name, _, well) in zip(all, ANSWERS):
                value = metrics['sallyport_upstream_healthy{service="app",upstream="%s"}' % patient.address]
                equal(value, 1 if well else 0, "whether an instance is well that answers with " + name)
            equal(set(load.now(1)) & ill, set(), "bad ones that get requests")
        load.well()
        check(g.process.status("VmRSS") < port.memory(40000), "memory stays")


@port.test("instances behind Unix sockets are checked, too")
def unix_sockets():
    folder = port.folder()
    seen, state = [], ["200 OK"]

    def answer(request, client):
        if request.target != "/healthz?full=1":
            return ok(b"unix", request.method)
        seen.append(request)
        return ok(b"", status=state[0])
    upstream, other = Upstream(answer, path=folder + "/app.sock"), Patient("127.0.0.2", port.free_port())
    made = config([upstream.address, other.address], health=HEALTH)
    with stopping(upstream, other), Gateway(made) as g:
        port.eventually(lambda: seen, "checks come")
        equal(seen[0].get("host"), "localhost", "Host of a check")
        with Load(g.port) as load:
            equal(set(load.now()), {"unix", other.host}, "who answers")
            state[0] = "500 no"
            port.eventually(lambda: set(load.now(0.2)) == {other.host}, "only the other one answers")
        load.well()
        upstream.stop()
        os.unlink(folder + "/app.sock")
        port.eventually(lambda: "app unix:%s/app.sock (no connection)" % folder in verbose(g) or
                        "app unix:%s/app.sock (the connection was refused)" % folder in verbose(g), "its end is told", 3)


@port.test("nobody listens, then somebody does")
def nobody_listens():
    (a, b), made = patients()
    b.stop()
    with stopping(a, b), Gateway(made) as g:
        with Load(g.port) as load:
            port.eventually(lambda: events(g, "health checks fail"), "it is found out")
            equal(set(load.now()), {a.host}, "who answers")
            with stopping(Patient(b.host, b.port)):
                port.eventually(lambda: set(load.now(0.2)) == {a.host, b.host}, "both answer")


@port.test("an instance that flaps below the thresholds changes nothing; above them it costs no request")
def flapping():
    (a, b), made = patients()
    with stopping(a, b), Gateway(made) as g:
        with Load(g.port) as load:
            turn = [0]

            def now_and_then(seen, client):
                turn[0] += 1
                return ok(b"", status="200 OK" if turn[0] % 3 == 0 else "500 No")
            b.state = now_and_then
            time.sleep(1.5)
            equal(events(g, "health checks fail"), [], "complaints")
            for _ in range(4):
                b.state = 500
                port.eventually(lambda: set(load.now(0.15)) == {a.host}, "it is left out")
                b.state = 200
                port.eventually(lambda: set(load.now(0.15)) == {a.host, b.host}, "it is back")
        load.well()


@port.test("all are down: all are served rather than none")
def all_down():
    (a, b), made = patients()
    a.state = b.state = 500
    with stopping(a, b), Gateway(made) as g:
        port.eventually(lambda: len(events(g, "health checks fail")) == 2, "both are found out")
        with Load(g.port) as load:
            equal(set(load.now()), {a.host, b.host}, "who answers")
        load.well()


@port.test("a hundred instances: their checks are spread, and dead ones hold nobody up")
def no_storm():
    number = port.free_port()
    listener = socket.create_server(("0.0.0.0", number), backlog=512)
    times, lock = [], threading.Lock()

    def serve(sock):
        with sock:
            with contextlib.suppress(OSError):
                data = b""
                while b"\r\n\r\n" not in data:
                    data += sock.recv(4096)
                with lock:
                    times.append((sock.getsockname()[0], time.monotonic()))
                if int(sock.getsockname()[0].rsplit(".", 1)[1]) >= 100:
                    time.sleep(20)  # half of them never answer
                sock.sendall(ok(b""))

    def accept():
        while True:
            try:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
            except OSError:
                return
    threading.Thread(target=accept, daemon=True).start()
    instances = ["127.0.0.%d:%d" % (n, number) for n in range(50, 150)]
    made = config(instances, health={"request": "GET /healthz", "every": "1s", "timeout": "500ms"})
    with Gateway(made) as g:
        time.sleep(6)
        with lock:
            since = times[0][1]
            late = [(host, t) for host, t in times if t > since + 2]
        windows = {}
        for _, t in late:
            windows[int((t - since) * 10)] = windows.get(int((t - since) * 10), 0) + 1
        check(max(windows.values()) <= 40, "in a tenth of a second: %r" % windows)
        per = {}
        for host, _ in late:
            per[host] = per.get(host, 0) + 1
        equal(len(per), 100, "instances that are checked")
        check(min(per.values()) >= 2, "each goes on being checked: %r" % per)
        down = sum(1 for name, value in g.metrics().items() if name.startswith("sallyport_upstream_healthy") and not value)
        equal(down, 50, "instances that are down")
    listener.close()


class Secured(Patient):
    """The same behind TLS, with that certificate."""

    def __init__(self, host, number, folder, name):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(os.path.join(folder, name + ".pem"), os.path.join(folder, name + ".key"))
        super().__init__(host, number)

    def _serve(self, sock):
        try:
            sock.settimeout(5)
            super()._serve(self.context.wrap_socket(sock, server_side=True))
        except OSError:
            sock.close()


@port.test("checks go over the service's TLS: a certificate for somebody else is no good answer")
def checks_over_tls():
    certs, number = port.folder(), port.free_port()
    subprocess.run(["sh", os.path.join(port.ROOT, "test/support/tls_certs.sh"), certs], check=True)
    a, b = Secured("127.0.0.2", number, certs, "upstream"), Secured("127.0.0.3", number, certs, "elsewhere")
    clear = Patient("127.0.0.4", number)
    made = config([p.address for p in (a, b, clear)], health=HEALTH,
                  tls={"ca": os.path.join(certs, "ca.pem"), "name": "orders.internal"})
    with stopping(a, b, clear), Gateway(made) as g:
        port.eventually(lambda: len(events(g, "health checks fail")) == 2, "the two others are found out")
        causes = {r["instance"]: r["error"] for r in events(g, "health checks fail")}
        check(causes[b.address].startswith("TLS: "), "why: %r" % causes)
        with Load(g.port) as load:
            equal(set(load.now()), {a.host}, "who answers")
        load.well()
        check(a.checks and not b.checks and not clear.checks, "nobody else reads a request")


@port.test("checks follow a name's addresses")
def checks_of_names():
    dns, number = NameServer(), port.free_port()
    with stopping(dns, Patient("127.0.0.2", number), Patient("127.0.0.3", number)) as (_, a, b):
        dns.set("app.test", A, ["127.0.0.2"])
        with Gateway(config("app.test:%d" % number, dns, health=HEALTH)) as g:
            port.eventually(lambda: a.checks, "it is checked")
            equal(a.checks[-1].get("host"), "app.test:%d" % number, "Host of a check")
            dns.set("app.test", A, ["127.0.0.3"])
            port.eventually(lambda: b.checks, "the new one is checked")
            time.sleep(0.3)
            before = len(a.checks)
            time.sleep(0.5)
            equal(len(a.checks), before, "checks of the one that is gone")
            equal(g.metrics().get('sallyport_upstream_healthy{service="app",upstream="127.0.0.2:%d"}' % number), None,
                  "metric of the one that is gone")


if __name__ == "__main__":
    port.main()
