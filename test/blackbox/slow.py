#!/usr/bin/env python3
"""Slow clients and slow services: absolute deadlines and least rates, not idle timers that every byte resets.

The deadlines are the product's, scaled down by its configuration.
"""

import threading
import time

import port
from port import Client, Closed, Failure, Shop, check, equal

TIMEOUTS = {"head": "1s", "body_rate": 2000, "body_grace": "1s", "idle": "2s", "connect": "500ms", "response": "1s",
            "total": "6s"}


def start(answer=None, **timeouts):
    return Shop(answer, change=lambda c: c.update(timeouts=dict(TIMEOUTS, **timeouts)))


def dribble(client, data, every, seconds):
    """Sends a byte now and then until the peer has answered or closed; gives the time that took."""
    began = time.monotonic()
    client.sock.settimeout(every)
    for i in range(int(seconds / every)):
        try:
            client.sock.sendall(data[i % len(data):i % len(data) + 1])
        except OSError:
            break
        try:
            piece = client.sock.recv(65536)
            client.buffer += piece
            break
        except TimeoutError:
            continue
        except ConnectionResetError:
            break
    else:
        raise Failure("after %.1f s of one byte each %.2f s it still listens" % (seconds, every))
    client.sock.settimeout(3)
    return time.monotonic() - began


def ended(client, statuses):
    """It answered with one of these and closed, or only closed."""
    try:
        reply = client.reply()
    except Closed:
        return
    check(reply.status in statuses, "status %d" % reply.status)
    check(client.closed(), "it answered %d and did not close" % reply.status)


def told_late(client):
    """408 (RFC 9110 §15.5.9), then the close."""
    reply = client.reply()
    equal((reply.status, reply.json()["code"], reply.get("connection")), (408, "request_timeout", "close"), "the answer")
    check(client.closed(), "it answered and did not close")


def all_at_once(*functions):
    """Runs them side by side; the first failure is the test's."""
    failures = []

    def run(function):
        try:
            function()
        except Exception as why:
            failures.append("%s: %s" % (function.__name__, why))
    threads = [threading.Thread(target=run, args=(f,)) for f in functions]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check(not failures, "; ".join(failures))


@port.test("slow heads: cut at the deadline, while others are served")
def slow_head():
    with start() as s:
        head = b"GET /public/x HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(90))

        def one_byte_at_a_time():
            with Client(s.port) as c:
                took = dribble(c, head, 0.05, 5)
                check(0.5 < took < 2.5, "cut after %.1f s, the deadline is 1 s" % took)
                told_late(c)

        def a_head_that_stops():
            with Client(s.port, timeout=4) as c:
                began = time.monotonic()
                c.send(b"GET /public/x HTTP/1.1\r\nHost: a\r\nX: ")
                told_late(c)
                check(time.monotonic() - began < 2.5, "cut after %.1f s" % (time.monotonic() - began))

        def nothing_at_all():
            with Client(s.port, timeout=5) as c:
                check(c.rest() == b"", "a connection that asks nothing was answered")

        def second_request_dribbles():
            with Client(s.port) as c:
                equal(c.get("/public/x").status, 200, "first request")
                took = dribble(c, head, 0.05, 5)
                check(took < 3.5, "cut after %.1f s" % took)
                told_late(c)

        def empty_lines_for_ever():
            with Client(s.port) as c:
                took = dribble(c, b"\r\n", 0.1, 5)
                check(took < 3.5, "cut after %.1f s" % took)

        def idle_between_requests():
            with Client(s.port, timeout=5) as c:
                equal(c.get("/public/x").status, 200, "first request")
                began = time.monotonic()
                check(c.rest() == b"", "an idle connection was spoken to")
                check(1.0 < time.monotonic() - began < 4, "an idle connection was closed after %.1f s" %
                      (time.monotonic() - began))

        def others():
            for _ in range(30):
                began = time.monotonic()
                equal(port.fetch(s.port, "/public/well").status, 200, "status of another client")
                check(time.monotonic() - began < 0.5, "another client waited %.2f s" % (time.monotonic() - began))
                time.sleep(0.1)
        all_at_once(one_byte_at_a_time, a_head_that_stops, nothing_at_all, second_request_dribbles, empty_lines_for_ever,
                    idle_between_requests, others)


