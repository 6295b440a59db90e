#!/usr/bin/env python3
"""HTTP/1.1 as clients and services really speak it: connections, bodies, trailers, interim and early responses."""

import hashlib
import os
import threading
import time

import port
from port import Client, Closed, Shop, Upstream, check, equal, ok

_shop = None


def shop():
    global _shop
    if _shop is None:
        _shop = Shop(port.mirror)
    _shop.upstream.clear()
    return _shop


def with_answer(answer, change=None, **more):
    return Shop(answer, change=change, **more)


# --- connections -----------------------------------------------------------------------------------------------------------

@port.test("keep-alive: two hundred requests on one connection use few connections upstream")
def keep_alive():
    s = shop()
    before = s.upstream.connections
    auth = s.auth()
    with s.client() as c:
        for n in range(200):
            reply = c.get("/user/%d" % n, auth)
            equal((reply.status, reply.json()["target"]), (200, "/user/%d" % n), "answer %d" % n)
    check(s.upstream.connections - before <= 2, "%d connections were made upstream" % (s.upstream.connections - before))


@port.test("keep-alive: a refusal that leaves the framing whole keeps the connection")
def keep_after_refusal():
    s = shop()
    with s.client() as c:
        for _ in range(3):
            equal(c.get("/user/x").status, 401, "status without credentials")
            equal(c.get("/nowhere").status in (401, 403, 404), True, "status of no route")
            equal(c.get("/public/x").status, 200, "status on the same connection")


@port.test("Connection: close is answered and kept to")
def close():
    s = shop()
    with s.client() as c:
        reply = c.get("/public/x", [("Connection", "close")])
        equal((reply.status, reply.get("connection")), (200, "close"), "answer")
        check(c.closed(), "the connection stays open")


@port.test("keepalive_requests bounds the requests of a connection")
def keepalive_requests():
    with with_answer(None, lambda c: c.update(limits={"keepalive_requests": 3})) as s, s.client() as c:
        for _ in range(2):
            equal(c.get("/public/x").get("connection"), None, "Connection before the bound")
        equal(c.get("/public/x").get("connection"), "close", "Connection at the bound")
        check(c.closed(), "the connection stays open")


@port.test("pipelining: order is kept, bodies, refusals and HEAD among them")
def pipelining():
    s = shop()
    token = s.auth()
    fields = "".join("%s: %s\r\n" % f for f in token)
    parts, wants = [], []
    for n in range(10):
        parts.append("GET /public/a%d HTTP/1.1\r\nHost: a\r\n\r\n" % n)
        wants.append(("GET", 200, "/public/a%d" % n))
        parts.append("POST /user/b%d HTTP/1.1\r\nHost: a\r\n%sContent-Length: 5\r\n\r\nhello" % (n, fields))
        wants.append(("POST", 200, "/user/b%d" % n))
        parts.append("GET /user/c HTTP/1.1\r\nHost: a\r\n\r\n")
        wants.append(("GET", 401, None))
        parts.append("HEAD /public/d HTTP/1.1\r\nHost: a\r\n\r\n")
        wants.append(("HEAD", 200, None))
        parts.append("POST /public/e%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" % n)
        wants.append(("POST", 200, "/public/e%d" % n))
    for cut in (None, 1, 7, 1000):  # all in one write, and in pieces
        data = "".join(parts).encode()
        with s.client() as c:
            if cut is None:
                c.send(data)
            elif cut < 10:
                data = "".join(parts[:5]).encode()
                for i in range(0, len(data), cut):
                    c.send(data[i:i + cut])
            else:
                for i in range(0, len(data), cut):
                    c.send(data[i:i + cut])
                    time.sleep(0.002)
            for n, (method, status, target) in enumerate(wants if cut is None or cut > 10 else wants[:5]):
                reply = c.reply(method)
                equal(reply.status, status, "status %d" % n)
                if target:
                    equal(reply.json()["target"], target, "answer %d" % n)
            check(c.buffer == b"", "more came than was asked for")


