#!/usr/bin/env python3
"""Attacks by request: smuggling, Host, paths, overrides, forged identity, upgrades.

Each is judged twice: by what the client is told, and by the bytes that an upstream behind the gateway received.
"""

import re

import port
from port import Client, Shop, check, equal

_shop = None


def shop():
    """One gateway for all rows: an attack that harms it would show in the next row."""
    global _shop
    if _shop is None:
        _shop = Shop(port.mirror)
    _shop.upstream.clear()
    return _shop


MARK = b"SMUGGLED"


def well():
    """A plain request still passes, on a connection of its own."""
    reply = port.fetch(_shop.port, "/public/well")
    equal(reply.status, 200, "status of a plain request afterwards")


# --- framing: 400 and close, and nothing of it upstream ------------------------------------------------------------------

SECOND = b"GET /public/SMUGGLED HTTP/1.1\r\nHost: a\r\n\r\n"


def post(*lines, body=b"", version=b"HTTP/1.1", host=b"Host: a"):
    head = [b"POST /public/x " + version] + ([host] if host else []) + list(lines)
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def get(*lines, target=b"/public/x", version=b"HTTP/1.1", host=b"Host: a"):
    head = [b"GET " + target + b" " + version] + ([host] if host else []) + list(lines)
    return b"\r\n".join(head) + b"\r\n\r\n"


TE = b"Transfer-Encoding: chunked"
CHUNKED_SECOND = b"0\r\n\r\n" + SECOND
FIVE_SECOND = b"hello" + SECOND