@port.test("slow bodies: cut below the least rate, kept above it")
def slow_body():
    with start(total="20s") as s:
        def dribbled_length():
            with Client(s.port) as c:
                c.send("POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
                took = dribble(c, b"y", 0.05, 8)
                check(took < 5, "cut after %.1f s" % took)
                ended(c, {408})

        def dribbled_chunks():
            with Client(s.port) as c:
                c.send("POST /public/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                took = dribble(c, b"1\r\ny\r\n", 0.03, 8)
                check(took < 5, "cut after %.1f s" % took)
                ended(c, {408})

        def dribbled_chunk_size():
            with Client(s.port) as c:
                c.send("POST /public/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                took = dribble(c, b"0", 0.05, 8)
                check(took < 5, "cut after %.1f s" % took)
                ended(c, {400, 408})

        def dribbled_trailers():
            with Client(s.port) as c:
                c.send("POST /public/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
                took = dribble(c, b"X: y\r\n", 0.05, 8)
                check(took < 5, "cut after %.1f s" % took)

        def a_body_that_stops():
            with Client(s.port, timeout=6) as c:
                began = time.monotonic()
                c.send("POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf")
                equal(c.reply().status, 408, "it hears why")
                check(c.closed(), "it was answered 408 and not closed")
                check(time.monotonic() - began < 4, "cut after %.1f s" % (time.monotonic() - began))

        def fast_enough():
            with Client(s.port) as c:
                c.send("POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n")
                for _ in range(40):
                    c.send(b"y" * 500)
                    time.sleep(0.1)
                equal(c.reply().status, 200, "5000 bytes a second, where 2000 are asked for")
        all_at_once(dribbled_length, dribbled_chunks, dribbled_chunk_size, dribbled_trailers, a_body_that_stops, fast_enough)
        s.upstream.errors.clear()


@port.test("slow readers: the whole exchange has an end, and memory a bound")
def slow_read():
    big = b"z" * (32 * 1024 * 1024)
    with start(lambda seen, client: port.ok(big if "big" in seen.target else b"small"), total="4s") as s:
        before = s.gateway.process.status("VmRSS")
        readers = []
        for _ in range(20):
            c = Client(s.port, rcvbuf=4096)
            c.send("GET /public/big HTTP/1.1\r\nHost: a\r\n\r\n")
            readers.append(c)
        began = time.monotonic()
        peak, over = 0, None
        while time.monotonic() - began < 9:
            peak = max(peak, s.gateway.process.status("VmRSS"))
            for c in readers:  # a byte now and then: an idle timer would be content
                c.sock.settimeout(0.001)
                try:
                    c.sock.recv(1)
                except OSError:
                    pass
            equal(port.fetch(s.port, "/public/small").status, 200, "status for another client")
            time.sleep(0.2)
            if s.upstream.open_now <= 2:
                over = time.monotonic() - began
                break
        for c in readers:
            c.close()
        check(over is not None, "after 9 s %d upstream connections are still held by slow readers" % s.upstream.open_now)
        check(peak - before < port.memory(8192), "memory grew by %d kB for 20 slow readers of 32 MB" % (peak - before))


@port.test("slow services: no head in time is 504, a refused connection 502 or 503")
def slow_service():
    def answer(seen, client):
        if "hang" in seen.target:
            time.sleep(4)
            return False
        if "half" in seen.target:
            client.send(b"HTTP/1.1 200 OK\r\nContent-Le")
            time.sleep(4)
            return False
        return port.ok(b"fine")
    with start(answer) as s:
        def hang():
            began = time.monotonic()
            reply = port.fetch(s.port, "/public/hang")
            equal(reply.status, 504, "status")
            check(0.8 < time.monotonic() - began < 2.5, "answered after %.1f s" % (time.monotonic() - began))
            equal(reply.get("content-type"), "application/problem+json", "content type")

        def half_a_head():
            equal(port.fetch(s.port, "/public/half").status, 504, "status of half a head")

        def fine():
            equal(port.fetch(s.port, "/public/fine").status, 200, "status of another")
        all_at_once(hang, half_a_head, fine)
        s.upstream.stop()
        check(port.fetch(s.port, "/public/x").status in (502, 503), "a dead service")


@port.test("the total deadline ends a response that never ends")
def endless_response():
    def answer(seen, client):
        client.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            client.send(b"4\r\ntick\r\n")
            time.sleep(0.1)
    with start(answer, total="2s") as s:
        began = time.monotonic()
        with Client(s.port) as c:
            c.send("GET /public/x HTTP/1.1\r\nHost: a\r\n\r\n")
            data = c.rest()
        took = time.monotonic() - began
        check(1.5 < took < 4, "ended after %.1f s" % took)
        check(not data.endswith(b"0\r\n\r\n"), "a response that was cut looks whole")


@port.test("an action's own timeout overrides the total")
def action_timeout():
    def answer(seen, client):
        time.sleep(2.5)
        return False

    def change(c):
        c["timeouts"] = dict(TIMEOUTS, response="10s", total="10s")
        c["actions"]["open"]["timeout"] = "700ms"
    with Shop(answer, change=change) as s:
        began = time.monotonic()
        equal(port.fetch(s.port, "/public/x").status, 504, "status")
        check(time.monotonic() - began < 2, "answered after %.1f s" % (time.monotonic() - began))


@port.test("bounds: connections beyond the limit are not served, those within are; the body's bound is 413")
def bounds():
    def change(c):
        c["limits"] = {"connections": 20, "body": "10kB"}
        c["workers"] = 1
        c["actions"]["user"]["body"] = "20kB"
    with Shop(change=change) as s:
        equal(port.fetch(s.port, "/public/x", method="POST", body=b"y" * 10000).status, 200, "a body within the bound")
        s.upstream.clear()
        reply = port.fetch(s.port, "/public/x", method="POST", body=b"y" * 10241)
        equal(reply.status, 413, "a body beyond the bound")
        check(b"yyyyy" not in s.upstream.bytes(), "a body beyond the bound went upstream")
        with Client(s.port) as c:
            c.send("POST /public/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            try:
                for _ in range(30):
                    c.send(b"400\r\n" + b"y" * 1024 + b"\r\n")
                    time.sleep(0.005)
            except OSError:
                pass
            equal(c.reply().status, 413, "a chunked body beyond the bound")
        equal(port.fetch(s.port, "/user/x", s.auth(), method="POST", body=b"y" * 20000).status, 200, "an action's own bound")
        equal(port.fetch(s.port, "/user/x", s.auth(), method="POST", body=b"y" * 20481).status, 413, "beyond it")
        held = []
        for _ in range(20):
            c = Client(s.port)
            equal(c.get("/public/x").status, 200, "connection %d of 20" % len(held))
            held.append(c)
        beyond = Client(s.port, timeout=2)
        try:
            status = beyond.get("/public/x").status
        except Failure:
            status = 0
        check(status in (0, 503), "connection 21 of 20 was answered %d" % status)
        equal(held[0].get("/public/x").status, 200, "one of those within")
        for c in held + [beyond]:
            c.close()
        port.eventually(lambda: port.fetch(s.port, "/public/x").status == 200, "served again when they are gone")


if __name__ == "__main__":
    port.main()
