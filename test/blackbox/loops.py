#!/usr/bin/env python3
"""Requests that come back, and hops that say whom they speak for."""


import port
from port import Client, Shop, check, equal


def members(seen):
    return [m.strip() for value in seen.all("cdn-loop") for m in value.split(",") if m.strip()]


@port.test("CDN-Loop is appended to, never replaced")
def appended():
    with Shop(change=lambda c: c.update(name="gate-a")) as s:
        equal(port.fetch(s.port, "/public/x").status, 200, "status")
        equal(members(s.upstream.last()), ["gate-a"], "CDN-Loop")
        equal(port.fetch(s.port, "/public/x", [("CDN-Loop", "other; v=1, third")]).status, 200, "status")
        got = members(s.upstream.last())
        check(got[0].startswith("other") and got[1:] == ["third", "gate-a"], "CDN-Loop: %r" % got)
        equal(port.fetch(s.port, "/public/x", [("CDN-Loop", "one"), ("cdn-loop", "two")]).status, 200, "status of two fields")
        equal(members(s.upstream.last()), ["one", "two", "gate-a"], "CDN-Loop of two fields")
        port.fetch(s.port, "/public/x", [("Connection", "CDN-Loop"), ("CDN-Loop", "one")])
        check("gate-a" in members(s.upstream.last()), "Connection nominates CDN-Loop away")
        port.fetch(s.port, "/public/x", [("CDN_Loop", "gate-a"), ("Cdn_Loop", "x")])
        check(s.upstream.last().all("cdn_loop") == [], "a twin of CDN-Loop is forwarded")


@port.test("a request that has passed this gate before is refused")
def loop():
    with Shop(change=lambda c: c.update(name="gate-a")) as s:
        for value in ("gate-a", "GATE-A", "x, gate-a", "gate-a; v=1", "gate-a ;v=1", "a, gate-a, b", "x,gate-a"):
            s.upstream.clear()
            reply = port.fetch(s.port, "/public/x", [("CDN-Loop", value)])
            if reply.status == 200 and value == "GATE-A":
                continue  # RFC 8586 compares as the name is written
            check(reply.status in (400, 403, 508), "CDN-Loop: %s: status %d" % (value, reply.status))
            equal(reply.json()["code"], "loop_detected", "code")
            equal(s.upstream.count(), 0, "requests upstream")
        for value in ("gate-ab", "agate-a", "x; by=gate-a", 'x; v="gate-a"', "gate-a.example"):
            equal(port.fetch(s.port, "/public/x", [("CDN-Loop", value)]).status, 200, "status of CDN-Loop: " + value)


@port.test("more hops than the bound are refused, by CDN-Loop and by Via, however they are written")
def hops():
    with Shop(change=lambda c: c.update(hops=4)) as s:
        for name, member in (("CDN-Loop", "h%d"), ("Via", "1.1 h%d")):
            def ask(*values):
                s.upstream.clear()
                return port.fetch(s.port, "/public/x", [(name, v) for v in values]).status
            listed = [member % n for n in range(20)]
            equal(ask(", ".join(listed[:3])), 200, "three hops by " + name)
            for values in ((", ".join(listed[:5]),), listed[:5], (", ".join(listed),), (",".join(listed[:3]), ",".join(listed[3:6]))):
                status = ask(*values)
                check(status in (400, 403, 508), "%d members of %s: status %d" % (len(values), name, status))
                equal(s.upstream.count(), 0, "requests upstream")
        for value in ("a;" * 50, ",,,,", '"', "a b c", "x; v=", "\x80"):
            check(port.fetch(s.port, "/public/x", [("CDN-Loop", value)]).status in (200, 400, 403, 508), "CDN-Loop: " + value)


