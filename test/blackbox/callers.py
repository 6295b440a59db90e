#!/usr/bin/env python3
"""Kinds of callers: what each action accepts of users, services and third parties, and nothing else.

A kind is made by what was verified (the token's issuer, the product of a key, a signature, a certificate), whatever
the headers claim. Signed requests count once, as they were signed, whole, at one of all workers.
"""

import json
import os
import threading
import time

import port
from port import Client, Gateway, Issuer, Key, Upstream, bearer, check, equal, eventually
from signing import Authority, Signer, content_digest, tls_client

KINDS = ("user", "service", "third-party")
CREDENTIALS = ("token", "apikey", "signature", "certificate")
SCHEMES = {"token": "Bearer", "apikey": "ApiKey", "signature": "Signature"}
HOST = "gateway.test"
LIMIT = 16384  # limits.buffer


class World:
    """For each kind a product with key, signature and certificate, and an issuer with a product of its own; for each
    kind and credential an action that accepts just that."""

    def __init__(self):
        self.authority = Authority()
        self.server = self.authority.issue(HOST)
        self.stranger = self.authority.issue("stranger", client=True)
        self.upstream = Upstream(port.mirror)
        self.issuers, self.keys, self.certificates, self.signers = {}, {}, {}, {}
        files, issuers, products, actions = {}, {}, {}, {}
        names = ["%s-%s" % (k, c) for k in KINDS for c in CREDENTIALS]
        more = ["mixed", "either", "plain", "narrow"]
        for kind in KINDS:
            self.issuers[kind] = Issuer("https://%s.test" % kind)
            files[kind + ".jwks"] = self.issuers[kind].jwks()
            issuers[kind] = self.issuers[kind].config(kind + ".jwks", caller=kind, products=["t-" + kind, "p-" + kind],
                                                      roles=["all"], permissions="any",
                                                      claims={"product": "product"})
            self.keys[kind] = Key("p-" + kind)
            self.certificates[kind] = self.authority.issue("p-" + kind, client=True)
            secret = os.urandom(24).hex()
            files[kind + ".mac"] = secret + "\n"
            self.signers[kind] = Signer("p-" + kind, secret.encode(), HOST)
            products["p-" + kind] = {"caller": kind, "keys": [self.keys[kind].entry], "may": names + more,
                                     "signature": {"file": kind + ".mac"},
                                     "certificates": ["sha256:" + self.certificates[kind][2]]}
            products["t-" + kind] = {"auth": "token", "may": names + more}
            for credential in CREDENTIALS:
                actions["%s-%s" % (kind, credential)] = {"match": "* /%s/%s/{rest*}" % (kind, credential), "to": "app",
                                                         "accept": {kind: credential}}
        actions["mixed"] = {"match": "* /mixed/{rest*}", "to": "app",
                            "accept": {"user": "token", "third-party": ["apikey", "signature", "certificate"]}}
        actions["either"] = {"match": "* /either/{rest*}", "to": "app", "accept": list(CREDENTIALS)}
        actions["plain"] = {"match": "* /plain/{rest*}", "to": "app"}
        actions["narrow"] = {"match": "* /narrow/{rest*}", "to": "app", "body": "100", "accept": "signature"}
        actions["open"] = {"match": "* /open/{rest*}", "to": "app", "public": True}
        self.port, self.tls_port = port.free_port(), port.free_port()
        self.gateway = Gateway({
            "listen": {"gateway": ["127.0.0.1:%d" % self.port, {"address": "127.0.0.1:%d" % self.tls_port, "tls": True}]},
            "tls": {"certificates": [{"cert": self.server[0], "key": {"file": self.server[1]}}],
                    "clients": {"ca": self.authority.ca_path}},
            "limits": {"buffer": "16kB"}, "timeouts": {"body_grace": "2s", "body_rate": 1000},
            "issuers": issuers, "products": products, "actions": actions,
            "services": {"app": {"instances": [self.upstream.address]}},
            "roles": {"all": names + more}}, files)

    def token(self, kind, product=None):
        return [bearer(self.issuers[kind].mint("alice", roles=["all"], product=product or "t-" + kind))]

    def present(self, kind, credential, method, path, body=None):
        """(fields, certificate) of that credential of that kind."""
        if credential == "token":
            return self.token(kind), None
        if credential == "apikey":
            return [("apikey", self.keys[kind].text)], None
        if credential == "signature":
            return self.signers[kind].fields(method, path, body), None
        return [], self.certificates[kind]

    def client(self, certificate=None):
        if certificate is None:
            return Client(self.port)
        return tls_client(self.tls_port, self.authority, HOST, certificate)

    def ask(self, path, fields=(), certificate=None, method="GET", body=None):
        with self.client(certificate) as client:
            return client.ask(method, path, fields, body, HOST)


