#!/usr/bin/env python3
# test: alone
# test: seconds 240
"""Attacks by framing and by slowness, against the gateway and against the hop to the service, while a bystander is served.

At the entry: requests that two parsers would cut differently, by clear text and by TLS, and clients that send or read
as slowly as they can. At the hop: what a service receives, byte for byte, judged by a parser that knows only this file;
and services that answer with more, less or something else than one response.
"""

import os
import re
import socket
import threading
import time

import port
from bystander import Bystander, serving
from port import Client, Failure, Gateway, Issuer, Key, Shop, Upstream, bearer, check, equal, eventually
from signing import Authority, tls_client

HOST = "gateway.test"
EVIL = b"EVIL-ECHO"


class Field:
    """A gateway with two listeners, a service that is attacked through it, and a neighbour with a bystander."""

    def __init__(self):
        self.authority = Authority()
        cert = self.authority.issue(HOST)
        self.calm = Upstream()
        self.tls_port = port.free_port()
        self.answer = None
        self.app = Upstream(lambda seen, client: self.answer(seen, client) if self.answer else port.ok(
            ("app says %s" % seen.target).encode(), seen.method))

        def change(config):
            clear = port.free_port()
            config["listen"] = {"gateway": ["127.0.0.1:%d" % clear,
                                            {"address": "127.0.0.1:%d" % self.tls_port, "tls": True}]}
            config["tls"] = {"certificates": [{"cert": cert[0], "key": {"file": cert[1]}}]}
            config["timeouts"] = {"head": "1s", "idle": "5s", "body_grace": "1s", "body_rate": 1000, "total": "6s",
                                  "response": "2s", "connect": "1s"}
            config["services"]["app"]["eject"] = "none"
            config["services"]["calm"] = {"instances": [self.calm.address]}
            config["actions"]["calm"] = {"match": "* /calm/{rest*}", "to": "calm", "public": True}
            self.clear = clear
        self.shop = Shop(change=change, upstream=self.app)
        self.port = self.clear
        self.bystander = Bystander(self.port, "/calm/x")

    def client(self, tls=False, **more):
        return tls_client(self.tls_port, self.authority, HOST) if tls else Client(self.port, **more)

    def auth(self):
        return [("apikey", self.shop.key.text), bearer(self.shop.issuer.mint("alice", roles=["user"]))]


_field = None
costs = []


def field(answer=None):
    global _field
    if _field is None:
        _field = Field()
        time.sleep(0.3)
        costs.append(("nothing", _field.bystander.since()))
    _field.app.clear()
    _field.answer = answer
    return _field


def unharmed(f, what):
    """The bystander has been served all the while."""
    was = f.bystander.since()
    costs.append((what, was))
    check(was["n"] and not was["wrong"], "the bystander: %s" % was)
    check(was["p99"] < 500, "the bystander waited: %s" % was)


# --- what reaches the service, judged strictly ----------------------------------------------------------------------

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def requests_in(raw):
    """Every request in those bytes: (line, [(name, value)], body, trailers). Raises Failure at the first byte that is not
    as RFC 9112 writes it, or that could be read in two ways."""
    out = []
    while raw:
        check(b"\r\n\r\n" in raw, "a head without an end: %r" % raw[:200])
        head, raw = raw.split(b"\r\n\r\n", 1)
        lines = head.split(b"\r\n")
        check(not re.search(rb"[\r\n\0]", b"".join(lines)), "a bare CR, LF or NUL in a head: %r" % head)
        check(re.fullmatch(rb"[A-Z-]+ /[!-~]* HTTP/1\.1", lines[0]), "request line %r" % lines[0])
        fields = []
        for line in lines[1:]:
            name, colon, value = line.partition(b": ")
            check(colon and TOKEN.fullmatch(name), "field line %r" % line)
            check(value == value.strip(b" \t"), "blanks around %r" % value)
            fields.append((name.decode().lower(), value.decode("latin-1")))
        names = [n for n, _ in fields]
        equal(names.count("host"), 1, "Host fields")
        framing = [f for f in fields if f[0] in ("content-length", "transfer-encoding")]
        check(len(framing) <= 1, "framing told %d times: %r" % (len(framing), framing))
        body, trailers = b"", []
        if framing and framing[0][0] == "content-length":
            check(re.fullmatch(r"0|[1-9]\d*", framing[0][1]), "length %r" % framing[0][1])
            n = int(framing[0][1])
            check(len(raw) >= n, "a body that is cut off")
            body, raw = raw[:n], raw[n:]
        elif framing:
            equal(framing[0][1], "chunked", "transfer coding")
            while True:
                line, raw = raw.split(b"\r\n", 1)
                check(re.fullmatch(rb"[0-9a-fA-F]{1,16}", line), "chunk line %r" % line)
                n = int(line, 16)
                if n == 0:
                    break
                body, raw = body + raw[:n], raw[n:]
                check(raw[:2] == b"\r\n", "the end of a chunk is %r" % raw[:2])
                raw = raw[2:]
            while not raw.startswith(b"\r\n"):
                line, raw = raw.split(b"\r\n", 1)
                name, colon, value = line.partition(b": ")
                check(colon and TOKEN.fullmatch(name), "trailer %r" % line)
                trailers.append((name.decode().lower(), value.decode("latin-1")))
            raw = raw[2:]
        out.append((lines[0].decode(), fields, body, trailers))
    return out