@port.test("a slow answer does not let a pipelined one overtake it")
def pipelining_slow():
    def answer(seen, client):
        time.sleep(0.3 if "slow" in seen.target else 0)
        return ok(seen.target)
    with with_answer(answer) as s, s.client() as c:
        c.send("GET /public/slow HTTP/1.1\r\nHost: a\r\n\r\nGET /public/fast HTTP/1.1\r\nHost: a\r\n\r\n")
        equal([c.reply().body, c.reply().body], [b"/public/slow", b"/public/fast"], "answers")


@port.test("half-closed client: its request is answered all the same")
def half_closed():
    def answer(seen, client):
        time.sleep(0.2)
        return ok(b"late")
    with with_answer(answer) as s:
        for data in (b"GET /public/x HTTP/1.1\r\nHost: a\r\n\r\n",
                     b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"):
            with s.client() as c:
                c.send(data).half_close()
                reply = c.reply()
                equal((reply.status, reply.body), (200, b"late"), "answer")
                check(c.closed(), "the connection stays open")
        with s.client() as c:  # half a request is none
            s.upstream.clear()
            c.send(b"POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel").half_close()
            try:
                check(c.reply().status >= 400, "half a request was answered as a whole one")
            except Closed:
                pass


@port.test("HTTP/1.0 client: whole answer, connection closed; kept only when it asks")
def http10():
    def answer(seen, client):
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    with with_answer(answer) as s:
        with s.client() as c:
            c.send("GET /public/x HTTP/1.0\r\nHost: a\r\n\r\n")
            data = c.rest()
            check(data.endswith(b"\r\n\r\nhello world"), "the body is %r" % data[-60:])
            check(b"chunked" not in data.lower(), "chunked to an HTTP/1.0 client")
        with s.client() as c:
            c.send("GET /public/x HTTP/1.0\r\n\r\n")  # no Host: allowed by the protocol, and by nobody of ours
            check(c.rest().split(b" ")[1] in (b"200", b"400"), "no answer without Host")


@port.test("client gone: its request upstream is cancelled")
def cancel():
    gone = threading.Event()

    def answer(seen, client):
        client.sock.settimeout(5)
        try:
            if client.sock.recv(1) == b"":
                gone.set()
        except ConnectionResetError:
            gone.set()
        return False
    with with_answer(answer) as s:
        c = s.client()
        c.send("GET /public/x HTTP/1.1\r\nHost: a\r\n\r\n")
        port.eventually(lambda: s.upstream.count() == 1, "the request is upstream")
        c.reset()  # an orderly close could be a client that has only finished sending; a reset could not
        check(gone.wait(2), "the upstream connection lives on 2 s after the client's reset")


@port.test("client gone while the response flows: the service is told")
def cancel_flow():
    stopped = threading.Event()

    def answer(seen, client):
        client.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(200):
                client.send(b"4\r\ntick\r\n")
                time.sleep(0.02)
        except OSError:
            stopped.set()
        return False
    for leave in ("close", "reset"):
        stopped.clear()
        with with_answer(answer) as s:
            c = s.client()
            c.send("GET /public/x HTTP/1.1\r\nHost: a\r\n\r\n")
            c.until(b"tick")
            getattr(c, leave)()
            check(stopped.wait(2), "the service still sends 2 s after the client's %s" % leave)


# --- bodies ----------------------------------------------------------------------------------------------------------------------

HUNDRED = 100 * 1024 * 1024
BLOCK = os.urandom(1 << 20)


@port.test("100 MB up, with a length and chunked: whole, streamed, memory flat")
def large_up():
    digest = {}

    def serve(client):
        while True:
            seen = port.Seen(client.until(b"\r\n\r\n"))
            h, n = hashlib.sha256(), 0
            if seen.get("content-length"):
                left = int(seen.get("content-length"))
                while left:
                    if not client.buffer and not client.fill():
                        return
                    piece, client.buffer = client.buffer[:left], client.buffer[left:]
                    h.update(piece)
                    n += len(piece)
                    left -= len(piece)
            elif seen.get("transfer-encoding"):
                while True:
                    size = int(client.until(b"\r\n"), 16)
                    if size == 0:
                        client.until(b"\r\n")
                        break
                    h.update(client.exactly(size))
                    n += size
                    client.exactly(2)
            digest[seen.target] = (n, h.hexdigest())
            client.send(ok(b"thanks"))
    upstream = Upstream(serve=serve, read_body=False)
    with Shop(upstream=upstream, change=lambda c: c.update(limits={"body": "200MB"})) as s:
        want = hashlib.sha256(BLOCK * 100).hexdigest()
        port.fetch(s.port, "/public/warm")
        before = s.gateway.process.status("VmHWM")  # what the start needed is given back: RSS would be too little
        with s.client(timeout=30) as c:
            c.send("POST /public/length HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % HUNDRED)
            for _ in range(100):
                c.send(BLOCK)
            equal(c.reply().status, 200, "status")
            c.send("POST /public/chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(100):
                c.send(b"%x\r\n" % len(BLOCK) + BLOCK + b"\r\n")
            c.send("0\r\n\r\n")
            equal(c.reply().status, 200, "status")
        for target in ("/public/length", "/public/chunked"):
            equal(digest[target], (HUNDRED, want), "what arrived by " + target)
        grown = s.gateway.process.status("VmHWM") - before
        check(grown < port.memory(4096), "memory grew by %d kB" % grown)


def send_big(seen, client):
    if "length" in seen.target:
        client.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % HUNDRED)
        for _ in range(100):
            client.send(BLOCK)
    elif "chunked" in seen.target:
        client.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(100):
            client.send(b"%x\r\n" % len(BLOCK) + BLOCK + b"\r\n")
        client.send(b"0\r\n\r\n")
    elif "close" in seen.target:
        client.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for _ in range(100):
            client.send(BLOCK)
        return False
    else:
        return ok(b"small")
    return None


@port.test("100 MB down, with a length, chunked and until close: whole, streamed, memory flat")
def large_down():
    want = hashlib.sha256(BLOCK * 100).hexdigest()
    with with_answer(send_big) as s:
        port.fetch(s.port, "/public/warm")
        before = s.gateway.process.status("VmHWM")  # what the start needed is given back: RSS would be too little
        for target in ("/public/length", "/public/chunked", "/public/close"):
            with s.client(timeout=30) as c:
                c.send("GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % target)
                head = c.head()
                h, n = hashlib.sha256(), 0
                if head.get("transfer-encoding"):
                    while True:
                        size = int(c.until(b"\r\n"), 16)
                        if size == 0:
                            break
                        h.update(c.exactly(size))
                        n += size
                        c.exactly(2)
                else:
                    while n < HUNDRED and (c.buffer or c.fill()):
                        h.update(c.buffer)
                        n += len(c.buffer)
                        c.buffer = b""
                equal((n, h.hexdigest()), (HUNDRED, want), "what came by " + target)
        grown = s.gateway.process.status("VmHWM") - before
        check(grown < port.memory(4096), "memory grew by %d kB" % grown)


@port.test("back-pressure: a client that does not read stops the service, a service that does not read the client")
def back_pressure():
    sent = [0]

    def answer(seen, client):
        client.sock.settimeout(3)
        try:
            if "down" in seen.target:
                client.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % HUNDRED)
                for _ in range(1600):
                    client.send(BLOCK[:65536])
                    sent[0] += 65536
            else:
                time.sleep(2)
        except (OSError, TimeoutError):
            pass
        return False
    upstream = Upstream(answer, read_body=False)
    with Shop(upstream=upstream, change=lambda c: c.update(limits={"body": "200MB"})) as s:
        before = s.gateway.process.status("VmHWM")  # what the start needed is given back: RSS would be too little
        with s.client(rcvbuf=65536) as c:
            c.send("GET /public/down HTTP/1.1\r\nHost: a\r\n\r\n")
            time.sleep(1.5)
            check(0 < sent[0] < 24 << 20, "the service got rid of %d MB nobody reads" % (sent[0] >> 20))
        with s.client() as c:
            c.send("POST /public/up HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % HUNDRED)
            c.sock.settimeout(0.7)
            taken = 0
            try:
                while taken < HUNDRED:
                    taken += c.sock.send(BLOCK[:65536])
            except OSError:
                pass
            check(taken < 24 << 20, "the client got rid of %d MB nobody reads" % (taken >> 20))
        grown = s.gateway.process.status("VmHWM") - before
        check(grown < port.memory(4096), "memory grew by %d kB" % grown)


@port.test("Expect: 100-continue: asked for the body only when it is wanted")
def expect():
    s = shop()
    with s.client() as c:
        c.send("POST /public/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        equal(c.head().status, 100, "interim status")
        c.send("hello")
        reply = c.reply()
        equal((reply.status, reply.json()["body_n"]), (200, 5), "answer")
        # refused: no 100, and the body that never comes does not hang the connection
        c.send("POST /user/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        equal(c.head().status, 401, "first answer to a request that is refused")
    with s.client() as c:  # chunked, odd case
        c.send("POST /public/x HTTP/1.1\r\nHost: a\r\nexpect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n")
        equal(c.head().status, 100, "interim status")
        c.send("5\r\nhello\r\n0\r\n\r\n")
        equal(c.reply().status, 200, "status")
    with s.client() as c:  # a client that does not wait
        c.send("POST /public/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
        equal(c.reply().json()["body_n"], 5, "body that came at once")
        equal(c.get("/public/y").status, 200, "the next request")
    with s.client() as c:
        c.send("POST /public/x HTTP/1.1\r\nHost: a\r\nExpect: a-miracle\r\nContent-Length: 5\r\n\r\nhello")
        equal(c.reply().status, 417, "status of another expectation")
    with s.client() as c:  # HTTP/1.0 has no interim responses
        c.send("POST /public/x HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
        check(c.rest().startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")), "an interim response to HTTP/1.0")


@port.test("bodies where few expect them: GET, DELETE and HEAD with one, POST without")
def odd_bodies():
    s = shop()
    with s.client() as c:
        for method in ("GET", "DELETE", "OPTIONS", "HEAD", "PATCH"):
            reply = c.ask(method, "/public/x", body=b"hello")
            equal(reply.status, 200, "status of " + method)
            equal((s.upstream.last().method, s.upstream.last().body), (method, b"hello"), "what arrived by " + method)
        for method in ("POST", "PUT"):
            equal(c.ask(method, "/public/x").status, 200, "status of %s without a body" % method)
            equal(s.upstream.last().get("content-length"), "0", "Content-Length of %s without a body" % method)


@port.test("chunked requests: empty, of many small chunks, upper-case sizes, leading zeros in bounds")
def chunked_up():
    s = shop()
    for body, size in ((b"0\r\n\r\n", 0), (b"1\r\nx\r\n" * 3000 + b"0\r\n\r\n", 3000), (b"A\r\n0123456789\r\n0\r\n\r\n", 10),
                       (b"005\r\nhello\r\n000\r\n\r\n", 5)):
        with s.client() as c:
            c.send(b"POST /public/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
            reply = c.reply()
            equal((reply.status, reply.json()["body_n"]), (200, size), "answer")
            equal(c.get("/public/next").json()["target"], "/public/next", "the next request")


@port.test("trailers pass both ways")
def trailers():
    def answer(seen, client):
        body = ("%r" % seen.trailers).encode()
        return (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n%x\r\n%s\r\n0\r\nX-Sum: abc\r\n"
                b"X-User-ID: forged\r\n\r\n" % (len(body), body))
    with with_answer(answer) as s, s.client() as c:
        c.send("POST /public/x HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: X-Up\r\n\r\n"
               "5\r\nhello\r\n0\r\nX-Up: def\r\n\r\n")
        reply = c.reply()
        equal(reply.status, 200, "status")
        check(("X-Sum", "abc") in reply.trailers, "trailers of the response: %r" % reply.trailers)
        check(b"'X-Up', 'def'" in reply.body, "trailers of the request: %r" % reply.body)
        equal(c.get("/public/x").status, 200, "the next request")


@port.test("HEAD, 204 and 304 have no body, and the connection goes on")
def bodiless():
    def answer(seen, client):
        if seen.method == "HEAD":
            return b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nX-A: b\r\n\r\n"
        if "204" in seen.target:
            return b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"
        if "304" in seen.target:
            return b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 77\r\n\r\n"
        return ok(b"body")
    with with_answer(answer) as s, s.client() as c:
        for _ in range(2):
            c.send("HEAD /public/x HTTP/1.1\r\nHost: a\r\n\r\n")
            reply = c.reply("HEAD")
            equal((reply.status, reply.get("content-length"), reply.get("x-a")), (200, "12345", "b"), "HEAD")
            reply = c.get("/public/204")
            equal((reply.status, reply.get("content-length"), reply.get("transfer-encoding")), (204, None, None), "204")
            equal(c.get("/public/304").status, 304, "304")
            equal(c.get("/public/x").body, b"body", "the next answer")
        c.send("HEAD /user/x HTTP/1.1\r\nHost: a\r\n\r\n")
        equal(c.reply("HEAD").status, 401, "HEAD refused")
        equal(c.get("/public/x").body, b"body", "the next answer after a refused HEAD")


@port.test("early response: what the service says before it has read the body reaches the client")
def early():
    def answer(seen, client):
        if "keep" in seen.target:
            return ok(b"enough", status="403 Forbidden")
        client.send(ok(b"too much", status="413 Content Too Large", fields=[("Connection", "close")]))
        return False
    upstream = Upstream(answer, read_body=False)
    with Shop(upstream=upstream) as s:
        for target, status in (("/public/x", 413), ("/public/keep", 403)):
            with s.client() as c:
                c.send("POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n" % target)
                c.send(b"y" * 1000)
                reply = c.reply()
                equal(reply.status, status, "status while the body is still coming")
                # afterwards the body is read to its end, or the connection closed; never mistaken for a request
                try:
                    c.send(b"GET /public/SMUGGLED HTTP/1.1\r\nHost: a\r\n\r\n")
                except OSError:
                    pass
            time.sleep(0.1)
        with s.upstream.lock:
            targets = [r.target for r in s.upstream.requests]
        check("/public/SMUGGLED" not in targets, "body bytes became a request")
        equal(port.fetch(s.port, "/public/keep").status, 403, "the next client")


@port.test("early refusal: a client that goes on sending still gets to read it")
def early_refusal():
    def change(c):
        c["actions"]["small"] = {"match": "POST /small", "to": "app", "public": True, "body": "1kB"}
    with Shop(change=change) as s:
        for path, status, framing in (("/small", 413, "Content-Length: 8000000"), ("/user/x", 401, "Content-Length: 8000000"),
                                      ("/small", 413, "Transfer-Encoding: chunked"), ("/user/x", 401, "Transfer-Encoding: chunked")):
            for _ in range(5):
                with s.client(timeout=5) as c:
                    c.send("POST %s HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n" % (path, framing))
                    block = b"y" * 100000
                    if "chunked" in framing:
                        block = b"%x\r\n" % len(block) + block + b"\r\n"
                    try:  # writes all of it before it reads, as simple clients do
                        for _ in range(80):
                            c.send(block)
                    except OSError:
                        pass
                    equal(c.reply().status, status, "status of %s, %s" % (path, framing))


@port.test("unix: listener and upstream")
def unix():
    where = port.folder()
    upstream = Upstream(port.mirror, path=os.path.join(where, "app.sock"))
    listener = os.path.join(where, "gate.sock")
    with Shop(upstream=upstream, change=lambda c: c.update(listen={"gateway": "unix:" + listener})) as s:
        for _ in range(3):
            with Client(listener) as c:
                equal(c.get("/user/x", s.auth()).json()["target"], "/user/x", "target")
                equal(c.ask("POST", "/public/x", body=b"hello").json()["body_n"], 5, "body")
                equal(c.get("/user/x").status, 401, "status without credentials")
    check(not os.path.exists(listener), "the socket is left behind")


@port.test("several listeners; implicit route /{service}/{rest} for whoever is granted it, its prefix removed")
def routes():
    ports = [port.free_port(), port.free_port()]

    def change(c):
        c["listen"] = {"gateway": ["127.0.0.1:%d" % p for p in ports]}
        c["services"]["closed"] = {"instances": c["services"]["app"]["instances"], "implicit": False}
        c["products"]["shop"]["may"] += ["app:invoke"]
        c["roles"]["user"] = ["user", "app:invoke"]
        c["actions"]["cut"] = {"match": "GET /old/place/{id}", "to": "app", "strip": "/old", "public": True}
        c["actions"]["literal"] = {"match": "GET /app/special", "to": "app", "public": True}
    with Shop(port.mirror, change=change) as s:
        for p in ports:
            equal(port.fetch(p, "/public/x").status, 200, "status on each listener")
        p = ports[0]
        reply = port.fetch(p, "/app/myclass/myoperation?a=b", s.auth())
        equal((reply.status, reply.json()["target"]), (200, "/myclass/myoperation?a=b"), "implicit route")
        check(port.fetch(p, "/app/myclass/myoperation", s.auth(roles=["admin"])).status == 403, "implicit route, no grant")
        equal(port.fetch(p, "/app/myclass/myoperation").status, 401, "implicit route, no credentials")
        equal(port.fetch(p, "/app/special").json()["target"], "/app/special", "an explicit action wins")
        equal(port.fetch(p, "/old/place/7").json()["target"], "/place/7", "strip")
        for target in ("/closed/x", "/nothing/x", "/", "/app/../closed/x"):
            status = port.fetch(p, target, s.auth()).status
            check(status in (400, 401, 403, 404), "%s: status %d" % (target, status))
        equal(port.fetch(p, "/app", s.auth()).status in (200, 404), True, "the service's own address")


@port.test("context: correlation id and W3C trace context are made, kept and passed on")
def context():
    import re
    s = shop()
    form = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-0[01]")
    reply = port.fetch(s.port, "/public/x")
    seen = s.upstream.last()
    check(form.fullmatch(seen.get("traceparent") or ""), "traceparent %r" % seen.get("traceparent"))
    check(re.fullmatch(r"[!-~]{8,128}", seen.get("x-correlation-id") or ""), "correlation %r" % seen.get("x-correlation-id"))
    first = seen.get("x-correlation-id")
    port.fetch(s.port, "/public/x")
    check(s.upstream.last().get("x-correlation-id") != first, "two requests have one correlation id")
    check(reply.get("x-correlation-id") in (None, first), "the client is told another correlation id")
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    port.fetch(s.port, "/public/x", [("traceparent", "00-%s-%s-01" % (trace, span)), ("tracestate", "vendor=1")])
    seen = s.upstream.last()
    found = form.fullmatch(seen.get("traceparent") or "")
    check(found, "traceparent %r" % seen.get("traceparent"))
    if found.group(1) == trace:
        equal(seen.get("tracestate"), "vendor=1", "tracestate of the same trace")
    else:
        equal(seen.get("tracestate"), None, "tracestate of another trace")
    for bad in ("00-%s-%s-01" % ("0" * 32, span), "00-%s-%s-01" % (trace, "0" * 16), "ff-%s-%s-01" % (trace, span), "x",
                "00-%s-%s-01-x" % (trace, span), "00-%s-%s-01" % (trace.upper(), span), "00-%s" % trace):
        port.fetch(s.port, "/public/x", [("traceparent", bad), ("tracestate", "vendor=1")])
        seen = s.upstream.last()
        found = form.fullmatch(seen.get("traceparent") or "")
        check(found and found.group(1) != trace, "a bad traceparent %r became %r" % (bad, seen.get("traceparent")))
        equal(seen.get("tracestate"), None, "tracestate beside a bad traceparent")
    port.fetch(s.port, "/public/x", [("traceparent", "00-%s-%s-01" % (trace, span))] * 2)
    found = form.fullmatch(s.upstream.last().get("traceparent") or "")
    check(found and found.group(1) != trace and len(s.upstream.last().all("traceparent")) == 1, "two traceparents")


@port.test("Host reaches the service as the client said it, OPTIONS * has no route")
def host():
    s = shop()
    for name in ("shop.example", "shop.example:8443", "[::1]:80", "127.0.0.1"):
        port.fetch(s.port, "/public/x", host=name)
        check(len(s.upstream.last().all("host")) == 1, "Host fields: %r" % s.upstream.last().all("host"))
    with s.client() as c:
        c.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
        check(c.reply().status in (400, 401, 403, 404, 405), "OPTIONS *")
    with s.client() as c:
        c.send("GET http://a/public/x HTTP/1.1\r\nHost: a\r\n\r\n")
        reply = c.reply()
        check(reply.status in (200, 400), "absolute-form: %d" % reply.status)
        if reply.status == 200:
            equal(s.upstream.last().target, "/public/x", "target of an absolute-form request")


if __name__ == "__main__":
    port.main()