framing = [
    # Content-Length
    ("CL and TE", post(b"Content-Length: 5", TE, body=CHUNKED_SECOND)),
    ("TE and CL", post(TE, b"Content-Length: 5", body=CHUNKED_SECOND)),
    ("CL: 0 and TE", post(b"Content-Length: 0", TE, body=CHUNKED_SECOND)),
    ("two CL that differ", post(b"Content-Length: 5", b"Content-Length: 6", body=FIVE_SECOND)),
    ("two CL that agree", post(b"Content-Length: 5", b"Content-Length: 5", body=FIVE_SECOND)),
    ("CL as a list", post(b"Content-Length: 5, 5", body=FIVE_SECOND)),
    ("CL as a list that differs", post(b"Content-Length: 5, 6", body=FIVE_SECOND)),
    ("CL +5", post(b"Content-Length: +5", body=FIVE_SECOND)),
    ("CL -5", post(b"Content-Length: -5", body=FIVE_SECOND)),
    ("CL 0x5", post(b"Content-Length: 0x5", body=FIVE_SECOND)),
    ("CL in hexadecimal", post(b"Content-Length: a", body=FIVE_SECOND)),
    ("CL 5.0", post(b"Content-Length: 5.0", body=FIVE_SECOND)),
    ("CL 5 and a letter", post(b"Content-Length: 5x", body=FIVE_SECOND)),
    ("CL 1_0", post(b"Content-Length: 1_0", body=FIVE_SECOND)),
    ("CL with a blank inside", post(b"Content-Length: 1 0", body=FIVE_SECOND)),
    ("CL empty", post(b"Content-Length: ", body=FIVE_SECOND)),
    ("CL only a comma", post(b"Content-Length: ,", body=FIVE_SECOND)),
    ("CL with a vertical tab", post(b"Content-Length: \x0b5", body=FIVE_SECOND)),
    ("CL quoted", post(b'Content-Length: "5"', body=FIVE_SECOND)),
    ("CL 2^64", post(b"Content-Length: 18446744073709551616", body=FIVE_SECOND)),
    ("CL 2^64 + 5", post(b"Content-Length: 18446744073709551621", body=FIVE_SECOND)),
    ("CL 2^63", post(b"Content-Length: 9223372036854775808", body=FIVE_SECOND), {400, 413}),
    ("CL of thirty digits", post(b"Content-Length: 100000000000000000000000000005", body=FIVE_SECOND)),
    ("CL with a space before its colon", post(b"Content-Length : 5", body=FIVE_SECOND)),
    ("CL with a tab before its colon", post(b"Content-Length\t: 5", body=FIVE_SECOND)),
    ("Content_Length beside Content-Length", post(b"Content_Length: 5", b"Content-Length: 5 5", body=FIVE_SECOND)),
    # Transfer-Encoding
    ("TE twice", post(TE, TE, body=CHUNKED_SECOND)),
    ("TE chunked, chunked", post(b"Transfer-Encoding: chunked, chunked", body=CHUNKED_SECOND)),
    ("TE twice, second identity", post(TE, b"Transfer-Encoding: identity", body=CHUNKED_SECOND)),
    ("TE identity", post(b"Transfer-Encoding: identity", body=CHUNKED_SECOND), {400, 501}),
    ("TE gzip, chunked", post(b"Transfer-Encoding: gzip, chunked", body=CHUNKED_SECOND), {400, 501}),
    ("TE chunked, gzip", post(b"Transfer-Encoding: chunked, gzip", body=CHUNKED_SECOND), {400, 501}),
    ("TE xchunked", post(b"Transfer-Encoding: xchunked", body=CHUNKED_SECOND), {400, 501}),
    ("TE chunkedx", post(b"Transfer-Encoding: chunkedx", body=CHUNKED_SECOND), {400, 501}),
    ("TE quoted", post(b'Transfer-Encoding: "chunked"', body=CHUNKED_SECOND), {400, 501}),
    ("TE with a parameter", post(b"Transfer-Encoding: chunked;q=1", body=CHUNKED_SECOND), {400, 501}),
    ("TE with a leading comma", post(b"Transfer-Encoding: ,chunked", body=CHUNKED_SECOND), {400, 501}),
    ("TE with a trailing comma", post(b"Transfer-Encoding: chunked,", body=CHUNKED_SECOND), {400, 501}),
    ("TE empty", post(b"Transfer-Encoding:", body=CHUNKED_SECOND), {400, 501}),
    ("TE with a vertical tab", post(b"Transfer-Encoding: \x0bchunked", body=CHUNKED_SECOND)),
    ("TE with a high byte", post(b"Transfer-Encoding: \xa0chunked", body=CHUNKED_SECOND), {400, 501}),
    ("TE with a space before its colon", post(b"Transfer-Encoding : chunked", body=CHUNKED_SECOND)),
    ("TE with a blank before its name", post(b" Transfer-Encoding: chunked", body=CHUNKED_SECOND)),
    ("TE folded", post(b"Transfer-Encoding:\r\n chunked", body=CHUNKED_SECOND)),
    ("TE behind a bare CR", post(b"X: y\rTransfer-Encoding: chunked", body=CHUNKED_SECOND)),
    ("TE behind a bare LF", post(b"X: y\nTransfer-Encoding: chunked", body=CHUNKED_SECOND)),
    ("TE on HTTP/1.0", post(TE, version=b"HTTP/1.0", body=CHUNKED_SECOND)),
    ("TE on HTTP/1.0 with CL", post(TE, b"Content-Length: 5", version=b"HTTP/1.0", body=CHUNKED_SECOND)),
    # chunks
    ("chunk extension", post(TE, body=b"5;a=b\r\nhello\r\n" + CHUNKED_SECOND)),
    ("chunk extension with LF", post(TE, body=b"5;\nxx\r\nhello\r\n" + CHUNKED_SECOND)),
    ("last chunk with an extension", post(TE, body=b"5\r\nhello\r\n0;a\r\n\r\n" + SECOND)),
    ("chunk size with a blank", post(TE, body=b"5 \r\nhello\r\n" + CHUNKED_SECOND)),
    ("chunk size behind a blank", post(TE, body=b" 5\r\nhello\r\n" + CHUNKED_SECOND)),
    ("chunk size 0x5", post(TE, body=b"0x5\r\nhello\r\n" + CHUNKED_SECOND)),
    ("chunk size +5", post(TE, body=b"+5\r\nhello\r\n" + CHUNKED_SECOND)),
    ("chunk size -5", post(TE, body=b"-5\r\nhello\r\n" + CHUNKED_SECOND)),
    ("chunk size empty", post(TE, body=b"\r\nhello\r\n" + CHUNKED_SECOND)),
    ("chunk size 2^64 + 5", post(TE, body=b"10000000000000005\r\nhello\r\n" + CHUNKED_SECOND)),
    ("chunk size 2^64 - 1", post(TE, body=b"ffffffffffffffff\r\nhello\r\n" + CHUNKED_SECOND), {400, 413}),
    ("chunk size of many zeros", post(TE, body=b"0" * 400 + b"5\r\nhello\r\n" + CHUNKED_SECOND)),
    ("chunk ends with LF", post(TE, body=b"5\nhello\r\n" + CHUNKED_SECOND)),
    ("chunk data ends with LF", post(TE, body=b"5\r\nhello\n" + CHUNKED_SECOND)),
    ("chunk longer than it says", post(TE, body=b"4\r\nhello\r\n" + CHUNKED_SECOND)),
    ("chunk ends with two bytes of anything", post(TE, body=b"5\r\nhelloXX" + CHUNKED_SECOND)),
    ("trailer ends with LF", post(TE, body=b"0\r\nA: b\n\n" + SECOND)),
    ("trailer with a bare CR", post(TE, body=b"0\r\nA: b\rc\r\n\r\n" + SECOND)),
    ("trailer without a colon", post(TE, body=b"0\r\nGET /public/SMUGGLED HTTP/1.1\r\n\r\n" + SECOND)),
    ("trailer with a space before its colon", post(TE, body=b"0\r\nA : b\r\n\r\n" + SECOND)),
    ("trailer with CL", post(TE, body=b"0\r\nContent-Length: 44\r\n\r\n" + SECOND), {200, 400}),
    # lines
    ("bare LF everywhere", b"GET /public/x HTTP/1.1\nHost: a\n\n" + SECOND),
    ("bare LF behind the request line", b"GET /public/x HTTP/1.1\nHost: a\r\n\r\n" + SECOND),
    ("bare LF behind a field", b"GET /public/x HTTP/1.1\r\nHost: a\nX: y\r\n\r\n" + SECOND),
    ("bare LF as the end of the head", b"GET /public/x HTTP/1.1\r\nHost: a\r\n\n" + SECOND),
    ("bare CR in a value", get(b"X: a\rb") + SECOND),
    ("bare CR at the end of a value", get(b"X: a\r") + SECOND),
    ("bare CR in the request line", b"GET /public/x\r HTTP/1.1\r\nHost: a\r\n\r\n" + SECOND),
    ("NUL in a value", get(b"X: a\0b") + SECOND),
    ("NUL in a name", get(b"X\0Y: b") + SECOND),
    ("NUL in the target", get(target=b"/public/\0x") + SECOND),
    ("control byte in a value", get(b"X: a\x01b") + SECOND),
    ("DEL in a value", get(b"X: a\x7fb") + SECOND),
    ("obs-fold with a blank", get(b"X: a", b" b") + SECOND),
    ("obs-fold with a tab", get(b"X: a", b"\tb") + SECOND),
    ("fold as the first line", get(b"\tX: a", host=b" Host: a") + SECOND),
    ("space before a colon", get(b"X : a") + SECOND),
    ("empty name", get(b": a") + SECOND),
    ("name with a blank", get(b"X Y: a") + SECOND),
    ("name with a high byte", get(b"X\xffY: a") + SECOND),
    ("name with a slash", get(b"X/Y: a") + SECOND),
    ("line without a colon", get(b"X") + SECOND),
    # the request line
    ("HTTP/0.9", b"GET /public/x\r\n" + SECOND),
    ("HTTP/0.9 with a version", get(version=b"HTTP/0.9") + SECOND),
    ("HTTP/1.2", get(version=b"HTTP/1.2") + SECOND),
    ("HTTP/1.10", get(version=b"HTTP/1.10") + SECOND),
    ("HTTP/01.1", get(version=b"HTTP/01.1") + SECOND),
    ("http/1.1", get(version=b"http/1.1") + SECOND),
    ("HTTP/1,1", get(version=b"HTTP/1,1") + SECOND),
    ("HTTP/1.1 and a letter", get(version=b"HTTP/1.1x") + SECOND),
    ("HTTP/2.0", get(version=b"HTTP/2.0") + SECOND, {400, 505}),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SECOND, {400, 405, 501, 505}),
    ("two blanks before the target", b"GET  /public/x HTTP/1.1\r\nHost: a\r\n\r\n" + SECOND),
    ("two blanks behind the target", b"GET /public/x  HTTP/1.1\r\nHost: a\r\n\r\n" + SECOND),
    ("a tab for a blank", b"GET\t/public/x HTTP/1.1\r\nHost: a\r\n\r\n" + SECOND),
    ("a blank at the end", b"GET /public/x HTTP/1.1 \r\nHost: a\r\n\r\n" + SECOND),
    ("a blank in the target", get(target=b"/public/a b") + SECOND),
    ("a fragment", get(target=b"/public/x#y") + SECOND),
    ("target without a slash", get(target=b"public/x") + SECOND),
    ("target in quotes", get(target=b'"/public/x"') + SECOND),
    ("high bytes in the target", get(target=b"/public/\xc3\xa9") + SECOND),
    ("method with a bracket", b"G(T /public/x HTTP/1.1\r\nHost: a\r\n\r\n" + SECOND),
    ("method empty", b" /public/x HTTP/1.1\r\nHost: a\r\n\r\n" + SECOND),
    ("asterisk with GET", get(target=b"*") + SECOND),
    ("CONNECT", b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n" + SECOND, {400, 401, 403, 404, 405, 501}),
    ("three empty lines first", b"\r\n\r\n\r\n" + get() + SECOND),
    ("TLS", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + b"\0" * 64 + b"\r\n\r\n"),
    # Host
    ("Host: none", get(host=None) + SECOND),
    ("Host: two", get(b"Host: b") + SECOND),
    ("Host: two that agree", get(b"Host: a") + SECOND),
    ("Host: with a path", get(host=b"Host: a/b") + SECOND),
    ("Host: with a query", get(host=b"Host: a?b") + SECOND),
    ("Host: with a fragment", get(host=b"Host: a#b") + SECOND),
    ("Host: with userinfo", get(host=b"Host: u@a") + SECOND),
    ("Host: list", get(host=b"Host: a, b") + SECOND),
    ("Host: blank inside", get(host=b"Host: a b") + SECOND),
    ("Host: backslash", get(host=b"Host: a\\b") + SECOND),
    ("Host: quotes", get(host=b'Host: "a"') + SECOND),
    ("Host: angle brackets", get(host=b"Host: <a>") + SECOND),
    ("Host: high byte", get(host=b"Host: \xc3\xa9") + SECOND),
    ("Host: port of letters", get(host=b"Host: a:b") + SECOND),
    ("Host: port too large", get(host=b"Host: a:65536") + SECOND),
    ("Host: two ports", get(host=b"Host: a:80:80") + SECOND),
    ("Host: open bracket", get(host=b"Host: [::1") + SECOND),
    ("Host: folded", get(host=b"Host:\r\n a") + SECOND),
    ("absolute-form against Host", get(target=b"http://b/public/x") + SECOND),
    ("absolute-form with userinfo", get(target=b"http://u@a/public/x") + SECOND),
    ("absolute-form of another scheme", get(target=b"ftp://a/public/x") + SECOND),
    ("absolute-form without Host", get(target=b"http://a/public/x", host=None) + SECOND),
    # bounds
    ("head too large", get(*[b"X-%d: %s" % (i, b"y" * 1000) for i in range(40)]) + SECOND, {431, 400}),
    ("one field too large", get(b"X: " + b"y" * 40000) + SECOND, {431, 400}),
    ("too many fields", get(*[b"X-%d: y" % i for i in range(500)]) + SECOND, {431, 400}),
    ("target too long", get(target=b"/public/" + b"y" * 9000) + SECOND, {414, 400}),
]