OURS_ONCE = ("host", "via", "cdn-loop", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-correlation-id",
             "traceparent", "x-action")
NEVER = ("connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "http2-settings", "expect", "apikey",
         "authorization", "cookie", "proxy-authorization", "x-http-method-override", "x-original-url", "x-rewrite-url",
         "forwarded", "x-forwarded-client-cert", "client-cert", "x-real-ip", "x-forwarded-port", "x-forwarded-prefix")


def judge(request, forged=("root", "forged")):
    line, fields, _, trailers = request
    names = [name for name, _ in fields]
    for name in OURS_ONCE:
        equal(names.count(name), 1, "how often %s came in %r" % (name, fields))
    for name in names + [name for name, _ in trailers]:
        check(name.replace("_", "-") not in NEVER, "%s reached the service" % name)
        check("_" not in name or not re.match("x_|content_|transfer_|host", name), "a twin reached the service: " + name)
    said = line + str([f for f in fields if f[0].startswith(("x-", "txn", "via", "cdn", "host"))]) + str(trailers)
    for word in forged:
        check(word not in said, "%r reached the service: %s" % (word, said))


# --- smuggling at the entry -----------------------------------------------------------------------------------------

SECOND = b"GET /public/smuggled HTTP/1.1\r\nHost: gateway.test\r\n\r\n"


def post(fields, body=b"", line=b"POST /public/a HTTP/1.1", host=b"Host: gateway.test\r\n"):
    return line + b"\r\n" + host + b"".join(f + b"\r\n" for f in fields) + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked"