_world = None


def world():
    global _world
    if _world is None:
        _world = World()
    _world.upstream.clear()
    return _world


def refused(w, reply, code, schemes=None, status=401):
    equal((reply.status, reply.json()["code"]), (status, code), "answer")
    equal(w.upstream.count(), 0, "requests upstream")
    challenge = reply.get("www-authenticate", "")
    if status == 401:
        check(code in challenge, "the challenge lacks the reason: %r" % challenge)
    if schemes is not None:
        named = {name for name, scheme in SCHEMES.items() if scheme + " " in challenge}
        equal(named, {name for name in schemes if name in SCHEMES}, "schemes in %r" % challenge)
    return reply


# --- every kind, every credential, every action ---------------------------------------------------------------------

@port.cases("accept", [("of a %s a %s alone" % (k, c), k, c) for k in KINDS for c in CREDENTIALS])
def one_action(name, kind, credential):
    w = world()
    path = "/%s/%s/x" % (kind, credential)
    for other in KINDS:
        for what in CREDENTIALS:
            w.upstream.clear()
            fields, certificate = w.present(other, what, "GET", path)
            reply = w.ask(path, fields, certificate)
            if (other, what) == (kind, credential):
                equal(reply.status, 200, "of a %s a %s" % (other, what))
                equal(w.upstream.last().get("x-product"), ("t-" if what == "token" else "p-") + kind, "its product")
                continue
            # a token at an action that wants that kind's key, and the other way round, are half of something
            half = other == kind and {what, credential} == {"token", "apikey"}
            code = "caller_not_accepted" if not half else credential + "_missing"
            # what no action of this kind of credential wants is not looked at: signatures only where they count
            if what == "signature" and credential != "signature":
                code = credential + "_missing"
            if what == "certificate" and credential == "token" and other == kind:
                code = "token_missing"
            refused(w, reply, code, [credential])
            if credential == "certificate":
                check("mutual TLS" in reply.json().get("detail", "") or half, "no word of a certificate: %r" % reply.body)
    w.upstream.clear()
    reply = refused(w, w.ask(path), credential + "_missing", [credential])
    check(reply.get("www-authenticate"), "a 401 without a challenge")


@port.test("an action for users by token and third parties by anything of their own takes just that")
def mixed():
    w = world()
    for kind in KINDS:
        for credential in CREDENTIALS:
            w.upstream.clear()
            fields, certificate = w.present(kind, credential, "GET", "/mixed/x")
            reply = w.ask("/mixed/x", fields, certificate)
            if (kind == "user" and credential == "token") or (kind == "third-party" and credential != "token"):
                equal(reply.status, 200, "of a %s a %s" % (kind, credential))
            elif kind == "user":
                refused(w, reply, "token_missing")
            else:
                refused(w, reply, "caller_not_accepted", CREDENTIALS)
                check("mutual TLS" in reply.json()["detail"], "the problem does not tell of certificates")
    w.upstream.clear()
    refused(w, w.ask("/mixed/x"), "no_credential", CREDENTIALS)


@port.test("a token with the key of its product is the user; the key of another product, kind or not, is refused")
def together():
    w = world()
    user = w.token("user", "p-user")
    reply = w.ask("/mixed/x", user + [("apikey", w.keys["user"].text)])
    equal(reply.status, 200, "token and key")
    equal(w.upstream.last().get("x-user-id"), "user:alice", "the user")
    equal(w.ask("/mixed/x", user, w.certificates["user"]).status, 200, "token and certificate of one product")
    w.upstream.clear()
    refused(w, w.ask("/mixed/x", user), "apikey_missing")
    for name, fields, certificate in (
            ("key", [("apikey", w.keys["third-party"].text)], None), ("certificate", [], w.certificates["third-party"]),
            ("signature", w.signers["third-party"].fields("GET", "/mixed/x"), None)):
        refused(w, w.ask("/mixed/x", user + fields, certificate), "product_mismatch")
    key = [("apikey", w.keys["third-party"].text)]
    refused(w, w.ask("/mixed/x", key, w.certificates["service"]), "product_mismatch")
    refused(w, w.ask("/mixed/x", key + w.signers["service"].fields("GET", "/mixed/x")), "product_mismatch")
    secure = Signer("p-service", w.signers["service"].key, HOST, "https")
    refused(w, w.ask("/either/x", secure.fields("GET", "/either/x"), w.certificates["user"]), "product_mismatch")
    equal(w.ask("/mixed/x", key + w.signers["third-party"].fields("GET", "/mixed/x")).status, 200, "key and signature")


