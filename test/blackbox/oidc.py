#!/usr/bin/env python3
"""A real OpenID provider (npm oidc-provider) as issuer, its keys fetched by https from its JWKS address.

Users log in there as a browser would: authorization code with PKCE, login page, consent page. Its certificate is signed
by a private CA.
"""

import base64
import hashlib
import html
import http.cookiejar
import json
import os
import re
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import port
from port import Process, Shop, bearer, check, equal

AUDIENCE = "https://api.test"


class Stop(urllib.request.HTTPRedirectHandler):
    """Follows redirects until they lead back to the application."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if newurl.startswith("https://app.test/"):
            raise Back(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Back(Exception):
    pass


def certificate(folder, name="localhost"):
    """A CA and a server certificate of its making."""
    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
            "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.pem", "-addext", "basicConstraints=critical,CA:TRUE")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=" + name,
            "-keyout", "server.key", "-out", "server.csr")
    with open(os.path.join(folder, "ext"), "w") as out:
        out.write("subjectAltName=DNS:%s\n" % name)
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "ext", "-out", "server.pem")


class Provider:
    def __init__(self, where=None):
        if not shutil.which("node") or not os.path.isdir(os.path.join(port.ROOT, "test/node/node_modules/oidc-provider")):
            raise port.Skip("npm oidc-provider is not installed (npm ci in test/node)")
        self.dir, self.port = port.folder(), port.free_port()
        certificate(self.dir)
        self.url = "https://localhost:%d" % self.port
        self.process = None

    def start(self):
        file = lambda name: os.path.join(self.dir, name)
        self.process = Process(["node", os.path.join(port.ROOT, "test/node/oidc_server.mjs"), str(self.port),
                                file("server.key"), file("server.pem"), file("keys.json"), AUDIENCE], name="oidc-provider")
        port.eventually(lambda: "listening" in self.process.out() or not self.process.alive(), "the provider listens", 15)
        check(self.process.alive(), self.process.err())

    def stop(self):
        self.process.kill()

    def rotate(self):
        os.unlink(os.path.join(self.dir, "keys.json"))

    def opener(self):
        context = ssl.create_default_context(cafile=os.path.join(self.dir, "ca.pem"))
        return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), Stop(),
                                           urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def token(self, opener, form):
        request = urllib.request.Request(self.url + "/token", urllib.parse.urlencode(form).encode())
        request.add_header("Authorization", "Basic " + base64.b64encode(b"web:only-a-test-secret").decode())
        with opener.open(request, timeout=10) as reply:
            return json.load(reply)

    def login(self, user):
        """What the token endpoint gives for that user."""
        opener, verifier = self.opener(), port.b64(os.urandom(32))
        page = opener.open(self.url + "/auth?" + urllib.parse.urlencode({
            "client_id": "web", "response_type": "code", "redirect_uri": "https://app.test/cb", "scope": "openid api:read",
            "resource": AUDIENCE, "code_challenge": port.b64(hashlib.sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256"}), timeout=10)
        for _ in range(4):
            text = page.read().decode()
            action = html.unescape(re.search(r'action="([^"]+)"', text).group(1))
            prompt = re.search(r'name="prompt" value="(\w+)"', text).group(1)
            form = {"prompt": prompt}
            if prompt == "login":
                form.update(login=user, password="any")
            try:
                page = opener.open(urllib.parse.urljoin(page.url, action), urllib.parse.urlencode(form).encode(), timeout=10)
            except Back as back:
                code = urllib.parse.parse_qs(urllib.parse.urlparse(str(back)).query)["code"][0]
                return self.token(opener, {"grant_type": "authorization_code", "code": code, "code_verifier": verifier,
                                           "redirect_uri": "https://app.test/cb", "resource": AUDIENCE})
        raise port.Failure("the provider never came back with a code")

    def service(self):
        return self.token(self.opener(), {"grant_type": "client_credentials", "resource": AUDIENCE, "scope": "api:read"})

    def issuer(self, **more):
        return {"issuer": self.url, "audience": [AUDIENCE], "algorithms": ["ES256"], "default": True,
                "keys": dict({"url": self.url + "/jwks", "ca": os.path.join(self.dir, "ca.pem"), "private": True,
                              "refresh": "300s", "min_interval": "1s"}, **more),
                "products": ["shop"], "roles": ["buyer", "visitor"], "permissions": ["api:read"]}


_provider = None


def provider():
    global _provider
    if _provider is None:
        _provider = Provider()
        _provider.start()
    return _provider


def front(p, change=None, wait="live", **keys):
    def both(c):
        c["issuers"] = {"idp": p.issuer(**keys)}
        c["actions"]["user"] = {"match": "* /user/{rest*}", "to": "app"}
        c["roles"] = {"buyer": ["user"], "visitor": []}
        if change:
            change(c)
    return Shop(change=both, wait=wait)


def status(s, token, path="/user/x"):
    return port.fetch(s.port, path, [("apikey", s.key.text), bearer(token)]).status


@port.test("users that logged in at the provider: her role opens, his does not")
def users():
    p = provider()
    with front(p) as s:
        alice, bob = p.login("alice"), p.login("bob")
        port.eventually(lambda: status(s, alice["access_token"]) == 200, "alice is let in")
        seen = s.upstream.last()
        told = [urllib.parse.unquote(seen.get("x-" + name)) for name in ("user-id", "user-roles", "user-permissions", "client-id")]
        equal(told, ["alice", "buyer", "api:read", "web"], "who the service is told")
        equal(status(s, bob["access_token"]), 403, "status for bob")
        equal(status(s, alice["id_token"]), 401, "status of an ID token")
        equal(status(s, p.service()["access_token"]), 403, "status of the client's own token, without a role")
        token = alice["access_token"]
        equal(status(s, token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")), 401, "status of a broken signature")


@port.test("provider down at start: the gate starts, refuses, and has recovered within seconds")
def down_at_start():
    p = provider()
    token = p.login("alice")["access_token"]
    p.stop()
    try:
        with front(p) as s:
            began = time.monotonic()
            equal(port.fetch(s.port, "/public/x").status, 200, "a public route while the provider is down")
            code = status(s, token)
            check(code in (401, 503), "a token while the provider is down: status %d" % code)
            check(time.monotonic() - began < 6, "the answer took %.1f s" % (time.monotonic() - began))
            verbose = port.fetch(s.admin, "/readyz?verbose", host="127.0.0.1:%d" % s.admin)
            told = [line for line in verbose.body.decode().split("\n") if "idp" in line]
            check(told, "/readyz?verbose does not name the issuer: %r" % verbose.body)
            time.sleep(2)
            p.start()
            began = time.monotonic()
            port.eventually(lambda: status(s, token) == 200, "the token is accepted", 6)
    finally:
        if not p.process.alive():
            p.start()


@port.test("provider down later: the last good keys serve on, and it is said")
def down_later():
    p = provider()
    with front(p, refresh="1s") as s:
        token = p.login("alice")["access_token"]
        port.eventually(lambda: status(s, token) == 200, "the token is accepted")
        p.stop()
        try:
            for _ in range(15):
                equal(status(s, token), 200, "status while the provider is down")
                time.sleep(0.2)
        finally:
            p.start()


@port.test("rotation: a token under a new kid is accepted within the interval; a thousand unknown kids are few fetches")
def rotation():
    p = provider()
    with front(p) as s:
        old = p.login("alice")["access_token"]
        port.eventually(lambda: status(s, old) == 200, "the old token is accepted")
        p.stop()
        p.rotate()
        p.start()
        new = p.login("alice")["access_token"]
        port.eventually(lambda: status(s, new) == 200, "the token under the new key is accepted", 4)
        equal(status(s, old), 401, "status of a token under a key that is gone")
        stranger = port.Issuer(p.url, AUDIENCE)
        before = fetches(s)
        with s.client() as c:
            for n in range(1000):
                token = stranger.mint(header={"kid": "unknown-%d" % n}, roles=["buyer"])
                equal(c.get("/user/x", [("apikey", s.key.text), bearer(token)]).status, 401, "status of an unknown kid")
        check(fetches(s) - before <= 6, "%d fetches for 1000 unknown kids" % (fetches(s) - before))
        equal(status(s, new), 200, "status of a good token afterwards")


def fetches(s):
    found = [v for k, v in s.gateway.metrics().items() if k.startswith("sallyport_") and "fetch" in k and
             not k.split("{")[0].endswith(("_seconds", "_sum", "_bucket"))]
    check(found, "no metric counts fetches")
    return sum(found)


@port.test("a certificate that does not hold: wrong CA, wrong name, http, a redirect, a private address undeclared")
def untrusted():
    p = provider()
    token = p.login("alice")["access_token"]
    other = port.folder()
    certificate(other)

    def never(what, s):
        end = time.monotonic() + 1.2
        while time.monotonic() < end:
            check(status(s, token) in (401, 503), what + ": the token was accepted")
            time.sleep(0.25)
    with front(p, ca=os.path.join(other, "ca.pem")) as s:
        never("another CA", s)
    with front(p, url="https://127.0.0.1:%d/jwks" % p.port) as s:
        never("another name than the certificate's", s)
    with front(p, private=False) as s:
        never("a private address that is not declared", s)
    with front(p, url=p.url + "/.well-known/openid-configuration") as s:
        never("a document that is no JWKS", s)
    for url in ("http://localhost:%d/jwks" % p.port, "file:///etc/passwd", "https://u:p@localhost/jwks", "https:///jwks"):
        shop = None
        try:
            def change(c):
                c["issuers"]["idp"]["keys"]["url"] = url
            shop = front(p, change)
        except SystemExit as why:
            check("ended with 78" in str(why), "url %s: %s" % (url, why))
            port.Gateway.alive.clear()
        else:
            shop.stop()
            raise port.Failure("url %s is taken" % url)


if __name__ == "__main__":
    port.main()
