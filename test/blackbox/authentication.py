#!/usr/bin/env python3
"""Users who log in through the gateway: login, refresh, logout, sessions; proofs of the product; throttles; keys that
change; and what an attacker learns from answers and from their times.

The users are made by the command line, everything else is asked through the gateway.
"""

import base64
import concurrent.futures
import hashlib
import hmac
import json
import math
import os
import random
import statistics
import time

import port
from port import Client, Failure, Gateway, Key, Upstream, check, equal, eventually, mirror

FAST = {"memory": "8MB", "passes": 1, "concurrent": 2, "queue": 64}
EASY = {"account": "1000/s", "address": "10000/s"}


class Site:
    """A gateway with the Authentication Service, three products of users, and their API keys."""

    def __init__(self, engine="memory", **authentication):
        self.upstream = Upstream(mirror)
        self.keys = {name: Key(name) for name in ("web", "app", "back", "signed", "plain")}
        section = {"issuer": "https://api.example.com", "audience": ["api"], "user_bases": ["users", "staff"],
                   "password": FAST, "throttle": EASY}
        section.update(authentication)
        products = {
            "web": {"login": "password", "may": ["orders"]},
            "app": {"login": "password", "may": ["orders"]},
            "back": {"login": "password", "users": "staff", "secret": "basic", "may": ["orders"]},
            "signed": {"login": "password", "secret": "signature", "may": ["orders"]},
            "plain": {"may": ["orders"]},
        }
        for name, product in products.items():
            product["keys"] = [self.keys[name].entry]
        self.gateway = Gateway({
            "products": products, "store": {"engine": engine}, "authentication": section,
            "services": {"orders": {"instances": ["127.0.0.1:%d" % self.upstream.port]}},
            "actions": {"orders": {"match": "GET /orders", "to": "orders"}},
            "roles": {"buyer": ["orders"]},
        })
        self.port = self.gateway.port
        eventually(lambda: self.get("/.well-known/jwks.json").status == 200, "a key signs")

    def user(self, name, password, *more, base="users"):
        code, out, err = self.gateway.cli("user", "add", name, "--base", base, "--roles", "buyer", "--password-stdin",
                                          *more, input=password)
        equal(code, 0, "user add: " + out + err)

    def secret(self, product):
        code, out, err = self.gateway.cli("secret", "new", product, "--json")
        equal(code, 0, "secret new: " + out + err)
        return json.loads(out)["secret"]

    def get(self, path, fields=()):
        return port.fetch(self.port, path, fields)

    def post(self, path, product, body, fields=(), client=None):
        fields = [("apikey", self.keys[product].text), ("Content-Type", "application/json"), *fields]
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        if client:
            return client.ask("POST", path, fields, data)
        return port.fetch(self.port, path, fields, "POST", data)

    def login(self, product, name, password, fields=(), client=None):
        return self.post("/authentication/login", product, {"username": name, "password": password}, fields, client)

    def refresh(self, product, token, fields=()):
        return self.post("/authentication/refresh", product, {"refresh_token": token}, fields)

    def logout(self, product, token, fields=()):
        return self.post("/authentication/logout", product, {"refresh_token": token}, fields)

    def orders(self, product, token):
        return self.get("/orders", [("apikey", self.keys[product].text), ("Authorization", "Bearer " + token)])

    def sessions(self, product, token, method="GET", path=""):
        return port.fetch(self.port, "/authentication/sessions" + path,
                          [("apikey", self.keys[product].text), ("Authorization", "Bearer " + token)], method)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.gateway.stop()
        self.upstream.stop()


def good(reply):
    equal(reply.status, 200, "status: %r" % reply.body[:300])
    return reply.json()


def refused(reply, status, code):
    equal(reply.status, status, "status: %r" % reply.body[:300])
    equal(reply.json()["code"], code, "code")