@port.test("what is presented must hold also where something else would have been enough")
def must_hold():
    w = world()
    good = w.token("user")
    refused(w, w.ask("/mixed/x", good + [("apikey", "sp_test_nothing")]), "apikey_malformed")
    refused(w, w.ask("/mixed/x", good + w.signers["user"].fields("GET", "/mixed/y")), "signature_wrong")
    refused(w, w.ask("/mixed/x", good + [("Signature", "sig=:AAAA:")]), "signature_missing")
    refused(w, w.ask("/mixed/x", [bearer("a.b.c"), ("apikey", w.keys["third-party"].text)]), "token_malformed")
    equal(w.ask("/plain/x", good + w.signers["user"].fields("GET", "/other")).status, 200,
          "a signature for somebody else, where none is accepted")


@port.test("a kind is not what a header says, and what proxies write of certificates is stripped")
def claims():
    w = world()
    lies = [("X-Caller-Kind", "third-party"), ("X-Caller", "service"), ("X_Caller_Kind", "third-party"),
            ("X-Forwarded-Client-Cert", "Hash=%s;Subject=\"CN=p-third-party\"" % w.certificates["third-party"][2]),
            ("X-SSL-Client-Cert", "x"), ("X-SSL-Client-Verify", "SUCCESS"), ("Client-Cert", ":AAAA:"),
            ("Client-Cert-Chain", ":AAAA:"), ("SSL_CLIENT_CERT", "x"), ("X-Client-Cert", "x"), ("X-ARR-ClientCert", "x"),
            ("X-Amzn-Mtls-Clientcert", "x"), ("X-Product", "p-third-party"), ("X-User-ID", "root")]
    for path, fields in (("/third-party/certificate/x", []), ("/third-party/apikey/x", [("apikey", w.keys["user"].text)]),
                         ("/third-party/token/x", w.token("user"))):
        w.upstream.clear()
        plain, lied = w.ask(path, fields), w.ask(path, fields + lies)
        equal((plain.status, plain.json()["code"]), (lied.status, lied.json()["code"]), "with and without the claims")
        equal(w.upstream.count(), 0, "requests upstream")
    for path, fields in (("/user/token/x", w.token("user")), ("/open/x", [])):
        equal(w.ask(path, fields + lies).status, 200, path)
        seen = [name.lower().replace("_", "-") for name, _ in w.upstream.last().fields]
        left = [name for name, _ in lies if name.lower().replace("_", "-") in seen]
        kept = ["X-Product"] if path != "/open/x" else []
        kept += ["X-User-ID"] if path != "/open/x" else []
        equal([n for n in left if n != "X-Caller"], kept, "names that came through on " + path)
    check("root" not in str(w.upstream.last().fields), "a claimed user came through")


@port.test("client certificates: of no product, of none, on clear text, on a resumed session, on many requests")
def certificates():
    w = world()
    path = "/third-party/certificate/x"
    refused(w, w.ask(path, [], w.stranger), "certificate_unknown")
    equal(w.ask("/either/x", w.token("user"), w.stranger).status, 200, "an unknown certificate is in nobody's way")
    with tls_client(w.tls_port, w.authority, HOST) as client:
        refused_reply = client.ask("GET", path, [], None, HOST)
        equal(refused_reply.json()["code"], "certificate_missing", "TLS without a certificate")
    import ssl
    context = ssl.create_default_context(cafile=w.authority.ca_path)
    context.load_cert_chain(*w.certificates["third-party"][:2])
    first = tls_client(w.tls_port, w.authority, HOST, context=context)
    for _ in range(5):
        equal(first.ask("GET", path, [], None, HOST).status, 200, "again on the connection")
    session = first.sock.session
    first.close()
    second = tls_client(w.tls_port, w.authority, HOST, session=session, context=context)
    equal(second.ask("GET", path, [], None, HOST).status, 200, "on another connection (resumed: %s)" %
          second.sock.session_reused)
    second.close()
    other = Authority("another authority")
    forged = other.issue("p-third-party", client=True)
    try:
        answer = w.ask(path, [], forged)
        check(answer.status in (401, 400), "a certificate of a foreign authority: %d" % answer.status)
    except (OSError, port.Failure):
        pass