@port.cases("framing", framing)
def refuse_framing(name, raw, statuses=frozenset({400})):
    s = shop()
    with Client(s.port, timeout=5) as client:
        try:
            client.send(raw)
        except (BrokenPipeError, ConnectionResetError):
            pass
        reply = client.reply()
        check(reply.status in statuses, "status %d, want one of %s" % (reply.status, sorted(statuses)))
        if reply.status >= 400:
            equal(reply.get("connection", "").lower(), "close", "Connection")
            rest = client.rest()
            check(rest == b"", "more was said before the close: %r" % rest[:200])
    seen = s.upstream.bytes()
    if reply.status >= 400:
        check(MARK not in seen, "the upstream received the second request: %r" % seen[-300:])
        check(s.upstream.count() == 0, lambda: "the upstream received a whole request: %r" % s.upstream.last().line)
    well()


@port.test("framing: a trickle of single bytes changes no verdict")
def trickle():
    s = shop()
    for raw, want in ((post(b"Content-Length: 5", body=b"hello"), 200), (post(TE, body=b"5\r\nhello\r\n0\r\n\r\n"), 200),
                      (post(b"Content-Length: 5", TE, body=b""), 400), (get(b"X : y"), 400)):
        with Client(s.port) as client:
            for i in range(len(raw)):
                try:
                    client.send(raw[i:i + 1])
                except (BrokenPipeError, ConnectionResetError):
                    break
            equal(client.reply().status, want, "status of %r" % raw[:60])


