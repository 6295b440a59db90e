#!/usr/bin/env python3
# test: alone
# test: seconds 180
"""The law of the hot path: a keep-alive request with a token seen before makes its worker do no allocation, no futex,
no wait for another thread and no signature check. Counted by a preloaded library over exactly 10,000 requests with two
workers, and by strace; then shown to fail when a fault is planted."""

import collections
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import port
from control_space import Store
from port import Skip, check, equal

sys.path.insert(0, os.path.join(port.ROOT, "test", "support"))
from counting import Counters  # noqa: E402

REQUESTS, CONNECTIONS = 10000, 32
FORBIDDEN = ["alloc", "free", "lock", "cond", "sem", "signature"]


class PlainUpstream:
    """The benchmark's upstream: a process that answers fast and never closes."""

    def __init__(self):
        binary = os.path.join(os.environ.get("BUILD", ""), "bench", "upstream")
        if not os.path.exists(binary):
            raise Skip("no bench/upstream in BUILD")
        self.port = port.free_port()
        self.address = "127.0.0.1:%d" % self.port
        self.process = port.Process([binary, str(self.port)])
        port.eventually(lambda: port.Client(self.port).get("/").status == 200, "the upstream answers")

    def stop(self):
        self.process.stop()


class Bench:
    """A gateway that counts, its upstream, and CONNECTIONS warm connections that ask with known tokens."""

    def __init__(self, service=None, **config):
        self.dir = tempfile.mkdtemp()
        self.counters = Counters(os.environ.get("BUILD", ""), os.path.join(self.dir, "counts"))
        if not self.counters.available():
            raise Skip("no test/libcount.so in BUILD")

        def change(c):
            c.update(log={"access": True}, **config)
            c["services"]["app"].update(service or {})
            # Limits are on, of every place; none is ever reached.
            rate = {"rate": "1000000/s", "burst": 1000000}
            c["limit"] = dict(rate, per="address")
            c["actions"]["user"]["limit"] = [dict(rate, per="user"), dict(rate, per="action")]
            c["products"]["shop"]["limit"] = dict(rate, per="key")
            if "store" in config:
                c["products"]["shop"]["quota"] = {"requests": 100000000, "per": "month"}
        self.shop = port.Shop(upstream=PlainUpstream(), env=self.counters.env, change=change)
        self.fields = [self.shop.auth("user%d" % i) for i in range(8)]
        self.clients = [self.shop.client() for _ in range(CONNECTIONS)]
        # Warm: every worker has seen every token, has its pools filled and its buffers made.
        self.ask(CONNECTIONS * 64)

    def stop(self):
        for client in self.clients:
            client.close()
        self.shop.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def ask(self, n, width=8):
        """Exactly n requests over the open connections, `width` of them in flight."""
        sent = 0
        heads = [port_request(fields) for fields in self.fields]
        while sent < n:
            batch = [self.clients[(sent + i) % CONNECTIONS] for i in range(min(width, n - sent))]
            for i, client in enumerate(batch):
                # A connection meets each token in turn.
                client.send(heads[((sent + i) // CONNECTIONS) % len(heads)])
            for client in batch:
                reply = client.reply()
                equal(reply.status, 200, "status")
                check(reply.get("RateLimit"), "limits are on")
            sent += len(batch)

    def count(self, n):
        """What each worker did during n requests, once they are all written down."""
        time.sleep(0.3)
        before = self.counters.read()
        self.ask(n)
        time.sleep(0.3)
        done = Counters.since(before, self.counters.read())
        # Who received is a worker: each request is received twice, from the client and from the upstream.
        return {tid: c for tid, c in done.items() if c["recv"] >= n / 50}


def port_request(fields):
    lines = ["GET /user/orders/42?expand=items HTTP/1.1", "Host: gateway.test", "Accept: application/json"]
    lines += ["%s: %s" % field for field in fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


_bench = None


def bench():
    global _bench
    if _bench is None:
        _bench = Bench()
    return _bench


def broken(workers):
    return {tid: {k: c[k] for k in FORBIDDEN if c[k]} for tid, c in workers.items()
            if any(c[k] for k in FORBIDDEN)}


@port.test("10,000 warm requests: no allocation, lock, condition, semaphore or signature check")
def _():
    workers = bench().count(REQUESTS)
    check(len(workers) == 2, "both workers serve, not %d" % len(workers))
    received = sum(c["recv"] for c in workers.values())
    check(received >= 2 * REQUESTS, "every request is counted (%d receives)" % received)
    check(not broken(workers), "nothing forbidden happened: %s" % broken(workers))


@port.test("10,000 warm requests: no futex (strace)")
def _():
    b = bench()
    if not shutil.which("strace"):
        raise Skip("strace is not installed")
    out = os.path.join(b.dir, "strace")
    tracer = subprocess.Popen(["strace", "-f", "-e", "trace=futex,recvfrom,recvmsg,read", "-o", out,
                               "-p", str(b.shop.gateway.pid)], stderr=subprocess.PIPE, text=True)
    try:
        time.sleep(1)
        if tracer.poll() is not None:
            raise Skip("strace may not attach: %s" % tracer.stderr.read().strip())
        b.ask(REQUESTS)
        time.sleep(0.3)
    finally:
        tracer.terminate()
        tracer.wait()
    calls = collections.defaultdict(collections.Counter)
    with open(out, encoding="utf-8", errors="replace") as f:
        for line in f:
            m = re.match(r"^(\d+)\s+(?:<\.\.\. )?(\w+)", line)
            if m and " resumed" not in line:
                calls[m[1]]["futex" if m[2] == "futex" else "receive"] += 1
    workers = {tid: c for tid, c in calls.items() if c["receive"] >= REQUESTS / 50}
    check(len(workers) == 2, "both workers serve, not %d" % len(workers))
    # Attaching interrupts the calls that were under way; a worker rests in epoll_wait, which is not traced.
    futexes = {tid: c["futex"] for tid, c in workers.items() if c["futex"]}
    check(not futexes, "no worker calls futex: %s" % futexes)


@port.test("10,000 warm requests to a gateway that a store feeds, revocations in force: nothing forbidden either")
def _():
    b = Bench(store={"engine": "memory"}, feed={"lease": "1h"})
    try:
        store = Store(b.shop.gateway.data)
        n = int(store.ask('many 1000 revoked/token/j {"before_s":1,"at_ms":1}'))
        store.in_force(n)
        b.ask(CONNECTIONS * 64)  # each known token was compared with them
        workers = b.count(REQUESTS)
        check(len(workers) == 2, "both workers serve, not %d" % len(workers))
        check(not broken(workers), "nothing forbidden happened: %s" % broken(workers))
        equal(b.shop.gateway.metrics()["sallyport_feed_revocations"], 1000, "revocations in force")
        store.stop()
    finally:
        b.stop()


@port.cases("10,000 warm requests with traces configured: nothing forbidden",
            [("of none of them", "0%"), ("of one in a hundred", "1%"), ("of all of them", "100%")])
def _(_name, sample):
    collector = port.free_port()  # nobody is there: what cannot be delivered must not be felt either
    b = Bench(tracing={"otlp": "http://127.0.0.1:%d/v1/traces" % collector, "sample": sample})
    try:
        workers = b.count(REQUESTS)
        check(len(workers) == 2, "both workers serve, not %d" % len(workers))
        check(not broken(workers), "nothing forbidden happened: %s" % broken(workers))
    finally:
        b.stop()


BREAKER = {"errors": 50, "of": 20, "window": "10s", "open": "5s",
           "concurrent": {"user": 1000, "service": 1000, "third-party": 1000}}


@port.cases("10,000 warm requests to three instances: nothing forbidden",
            [("by least request, behind a breaker", {"balance": "least-request", "breaker": BREAKER}),
             ("by round robin, with slow start", {"balance": "round-robin", "slow_start": "10s"}),
             ("by hash", {"balance": "hash", "hash": "user", "breaker": BREAKER})])
def _(_name, service):
    ups = [PlainUpstream() for _ in range(3)]
    instances = [{"address": u.address, "weight": 1 + i} for i, u in enumerate(ups)]
    b = Bench(service=dict(service, instances=instances))
    try:
        workers = b.count(REQUESTS)
        check(len(workers) == 2, "both workers serve, not %d" % len(workers))
        check(not broken(workers), "nothing forbidden happened: %s" % broken(workers))
        metrics = b.shop.gateway.metrics()
        answered = [metrics['sallyport_upstream_requests_total{service="app",upstream="%s",outcome="answered"}' % u.address]
                    for u in ups]
        # eight users need not hash to all three
        enough = 1 if service["balance"] == "hash" else 3
        check(sum(n > 500 for n in answered) >= enough, "every instance has its share: %s" % answered)
    finally:
        b.stop()
        for u in ups:
            u.stop()


@port.cases("a planted fault shows", [("malloc", "alloc"), ("mutex", "lock"), ("signature", "signature")])
def _(fault, kind):
    b = bench()
    b.counters.plant(fault)
    try:
        workers = b.count(200)
    finally:
        b.counters.plant()
    check(workers and all(c[kind] >= c["recv"] > 0 for c in workers.values()), "%s is counted: %s" % (kind, workers))


try:
    port.main()
finally:
    if _bench:
        _bench.stop()