ENDS = b"0\r\n\r\n"
SMUGGLING = [
    ("CL and TE", post([b"Content-Length: 5", CHUNKED], ENDS + SECOND)),
    ("TE and CL", post([CHUNKED, b"Content-Length: 5"], ENDS + SECOND)),
    ("two lengths that differ", post([b"Content-Length: 0", b"Content-Length: %d" % len(SECOND)], SECOND)),
    ("two lengths that agree", post([b"Content-Length: 3", b"Content-Length: 3"], b"abc" + SECOND)),
    ("a list of lengths", post([b"Content-Length: 3, 3"], b"abc" + SECOND)),
    ("a list of lengths that differ", post([b"Content-Length: 0, %d" % len(SECOND)], SECOND)),
    ("+ before the length", post([b"Content-Length: +3"], b"abc" + SECOND)),
    ("- before the length", post([b"Content-Length: -3"], SECOND)),
    ("a hexadecimal length", post([b"Content-Length: 0x3"], b"abc" + SECOND)),
    ("an octal-looking length", post([b"Content-Length: 003"], b"abc" + SECOND)),
    ("a length with a blank", post([b"Content-Length: 1 0"], SECOND)),
    ("a length of 2^64", post([b"Content-Length: 18446744073709551616"], SECOND)),
    ("a length of 2^63", post([b"Content-Length: 9223372036854775808"], b"")),
    ("an empty length", post([b"Content-Length:"], SECOND)),
    ("a length with a form feed", post([b"Content-Length: \x0c3"], b"abc" + SECOND)),
    ("a length with a vertical tab", post([b"Content-Length:\x0b3"], b"abc" + SECOND)),
    ("a twin of the length", post([b"Content_Length: %d" % len(SECOND)], SECOND)),
    ("TE twice", post([CHUNKED, CHUNKED], ENDS + SECOND)),
    ("TE identity", post([b"Transfer-Encoding: identity"], SECOND)),
    ("TE chunked, identity", post([b"Transfer-Encoding: chunked, identity"], ENDS + SECOND)),
    ("TE identity, chunked", post([b"Transfer-Encoding: identity, chunked"], ENDS + SECOND)),
    ("TE chunked, chunked", post([b"Transfer-Encoding: chunked, chunked"], ENDS + SECOND)),
    ("TE gzip, chunked", post([b"Transfer-Encoding: gzip, chunked"], ENDS + SECOND)),
    ("TE xchunked", post([b"Transfer-Encoding: xchunked"], ENDS + SECOND)),
    ("TE chunked;q=1", post([b"Transfer-Encoding: chunked;q=1"], ENDS + SECOND)),
    ("TE \"chunked\"", post([b"Transfer-Encoding: \"chunked\""], ENDS + SECOND)),
    ("TE behind a tab", post([b"Transfer-Encoding:\tchunked\x00"], ENDS + SECOND)),
    ("TE with a vertical tab", post([b"Transfer-Encoding: \x0bchunked"], ENDS + SECOND)),
    ("TE with a high byte", post([b"Transfer-Encoding: \xa0chunked"], ENDS + SECOND)),
    ("TE folded", post([b"Transfer-Encoding:\r\n chunked"], ENDS + SECOND)),
    ("a blank before the colon", post([b"Transfer-Encoding : chunked"], ENDS + SECOND)),
    ("a blank before the name", post([b" Transfer-Encoding: chunked"], ENDS + SECOND)),
    ("a twin of TE", post([b"Transfer_Encoding: chunked", b"Content-Length: %d" % (5 + len(SECOND))], ENDS + SECOND)),
    ("TE on HTTP/1.0", post([CHUNKED], ENDS + SECOND, line=b"POST /public/a HTTP/1.0")),
    ("a bare LF behind the line", b"GET /public/a HTTP/1.1\nHost: gateway.test\r\n\r\n" + SECOND),
    ("a bare LF behind a field", b"GET /public/a HTTP/1.1\r\nHost: gateway.test\nX: y\r\n\r\n" + SECOND),
    ("a bare CR in a value", post([b"X: a\rTransfer-Encoding: chunked"], ENDS + SECOND)),
    ("a NUL in a value", post([b"X: a\0b"], SECOND)),
    ("a NUL in a name", post([b"Content-Length\0: 0"], SECOND)),
    ("bare LFs end the head", b"GET /public/a HTTP/1.1\nHost: gateway.test\n\n" + SECOND),
    ("a folded field", post([b"X: a\r\n b"], SECOND)),
    ("a field without a colon", post([b"Content-Length 3"], b"abc" + SECOND)),
    ("a field without a name", post([b": x"], SECOND)),
    ("a chunk extension", post([CHUNKED], b"3;x=y\r\nabc\r\n" + ENDS + SECOND)),
    ("a chunk extension with LF", post([CHUNKED], b"3;\nabc\r\n" + ENDS + SECOND)),
    ("a chunk that is too long", post([CHUNKED], b"2\r\nabc\r\n" + ENDS + SECOND)),
    ("a chunk size beyond 2^64", post([CHUNKED], b"10000000000000003\r\nabc\r\n" + ENDS + SECOND)),
    ("a negative chunk size", post([CHUNKED], b"-3\r\nabc\r\n" + ENDS + SECOND)),
    ("0x before a chunk size", post([CHUNKED], b"0x3\r\nabc\r\n" + ENDS + SECOND)),
    ("a blank behind a chunk size", post([CHUNKED], b"3 \r\nabc\r\n" + ENDS + SECOND)),
    ("a chunk line ended by LF", post([CHUNKED], b"3\nabc\r\n" + ENDS + SECOND)),
    ("chunk data ended by LF", post([CHUNKED], b"3\r\nabc\n" + ENDS + SECOND)),
    ("a last chunk ended by LF", post([CHUNKED], b"3\r\nabc\r\n0\n\n" + SECOND)),
    ("an empty chunk size", post([CHUNKED], b"\r\nabc\r\n" + ENDS + SECOND)),
    ("a trailer that frames", post([CHUNKED], b"0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + b"X")),
    ("HTTP/0.9", b"GET /public/a\r\n" + SECOND),
    ("HTTP/1.2", post([], SECOND, line=b"POST /public/a HTTP/1.2")),
    ("HTTP/2.0 in text", post([], SECOND, line=b"POST /public/a HTTP/2.0")),
    ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SECOND),
    ("http in lower case", post([], SECOND, line=b"POST /public/a http/1.1")),
    ("two blanks in the line", post([], SECOND, line=b"POST  /public/a HTTP/1.1")),
    ("a tab in the line", post([], SECOND, line=b"POST\t/public/a HTTP/1.1")),
    ("a blank in the target", post([], SECOND, line=b"POST /public/a b HTTP/1.1")),
    ("a blank behind the line", post([], SECOND, line=b"POST /public/a HTTP/1.1 ")),
    ("no Host", post([], SECOND, host=b"")),
    ("two Hosts", post([b"Host: elsewhere.test"], SECOND)),
    ("a Host with a path", post([], SECOND, host=b"Host: gateway.test/x\r\n")),
    ("a Host with userinfo", post([], SECOND, host=b"Host: a@gateway.test\r\n")),
    ("a Host with a comma", post([], SECOND, host=b"Host: a.test, b.test\r\n")),
    ("absolute form against Host", post([], SECOND, line=b"POST http://elsewhere.test/public/a HTTP/1.1")),
    ("h2c upgrade", post([b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"], SECOND)),
    ("a WebSocket upgrade", post([b"Connection: Upgrade", b"Upgrade: websocket"], SECOND)),
    ("CONNECT", post([], SECOND, line=b"CONNECT gateway.test:80 HTTP/1.1")),
    ("an expectation nobody knows", post([b"Expect: 200-ok", b"Content-Length: 3"], b"abc" + SECOND)),
]
# What ends where everybody thinks it ends, so that another request may stand behind it: without what is wrong with it.
MAY_PASS = ("a twin of the length", "a twin of TE", "h2c upgrade", "a WebSocket upgrade")


def rest_of(client, seconds=3.0):
    client.sock.settimeout(seconds)
    try:
        return client.rest()
    except Failure:
        raise Failure("the connection is kept open; so far %r" % client.buffer[:300])


@port.cases("smuggling", [(name, raw) for name, raw in SMUGGLING])
def smuggling(name, raw):
    f = field()
    for tls in (False, True):
        f.app.clear()
        with f.client(tls) as c:
            c.send(raw)
            if name in MAY_PASS:
                equal(c.reply().status, 400 if "upgrade" in name else 200, "status")
            else:
                said = rest_of(c)
                statuses = re.findall(rb"HTTP/1\.1 (\d{3})", said)
                check(len(statuses) == 1 and statuses[0] in (b"400", b"408", b"411", b"413", b"414", b"417", b"421",
                                                             b"431", b"501", b"505"), "answers: %r" % said[:400])
        time.sleep(0.01)
        if name not in MAY_PASS:
            check(b"smuggled" not in f.app.bytes() and not any("smuggled" in r.line for r in f.app.requests),
                  "it arrived: %r" % f.app.bytes()[:500])
        check(b"pgrade" not in f.app.bytes(), "the upgrade arrived")
        if name in MAY_PASS:
            for request in requests_in(f.app.bytes()):
                judge(request)


@port.test("smuggling left nobody else worse off")
def smuggling_harmless():
    unharmed(field(), "%d requests that parsers cut differently, by clear text and TLS" % (2 * len(SMUGGLING)))


# --- slow clients ---------------------------------------------------------------------------------------------------

def drip(client, data, seconds, every=0.05):
    """Sends a byte at a time until the peer ends it; gives what it said and after how long."""
    began = time.monotonic()
    client.sock.settimeout(0.001)
    i = 0
    while time.monotonic() - began < seconds:
        try:
            client.sock.sendall(data[i % len(data):i % len(data) + 1])
        except (OSError, ValueError):
            break
        i += 1
        try:
            if not client.fill():
                break
        except (Failure, OSError):
            pass
        if b"\r\n\r\n" in client.buffer:
            break
        time.sleep(every)
    return client.buffer, time.monotonic() - began


SLOW = [
    ("head", b"", b"GET /public/x HTTP/1.1\r\nHost: gateway.test\r\nX: " + b"y" * 4000, 0),
    ("head of a second request", b"GET /public/first HTTP/1.1\r\nHost: gateway.test\r\n\r\n", b"GET /public/x HTTP/1.1\r\nX:", 1),
    ("fields, each whole", b"GET /public/x HTTP/1.1\r\nHost: gateway.test\r\n", b"A: b\r\n", 0),
    ("body", b"POST /public/x HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 100000\r\n\r\n", b"x", 0),
    ("chunks", b"POST /public/x HTTP/1.1\r\nHost: gateway.test\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 0),
    ("trailers", b"POST /public/x HTTP/1.1\r\nHost: gateway.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", b"A: b\r\n", 0),
]


@port.cases("slow", [(name, first, then, answers) for name, first, then, answers in SLOW])
def slow(name, first, then, answers):
    f = field()
    for tls in (False, True):
        results, lock = [], threading.Lock()

        def one(tls=tls):
            try:
                with f.client(tls) as c:
                    c.send(first)
                    for _ in range(answers):
                        c.reply()
                    got = drip(c, then, 5)
            except (OSError, Failure) as error:
                got = (str(error).encode(), 0)
            with lock:
                results.append(got)
        threads = [threading.Thread(target=one) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for said, took in results:
            check(took < 4, "kept for %.1f s: %r" % (took, said))
            check(said == b"" or b" 408 " in said, "said %r" % said)
    complete = [r for r in f.app.requests if r.target == "/public/x"]
    check(not complete or name in ("body", "chunks", "trailers"), "requests that were whole: %r" % complete)
    unharmed(f, "16 clients with slow " + name)


@port.test("slow: a TLS handshake that does not go on, and one that is garbage")
def slow_handshake():
    f = field()
    began = time.monotonic()
    socks = [socket.create_connection(("127.0.0.1", f.tls_port)) for _ in range(20)]
    for i, s in enumerate(socks):
        s.sendall((b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n", b"")[i % 3])
    for s in socks:
        s.settimeout(4)
        try:
            while s.recv(4096):
                pass
        except ConnectionResetError:
            pass
        s.close()
    check(time.monotonic() - began < 5, "they were kept for %.1f s" % (time.monotonic() - began))
    unharmed(f, "20 stalled handshakes")


@port.test("slow: readers of a large answer cost a bounded piece of memory, and end")
def slow_reader():
    big = b"z" * 2000000
    f = field(lambda seen, client: port.ok(big))
    clients = [f.client(rcvbuf=4096) for _ in range(20)]
    for c in clients:
        c.send("GET /public/big HTTP/1.1\r\nHost: gateway.test\r\n\r\n")
    def open_now():
        return f.shop.gateway.metrics()["sallyport_connections"]
    eventually(lambda: open_now() >= 20, "they are there", 3)  # the gauge goes once a second
    began = time.monotonic()
    while open_now() > 3 and time.monotonic() - began < 12:  # the bystander, and who asks
        for c in clients:
            c.sock.settimeout(0.001)
            try:
                c.sock.recv(1)
            except OSError:
                pass
        time.sleep(0.05)
    check(open_now() <= 3, "they are kept for more than 12 s")
    with open("/proc/%d/status" % serving(f.shop.gateway.pid)) as status:
        peak = int(re.search(r"VmHWM:\s+(\d+)", status.read())[1])
    check(peak < port.memory(60000), "memory: %d kB" % peak)
    for c in clients:
        c.close()
    unharmed(f, "20 readers of a byte in 50 ms")


# --- the hop: what a service receives -------------------------------------------------------------------------------

FORGED = [(b"X-User-ID: root", b"x-user-id: root", b"X_User_ID: root", b"X-USER-ROLES: root", b"X-Product: forged",
           b"X-Action: forged", b"X-Correlation-ID: forged", b"Txn-Token: forged", b"X-Hop-Record: forged",
           b"X-Caller-Service: forged", b"X-Forwarded-For: forged", b"Forwarded: for=forged", b"X-Real-IP: forged",
           b"X-Forwarded-Host: forged", b"X-Forwarded-Client-Cert: forged", b"Client-Cert: forged",
           b"X-HTTP-Method-Override: DELETE", b"X-Original-URL: /forged", b"X-Rewrite-URL: /forged",
           b"TE: trailers, forged", b"Keep-Alive: forged", b"Proxy-Connection: forged", b"Proxy-Authorization: forged",
           b"Cookie: forged", b"apikey_: forged", b"X-Sallyport-Test: forged", b"X-Identity-A: forged")]
HOP = [
    ("plain", []),
    ("identity", [b"X-User-ID: root", b"x-user-roles: root", b"X_USER_ID: root", b"X-User-Id: root"]),
    ("nominated", [b"Connection: X-User-ID, X-Product, X-Correlation-ID, Via, X-Forwarded-For, Host, traceparent",
                   b"X-User-ID: root"]),
    ("nominated, framing", [b"Connection: close, Content-Length, Transfer-Encoding, X-Hop", b"X-Hop: forged"]),
    ("hop-by-hop", [b"Connection: keep-alive, X-Private", b"X-Private: root", b"Keep-Alive: timeout=5",
                    b"Proxy-Connection: keep-alive", b"TE: trailers"]),
    ("forwarding", [b"X-Forwarded-For: forged", b"X-Forwarded-Host: forged", b"Forwarded: for=forged",
                    b"X-Real-IP: forged", b"X-Forwarded-Port: 1"]),
    ("overrides", [b"X-HTTP-Method-Override: DELETE", b"X-Original-URL: /forged", b"X-Rewrite-URL: /forged"]),
    ("many of one", [b"X-User-ID: root"] * 40 + [b"X-Thing: a", b"X-Thing: b"]),
    ("everything", list(FORGED[0])),
]


def hop_bodies(fields):
    """The same request with each kind of body."""
    base = b"/user/hop HTTP/1.1\r\nHost: gateway.test\r\n" + b"".join(x + b"\r\n" for x in fields)
    return [(b"GET " + base + b"\r\n", b""), (b"POST " + base + b"Content-Length: 5\r\n\r\nhello", b"hello"),
            (b"POST " + base + CHUNKED + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
            (b"POST " + base + CHUNKED + b"\r\nTrailer: X-User-ID\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nX-User-ID: root\r\n"
             b"x_user_id: root\r\nAuthorization: Bearer forged\r\nX-Sum: 1\r\n\r\n",
             b"hello")]


@port.cases("hop", [(name, fields) for name, fields in HOP])
def hop(name, fields):
    f = field()
    auth = ["%s: %s" % pair for pair in f.auth()]
    nominates = any(x.startswith(b"Connection: close") for x in fields)
    for tls in (False, True):
        f.app.clear()
        want = []
        client = f.client(tls)
        for raw, body in hop_bodies(fields + [a.encode() for a in auth]):
            client.send(raw)
            equal(client.reply().status, 200, "status")
            want.append(body)
            if nominates:
                client.close()
                client = f.client(tls)
        client.close()
        got = requests_in(b"".join(f.app.raw) if f.app.connections == 1 else f.app.bytes())
        equal([body for _, _, body, _ in got], want, "bodies of what arrived")
        for request in got:
            judge(request)
            equal([v for n, v in request[1] if n == "x-user-id"], ["alice"], "the user that is told")
            check(request[0].endswith(" /user/hop HTTP/1.1"), "request line " + request[0])


@port.test("hop: requests that are pipelined, cut at every byte, on two listeners: each arrives once, whole, in order")
def hop_pipelined():
    f = field()
    raw = b"".join(b"POST /public/%d HTTP/1.1\r\nHost: gateway.test\r\nX-User-ID: root\r\nContent-Length: %d\r\n\r\n%s" % (
        i, i, b"b" * i) for i in range(6))
    for tls in (False, True):
        for step in (1, 7, 64, len(raw)):
            f.app.clear()
            with f.client(tls) as c:
                for at in range(0, len(raw), step):
                    c.send(raw[at:at + step])
                for i in range(6):
                    equal(c.reply().body, b"app says /public/%d" % i, "answer %d" % i)
            got = sorted(requests_in(f.app.bytes()), key=lambda r: r[0])
            equal([(r[0], r[2]) for r in got], [("POST /public/%d HTTP/1.1" % i, b"b" * i) for i in range(6)], "what arrived")
            for r in got:
                judge(r)


@port.test("hop: a client that leaves in its body leaves no request that is whole, and its connection serves no other")
def hop_cut():
    streams = []

    def serve(client):
        mine = []
        streams.append(mine)
        while client.fill():
            mine.append(client.buffer)
            if b"/after" in client.buffer:
                client.send(port.ok(b"fine"))
            client.buffer = b""
    with Shop(upstream=Upstream(serve=serve)) as shop:
        for head, part in ((b"Content-Length: 10", b"12345"), (CHUNKED, b"5\r\n12345\r\n"), (CHUNKED, b"5\r\n123"),
                           (CHUNKED, b"5\r\n12345\r\n0\r\n")):
            with shop.client() as c:
                c.send(post([head], part))
                time.sleep(0.1)
        time.sleep(0.1)
        for _ in range(8):
            with shop.client() as c:
                equal(c.get("/public/after").body, b"fine", "the next one")
    cut = [b"".join(s) for s in streams if any(b"12345" in piece or b"123" in piece for piece in s)]
    check(len(cut) >= 3, "bodies that were cut off did not come this far: %r" % cut)
    for raw in cut:
        check(b"/after" not in raw, "the connection was used again: %r" % raw)
        try:
            whole = requests_in(raw)
        except (Failure, ValueError):
            continue
        raise Failure("what arrived is whole: %r" % whole)


# --- the hop: what a service may answer -----------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"
SPLIT = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Evil: 1\r\n\r\n%s" % (len(EVIL), EVIL)
ANSWERS = [  # name, bytes, closes behind it
    ("two lengths that differ", OK + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\nab" + SPLIT, False),
    ("CL and TE", OK + b"Content-Length: 3\r\n" + CHUNKED + b"\r\n\r\n0\r\n\r\n" + SPLIT, False),
    ("TE twice", OK + CHUNKED + b"\r\n" + CHUNKED + b"\r\n\r\n0\r\n\r\n" + SPLIT, False),
    ("TE chunked, identity", OK + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SPLIT, False),
    ("TE xchunked", OK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SPLIT, False),
    ("TE on HTTP/1.0", b"HTTP/1.0 200 OK\r\n" + CHUNKED + b"\r\n\r\n0\r\n\r\n" + SPLIT, True),
    ("+ before the length", OK + b"Content-Length: +2\r\n\r\nab" + SPLIT, False),
    ("a length of 2^64", OK + b"Content-Length: 18446744073709551616\r\n\r\nab" + SPLIT, False),
    ("bare LFs", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nab" + SPLIT, False),
    ("a bare LF behind a field", OK + b"X: y\nContent-Length: 2\r\n\r\nab" + SPLIT, False),
    ("a bare CR in a value", OK + b"X: a\rSet-Cookie: evil=1\r\nContent-Length: 2\r\n\r\nab", False),
    ("a NUL in a value", OK + b"X: a\0b\r\nContent-Length: 2\r\n\r\nab", False),
    ("a folded field", OK + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nab", False),
    ("a blank before the colon", OK + b"Content-Length : 2\r\n\r\nab" + SPLIT, False),
    ("a field without a colon", OK + b"Content-Length 2\r\n\r\nab" + SPLIT, False),
    ("a bad chunk size", OK + CHUNKED + b"\r\n\r\nzz\r\nab\r\n0\r\n\r\n" + SPLIT, False),
    ("a chunk size beyond 2^64", OK + CHUNKED + b"\r\n\r\n10000000000000002\r\nab\r\n0\r\n\r\n" + SPLIT, False),
    ("a chunk ended by LF", OK + CHUNKED + b"\r\n\r\n2\r\nab\n0\r\n\r\n" + SPLIT, False),
    ("status 099", b"HTTP/1.1 099 X\r\nContent-Length: 2\r\n\r\nab" + SPLIT, False),
    ("status 1000", b"HTTP/1.1 1000 X\r\nContent-Length: 2\r\n\r\nab" + SPLIT, False),
    ("status 20", b"HTTP/1.1 20 X\r\nContent-Length: 2\r\n\r\nab" + SPLIT, False),
    ("HTTP/0.9", b"<html>hello</html>", True),
    ("HTTP/2 settings", b"\0\0\x12\4\0\0\0\0\0" + b"\0" * 18, False),
    ("a TLS alert", b"\x15\x03\x01\x00\x02\x02\x16", True),
    ("a request instead", SECOND, False),
    ("garbage", bytes(range(256)) * 8, False),
    ("101 nobody asked for", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: evil\r\nConnection: upgrade\r\n\r\n" + EVIL, False),
    ("nothing, and closed", b"", True),
    ("half a head", OK + b"Content-Le", True),
    ("half a body", OK + b"Content-Length: 100\r\n\r\nhalf", True),
    ("half a chunk", OK + CHUNKED + b"\r\n\r\n64\r\nhalf", True),
    ("chunks without the last", OK + CHUNKED + b"\r\n\r\n4\r\nhalf\r\n", True),
    ("a head that never ends", OK + b"X-Large: " + b"x" * 200000, True),
    ("a thousand fields", OK + b"".join(b"X-%d: y\r\n" % i for i in range(1000)) + b"Content-Length: 2\r\n\r\nab", False),
    ("a second answer behind the first", OK + b"Content-Length: 2\r\n\r\nab" + SPLIT, False),
    ("a second answer behind chunks", OK + CHUNKED + b"\r\n\r\n2\r\nab\r\n0\r\n\r\n" + SPLIT, False),
    ("a body behind 204", b"HTTP/1.1 204 No Content\r\n\r\n" + SPLIT, False),
    ("a body behind 304", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 50\r\n\r\n" + SPLIT, False),
    ("hundreds of interim answers", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 5000 + OK +
     b"Content-Length: 2\r\n\r\nab", False),
    ("CRLF in a reason", b"HTTP/1.1 200 OK\rX-Evil: 1\r\nContent-Length: 2\r\n\r\nab", False),
    ("identity fields", OK + b"X-User-ID: root\r\nX-Hop-Record: evil\r\nContent-Length: 2\r\n\r\nab", False),
]


@port.cases("service answers", [(name, raw, closes) for name, raw, closes in ANSWERS])
def lies(name, raw, closes):
    """One liar among honest answers: each client gets its own, or a 502, and never a byte of the second answer."""
    def answer(seen, client):
        if "lie" not in seen.target:
            return port.ok(("app says %s" % seen.target).encode(), seen.method)
        client.send(raw)
        if closes:
            return False
        return None
    f = field(answer)
    heard, wrong, lock = [], [], threading.Lock()

    def honest(k):
        try:
            with f.client(k % 2 == 0) as c:
                for i in range(12):
                    body = c.get("/public/%d-%d" % (k, i)).body
                    if body != b"app says /public/%d-%d" % (k, i):
                        with lock:
                            wrong.append((k, i, body))
        except (OSError, Failure) as error:
            with lock:
                wrong.append((k, str(error)))

    def liar(k):
        for i in range(4):
            said = b""
            with f.client(k % 2 == 1) as c:
                c.send("GET /public/lie-%d-%d HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n" % (k, i))
                c.sock.settimeout(6)
                try:
                    said = c.rest()
                except (OSError, Failure):
                    said = c.buffer
            with lock:
                heard.append(said)
    threads = [threading.Thread(target=honest, args=(k,)) for k in range(4)]
    threads += [threading.Thread(target=liar, args=(k,)) for k in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for said in heard:
        check(EVIL not in said and b"X-Evil" not in said and b"evil" not in said.split(b"\r\n\r\n")[0].lower(),
              "a second answer, or what was smuggled, reached the client: %r" % said[:500])
        check(b"x-user-id" not in said.lower(), "an identity field came back: %r" % said[:300])
        finals = re.findall(rb"(?:^|\r\n\r\n)HTTP/1\.1 ([2-5]\d\d)", said)
        check(len(finals) <= 1, "several answers: %r" % said[:300])
        check(finals == [] or finals[0] in (b"200", b"204", b"304", b"502", b"504", b"503"), "answer %r" % said[:300])
    equal([w for w in wrong if not (len(w) == 3 and b"breaker" in w[2])], [], "what honest requests got")


@port.test("service answers: lies left nobody else worse off")
def lies_harmless():
    unharmed(field(), "a service of another path that lies in %d ways" % len(ANSWERS))


@port.test("service answers before the request has ended: the answer passes, the connection is not used again")
def early():
    def serve(client):
        while True:
            head = client.until(b"\r\n\r\n")
            if b"early" in head:
                client.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
                time.sleep(0.2)
                return
            client.send(port.ok(b"fine"))
    upstream = Upstream(serve=serve)
    with Shop(upstream=upstream) as shop:
        for _ in range(3):
            with shop.client() as c:
                c.send("POST /public/early HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n")
                c.send(b"x" * 1000)
                equal(c.reply().status, 413, "the early answer")
            with shop.client() as c:
                equal(c.get("/public/x").body, b"fine", "the next")


@port.test("the table: what each attack cost the bystander")
def table():
    field()
    print("# %-72s %6s %8s %8s %8s" % ("attack", "asked", "p50 ms", "p99 ms", "wrong"))
    for what, was in costs:
        print("# %-72s %6d %8.2f %8.2f %8d" % (what, was["n"], was["p50"], was["p99"], was["wrong"]))


if __name__ == "__main__":
    port.main()