@port.test("framing: what is forwarded is written anew, with one framing")
def written_anew():
    s = shop()
    with Client(s.port) as client:
        client.send(b"POST /public/x HTTP/1.1\r\nhOsT:   a  \r\nX-Odd:\t v \t\r\nContent-Length:   005\r\n\r\nhello")
        reply = client.reply()
    if reply.status == 400:
        check(s.upstream.count() == 0, "refused and forwarded")
        return
    seen = s.upstream.last()
    equal((seen.all("content-length"), seen.all("transfer-encoding"), seen.body), (["5"], [], b"hello"), "framing")
    equal(seen.get("x-odd"), "v", "value without blanks")


# --- paths -----------------------------------------------------------------------------------------------------------------

# What of it may pass at all? None: nothing, it is refused, because two readers may take it for two paths. A string: the
# target that must arrive.
paths = [
    ("plain", "/public/x", "/public/x"),
    ("query is kept", "/public/x?a=%2f&b=..%2F", "/public/x?a=%2f&b=..%2F"),
    ("empty query", "/public/x?", "/public/x?"),
    ("encoded unreserved is decoded", "/public/%78%2dy", "/public/x-y"),
    ("lower hex is made upper", "/public/%c3%a9", "/public/%C3%A9"),
    ("dot segments", "/public/../admin/x", None),
    ("dot segments to the root", "/public/../../admin/x", None),
    ("dot segment that stays", "/public/a/../x", None),
    ("dot segment at the end", "/public/x/..", None),
    ("single dot", "/public/./x", None),
    ("single dot at the end", "/public/x/.", None),
    ("encoded dots", "/public/%2e%2e/admin/x", None),
    ("encoded dots, upper", "/public/%2E%2E/admin/x", None),
    ("half-encoded dots", "/public/.%2e/admin/x", None),
    ("encoded dots and slash", "/public/%2e%2e%2fadmin/x", None),
    ("encoded slash", "/public/..%2fadmin/x", None),
    ("encoded slash alone", "/public/a%2fb", None),
    ("encoded slash, upper", "/public/a%2Fb", None),
    ("encoded backslash", "/public/..%5cadmin/x", None),
    ("backslash", "/public/..\\admin/x", None),
    ("backslash alone", "/public\\x", None),
    ("double slash", "/public//x", None),
    ("double slash first", "//public/x", None),
    ("double slash to admin", "/public/..//admin/x", None),
    ("host in the path", "//evil.example/public/x", None),
    ("double encoding of dots", "/public/%252e%252e/admin/x", None),
    ("double encoding of a slash", "/public/..%252fadmin/x", None),
    ("parameter behind dots", "/public/..;/admin/x", None),
    ("parameter with a value behind dots", "/public/..;a=b/admin/x", None),
    ("parameter at a literal", "/public;x/y", None),
    ("encoded parameter behind dots", "/public/..%3b/admin/x", None),
    ("NUL", "/public/%00", None),
    ("NUL in the middle", "/public/x%00.html", None),
    ("encoded CR LF", "/public/x%0d%0aX-User-ID:%20admin", None),
    ("encoded tab", "/public/x%09", None),
    ("encoded DEL", "/public/x%7f", None),
    ("overlong slash", "/public/..%c0%afadmin/x", None),
    ("overlong dot", "/public/%c0%ae%c0%ae/admin/x", None),
    ("overlong in three bytes", "/public/%e0%80%af", None),
    ("surrogate", "/public/%ed%a0%80", None),
    ("above Unicode", "/public/%f4%90%80%80", None),
    ("broken UTF-8", "/public/%ff", None),
    ("cut UTF-8", "/public/%c3", None),
    ("IIS %u", "/public/%u002e%u002e/admin/x", None),
    ("percent alone", "/public/%", None),
    ("percent with one digit", "/public/%2", None),
    ("percent with letters", "/public/%zz", None),
    ("upper case", "/PUBLIC/x", None),
    ("encoded prefix", "/%70ublic/x", "/public/x"),
    ("question mark encoded", "/public/x%3fa=b", "/public/x%3Fa=b"),
    ("fragment encoded", "/public/x%23y", "/public/x%23y"),
    ("trailing dot", "/public/x.", None),
    ("trailing slash", "/public/x/", "/public/x/"),
    ("three dots are a name", "/public/.../x", None),
    ("trailing dots of a segment", "/public../x", None),
]