# --- signatures -----------------------------------------------------------------------------------------------------

PATH = "/third-party/signature/a%20b/c?x=1&y=%2F"


def signer():
    return world().signers["third-party"]


@port.test("signed requests with and without a body, in every way that may be covered, come through byte for byte")
def signed():
    w, s = world(), signer()
    for body in (None, b"", b"{}", os.urandom(LIMIT), b"x" * 5000):
        for components in (None, ["@method", "@authority", "@path", "@query"],
                           ["@scheme", "@method", "@request-target", "@target-uri"]):
            if components and body:
                components = components + ["content-digest"]
            fields = s.fields("POST", PATH, body or None, components)
            equal(w.ask(PATH, fields, None, "POST", body).status, 200, "status with %r" % (components,))
            equal(w.upstream.last().body, body or b"", "body")
            equal(w.upstream.last().get("x-product"), "p-third-party", "product")
    body = b"hello"
    for digest in (content_digest(body, "sha-512"), content_digest(body) + ", " + content_digest(body, "sha-512"),
                   "md5=:AAAA:, " + content_digest(body)):
        equal(w.ask(PATH, s.fields("PUT", PATH, body, digest=digest), None, "PUT", body).status, 200, digest)
    more = [("Date", "Tue, 20 Apr 2021 02:07:55 GMT"), ("X-Thing", "a, b")]
    fields = s.fields("GET", PATH, components=["@method", "@target-uri", "date", "x-thing"], more=more)
    equal(w.ask(PATH, fields).status, 200, "with other fields covered")


@port.test("a signed body in chunks, with Expect, or in pieces is forwarded only when it is whole and good")
def held():
    w, s = world(), signer()
    body = os.urandom(9000)
    head = "POST %s HTTP/1.1\r\nHost: %s\r\n" % (PATH, HOST)

    def lines(fields):
        return "".join("%s: %s\r\n" % f for f in fields)
    with Client(w.port) as c:
        c.send(head + lines(s.fields("POST", PATH, body)) + "Transfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n")
        for at in range(0, len(body), 1000):
            c.send(b"%x\r\n" % 1000 + body[at:at + 1000] + b"\r\n")
            time.sleep(0.01)
        equal(w.upstream.count(), 0, "requests upstream before the last chunk")
        equal(w.upstream.bytes(), b"", "bytes upstream before the last chunk")
        c.send(b"0\r\nX-T: smuggled\r\n\r\n")
        equal(c.reply().status, 200, "chunked")
        seen = w.upstream.last()
        equal((seen.body, seen.trailers), (body, []), "body and trailers")
        equal(seen.get("content-length"), "9000", "its length")
        check("smuggled" not in str(seen.raw_head), "the trailer came through")
        # the same connection goes on
        c.send(head + lines(s.fields("POST", PATH, body)) + "Expect: 100-continue\r\nContent-Length: 9000\r\n\r\n")
        interim = c.head()
        equal(interim.status, 100, "interim answer")
        c.send(body[:4000])
        time.sleep(0.1)
        equal(w.upstream.count(), 1, "requests upstream with half of the body")
        c.send(body[4000:])
        equal(c.reply().status, 200, "after 100")
        equal(w.upstream.last().body, body, "body")
        equal(w.upstream.last().get("expect"), None, "Expect goes no further")
        equal(c.ask("GET", PATH, s.fields("GET", PATH), None, HOST).status, 200, "and on")


@port.test("a body that is not what was signed: other bytes, none, more, fewer, cut off; nothing of it leaves")
def other_body():
    w, s = world(), signer()
    body = b"transfer 10 to bob"
    for name, sent in (("other bytes", b"transfer 99 to eve"), ("none", b""), ("more", body + b"!"), ("fewer", body[:-1])):
        reply = w.ask(PATH, s.fields("POST", PATH, body), None, "POST", sent)
        refused(w, reply, "signature_wrong")
    refused(w, w.ask(PATH, s.fields("POST", PATH), None, "POST", body), "signature_wrong")  # the digest is not covered
    refused(w, w.ask(PATH, s.fields("POST", PATH, digest="sha-256=:AAAA:"), None, "POST", body), "signature_wrong")
    refused(w, w.ask(PATH, s.fields("POST", PATH, digest="md5=:AAAA:"), None, "POST", body), "signature_wrong")
    refused(w, w.ask(PATH, s.fields("POST", PATH, body) + [("Content-Digest", content_digest(b""))], None, "POST", body),
            "signature_wrong")
    for cut in (0, 1, 9, 17):
        with Client(w.port) as c:
            c.send("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n" % (PATH, HOST, len(body)) +
                   "".join("%s: %s\r\n" % f for f in s.fields("POST", PATH, body)) + "\r\n")
            c.send(body[:cut])
            time.sleep(0.02)
    time.sleep(0.1)
    equal((w.upstream.count(), w.upstream.bytes()), (0, b""), "what reached the upstream of bodies that were cut off")


