#!/usr/bin/env python3
"""What services do to a gateway: garbage, broken-off answers, interim ones, restarts, stale connections."""

import socket
import threading
import time

import port
from port import Failure, Shop, Upstream, check, equal, ok


def with_answer(answer, change=None, **more):
    return Shop(answer, change=change, **more)


garbage = [
    ("nothing", b""),
    ("not HTTP", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    ("half a head", b"HTTP/1.1 200 OK\r\nContent-Le"),
    ("a status of two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
    ("a status of letters", b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n"),
    ("status 99", b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n"),
    ("HTTP/2.0", b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("CL and TE", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nhello"),
    ("two CL", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
    ("CL of letters", b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello"),
    ("CL +5", b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello"),
    ("CL 2^64", b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nhello"),
    ("TE twice", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("TE unknown", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello"),
    ("a name with a blank", b"HTTP/1.1 200 OK\r\nA B: c\r\nContent-Length: 0\r\n\r\n"),
    ("a space before a colon", b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n"),
    ("a fold", b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n"),
    ("bare LF", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
    ("bare CR", b"HTTP/1.1 200 OK\r\nA: b\rSet-Cookie: x\r\nContent-Length: 0\r\n\r\n"),
    ("NUL", b"HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n"),
    ("a huge head", b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"y" * 1000) for i in range(200)) + b"\r\n"),
    ("101 nobody asked for", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"),
]


@port.cases("service sends", garbage)
def service_garbage(name, raw):
    def answer(seen, client):
        if "fine" in seen.target:
            return ok(b"fine")
        client.send(raw)
        return False
    with with_answer(answer) as s:
        reply = port.fetch(s.port, "/public/x")
        equal(reply.status, 502, "status")
        equal(reply.get("content-type"), "application/problem+json", "content type")
        check(reply.get("set-cookie") is None, "what was refused reached the client")
        equal(port.fetch(s.port, "/public/fine").status, 200, "status afterwards")


cut = [
    ("in a body of known length", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
    ("in a chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf"),
    ("between chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
    ("before the last empty line", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n"),
    ("with a broken chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n"),
]


@port.cases("service breaks off", cut)
def service_cut(name, raw):
    def answer(seen, client):
        client.send(raw)
        time.sleep(0.05)
        return False
    with with_answer(answer) as s:
        with s.client() as c:
            c.send("GET /public/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            data = c.rest()
        head, _, body = data.partition(b"\r\n\r\n")
        if data.startswith(b"HTTP/1.1 502"):
            return
        check(data.startswith(b"HTTP/1.1 200") and b"half" in body, "got %r" % data[:200])
        # the client can tell that it is not whole
        if b"content-length: 100" in head.lower():
            check(len(body) < 100, "the body was filled up")
        else:
            check(b"chunked" in head.lower() and not body.endswith(b"0\r\n\r\n"), "a cut body looks whole: %r" % data)


@port.test("service resets in a body that only its close would end: it does not look whole")
def service_reset():
    def answer(seen, client):
        client.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        time.sleep(0.1)
        client.reset()
        return False
    with with_answer(answer) as s, s.client() as c:
        c.send("GET /public/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        data = c.rest()
        check(b"chunked" in data and not data.endswith(b"0\r\n\r\n"), "a cut body looks whole: %r" % data)


@port.test("what a service sends beyond its response reaches nobody")
def service_excess():
    def answer(seen, client):
        return ok(b"first") + b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nPOISONED"
    with with_answer(answer, lambda c: c.update(workers=1)) as s:
        for _ in range(20):
            equal(port.fetch(s.port, "/public/x").body, b"first", "body")
        with s.client() as c:
            for _ in range(20):
                equal(c.get("/public/x").body, b"first", "body on one connection")
                time.sleep(0.01)


@port.test("interim responses pass: 103, then the final one; 100 of the service is not doubled")
def interim():
    def answer(seen, client):
        client.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        time.sleep(0.05)
        client.send(b"HTTP/1.1 103 Early Hints\r\nLink: </b.css>; rel=preload\r\n\r\n")
        return ok(b"done")
    with with_answer(answer) as s:
        with s.client() as c:
            for _ in range(2):
                got = []
                c.send("GET /public/x HTTP/1.1\r\nHost: a\r\n\r\n")
                reply = c.reply(interim=got)
                equal([(i.status, i.get("link")) for i in got],
                      [(103, "</a.css>; rel=preload"), (103, "</b.css>; rel=preload")], "interim responses")
                equal((reply.status, reply.body), (200, b"done"), "final response")
        with s.client() as c:
            c.send("GET /public/x HTTP/1.0\r\nHost: a\r\n\r\n")
            check(b" 103 " not in c.rest(), "an interim response to HTTP/1.0")

    def hundred(seen, client):
        client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return ok(b"done")
    with with_answer(hundred) as s, s.client() as c:
        got = []
        c.send("POST /public/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
        equal(c.reply(interim=got).body, b"done", "final response")
        check(len([i for i in got if i.status == 100]) <= 1, "100 came twice")
        got.clear()
        c.send("GET /public/x HTTP/1.1\r\nHost: a\r\n\r\n")
        equal(c.reply(interim=got).body, b"done", "a 100 that nobody asked for")


@port.test("a flood of interim responses does not put off the deadline")
def interim_flood():
    def answer(seen, client):
        try:
            end = time.monotonic() + 6
            while time.monotonic() < end:
                client.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" * 50)
                time.sleep(0.005)
        except OSError:
            pass
        return False
    with with_answer(answer, lambda c: c.update(timeouts={"response": "1s"})) as s:
        before = s.gateway.process.status("VmHWM")  # what the start needed is given back: RSS would be too little
        for reads in (True, False):
            with s.client() as c:
                c.send("GET /public/x HTTP/1.1\r\nHost: a\r\n\r\n")
                began = time.monotonic()
                if reads:
                    equal(c.reply().status, 504, "final status")
                else:
                    port.eventually(lambda: s.upstream.open_now == 0, "the service is cut off", 4)
                check(time.monotonic() - began < 3, "it took %.1f s" % (time.monotonic() - began))
        grown = s.gateway.process.status("VmHWM") - before
        check(grown < port.memory(4096), "memory grew by %d kB" % grown)


@port.test("response fields: hop-by-hop ones stay, the rest passes in order")
def response_fields():
    def answer(seen, client):
        return (b"HTTP/1.1 200 Totally Fine\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nSet-Cookie: a=1\r\n"
                b"Set-Cookie: b=2\r\nX-Empty:\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nhi")
    with with_answer(answer) as s, s.client() as c:
        reply = c.get("/public/x")
        equal(reply.all("set-cookie"), ["a=1", "b=2"], "Set-Cookie")
        equal(reply.all("x-empty"), [""], "an empty field")
        for name in ("x-hop", "keep-alive", "proxy-authenticate"):
            equal(reply.all(name), [], name)
        equal(reply.body, b"hi", "body")


@port.test("a pooled connection that has gone stale costs nobody a request")
def stale():
    def answer(seen, client):
        client.send(ok(b"one and out"))
        return False  # closes, without having said so
    with with_answer(answer, lambda c: c.update(workers=1)) as s, s.client() as c:
        for n in range(30):
            equal(c.get("/public/x").status, 200, "GET %d" % n)
            if n % 3 == 0:
                time.sleep(0.02)
        for n in range(10):
            time.sleep(0.03)
            equal(c.ask("POST", "/public/x", body=b"hello").status, 200, "POST %d" % n)


@port.test("an unsafe request that the service has received is never sent twice")
def no_replay():
    def answer(seen, client):
        if "warm" in seen.target:
            return ok(b"warm")
        return False  # read it, then closed
    with with_answer(answer, lambda c: c.update(workers=1)) as s:
        for method in ("POST", "PATCH", "DELETE"):
            port.fetch(s.port, "/public/warm")
            s.upstream.clear()
            equal(port.fetch(s.port, "/public/x", method=method, body=b"pay").status, 502, "status of " + method)
            if method != "DELETE":
                equal(s.upstream.count(), 1, "times %s was sent" % method)


@port.test("service killed and started again: no GET at a low rate fails")
def restart():
    where = port.free_port()
    upstream = Upstream(port=where)
    failures, done = [], [0]
    with Shop(upstream=upstream, change=lambda c: c.update(timeouts={"connect": "3s"})) as s:
        stop = threading.Event()

        def load():
            with s.client() as c:
                while not stop.is_set():
                    try:
                        reply = c.get("/public/x")
                        done[0] += 1
                        if reply.status != 200:
                            failures.append(reply.status)
                    except Failure as why:
                        failures.append(str(why))
                        return
                    time.sleep(0.01)
        threads = [threading.Thread(target=load) for _ in range(3)]
        for t in threads:
            t.start()
        for _ in range(3):
            time.sleep(0.4)
            s.upstream.stop()
            time.sleep(0.5)
            s.upstream = Upstream(port=where)
        time.sleep(0.4)
        stop.set()
        for t in threads:
            t.join()
        check(not failures, "%d of %d failed: %r" % (len(failures), done[0], failures[:5]))
        check(done[0] > 50, "only %d requests were made" % done[0])


@port.test("two instances: both are used, and one that is down is passed over")
def instances():
    a, b = Upstream(), Upstream()

    def change(c):
        c["services"]["app"]["instances"] = [a.address, b.address]
        c["workers"] = 1
    with Shop(upstream=a, change=change) as s:
        for _ in range(40):
            equal(port.fetch(s.port, "/public/x").status, 200, "status")
        check(a.count() >= 10 and b.count() >= 10, "shares: %d and %d" % (a.count(), b.count()))
        b.stop()
        for n in range(40):
            equal(port.fetch(s.port, "/public/x").status, 200, "status of GET %d with one of two down" % n)


class Mute:
    """A port that neither takes a connection nor refuses it: its queue is full and nobody empties it."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.queued = []
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(self.listener.getsockname())
            self.queued.append(s)

    def stop(self):
        for s in [self.listener] + self.queued:
            s.close()


@port.test("an instance that does not answer the attempt to connect: another gets the request, once, in the total deadline")
def mute_instance():
    mute, other = Mute(), Mute()

    def ask(*mutes, and_live=False, **timeouts):
        live = Upstream()

        def change(c):
            c["services"]["app"]["instances"] = [i.address for i in mutes] + [live.address] * and_live
            c["services"]["app"]["balance"] = "round-robin"  # by chance the mute one may never be chosen
            c["timeouts"] = dict({"connect": "300ms"}, **timeouts)
            c["workers"] = 1
        with Shop(upstream=live, change=change) as s:
            for method, body in (("GET", None), ("POST", b"once"), ("GET", None), ("POST", b"once")):
                live.clear()
                began = time.monotonic()
                reply = port.fetch(s.port, "/public/x", method=method, body=body)
                yield reply, time.monotonic() - began, live.count()
    try:
        took = []
        for reply, seconds, asked in ask(mute, and_live=True):
            equal((reply.status, asked), (200, 1), "status, and how often the other was asked")
            took.append(seconds)
        check(max(took) > 0.28, "nobody met the mute one: %s" % took)
        check(max(took) < 1.5, "it took %.1f s" % max(took))
        # the first one tries both; later ones pass over the one that was found mute a moment ago
        for n, (reply, seconds, _) in enumerate(ask(mute, other)):
            equal((reply.status, reply.json()["code"]), (502, "upstream_connect"), "with two mute ones")
            check((0.55 if n == 0 else 0.25) < seconds < 1.5, "attempts of 0.3 s took %.2f s" % seconds)
        for n, (reply, seconds, _) in enumerate(ask(mute, other, total="400ms")):
            ended = (reply.status, reply.json()["code"])
            check(ended == (504, "deadline") or n and ended == (502, "upstream_connect"),
                  "with a total deadline of 0.4 s: %r" % (ended,))
            check(seconds < 0.55, "it took %.2f s" % seconds)
        for reply, seconds, _ in ask(mute):
            equal((reply.status, reply.json()["code"]), (502, "upstream_connect"), "with one mute one alone")
            check(seconds < 0.55, "one attempt of 0.3 s took %.2f s" % seconds)
    finally:
        mute.stop()
        other.stop()


if __name__ == "__main__":
    port.main()