# What may not stand in a path that has been made canonical, whoever reads it next.
NOT_CANONICAL = re.compile(r"//|/\.\.?(?:[/;]|$)|\\|%(?:2[efEF]|5[cC]|00|25|0[0-9a-fA-F]|1[0-9a-fA-F]|7[fF]|[cC][01])|;|#|"
                           r"%(?:[0-9a-fA-F]?[a-f]|[a-f])|[^!-~]")


@port.cases("path", paths)
def path(name, target, want):
    s = shop()
    with Client(s.port) as client:
        client.send("GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % target)
        reply = client.reply()
    if reply.status == 200:
        seen = s.upstream.last()
        arrived = seen.target.split("?")[0]
        check(not NOT_CANONICAL.search(arrived), "forwarded in a form that may be read in two ways: %r" % seen.target)
        check(arrived.startswith("/public/"), "decided as public, forwarded as %r" % seen.target)
        check(want is None or seen.target == want, "forwarded %r, want %r" % (seen.target, want))
        check(want is not None, "it was forwarded, as %r" % seen.target)
    else:
        check(s.upstream.count() == 0, "refused with %d, and forwarded" % reply.status)
        check(reply.status in (400, 401, 403, 404), "status %d" % reply.status)
        check(want is None, "refused with %d, want %r forwarded" % (reply.status, want))


@port.test("path: the form that was decided is the form that is forwarded, for a user's action too")
def path_user():
    s = shop()
    auth = s.auth()
    for target in ("/public/../user/x", "/user/./x", "/%75ser/x", "/user/a/../x"):
        s.upstream.clear()
        reply = port.fetch(s.port, target)
        check(reply.status in (400, 401), "%s without credentials: %d" % (target, reply.status))
        equal(s.upstream.count(), 0, "requests upstream")
        reply = port.fetch(s.port, target, auth)
        check(reply.status in (200, 400), "%s with credentials: %d" % (target, reply.status))
        if reply.status == 200:
            equal(s.upstream.last().target, "/user/x", "target upstream")


# --- what the client may not say ----------------------------------------------------------------------------------------------

IDENTITY = ["X-User-ID", "X-User-Roles", "X-User-Permissions", "X-User-Anything", "X-Client-ID", "X-Product", "X-Action",
            "X-Correlation-ID", "X-Caller-Service", "Txn-Token", "X-Hop-Record", "X-Txn-Handle", "X-Sallyport-Role",
            "X-Identity-Role"]
FORWARDING = ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port",
              "X-Forwarded-Prefix", "X-Forwarded-Server", "X-Forwarded-User", "X-Forwarded-Client-Cert", "X-Real-IP"]