def claims(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


@port.test("a login gives a token that the gateway takes, with the user's roles; a wrong password gives none")
def _():
    with Site() as s:
        s.user("alice", "correct horse")
        t = good(s.login("web", "alice", "correct horse"))
        equal((t["token_type"], t["expires_in"]), ("Bearer", 600), "token type and life")
        check(t["refresh_expires_in"] > 29 * 86400, "the refresh token's life")
        c = claims(t["access_token"])
        equal([c[k] for k in ("iss", "sub", "aud", "client_id", "product", "roles")],
              ["https://api.example.com", "alice", "api", "web", "web", ["buyer"]], "claims")
        check(c["jti"] and c["sid"] and c["exp"] >= c["iat"] + 600, "jti, sid, exp")
        equal(s.orders("web", t["access_token"]).status, 200, "business")
        equal(s.upstream.last().get("x-user-id"), "alice", "X-User-ID")
        check(s.upstream.last().get("authorization") is None, "the token does not reach the service")
        refused(s.login("web", "alice", "wrong"), 401, "login_failed")
        refused(s.post("/authentication/login", "plain", {"username": "alice", "password": "correct horse"}), 403,
                "product_not_granted")
        refused(port.fetch(s.port, "/authentication/login", [("Content-Type", "application/json")], "POST", b"{}"), 401,
                "apikey_missing")
        # what the client says of itself is not believed
        t = good(s.login("web", "alice", "correct horse", [("X-Product", "app"), ("X-User-ID", "root")]))
        equal(claims(t["access_token"])["product"], "web", "product")


@port.test("every pair of product and foreign token: at business, refresh, logout")
def _():
    with Site() as s:
        s.user("alice", "correct horse")
        s.user("alice", "staff horse", base="staff")
        back = s.secret("back")
        basic = [("Authorization", "Basic " + base64.b64encode(b"back:" + back.encode()).decode())]
        proof = {"web": [], "app": [], "back": basic}
        tokens = {p: good(s.login(p, "alice", "staff horse" if p == "back" else "correct horse", proof[p]))
                  for p in proof}
        for mine in proof:
            for theirs in proof:
                reply = s.orders(mine, tokens[theirs]["access_token"])
                if mine == theirs:
                    equal(reply.status, 200, "%s with its own token" % mine)
                else:
                    check(reply.status in (401, 403), "%s with the token of %s: %d" % (mine, theirs, reply.status))
                    refused(s.refresh(mine, tokens[theirs]["refresh_token"], proof[mine]), 401, "refresh_invalid")
                    equal(s.logout(mine, tokens[theirs]["refresh_token"], proof[mine]).status, 204, "logout")
        for p in proof:  # none of that ended anything
            good(s.refresh(p, tokens[p]["refresh_token"], proof[p]))
        equal(claims(tokens["back"]["access_token"])["sub"], "staff/alice", "subject of another base")
        refused(s.login("web", "alice", "staff horse"), 401, "login_failed")
        refused(s.login("back", "alice", "correct horse", basic), 401, "login_failed")


@port.test("a refresh token is changed for its successor; at once again gives the same one; later ends the family")
def _():
    with Site() as s:
        s.user("alice", "correct horse")
        first = good(s.login("web", "alice", "correct horse"))
        second = good(s.refresh("web", first["refresh_token"]))
        check(second["refresh_token"] != first["refresh_token"], "it was not changed")
        again = good(s.refresh("web", first["refresh_token"]))
        equal(again["refresh_token"], second["refresh_token"], "the successor, again")
        equal(s.orders("web", again["access_token"]).status, 200, "business")
        third = good(s.refresh("web", second["refresh_token"]))
        # two generations old: nobody's grace
        refused(s.refresh("web", first["refresh_token"]), 401, "refresh_reused")
        refused(s.refresh("web", third["refresh_token"]), 401, "refresh_invalid")
        eventually(lambda: s.orders("web", third["access_token"]).status == 401, "its tokens are revoked", 2)
        other = good(s.login("web", "alice", "correct horse"))  # the next login is another family
        equal(s.orders("web", other["access_token"]).status, 200, "business")
        guess = other["refresh_token"][:-1] + ("A" if other["refresh_token"][-1] != "A" else "B")
        refused(s.refresh("web", guess), 401, "refresh_invalid")
        good(s.refresh("web", other["refresh_token"]))


@port.test("ten seconds after the change the old refresh token is reuse")
def _():
    with Site() as s:
        s.user("alice", "correct horse")
        first = good(s.login("web", "alice", "correct horse"))
        second = good(s.refresh("web", first["refresh_token"]))
        time.sleep(10.2)
        refused(s.refresh("web", first["refresh_token"]), 401, "refresh_reused")
        refused(s.refresh("web", second["refresh_token"]), 401, "refresh_invalid")


@port.test("fifty parallel refreshes make exactly one successor")
def _():
    with Site() as s:
        s.user("alice", "correct horse")
        token = good(s.login("web", "alice", "correct horse"))["refresh_token"]
        for _ in range(3):
            with concurrent.futures.ThreadPoolExecutor(50) as pool:
                replies = list(pool.map(lambda _: s.refresh("web", token), range(50)))
            successors = {good(r)["refresh_token"] for r in replies}
            equal(len(successors), 1, "successors")
            token = successors.pop()
        code, out, _ = s.gateway.cli("session", "list", "alice", "--json")
        equal(code, 0, "session list")
        equal(out.count('"id"'), 1, "sessions: " + out)


@port.test("logout ends the session and what it was given; again it is 204 as well")
def _():
    with Site() as s:
        s.user("alice", "correct horse")
        t, other = (good(s.login("web", "alice", "correct horse")) for _ in range(2))
        equal(s.orders("web", t["access_token"]).status, 200, "before")
        equal(s.logout("web", t["refresh_token"]).status, 204, "logout")
        eventually(lambda: s.orders("web", t["access_token"]).status == 401, "the token is revoked", 2)
        equal(s.logout("web", t["refresh_token"]).status, 204, "logout again")
        equal(s.logout("web", "sr_nonsense").status, 204, "logout of nothing")
        refused(s.refresh("web", t["refresh_token"]), 401, "refresh_invalid")
        equal(s.orders("web", other["access_token"]).status, 200, "another session")


@port.test("sessions: a user sees and ends his own, and nobody else's")
def _():
    with Site() as s:
        s.user("alice", "correct horse")
        s.user("bob", "correct horse")
        a, b = good(s.login("web", "alice", "correct horse")), good(s.login("app", "alice", "correct horse"))
        bob = good(s.login("web", "bob", "correct horse"))
        listed = good(s.sessions("web", a["access_token"]))["sessions"]
        equal(sorted(x["product"] for x in listed), ["app", "web"], "products of the sessions")
        equal({x["id"] for x in listed}, {claims(a["access_token"])["sid"], claims(b["access_token"])["sid"]}, "ids")
        other = claims(b["access_token"])["sid"]
        refused(s.sessions("web", bob["access_token"], "DELETE", "/" + other), 404, "not_found")
        equal(s.sessions("web", a["access_token"], "DELETE", "/" + other).status, 204, "end")
        eventually(lambda: s.orders("app", b["access_token"]).status == 401, "the token is revoked", 2)
        equal(s.sessions("web", a["access_token"], "DELETE").status, 204, "end all")
        eventually(lambda: s.orders("web", a["access_token"]).status == 401, "this one's too", 2)
        equal(s.orders("web", bob["access_token"]).status, 200, "bob is still there")


@port.test("a user who is disabled, deleted or given another password does not go on")
def _():
    with Site() as s:
        for name in ("ann", "ben", "cay"):
            s.user(name, "correct horse")
        t = {name: good(s.login("web", name, "correct horse")) for name in ("ann", "ben", "cay")}
        equal(s.gateway.cli("user", "disable", "ann")[0], 0, "disable")
        equal(s.gateway.cli("user", "delete", "ben")[0], 0, "delete")
        equal(s.gateway.cli("user", "password", "cay", "--password-stdin", input="new horse")[0], 0, "password")
        for name in t:
            equal(s.refresh("web", t[name]["refresh_token"]).status, 401, "refresh of " + name)
            refused(s.login("web", name, "correct horse"), 401, "login_failed")
        for name in ("ann", "ben"):
            eventually(lambda: s.orders("web", t[name]["access_token"]).status == 401, name + "'s token is revoked", 2)
        good(s.login("web", "cay", "new horse"))
        equal(s.gateway.cli("user", "enable", "ann")[0], 0, "enable")
        time.sleep(1.1)  # tokens count by the second in which they were issued
        fresh = good(s.login("web", "ann", "correct horse"))
        equal(s.orders("web", fresh["access_token"]).status, 200, "business again")


@port.test("a stranger is throttled for an account, and its owner elsewhere is not")
def _():
    with Site(throttle={"account": "10/m", "address": "1000/m"}) as s:
        s.user("alice", "correct horse")
        statuses = [s.login("web", "alice", "wrong").status for _ in range(14)]
        equal(statuses, [401] * 10 + [429] * 4, "statuses")
        reply = s.login("web", "alice", "correct horse")
        refused(reply, 429, "login_throttled")
        check(1 <= int(reply.get("retry-after")) <= 7, "Retry-After")
        equal([s.login("web", "nobody", "x").status for _ in range(12)], [401] * 10 + [429] * 2,
              "an account that does not exist is counted too")
        s.user("bob", "correct horse")
        good(s.login("web", "bob", "correct horse"))


@port.test("an address is throttled over all accounts")
def _():
    with Site(throttle={"account": "10/m", "address": "20/m"}) as s:
        statuses = [s.login("web", "user%d" % i, "x").status for i in range(30)]
        equal(statuses, [401] * 20 + [429] * 10, "statuses")


@port.test("too many logins at once are told to come back")
def _():
    with Site(password={"memory": "64MB", "passes": 3, "concurrent": 1, "queue": 2}) as s:
        s.user("alice", "correct horse")
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            replies = list(pool.map(lambda _: s.login("web", "alice", "correct horse"), range(16)))
        statuses = sorted(r.status for r in replies)
        check(set(statuses) == {200, 503}, "statuses: %r" % statuses)
        busy = [r for r in replies if r.status == 503][0]
        refused(busy, 503, "passwords_busy")
        check(int(busy.get("retry-after")) >= 1, "Retry-After")
        good(s.login("web", "alice", "correct horse"))


# --- what times tell ------------------------------------------------------------------------------------------------

def mann_whitney(a, b):
    """The normal approximation of U, two-sided: the probability that samples of one source differ so much."""
    ranked = sorted([(x, 0) for x in a] + [(x, 1) for x in b])
    rank_sum = sum(i + 1 for i, (_, which) in enumerate(ranked) if which == 0)
    u = rank_sum - len(a) * (len(a) + 1) / 2
    mean, deviation = len(a) * len(b) / 2, math.sqrt(len(a) * len(b) * (len(a) + len(b) + 1) / 12)
    return math.erfc(abs(u - mean) / deviation / math.sqrt(2))


@port.test("an unknown user and a wrong password: the same body and status, and times that tell nothing apart")
def _():
    with Site(password={"memory": "8MB", "passes": 1, "concurrent": 1}) as s:
        samples = int(os.environ.get("SAMPLES", "500"))
        for name in ("alice", "bob"):
            s.user(name, "correct horse")
        equal(s.gateway.cli("user", "disable", "bob")[0], 0, "disable")
        kinds = {"wrong": ("alice", "wrong horse"), "unknown": ("malice", "wrong horse"),
                 "disabled": ("bob", "correct horse")}
        times = {kind: [] for kind in kinds}
        bodies = set()
        with Client(s.port) as client:
            for _ in range(20):
                s.login("web", "alice", "wrong", client=client)
            order = [kind for kind in kinds for _ in range(samples)]
            random.shuffle(order)  # interleaved: what the machine does meanwhile happens to all of them
            for kind in order:
                start = time.perf_counter()
                reply = s.login("web", *kinds[kind], client=client)
                times[kind].append(time.perf_counter() - start)
                body = reply.json()
                body.pop("decision_id")
                bodies.add((reply.status, json.dumps(body, sort_keys=True), reply.get("www-authenticate")))
        equal(len(bodies), 1, "kinds of answers: %r" % bodies)
        for kind in ("unknown", "disabled"):
            p = mann_whitney(times["wrong"], times[kind])
            medians = [statistics.median(times[k]) * 1e6 for k in ("wrong", kind)]
            # one in a thousand by chance; and a difference that is none of its size is no leak either
            apart = abs(medians[0] - medians[1]) / medians[0]
            check(p > 0.001 or apart < 0.01, "%s: p = %.6f, medians %.0f and %.0f µs" % (kind, p, *medians))


# --- proofs of the product --------------------------------------------------------------------------------------------

@port.test("a product that has an apisecret proves it by Basic, at login, refresh and logout")
def _():
    with Site() as s:
        s.user("alice", "staff horse", base="staff")
        refused(s.login("back", "alice", "staff horse"), 401, "product_proof_wrong")  # it has none yet
        secret = s.secret("back")

        def basic(user, password):
            return [("Authorization", "Basic " + base64.b64encode(("%s:%s" % (user, password)).encode()).decode())]
        refused(s.login("back", "alice", "staff horse"), 401, "product_proof_missing")
        refused(s.login("back", "alice", "staff horse", basic("back", secret[:-1] + "!")), 401, "product_proof_wrong")
        refused(s.login("back", "alice", "staff horse", basic("web", secret)), 401, "product_proof_wrong")
        t = good(s.login("back", "alice", "staff horse", basic("back", secret)))
        refused(s.refresh("back", t["refresh_token"]), 401, "product_proof_missing")
        t = good(s.refresh("back", t["refresh_token"], basic("back", secret)))
        refused(s.logout("back", t["refresh_token"]), 401, "product_proof_missing")
        equal(s.logout("back", t["refresh_token"], basic("back", secret)).status, 204, "logout")
        fresh = s.secret("back")
        refused(s.login("back", "alice", "staff horse", basic("back", secret)), 401, "product_proof_wrong")
        good(s.login("back", "alice", "staff horse", basic("back", fresh)))


def signature(s, secret, path, body, created=None, nonce=None, cover=None, keyid="signed", method="POST"):
    digest = "sha-256=:%s:" % base64.b64encode(hashlib.sha256(body).digest()).decode()
    values = {"@method": method, "@authority": "gateway.test", "@path": path, "content-digest": digest,
              "@target-uri": "http://gateway.test" + path}
    cover = cover or ("@method", "@target-uri", "content-digest")
    params = "(%s);created=%d;keyid=\"%s\";alg=\"hmac-sha256\"" % (
        " ".join('"%s"' % c for c in cover), int(time.time()) if created is None else created, keyid)
    if nonce:
        params += ';nonce="%s"' % nonce
    base = "".join('"%s": %s\n' % (c, values[c]) for c in cover) + '"@signature-params": ' + params
    mac = base64.b64encode(hmac.new(secret.encode(), base.encode(), hashlib.sha256).digest()).decode()
    return [("Content-Digest", digest), ("Signature-Input", "s=" + params), ("Signature", "s=:%s:" % mac)]


@port.test("or by a signature of the request (RFC 9421), which is good once, soon, and for this request only")
def _():
    with Site() as s:
        s.user("alice", "correct horse")
        secret = s.secret("signed")
        path = "/authentication/login"
        body = json.dumps({"username": "alice", "password": "correct horse"}).encode()

        def send(fields, body=body, path=path):
            return s.post(path, "signed", body, fields)
        refused(send([]), 401, "product_proof_missing")
        fields = signature(s, secret, path, body)
        t = good(send(fields))
        refused(send(fields), 401, "signature_replayed")
        good(send(signature(s, secret, path, body, nonce="a",
                            cover=("@method", "@authority", "@path", "content-digest"))))
        for why, wrong in {
            "another key": signature(s, secret + "x", path, body, nonce="b"),
            "another product": signature(s, secret, path, body, nonce="c", keyid="web"),
            "too old": signature(s, secret, path, body, created=int(time.time()) - 35),
            "of the future": signature(s, secret, path, body, created=int(time.time()) + 35),
            "another path": signature(s, secret, "/authentication/logout", body, nonce="d"),
            "another method": signature(s, secret, path, body, nonce="e", method="PUT"),
            "another body": signature(s, secret, path, b"{}", nonce="f"),
            "no digest": signature(s, secret, path, body, nonce="g", cover=("@method", "@target-uri")),
            "no method": signature(s, secret, path, body, nonce="h", cover=("@target-uri", "content-digest")),
        }.items():
            reply = send(wrong)
            check((reply.status, reply.json()["code"]) == (401, "product_proof_wrong"), "%s: %r" % (why, reply.body))
        refresh = json.dumps({"refresh_token": t["refresh_token"]}).encode()
        path = "/authentication/refresh"
        fields = signature(s, secret, path, refresh)
        good(send(fields, refresh, path))
        refused(send(fields, refresh, path), 401, "signature_replayed")


# --- keys -------------------------------------------------------------------------------------------------------------

@port.test("keys that change every two seconds under load: no good token is refused, none is taken when its key is gone")
def _():
    with Site(access_token="3s", rotate="2s", publish_ahead="1s") as s:
        s.user("alice", "correct horse")
        t = good(s.login("web", "alice", "correct horse"))
        end, kids, rounds = time.monotonic() + 9, set(), 0
        while time.monotonic() < end:
            t = good(s.refresh("web", t["refresh_token"]))
            head = t["access_token"].split(".")[0]
            kids.add(json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"])
            equal(s.orders("web", t["access_token"]).status, 200, "a fresh token")
            rounds += 1
        check(len(kids) >= 3 and rounds > 100, "%d keys in %d rounds" % (len(kids), rounds))
        time.sleep(4.1)  # three seconds, and what was left of the second it was issued in
        refused(s.orders("web", t["access_token"]), 401, "token_expired")


@port.test("keys rotate to another algorithm by command, tokens of before hold; a key retired takes its tokens with it")
def _():
    with Site() as s:
        s.user("alice", "correct horse")

        def kid(token):
            head = token.split(".")[0]
            return json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
        old = good(s.login("web", "alice", "correct horse"))["access_token"]
        for alg in ("EdDSA", "RS256", "ES384", "PS256"):
            code, out, err = s.gateway.cli("keys", "rotate", "--alg", alg, seconds=30)
            equal(code, 0, "keys rotate: " + out + err)
            new = None

            def signs():
                nonlocal new
                new = good(s.login("web", "alice", "correct horse"))["access_token"]
                return kid(new)["alg"] == alg
            eventually(signs, alg + " signs", 10, 0.1)
            equal(s.orders("web", new).status, 200, "a token by " + alg)
            equal(s.orders("web", old).status, 200, "an old one")
        code, out, err = s.gateway.cli("keys", "retire", kid(old)["kid"], "--yes", seconds=30)
        if code == 2:
            code, out, err = s.gateway.cli("keys", "retire", kid(old)["kid"], seconds=30)
        equal(code, 0, "keys retire: " + out + err)
        eventually(lambda: s.orders("web", old).status == 401, "the old token is refused", 5)
        equal(s.orders("web", new).status, 200, "the newest is not")
        # the one that signs: its successor comes first, and the command returns when it is gone
        code, out, err = s.gateway.cli("keys", "retire", kid(new)["kid"], seconds=30)
        equal(code, 0, "keys retire of the one that signs: " + out + err)
        check(kid(new)["kid"] not in out, "it is listed still: " + out)
        eventually(lambda: s.orders("web", new).status == 401, "its tokens are refused when the command has returned", 0.5)
        newer = good(s.login("web", "alice", "correct horse"))["access_token"]
        equal(s.orders("web", newer).status, 200, "a token by its successor")


@port.test("a sealing key that is gone, or is another one, is said at the start: no new one is made, nothing is sealed with it")
def _():
    with Site(engine="sqlite") as s:
        s.user("alice", "correct horse")
        key, gateway = os.path.join(s.gateway.data, "seal.key"), s.gateway
        gateway.process.stop()
        chains = {name: open(os.path.join(gateway.data, "audit", name), "rb").read()
                  for name in os.listdir(os.path.join(gateway.data, "audit"))}

        def refuses(*words):
            process = port.Process([port.binary(), "run", "--config", gateway.path], cwd=gateway.dir)
            equal(process.wait(), 1, "exit status")
            for word in words:
                check(word in process.err(), "%s is not in: %s" % (word, process.err()))
            for name, content in chains.items():
                equal(open(os.path.join(gateway.data, "audit", name), "rb").read(), content, "the audit record")
        os.rename(key, key + ".away")
        refuses(key, "is gone", "seal.check")
        check(not os.path.exists(key), "a new key was made in its place")
        for text, words in (("another key, of forty characters or so...", ["not the sealing key", "seal.check"]),
                            ("short", [key, "too short"])):
            gateway.write("data/seal.key", text)
            refuses(*words)
        os.replace(key + ".away", key)
        gateway.process = port.Process([port.binary(), "run", "--config", gateway.path], cwd=gateway.dir)
        gateway.wait_ready()
        eventually(lambda: s.login("web", "alice", "correct horse").status == 200, "a login with the right key again")
        with open("/proc/%d/limits" % gateway.pid) as limits:
            check([line.split()[4] for line in limits if line.startswith("Max core")] == ["0"], "it may leave a core file")
        code, out, err = gateway.cli("audit", "verify")
        equal(code, 0, "audit verify: " + out + err)


@port.test("everything that happened is in the audit record, and no secret is anywhere")
def _():
    with Site() as s:
        s.user("alice", "correct horse staple")
        t = good(s.login("web", "alice", "correct horse staple"))
        s.login("web", "alice", "wrong horse staple")
        u = good(s.refresh("web", t["refresh_token"]))
        s.logout("web", u["refresh_token"])
        # in the wrong place: a password, a refresh token and an apisecret as a name, a refresh token in a path
        apisecret = s.secret("back")
        for name in ("correct horse staple", u["refresh_token"], apisecret):
            refused(s.login("web", name, "x"), 401, "login_failed")
        s.get("/orders/" + u["refresh_token"])
        s.sessions("web", t["access_token"], "DELETE", "/" + u["refresh_token"])

        def told():
            code, out, err = s.gateway.cli("audit", "tail", "--json", "-n", "100")
            if code == 2:
                code, out, err = s.gateway.cli("audit", "tail", "--json")
            equal(code, 0, "audit tail: " + err)
            return [word for word in ("login", "login_refused", "refresh", "logout", "signing_key_signs")
                    if '"event":"%s"' % word not in out.replace('": "', '":"')] == []
        eventually(told, "all of it is recorded", 5, 0.3)
        text = s.gateway.process.err()
        for root, _, names in os.walk(s.gateway.data):
            for name in names:
                path = os.path.join(root, name)
                if os.path.isfile(path):
                    with open(path, "rb") as file:
                        text += file.read().decode("latin1")
        for secret in ("horse staple", t["refresh_token"], u["refresh_token"], t["access_token"],
                       apisecret):
            check(secret not in text and secret.lower() not in text, "%r was written down" % secret[:20])


if __name__ == "__main__":
    port.main()