@port.test("a real loop ends: a gateway that is its own service, and two that call each other")
def real_loop():
    def bend(c):
        c["services"]["self"] = {"instances": [c["listen"]["gateway"]]}
        c["actions"]["round"] = {"match": "GET /round", "to": "self", "public": True}

    def own(c):
        c["listen"] = {"gateway": "127.0.0.1:%d" % port.free_port()}
        bend(c)
    with Shop(change=own) as s:
        where = int(s.gateway.config["listen"]["gateway"].split(":")[1])
        reply = port.fetch(where, "/round")
        check(reply.status in (400, 403, 508), "a gateway that is its own service: status %d" % reply.status)
        check(b"loop_detected" in reply.body, "it says %r" % reply.body)
    a, b = port.free_port(), port.free_port()

    def peer(name, mine, other):
        def change(c):
            c.update(name=name, listen={"gateway": "127.0.0.1:%d" % mine})
            c["services"]["self"] = {"instances": ["127.0.0.1:%d" % other]}
            c["actions"]["round"] = {"match": "GET /round", "to": "self", "public": True}
        return change
    with Shop(change=peer("gate-a", a, b)) as first, Shop(change=peer("gate-b", b, a)) as second:
        reply = port.fetch(a, "/round")
        check(reply.status in (400, 403, 508), "two that call each other: status %d" % reply.status)
        seen = [total(g.gateway.metrics()) for g in (first, second)]
        check(sum(seen) <= 4, "%s requests for one" % seen)


def total(metrics):
    return sum(v for k, v in metrics.items() if k.startswith("sallyport_requests_total"))


FORGED = [("Forwarded", "for=6.6.6.6;host=evil.example;proto=https"), ("X-Forwarded-For", "6.6.6.6"),
          ("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Proto", "https"), ("X-Real-IP", "6.6.6.6")]


@port.test("Forwarded and X-Forwarded-* from anybody are dropped and written anew")
def untrusted():
    with Shop() as s:
        equal(port.fetch(s.port, "/public/x", FORGED).status, 200, "status")
        raw = s.upstream.bytes()
        for word in (b"6.6.6.6", b"evil.example"):
            check(word not in raw, "%r reached the upstream: %r" % (word, raw))
        seen = s.upstream.last()
        told = " ".join(seen.all("x-forwarded-for") + seen.all("forwarded"))
        check("127.0.0.1" in told, "the client's address is not told: %r" % seen.fields)
        if seen.get("x-forwarded-proto"):
            equal(seen.get("x-forwarded-proto"), "http", "X-Forwarded-Proto")


@port.test("from a trusted hop they are believed, and our own is added")
def trusted():
    with Shop(change=lambda c: c.update(trusted_hops=["127.0.0.0/8"])) as s:
        equal(port.fetch(s.port, "/public/x", FORGED).status, 200, "status")
        seen = s.upstream.last()
        told = ", ".join(seen.all("x-forwarded-for") + seen.all("forwarded"))
        check("6.6.6.6" in told, "what a trusted hop said is lost: %r" % seen.fields)
        check("127.0.0.1" in told, "the hop itself is not named: %r" % seen.fields)
        # believed are hops, never identity
        s.upstream.clear()
        port.fetch(s.port, "/public/x", [("X-User-ID", "admin"), ("X-User-Roles", "admin"), ("Txn-Token", "admin"),
                                         ("X-Original-URL", "/admin/x"), ("X_Forwarded_For", "admin")])
        check(b"admin" not in s.upstream.bytes(), "a trusted hop asserts identity: %r" % s.upstream.bytes())
    with Shop(change=lambda c: c.update(trusted_hops=["10.0.0.0/8", "::1/128"])) as s:
        port.fetch(s.port, "/public/x", FORGED)
        check(b"6.6.6.6" not in s.upstream.bytes(), "a hop that is not listed is believed")


@port.test("unix: in trusted_hops believes who comes by a Unix socket")
def trusted_unix():
    import os
    for trusted in (True, False):
        where = os.path.join(port.folder(), "gate.sock")

        def change(c):
            c["listen"] = {"gateway": "unix:" + where}
            if trusted:
                c["trusted_hops"] = ["unix"]
        with Shop(change=change) as s, Client(where) as c:
            equal(c.get("/public/x", FORGED).status, 200, "status")
            equal(b"6.6.6.6" in s.upstream.bytes(), trusted, "believed")


if __name__ == "__main__":
    port.main()