@port.test("a signed body that is larger than limits.buffer, or than the action takes, is 413; announced or not")
def large():
    w, s = world(), signer()
    big = b"x" * (LIMIT + 1)
    refused(w, w.ask(PATH, s.fields("POST", PATH, big), None, "POST", big), "body_too_large", status=413)
    with Client(w.port) as c:
        c.send("POST %s HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n" % (PATH, HOST) +
               "".join("%s: %s\r\n" % f for f in s.fields("POST", PATH, big)) + "\r\n")
        c.send(b"".join(b"1000\r\n" + b"x" * 4096 + b"\r\n" for _ in range(6)))
        refused(w, c.reply(), "body_too_large", status=413)
    over = b"x" * 101
    refused(w, w.ask("/narrow/x", s.fields("POST", "/narrow/x", over), None, "POST", over), "body_too_large", status=413)
    equal(w.ask("/narrow/x", s.fields("POST", "/narrow/x", over[1:]), None, "POST", over[1:]).status, 200, "at the bound")


@port.test("a signed body that comes too slowly is 408, while others are served")
def slow():
    w, s = world(), signer()
    body = b"x" * 1000
    with Client(w.port, timeout=15) as c:
        c.send("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000\r\n" % (PATH, HOST) +
               "".join("%s: %s\r\n" % f for f in s.fields("POST", PATH, body)) + "\r\n")
        began = time.monotonic()
        while time.monotonic() - began < 12:
            try:
                c.send(b"x")
            except OSError:
                break
            equal(w.ask("/open/x").status, 200, "a neighbour")
            time.sleep(0.2)
            c.sock.settimeout(0.01)
            try:
                if not c.fill():
                    break
            except port.Failure:
                continue
            break
        check(b"408" in c.buffer and b"request_timeout" in c.buffer, "after %.1f s: %r" % (time.monotonic() - began,
                                                                                     c.buffer))
    equal([r.line for r in w.upstream.requests if "signature" in r.line], [], "signed requests upstream")