OVERRIDE = ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL"]
FORGED = "forged-6-6-6-6"


def forms(name):
    """The same name as different readers may take it for the same."""
    yield "as it is", name
    yield "lower case", name.lower()
    yield "upper case", name.upper()
    yield "odd case", "".join(c.upper() if i % 2 else c.lower() for i, c in enumerate(name))
    if "-" in name:
        yield "underscores", name.replace("-", "_")
        yield "one underscore", name.replace("-", "_", 1)
        yield "last underscore", "_".join(name.rsplit("-", 1))


def no_trace(s, what):
    raw = s.upstream.bytes()
    check(FORGED.encode() not in raw, "%s reached the upstream: %r" % (what, raw[:800]))


stripped = [(name,) for name in IDENTITY + FORWARDING + OVERRIDE]


@port.cases("strip", stripped)
def strip(name):
    s = shop()
    auth = s.auth("alice", ["user"])
    wants = {"x-user-id": ["alice"], "x-user-roles": ["user"]}
    for kind, form in forms(name):
        for where, path, fields in (("public", "/public/x", []), ("keyed", "/keyed/x", [("apikey", s.key.text)]),
                                    ("user", "/user/x", auth)):
            s.upstream.clear()
            reply = port.fetch(s.port, path, fields + [(form, FORGED), (form, FORGED + "-again")])
            # a name written twice or a strange one may also be refused outright
            check(reply.status in (200, 400), "%s, %s: status %d" % (kind, where, reply.status))
            no_trace(s, "%s (%s) on the %s route" % (form, kind, where))
            if reply.status == 200:
                own = s.upstream.last().all(name)
                check(len(own) <= 1, "%s: upstream sees %r" % (kind, own))
                if where == "user" and name.lower() in wants:
                    equal(own, wants[name.lower()], "%s for alice" % name)
                if where == "public" and name.lower().startswith("x-user"):
                    equal(own, [], "%s on a public route" % name)