@port.test("a signature counts once, at one of all workers, however it is sent again")
def replayed():
    w, s = world(), signer()
    for body in (None, b"pay"):
        fields = s.fields("POST", PATH, body)
        equal(w.ask(PATH, fields, None, "POST", body).status, 200, "the first")
        w.upstream.clear()
        for _ in range(8):  # new connections: both workers
            refused(w, w.ask(PATH, fields, None, "POST", body), "signature_replayed")
        with Client(w.port) as c:
            for _ in range(3 if body is None else 1):
                refused(w, c.ask("POST", PATH, fields, body, HOST), "signature_replayed")
    # many at once
    fields = s.fields("GET", PATH)
    statuses, lock, ready = [], threading.Lock(), threading.Barrier(24)

    def one():
        with Client(w.port) as c:
            ready.wait()
            status = c.ask("GET", PATH, fields, None, HOST).status
            with lock:
                statuses.append(status)
    threads = [threading.Thread(target=one) for _ in range(24)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(sorted(statuses), [200] + [401] * 23, "of 24 at once")
    # spelled otherwise: the label is not signed, the MAC is
    fields = dict(s.fields("GET", PATH))
    equal(w.ask(PATH, fields).status, 200, "first")
    w.upstream.clear()
    again = {name: value.replace("sig=", "other=", 1) for name, value in fields.items()}
    refused(w, w.ask(PATH, again), "signature_replayed")
    # a burnt one: the body was another, so the right one needs a new signature
    fields = s.fields("POST", PATH, b"pay")
    refused(w, w.ask(PATH, fields, None, "POST", b"pax"), "signature_wrong")
    refused(w, w.ask(PATH, fields, None, "POST", b"pay"), "signature_replayed")


@port.test("clocks: a signature is good within 30 s of its `created`, either way, and not after `expires`")
def clocks():
    w, s = world(), signer()
    now = int(time.time())
    for off, want in ((-27, 200), (27, 200), (-33, 401), (33, 401), (-86400, 401), (10 ** 9, 401)):
        reply = w.ask(PATH, s.fields("GET", PATH, created=now + off))
        equal(reply.status, want, "%d s off" % off)
    params = ';created=%d;expires=%d;keyid="p-third-party";alg="hmac-sha256"'
    equal(w.ask(PATH, s.fields("GET", PATH, params=params % (now, now + 20))).status, 200, "before it expires")
    equal(w.ask(PATH, s.fields("GET", PATH, params=params % (now - 5, now - 1))).status, 401, "after it expired")


def bent():
    """What is signed well, and is not enough or not right: (name, fields for signer(), method, path, body)."""
    now = int(time.time())
    good = ';created=%d;keyid="p-third-party";alg="hmac-sha256"' % now
    both = ["@method", "@target-uri"]
    return [
        ("no components", dict(components=[])),
        ("without the method", dict(components=["@target-uri"])),
        ("without the target", dict(components=["@method"])),
        ("without the query", dict(components=["@method", "@authority", "@path"])),
        ("without the authority", dict(components=["@method", "@path", "@query"])),
        ("a component twice", dict(components=both + ["@method"])),
        ("a component that is not there", dict(components=both + ["x-absent"])),
        ("a component nobody knows", dict(components=both + ["@everything"])),
        ("a component of an answer", dict(components=both + ["@status"])),
        ("a component in capitals", dict(components=both + ["Host"])),
        ("a component with a line end", dict(components=both + ["x-a\": \n\"x"])),
        ("another method", dict(over={"@method": "DELETE"})),
        ("another target", dict(over={"@target-uri": "http://gateway.test/third-party/signature/other"})),
        ("another host", dict(over={"@target-uri": "http://elsewhere.test" + PATH})),
        ("another scheme", dict(over={"@target-uri": "https://gateway.test" + PATH})),
        ("no created", dict(params=';keyid="p-third-party";alg="hmac-sha256"')),
        ("no keyid", dict(params=';created=%d;alg="hmac-sha256"' % now)),
        ("no alg", dict(params=';created=%d;keyid="p-third-party"' % now)),
        ("another alg", dict(alg="hmac-sha512")),
        ("alg none", dict(alg="none")),
        ("created as text", dict(params=good.replace("created=%d" % now, "created=\"%d\"" % now))),
        ("created twice", dict(params=good + ";created=%d" % now)),
        ("a parameter nobody knows", dict(params=good + ";sudo=1")),
        ("keyid of another product", dict(keyid="p-user")),
        ("keyid of a product without a key", dict(keyid="t-user")),
        ("keyid of nobody", dict(keyid="nobody")),
        ("an empty keyid", dict(params=good.replace("p-third-party", ""))),
        ("another product's key", dict(key=world().signers["user"].key)),
        ("an empty key", dict(key=b"\0")),
        ("a MAC of nothing", dict(mac=b"\0" * 32)),
        ("a short MAC", dict(mac=b"\0" * 16)),
    ]


@port.test("signatures that cover too little, say something else, or are made by somebody else")
def bad_signatures():
    w, s = world(), signer()
    for name, change in bent():
        fields = s.fields("GET", PATH, **change)
        if any("\n" in value for _, value in fields):
            continue  # no field can hold it
        reply = w.ask(PATH, fields)
        check((reply.status, reply.json()["code"]) == (401, "signature_wrong"), "%s: %d %s" % (name, reply.status,
                                                                                           reply.json()["code"]))
    equal(w.upstream.count(), 0, "requests upstream")


@port.test("a list of components changed after it was signed, a second signature, a field twice")
def mutated():
    w, s = world(), signer()
    more = [("X-Amount", "10")]
    components = ["@method", "@target-uri", "x-amount"]

    def ask(change):
        fields = dict(s.fields("GET", PATH, components=components, more=more))
        return w.ask(PATH, change(fields))
    equal(ask(lambda f: f).status, 200, "unchanged")
    w.upstream.clear()
    for name, change in (
            ("one left out", lambda f: dict(f, **{"Signature-Input": f["Signature-Input"].replace(' "x-amount"', "")})),
            ("in another order", lambda f: dict(f, **{"Signature-Input": f["Signature-Input"].replace(
                '"@method" "@target-uri"', '"@target-uri" "@method"')})),
            ("one more", lambda f: dict(f, **{"Signature-Input": f["Signature-Input"].replace('"x-amount"',
                                                                                         '"x-amount" "host"')})),
            ("a covered field changed", lambda f: dict(f, **{"X-Amount": "1000"})),
            ("a covered field twice", lambda f: list(f.items()) + [("X-Amount", "1000")]),
            ("a blank more", lambda f: dict(f, **{"Signature-Input": f["Signature-Input"].replace(' "x-', '  "x-')})),
            ("another nonce", lambda f: dict(f, **{"Signature-Input": f["Signature-Input"].replace('nonce="', 'nonce="0')})),
            ("a second signature", lambda f: dict(f, **{"Signature": f["Signature"] + ", b=:AAAA:"})),
            ("a second input", lambda f: dict(f, **{"Signature-Input": f["Signature-Input"] + ', b=("@method")'})),
            ("the field twice", lambda f: list(f.items()) + [("Signature", f["Signature"])]),
            ("the input twice", lambda f: list(f.items()) + [("Signature-Input", f["Signature-Input"])])):
        reply = ask(change)
        check((reply.status, reply.json()["code"]) == (401, "signature_wrong"), "%s: %d %s" % (name, reply.status,
                                                                                           reply.json()["code"]))
    for name in ("Signature", "Signature-Input"):
        reply = ask(lambda f, name=name: {k: v for k, v in f.items() if k != name})
        equal(reply.json()["code"], "signature_missing", "without " + name)
    equal(w.upstream.count(), 0, "requests upstream")
    reply = ask(lambda f: dict(f, **{"X-Other": "not covered"}))
    equal(reply.status, 200, "a field that is not covered")


@port.test("what was signed for clear text does not hold over TLS, and the other way round")
def schemes():
    w, s = world(), signer()
    with tls_client(w.tls_port, w.authority, HOST) as c:
        equal(c.ask("GET", PATH, s.fields("GET", PATH), None, HOST).json()["code"], "signature_wrong", "http over TLS")
        secure = Signer(s.product, s.key, HOST, "https")
        equal(c.ask("GET", PATH, secure.fields("GET", PATH), None, HOST).status, 200, "https over TLS")
        equal(w.upstream.last().get("x-forwarded-proto"), "https", "X-Forwarded-Proto")
    w.upstream.clear()
    refused(w, w.ask(PATH, secure.fields("GET", PATH)), "signature_wrong")


# --- what is told ---------------------------------------------------------------------------------------------------

@port.test("kind and credential stand in the access log, in why, in the metrics")
def told():
    w = world()
    before = w.gateway.metrics()
    asked = [("user", "token"), ("third-party", "signature"), ("service", "apikey"), ("third-party", "certificate")]
    ids = []
    for kind, credential in asked:
        path = "/%s/%s/told" % (kind, credential)
        fields, certificate = w.present(kind, credential, "GET", path)
        equal(w.ask(path, fields, certificate).status, 200, path)
        ids.append((path, kind, credential))
    after = w.gateway.metrics()
    for kind, credential in asked:
        name = 'sallyport_callers_total{caller="%s",credential="%s"}' % (kind, credential)
        equal(after.get(name, 0) - before.get(name, 0), 1, name)
    for path, kind, credential in ids:
        line = eventually(lambda path=path: [r for r in w.gateway.log() if r.get("path") == path], "its line in the log")[0]
        equal((line.get("caller"), line.get("credential")), (kind, credential), "log of " + path)
        code, out, err = w.gateway.cli("why", line["decision_id"], "--json")
        check('"caller":"%s","credential":"%s"' % (kind, credential) in out.replace(" ", ""), "why: %s%s" % (out, err))
    reply = w.ask("/mixed/x", w.token("service"))
    code, out, err = w.gateway.cli("why", reply.json()["decision_id"])
    check("user: token; third-party: apikey, signature, certificate" in out, "why does not tell what is accepted: " + out)


@port.test("`sallyport sign` prints fields that are accepted")
def signed_by_the_command():
    w = world()
    path = os.path.join(port.folder(), "mac")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as out:
        out.write(signer().key + b"\n")
    body_path = path + ".body"
    with open(body_path, "wb") as out:
        out.write(b'{"a": 1}\n')
    for method, body in (("GET", None), ("POST", b'{"a": 1}\n')):
        code, out, err = port.cli("sign", method, "http://%s%s" % (HOST, PATH), "--product", "p-third-party",
                                  "--secret-file", path, *(["--body", body_path] if body else []))
        equal(code, 0, "exit code (%s)" % err)
        fields = [tuple(line.split(": ", 1)) for line in out.splitlines()]
        equal(w.ask(PATH, fields, None, method, body).status, 200, method)
    for args in (("GET", "nonsense"), ("get", "http://x/"), ("GET", "http://x/", "--product", "p")):
        equal(port.cli("sign", *args)[0], 2, "exit code of %r" % (args,))


# --- what is taken back ---------------------------------------------------------------------------------------------

@port.test("a product that is gone, its pin or its key taken away: none of its credentials counts after the reload")
def taken_back():
    w = world()
    held_back = dict(w.gateway.config["products"])
    path = {c: "/third-party/%s/x" % c for c in ("apikey", "signature", "certificate")}

    def answers():
        out = {}
        for c, p in path.items():
            fields, certificate = w.present("third-party", c, "GET", p)
            reply = w.ask(p, fields, certificate)
            out[c] = reply.status if reply.status == 200 else reply.json()["code"]
        return out
    try:
        equal(answers(), dict.fromkeys(path, 200), "before")
        less = {k: v for k, v in held_back["p-third-party"].items() if k not in ("signature", "certificates", "keys")}
        w.gateway.config["products"] = dict(held_back, **{"p-third-party": less})
        w.gateway.write_config()
        equal(w.gateway.reload()[0], 0, "reload")
        equal(answers(), {"apikey": "apikey_unknown", "signature": "signature_wrong",
                          "certificate": "certificate_unknown"}, "without its credentials")
        w.gateway.config["products"] = {k: v for k, v in held_back.items() if k != "p-third-party"}
        for issuer in w.gateway.config["issuers"].values():
            issuer["products"] = [p for p in issuer["products"] if p != "p-third-party"]
        w.gateway.write_config()
        equal(w.gateway.reload()[0], 0, "reload")
        equal(answers(), {"apikey": "apikey_unknown", "signature": "signature_wrong",
                          "certificate": "certificate_unknown"}, "without the product")
    finally:
        w.gateway.config["products"] = held_back
        w.gateway.write_config()
        w.gateway.reload()


@port.test("an apisecret of the store signs as soon as it is made; gone, made anew, or its product revoked, it does not")
def stored():
    upstream = Upstream(port.mirror)
    where = port.free_port()
    gateway = Gateway({
        "listen": {"gateway": "127.0.0.1:%d" % where}, "store": {"engine": "memory"},
        "products": {"desk": {"caller": "third-party", "may": ["signed"]}, "shut": {"may": ["signed"]},
                     "idle": {"caller": "third-party"}},
        "services": {"app": {"instances": [upstream.address]}},
        "actions": {"signed": {"match": "* /signed/{rest*}", "to": "app", "accept": {"third-party": "signature"}}}})

    def secret(product):
        code, out, err = gateway.cli("secret", "new", product, "--json")
        equal(code, 0, "secret new (%s)" % err)
        return Signer(product, json.loads(out)["secret"].encode(), HOST)

    def ask(signer, **more):
        return port.fetch(where, "/signed/x", signer.fields("GET", "/signed/x", **more), host=HOST)

    def every(signer, status):
        """Both workers say so."""
        return all(ask(signer).status == status for _ in range(8))
    desk = Signer("desk", b"x" * 40, HOST)
    equal(ask(desk).json()["code"], "signature_wrong", "before it has a secret")
    desk = secret("desk")
    eventually(lambda: every(desk, 200), "its signature is taken", 2)
    equal(ask(Signer("desk", desk.key[:-1] + b"!", HOST)).json()["code"], "signature_wrong", "another secret")
    for product in ("shut", "idle"):  # of a kind that may not sign, or without anything to sign for
        other = secret(product)
        time.sleep(0.1)
        equal(ask(other).json()["code"], "signature_wrong", "the secret of " + product)
    again = secret("desk")
    eventually(lambda: every(again, 200) and every(desk, 401), "the new secret and not the old one", 2)
    now = int(time.time())
    code, out, err = gateway.cli("revoke", "product", "desk")
    equal(code, 0, "revoke product (%s%s)" % (out, err))
    equal(ask(again, created=now - 1).json()["code"], "signature_wrong", "signed before the product was revoked")
    eventually(lambda: every(again, 200), "signed after it", 4)
    equal(gateway.cli("secret", "delete", "desk")[0], 0, "secret delete")
    eventually(lambda: every(again, 401), "it is gone", 2)
    check(again.key.decode() not in gateway.process.err(), "a secret is in the log")
    gateway.stop()
    upstream.stop()


if __name__ == "__main__":
    port.main()