@port.cases("strip from trailers", stripped)
def strip_trailers(name):
    s = shop()
    for kind, form in forms(name):
        s.upstream.clear()
        with Client(s.port) as client:
            client.send(post(TE, b"Trailer: " + form.encode(), body=b"5\r\nhello\r\n0\r\n%s: %s\r\nX-Plain: p\r\n\r\n" %
                             (form.encode(), FORGED.encode())))
            reply = client.reply()
        check(reply.status in (200, 400), "%s: status %d" % (kind, reply.status))
        no_trace(s, "%s (%s) as a trailer" % (form, kind))


@port.test("strip: framing, credentials and hop-by-hop fields never pass from a trailer")
def trailer_framing():
    s = shop()
    for name in ("Content-Length", "Transfer-Encoding", "Host", "Authorization", "apikey", "Cookie", "Connection", "TE",
                 "Upgrade", "Trailer", "Content-Type", "Set-Cookie", "Cache-Control"):
        s.upstream.clear()
        with Client(s.port) as client:
            client.send(post(TE, body=b"5\r\nhello\r\n0\r\n%s: %s\r\n\r\n" % (name.encode(), FORGED.encode())))
            status = client.reply().status
        check(status in (200, 400), "%s: status %d" % (name, status))
        if name in ("Content-Type", "Set-Cookie", "Cache-Control"):
            continue  # harmless in a trailer: forwarded as a trailer or dropped
        no_trace(s, "%s as a trailer" % name)


@port.test("strip: Connection cannot nominate away what the gateway says")
def connection_nominates():
    s = shop()
    auth = s.auth("alice", ["user"])
    for nominated in IDENTITY + ["Host", "Content-Length", "Transfer-Encoding", "Authorization", "apikey", "traceparent",
                                 "Via", "CDN-Loop"]:
        for form in (nominated, nominated.lower(), "keep-alive, " + nominated, nominated + ", close"):
            s.upstream.clear()
            reply = port.fetch(s.port, "/user/x", auth + [("Connection", form), (nominated if nominated.startswith("X-User")
                                                                                else "X-Extra", FORGED)],
                               method="POST", body=b"hello")
            check(reply.status in (200, 400, 401), "Connection: %s: status %d" % (form, reply.status))
            if reply.status != 200:
                equal(s.upstream.count(), 0, "requests upstream after a refusal")
                continue
            seen = s.upstream.last()
            equal((seen.all("x-user-id"), seen.all("x-user-roles")), (["alice"], ["user"]), "identity with " + form)
            check(seen.get("x-correlation-id"), "no correlation id with " + form)
            equal(seen.body, b"hello", "body with " + form)
            equal(len(seen.all("host")), 1, "Host fields with " + form)
            if nominated.startswith("X-User"):
                no_trace(s, nominated)


@port.test("strip: what Connection nominates is not forwarded, nor the field itself")
def connection_hop():
    s = shop()
    port.fetch(s.port, "/public/x", [("Connection", "X-Mine, keep-alive"), ("X-Mine", FORGED), ("Keep-Alive", FORGED),
                                     ("Proxy-Connection", FORGED), ("TE", "trailers, " + FORGED),
                                     ("Proxy-Authorization", FORGED), ("HTTP2-Settings", FORGED)])
    no_trace(s, "a hop-by-hop field")
    check(s.upstream.last().all("connection") in ([], ["keep-alive"], ["close"]), "Connection was forwarded")


@port.test("strip: credentials stay at the gate unless the service asks for them")
def credentials_stay():
    s = shop()
    auth = s.auth()
    reply = port.fetch(s.port, "/user/x", auth + [("Cookie", "session=1")])
    equal(reply.status, 200, "status")
    seen = s.upstream.last()
    equal((seen.all("authorization"), seen.all("apikey"), seen.all("cookie")), ([], [], []), "credentials upstream")
    for secret in (s.key.text, auth[1][1][7:]):
        check(secret.encode() not in s.upstream.bytes(), "a credential reached the upstream")


@port.test("strip: credentials pass to a service that declares them")
def credentials_pass():
    with Shop(change=lambda c: c["services"]["app"].update({"pass": ["authorization", "cookie", "apikey"]})) as s:
        auth = s.auth()
        equal(port.fetch(s.port, "/user/x", auth + [("Cookie", "session=1")]).status, 200, "status")
        seen = s.upstream.last()
        equal((seen.all("authorization"), seen.all("apikey"), seen.all("cookie")),
              ([auth[1][1]], [s.key.text], ["session=1"]), "credentials upstream")


@port.test("strip: the method of the request line decides, whatever an override says")
def method_override():
    def change(c):
        c["actions"]["open"]["match"] = "GET /public/{rest*}"
    with Shop(change=change) as s:
        for name in OVERRIDE[:3]:
            equal(port.fetch(s.port, "/public/x", [(name, "DELETE")]).status, 200, "GET with " + name)
            equal(s.upstream.last().method, "GET", "method upstream")
            status = port.fetch(s.port, "/public/x", [(name, "GET")], method="DELETE", body=b"").status
            check(status in (401, 403, 404, 405), "DELETE with %s: GET answered %d" % (name, status))
        for name in OVERRIDE[3:]:
            equal(port.fetch(s.port, "/admin/x", [(name, "/public/x")]).status, 401, "admin with " + name)


@port.test("a claim cannot become a header: CR, LF, NUL, control and high bytes in sub, roles, client")
def claims_inject():
    s = shop()
    for evil in ("a\r\nX-Admin: " + FORGED, "a\nb", "a\0b", "a\x01b", "\x7f", "a\rb"):
        s.upstream.clear()
        for claim in ({"sub": evil}, {"roles": ["user", evil]}, {"client_id": evil}, {"permissions": [evil]}):
            reply = port.fetch(s.port, "/user/x", [("apikey", s.key.text),
                                                  port.bearer(s.issuer.mint(**{"roles": ["user"], **claim}))])
            check(reply.status in (200, 401, 403), "%r: status %d" % (claim, reply.status))
            check("sub" not in claim or reply.status == 401, "sub with control characters: status %d" % reply.status)
            raw = s.upstream.bytes()
            check(b"X-Admin" not in re.sub(rb"%0[dD]%0[aA]X-Admin", b"", raw), "a header was injected: %r" % raw)
            check(not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", raw), "a control byte reached the upstream: %r" % raw)
    for sub in ("älice", "a,b", "a%2Cb", "a:b", "other:alice", "☃", " a", "a b"):
        s.upstream.clear()
        reply = port.fetch(s.port, "/user/x", s.auth(sub))
        if reply.status == 200:
            value = s.upstream.last().get("x-user-id")
            check(re.fullmatch(r"[!-$&-+\--9;-~]*(%[0-9A-F]{2}[!-$&-+\--9;-~]*)*", value),
                  "sub %r became %r: not safe for a header and a list" % (sub, value))
            from urllib.parse import unquote
            equal(unquote(value), sub, "decoded X-User-ID")


@port.test("methods: TRACE and CONNECT reach nobody, nor do other cases of the known ones")
def methods():
    s = shop()
    for method in ("TRACE", "CONNECT", "get", "Get", "G", "GETS"):
        reply = port.fetch(s.port, "/public/x", method=method)
        check(400 <= reply.status < 600, "%s: status %d" % (method, reply.status))
        equal(s.upstream.count(), 0, "requests upstream after " + method)
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"):
        equal(port.fetch(s.port, "/public/x", method=method).status, 200, "status of " + method)


# --- upgrades -------------------------------------------------------------------------------------------------------------------

upgrades = [
    ("h2c", [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"]),
    ("h2c, odd case", [b"Connection: uPgRaDe, HTTP2-Settings", b"Upgrade: H2C", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"]),
    ("h2c without Connection", [b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"]),
    ("WebSocket", [b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
                   b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]),
    ("WebSocket, bad version", [b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 777",
                                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]),
    ("TLS/1.0", [b"Connection: Upgrade", b"Upgrade: TLS/1.0"]),
]


@port.cases("upgrade refused", upgrades)
def upgrade(name, lines):
    s = shop()
    with Client(s.port) as client:
        client.send(get(*lines))
        reply = client.reply()
    check(reply.status != 101, "the gateway switched protocols")
    raw = s.upstream.bytes()
    for word in (b"upgrade", b"h2c", b"http2-settings"):
        check(word not in raw.lower(), "%r reached the upstream: %r" % (word, raw))
    if "without" not in name:
        check(400 <= reply.status < 600, "status %d, want a refusal" % reply.status)
        equal(s.upstream.count(), 0, "requests upstream")


if __name__ == "__main__":
    port.main()
