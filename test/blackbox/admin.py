#!/usr/bin/env python3
# test: seconds 240
"""The administration from outside: every command for good and for bad, who may ask, what the audit record says of it,
a backup put back, users by the thousand, roles as processes of their own."""

import glob
import json
import os
import pwd
import re
import signal
import subprocess
import time

import port
from port import Client, Gateway, Process, Skip, check, equal, eventually

PASSWORD = "correct horse battery"


def configuration(**more):
    config = {
        "authentication": {"issuer": "https://api.test", "access_token": "60s", "publish_ahead": "1s",
                           "user_bases": ["users", "staff"], "password": {"memory": "8MB", "passes": 1},
                           "throttle": {"account": "1000/m", "address": "1000/m"}},
        "feed": {"lease": "3s"},
        "services": {"app": {"instances": ["127.0.0.1:%d" % port.free_port()]}},
        "products": {"web": {"login": "password", "may": ["look"]}},
        "actions": {"look": {"match": "GET /look", "to": "app"}},
    }
    config.update(more)
    return config


class Running:
    """`sallyport run` with an Authentication Service, and its command line."""

    def __init__(self, change=None, gateway=None):
        config = configuration()
        if change:
            change(config)
        self.gateway = gateway or Gateway(config)
        self.data, self.port = self.gateway.data, self.gateway.port
        self.socket = os.path.join(self.data, "cli.sock")

    def __enter__(self):
        eventually(lambda: '"ready":true' in self.ok("authentication", "status", "--json"), "a key signs", 10)
        return self

    def __exit__(self, kind, value, trace):
        self.gateway.stop()

    def run(self, *args, input=None, seconds=30):
        return self.gateway.cli(*args, input=input, seconds=seconds)

    def ok(self, *args, **more):
        """Its standard output."""
        code, out, err = self.run(*args, **more)
        equal(code, 0, "exit of `%s` (%s)" % (" ".join(map(str, args)), (out + err)[-300:]))
        return out

    def json(self, *args, **more):
        return json.loads(self.ok(*args, "--json", **more))

    def refused(self, code, pattern, *args, **more):
        got, out, err = self.run(*args, **more)
        equal(got, code, "exit of `%s` (%s)" % (" ".join(map(str, args)), (out + err)[-300:]))
        check(re.search(pattern, out + err), "`%s` says %r, not %r" % (" ".join(map(str, args)), out + err, pattern))

    def records(self, *args):
        return [json.loads(line) for line in self.ok("audit", "tail", "-n", 1000, "--json", *args).splitlines()]

    def login(self, key, name, password=PASSWORD):
        body = json.dumps({"username": name, "password": password})
        return Client(self.port).ask("POST", "/authentication/login", [("apikey", key), ("Content-Type", "application/json")],
                                     body=body)

    def sessions(self, key, token):
        return Client(self.port).get("/authentication/sessions", [("apikey", key), port.bearer(token)]).status


def new_key(r, product="web", *more):
    made = r.json("key", "new", "--product", product, *more)
    return made["key"], made["id"]


# --- every command ----------------------------------------------------------------------------------------------------

@port.test("every command once for good and once for bad, and each change is recorded with who made it")
def _():
    with Running() as r:
        # users
        password = r.ok("user", "add", "Alice", "--roles", "buyer,support", "--permissions", "x").strip()
        check(len(password) == 20, "a password is made: %r" % password)
        r.refused(1, "name: there is a user 'alice' already", "user", "add", "alice")
        r.refused(2, "a user's name is", "user", "add", "no good")
        r.refused(1, "no user base 'none'", "user", "add", "eve", "--base", "none")
        r.refused(1, "8 to 1024 bytes", "user", "add", "eve", "--password-stdin", input="short\n")
        r.refused(1, "no hash that is known", "user", "add", "eve", "--hash", "md5")
        r.refused(1, "above what is computed", "user", "add", "eve", "--hash",
                  "$argon2id$v=19$m=99999999,t=9,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g")
        r.ok("user", "add", "bob", "--base", "staff", "--password-stdin", input=PASSWORD + "\n")
        shown = r.json("user", "show", "alice")
        equal((shown["sub"], shown["roles"], shown["permissions"], shown["password"]),
              ("alice", ["buyer", "support"], ["x"], True), "the user")
        check("hash" not in shown and "argon2" not in json.dumps(shown), "a hash is shown")
        equal(r.json("user", "show", "bob", "--base", "staff")["sub"], "staff/bob", "subject")
        r.refused(1, "no user 'bob' in the base users", "user", "show", "bob")
        equal([u["name"] for u in r.json("user", "list")["users"]], ["alice"], "list")
        r.refused(2, "--limit", "user", "list", "--limit", "x")
        granted = r.json("user", "grant", "alice", "--roles", "clerk", "--remove-roles", "buyer")
        equal(granted["roles"], ["support", "clerk"], "roles")
        r.refused(1, "has no 'buyer' to take away", "user", "grant", "alice", "--remove-roles", "buyer")
        r.refused(2, "is wanted", "user", "grant", "alice")
        r.refused(1, "its entry 1 is no role", "user", "grant", "alice", "--roles", 'a"b')
        r.ok("user", "password", "alice", "--password-stdin", input=PASSWORD + "\n")
        r.refused(1, "no user", "user", "password", "nobody", "--password-stdin", input=PASSWORD + "\n")
        check("in force at every enforcer" in r.ok("user", "disable", "alice"), "disable is confirmed")
        check(r.json("user", "show", "alice")["disabled"], "disabled")
        r.ok("user", "enable", "alice")
        r.refused(1, "no user", "user", "disable", "nobody")
        r.refused(1, "no user", "user", "enable", "nobody")
        # products, keys, secrets
        r.ok("product", "add", "shop", "--login", "password", "--users", "staff", "--secret", "basic", "--may", "look")
        r.refused(1, "there is a product 'shop'", "product", "add", "shop")
        r.refused(1, "the configuration has a product 'web'", "product", "add", "web")
        r.refused(1, "no action 'fly'", "product", "add", "other", "--may", "fly")
        r.refused(1, "only products with a login", "product", "add", "other", "--secret", "basic")
        r.refused(2, "a product is a letter", "product", "add", "9lives")
        equal(sorted(p["name"] for p in r.json("product", "list")["products"]), ["shop", "web"], "products")
        equal(r.json("product", "show", "shop")["users"], "staff", "its users")
        r.refused(1, "no product 'none'", "product", "show", "none")
        key, ident = new_key(r, "shop", "--label", "Ann's", "--expires", "90d")
        r.refused(1, "no product 'none'", "key", "new", "--product", "none")
        r.refused(2, "--expires takes a time", "key", "new", "--product", "shop", "--expires", "soon")
        listed = r.json("key", "list", "--product", "shop")["apikeys"]
        equal([(k["id"], k["label"]) for k in listed], [(ident, "Ann's")], "keys")
        check(key not in json.dumps(listed), "the key is shown again")
        r.ok("key", "disable", ident, "--reason", "seen in public")
        equal(r.json("key", "list")["apikeys"][0]["disabled"], "seen in public", "disabled")
        r.ok("key", "confirm", ident)
        check("disabled" not in r.json("key", "list")["apikeys"][0], "still disabled")
        for command in ("disable", "confirm", "delete"):
            r.refused(1, "no API key 'abcdefgh1234'", "key", command, "abcdefgh1234")
            r.refused(2, "8 to 16", "key", command, "../x")
        secret = r.json("secret", "new", "shop")["secret"]
        check(re.fullmatch(r"ss_[0-9A-Za-z]{40}", secret), "apisecret %r" % secret)
        r.refused(1, "no product 'none'", "secret", "new", "none")
        r.ok("secret", "confirm", "shop")
        r.ok("secret", "delete", "shop")
        r.refused(1, "has no apisecret", "secret", "delete", "shop")
        r.refused(1, "has no apisecret", "secret", "confirm", "shop")
        # sessions and revocations
        equal(r.json("session", "list", "alice")["sessions"], [], "sessions")
        r.refused(2, "a user's name", "session", "list", "no good")
        r.refused(2, "16 letters and digits", "session", "revoke", "x")
        r.refused(1, "no session", "session", "revoke", "0123456789abcdef")
        for what in (("user", "alice"), ("token", "some-jti"), ("product", "shop"), ("key", ident), ("all",)):
            check("in force at every enforcer (1)" in r.ok("revoke", *what), "revoke %s" % what[0])
        r.refused(1, "no user 'nobody'", "revoke", "user", "nobody")
        r.refused(1, "no issuer 'corp'", "revoke", "user", "x", "--issuer", "corp")
        r.refused(1, "no product 'none'", "revoke", "product", "none")
        r.refused(2, "not 'planet'", "revoke", "planet", "x")
        r.refused(2, "which user", "revoke", "user")
        r.refused(2, "--wait takes", "revoke", "all", "--wait", "x")
        # the rest of the families
        check(r.json("keys", "list")["keys"][0]["state"] == "current", "a key signs")
        r.ok("keys", "rotate", "--alg", "EdDSA")
        eventually(lambda: "EdDSA" in [k["alg"] for k in r.json("keys", "list")["keys"] if k["state"] == "current"],
                   "the new key signs", 15)
        r.refused(1, "is none of ES256", "keys", "rotate", "--alg", "HS256")
        r.refused(2, "no key's id", "keys", "retire", "a/b")
        r.refused(1, "no signing key 'mistyped12345678'", "keys", "retire", "mistyped12345678")
        old = [k["kid"] for k in r.json("keys", "list")["keys"] if k["state"] == "old"][0]
        r.ok("keys", "retire", old)
        equal([k for k in r.json("keys", "list")["keys"] if k["kid"] == old], [], "the key that was retired")
        equal(len(r.json("data", "status")["spaces"]), 5, "spaces")
        equal(len(r.json("store", "status")["spaces"]), 5, "spaces")
        equal(r.json("data", "check")["whole"], True, "whole")
        r.refused(2, "say --yes", "data", "restore", "/nowhere")
        r.refused(1, "restore: ", "data", "restore", "/nowhere/at/all", "--yes")
        r.refused(1, "backup: ", "data", "backup", "/proc/no")
        equal(r.json("authentication", "status")["issuer"], "https://api.test", "issuer")
        r.refused(2, "no event 'x'", "audit", "tail", "--event", "x")
        r.refused(1, "no audit record", "audit", "verify", "--data", "/nowhere")
        r.ok("product", "remove", "shop")
        r.refused(1, "no product", "product", "remove", "shop")
        r.refused(1, "is the configuration's", "product", "remove", "web")
        equal(r.json("key", "list")["apikeys"], [], "its keys went with it")
        r.ok("user", "delete", "alice")
        r.refused(1, "was deleted", "user", "add", "alice")
        r.ok("user", "add", "alice", "--reuse", "--no-password")
        check("whole" in r.ok("audit", "verify"), "verify")
        # what the record says
        seen = r.records()
        me = "uid %d (%s)" % (os.getuid(), pwd.getpwuid(os.getuid()).pw_name)
        for event in ("user_added", "user_changed", "user_password", "user_disabled", "user_enabled", "user_deleted",
                      "product_added", "product_removed", "key_added", "key_disabled", "key_confirmed", "secret_set",
                      "secret_removed", "revoked", "revocation_confirmed", "admin_refused"):
            mine = [x for x in seen if x["event"] == event]
            check(mine, "no %s in the audit record" % event)
            check(all(x["who"].startswith(me) for x in mine), "%s by %s" % (event, mine[0].get("who")))
        text = json.dumps(seen)
        for hidden in (password, PASSWORD, key, secret):
            check(hidden not in text, "a secret is in the audit record")


@port.test("bytes that no command line sends: members, methods, media types, sizes; each is refused and nothing dies")
def _():
    with Running() as r:
        def ask(method, path, body=b"", kind="application/json"):
            fields = [("Content-Type", kind)] if body else []
            return Client(r.socket).ask(method, path, fields, body=body, host="localhost")
        good = b'{"name":"mallory","password":"long enough"}'
        equal(ask("POST", "/v1/users", good, "text/plain").status, 400, "media type")
        for body in (b"[]", b"{", b'{"name":"a","name":"b"}', b'"x"', b"\xff", b'{"name":' + b"[" * 50 + b"]" * 50 + b"}"):
            equal(ask("POST", "/v1/users", body).status, 400, repr(body[:30]))
        for body in (b'{"name":1}', b'{"nam":"x"}', b'{"name":"x","roles":"y"}', b'{"name":"x","roles":["y","y"]}',
                     b'{"name":"x","disabled":1}', b'{"name":"x\\u0000"}', b'{"name":"x","password":"long enough","hash":"x"}',
                     b'{"name":"../../x"}', b'{}'):
            equal(ask("POST", "/v1/users", body).status, 422, repr(body))
        equal(ask("PUT", "/v1/users", good).status, 405, "PUT")
        equal(ask("GET", "/v1/users/a/b/c/d/e/f/g").status // 100, 4, "a long path")
        equal(ask("GET", "/v1/users?limit=0").status, 422, "limit")
        equal(ask("GET", "/v1/users?after=%00").status, 422, "after")
        equal(ask("GET", "/v1/audit?cursor=run:1:x").status, 422, "cursor")
        equal(ask("GET", "/v1/confirmations?epoch=1").status, 422, "confirmations")
        equal(ask("POST", "/v1/users/import", b'{"users":[]}').status, 422, "an empty import")
        equal(ask("POST", "/v1/users", b'{"name":"' + b"x" * 70000 + b'"}').status, 413, "a body without end")
        equal(ask("GET", "/v1/nothing").status, 404, "nothing")
        refused = Client(r.socket).ask("GET", "/v1/users", [("Origin", "http://localhost")], host="localhost")
        equal(refused.status, 403, "a page")
        # who goes away in the middle loses nothing but the answer
        for i in range(20):
            c = Client(r.socket)
            body = b'{"name":"gone%d","password":"long enough"}' % i
            c.send(b"POST /v1/users HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                   % (len(body), body))
            c.close()
        r.ok("user", "add", "last")
        names = [u["name"] for u in r.json("user", "list")["users"]]
        check(set(names) <= {"last"} | {"gone%d" % i for i in range(20)}, names)
        admin = Client(r.gateway.admin).get("/v1/users", host="127.0.0.1:%d" % r.gateway.admin)
        equal(admin.status, 404, "the admin listener has no users")


@port.test("nobody else: another user is not answered, even where the socket's mode would let him in")
def _():
    if os.getuid() != 0:
        raise Skip("needs root, to be somebody else")
    with Running() as r:
        os.chmod(r.gateway.dir, 0o755)
        os.chmod(r.data, 0o755)
        as_nobody = ["runuser", "-u", "nobody", "--", port.binary(), "user", "list", "--socket", r.socket]
        done = subprocess.run(as_nobody, capture_output=True, text=True, cwd="/")
        check(done.returncode == 1 and "not permitted" in done.stderr, "by the mode: %r" % done.stderr)
        os.chmod(r.socket, 0o666)
        done = subprocess.run(as_nobody, capture_output=True, text=True, cwd="/")
        check(done.returncode == 1 and "hung up" in done.stderr, "by the kernel's word: %r" % done.stderr)
        r.ok("user", "list")


# --- what a change does -------------------------------------------------------------------------------------------------

@port.test("from the first administrator to a login: product, key, user; disabled, the token is refused when the command returns")
def _():
    with Running() as r:
        key, ident = new_key(r)
        r.ok("user", "add", "alice", "--password-stdin", input=PASSWORD)
        answer = r.login(key, "alice")
        equal(answer.status, 200, "login: %r" % answer.body[:200])
        token = answer.json()["access_token"]
        equal(r.sessions(key, token), 200, "the token is good")
        listed = r.json("session", "list", "alice")["sessions"]
        equal(len(listed), 1, "sessions")
        r.ok("session", "revoke", listed[0]["id"])
        equal(r.sessions(key, token), 401, "its session is ended")
        time.sleep(1.1)  # revocations are by the second of issue
        token = r.login(key, "alice").json()["access_token"]
        equal(r.sessions(key, token), 200, "a new one")
        out = r.ok("user", "disable", "alice")
        equal(r.sessions(key, token), 401, "disabled")
        check(re.search(r"after \d+ ms: gateway/", out), "how long it took and who: %r" % out)
        equal(r.login(key, "alice").status, 401, "no login")
        r.ok("user", "enable", "alice")
        time.sleep(1.1)
        equal(r.login(key, "alice").status, 200, "again")
        r.ok("key", "disable", ident)
        equal(r.login(key, "alice").status, 401, "the key is refused")
        seen = [x["event"] for x in r.records()]
        for event in ("login", "login_refused", "session_ended", "refused"):
            eventually(lambda: event in [x["event"] for x in r.records()], "%s in the audit record (%s)" % (event, seen), 3)


@port.test("an enforcer that does not answer is named; the command waits until its lease is over, or as long as it is told")
def _():
    with Apart() as a:
        a.user("alice")
        a.gateway.process.signal(signal.SIGSTOP)
        try:
            code, out, err = a.cli("revoke", "user", "alice", "--wait", 0, seconds=40)
            check(code == 1 and re.search(r"not confirmed: gateway/.*lease|not confirmed: gateway/", err),
                  "exit %d: %s%s" % (code, out, err))
            began = time.monotonic()
            code, out, err = a.cli("revoke", "user", "alice", seconds=60)
            equal(code, 0, "after its lease is over: %s%s" % (out, err))
            check("no enforcer is live" in out and time.monotonic() - began < 30, out)
        finally:
            a.gateway.process.signal(signal.SIGCONT)
        eventually(lambda: "every enforcer (1)" in a.cli("revoke", "all")[1], "it is back", 15)


# --- roles as processes of their own --------------------------------------------------------------------------------------

class Apart:
    """data, authentication and gateway, each a process, one data folder."""

    def __init__(self):
        self.gateway = Gateway(configuration(), wait=False, command=("gateway",))
        path = self.gateway.path
        self.data_role = Process([port.binary(), "data", "--config", path], cwd=self.gateway.dir, name="data")
        self.authentication = Process([port.binary(), "authentication", "--config", path], cwd=self.gateway.dir,
                                      name="authentication")
        self.dir = self.gateway.data

    def cli(self, *args, **more):
        env = {k: v for k, v in os.environ.items() if k != "SALLYPORT_SOCKET"}
        return port.cli(*args, "--data", self.dir, env=env, **more)

    def user(self, name):
        code, out, err = self.cli("user", "add", name, "--password-stdin", input=PASSWORD)
        equal(code, 0, "user add: " + out + err)

    def __enter__(self):
        eventually(lambda: '"ready":true' in self.cli("authentication", "status", "--json")[1],
                   "all of it runs: " + self.authentication.err()[-300:] + self.data_role.err()[-300:], 20)
        return self

    def __exit__(self, kind, value, trace):
        self.gateway.stop()
        for process in (self.authentication, self.data_role):
            process.signal(signal.SIGTERM)
            equal(process.wait(20), 0, "exit of %s: %s" % (process.name, process.err()[-300:]))


@port.test("roles apart: the command line finds who serves what it asks, in one folder; each keeps its chain")
def _():
    with Apart() as a:
        a.user("alice")
        for args, pattern in ((("user", "show", "alice"), "subject +alice"), (("data", "status"), "identity"),
                              (("keys", "list"), "current"), (("authentication", "status"), "ready +yes"),
                              (("revoke", "user", "alice"), r"every enforcer \(1\)"),
                              (("key", "new", "--product", "web"), "sp_test_")):
            code, out, err = a.cli(*args)
            check(code == 0 and re.search(pattern, out), "%s: exit %d: %s%s" % (args, code, out, err))
        code, out, err = a.cli("data", "backup", os.path.join(a.gateway.dir, "saved"))
        equal(code, 0, "backup: " + out + err)
    code, out, err = port.cli("audit", "verify", "--data", a.dir)
    equal(code, 0, "verify: " + out + err)
    for chain in ("data", "authentication", "gateway"):
        check(re.search("^%s: .*whole; seals checked" % chain, out, re.M), "%s in %s" % (chain, out))


# --- the audit record -------------------------------------------------------------------------------------------------

@port.test("the audit record: killed it goes on, changed it is found, by the product and by the files alone")
def _():
    r = Running()
    r.__enter__()
    r.ok("user", "add", "alice")
    r.gateway.process.kill()
    Gateway.alive.remove(r.gateway)
    code, out, err = port.cli("audit", "verify", "--data", r.data)
    equal(code, 0, "after a kill: " + out + err)
    r.gateway.process = Process([port.binary(), "run", "--config", r.gateway.path], cwd=r.gateway.dir)
    eventually(lambda: r.run("data", "status")[0] == 0, "it runs again", 10)
    r.ok("user", "show", "alice")
    r.ok("user", "add", "bob")
    check("end as the store knows it" in r.ok("audit", "verify"), "the end is checked")
    follower = Process([port.binary(), "audit", "tail", "--follow", "--event", "user_added", "--json", "--socket", r.socket])
    r.ok("user", "add", "carol")
    eventually(lambda: "carol" in follower.out(), "tail --follow shows it", 5)
    follower.stop()
    path = glob.glob(os.path.join(r.data, "audit", "run-*.jsonl"))[0]
    equal(os.stat(path).st_mode & 0o777, 0o600, "mode")
    whole = open(path).read()
    lines = whole.splitlines(True)
    at = next(i for i, line in enumerate(lines) if '"bob"' in line)
    for name, bad in (("changed", lines[:at] + [lines[at].replace("bob", "eve")] + lines[at + 1:]),
                      ("taken out", lines[:at] + lines[at + 1:]),
                      ("cut off", lines[:at])):
        with open(path, "w") as f:
            f.write("".join(bad))
        code, out, err = r.run("audit", "verify")
        check(code == 1 and re.search(r"run-000001\.jsonl:(%d|%d|%d): " % (at, at + 1, at + 2), out), "%s: %s" % (name, out))
    with open(path, "w") as f:
        f.write(whole)
    r.ok("audit", "verify")
    r.gateway.process.stop()
    code, out, err = port.cli("audit", "verify", "--data", r.data)
    check(code == 0 and "seals checked" in out, out + err)
    with open(os.path.join(r.data, "other.key"), "w") as f:
        os.chmod(f.name, 0o600)
        f.write("x" * 40)
    code, out, err = port.cli("audit", "verify", "--data", r.data, "--key", f.name)
    check(code == 1 and "seal was not made with our key" in out, out + err)


@port.test("a flood of refusals: each is counted, few are written")
def _():
    with Running() as r:
        with Client(r.port) as c:
            for _ in range(500):
                equal(c.get("/look").status, 401, "refused")
        def count():
            mine = [x for x in r.records("--event", "refused") if x.get("action") == "look"]
            return sum(x.get("count", 1) for x in mine) == 500 and len(mine)
        n = eventually(count, "all are counted", 4)
        check(n <= 20, "%d records for 500 refusals" % n)


# --- backup and restore -------------------------------------------------------------------------------------------------

@port.test("a restored backup opens no door that was shut since: tokens, sessions, keys, secrets, users")
def _():
    with Running() as r:
        saved = os.path.join(r.gateway.dir, "saved")
        r.ok("product", "add", "desk", "--login", "password", "--secret", "basic", "--may", "look")
        old_key, old = new_key(r)
        changed_key, changed = new_key(r)
        r.ok("secret", "new", "desk")
        for name in ("alice", "mallory", "ghost"):
            r.ok("user", "add", name, "--password-stdin", input=PASSWORD)
        before = r.login(old_key, "alice").json()
        r.ok("data", "backup", saved)
        check(sorted(os.listdir(saved)) == ["audit.db", "authentication.db", "control.db", "identity.db", "tenants.db"],
              os.listdir(saved))
        r.ok("key", "disable", changed, "--reason", "leaked")
        r.ok("secret", "new", "desk")
        r.ok("user", "disable", "mallory")
        r.ok("user", "delete", "ghost")
        r.ok("user", "add", "late", "--password-stdin", input=PASSWORD)
        late_key, late = new_key(r)
        after = r.login(old_key, "alice").json()
        done = r.json("data", "restore", saved, "--yes", seconds=60)
        equal((done["apikeys_disabled"], done["secrets_disabled"], done["users_kept_out"]), (1, 1, 2), "what it did")
        for tokens in (before, after):
            equal(r.sessions(old_key, tokens["access_token"]), 401, "a token from before")
            body = json.dumps({"refresh_token": tokens["refresh_token"]})
            fields = [("apikey", old_key), ("Content-Type", "application/json")]
            equal(Client(r.port).ask("POST", "/authentication/refresh", fields, body=body).status, 401, "a refresh token")
        equal(Client(r.port).get("/look", [("apikey", changed_key)]).json()["code"], "apikey_disabled", "the leaked key")
        equal(Client(r.port).get("/look", [("apikey", late_key)]).status, 401, "a key from after the backup")
        states = {k["id"]: k.get("disabled") for k in r.json("key", "list")["apikeys"]}
        equal(states, {old: None, changed: "restored"}, "keys")
        check(r.json("user", "show", "mallory")["disabled"], "mallory is let in again")
        check(r.json("user", "show", "ghost").get("deleted_ms"), "ghost is back")
        r.refused(1, "no user 'late'", "user", "show", "late")
        time.sleep(1.1)
        eventually(lambda: r.login(old_key, "alice").status == 200, "alice logs in anew", 10)
        fresh = r.login(old_key, "alice").json()["access_token"]
        eventually(lambda: r.sessions(old_key, fresh) == 200, "and her token is good", 5)
        r.ok("key", "confirm", changed)
        fields = [("apikey", changed_key), port.bearer(fresh)]
        eventually(lambda: Client(r.port).get("/authentication/sessions", fields).status == 200, "the confirmed key", 3)
        r.ok("secret", "confirm", "desk")
        seen = r.records("--event", "data_restored")
        equal([x.get("reason") for x in seen], ["begun", None], "recorded, begun and done")
        check("disabled 1 API keys and 1 secrets" in seen[1]["detail"], seen[1]["detail"])
        check("end as the store knows it" in r.ok("audit", "verify"), "the audit record goes on")
        check(os.path.exists(os.path.join(r.data, "store", "identity.db.before")), "what was there stays beside it")


# --- users by the thousand ----------------------------------------------------------------------------------------------

def real_hashes(n, kib=8, passes=1):
    tool = os.path.join(os.environ.get("BUILD") or os.path.dirname(port.binary()), "bench", "argon2")
    if not os.access(tool, os.X_OK):
        raise Skip("no bench/argon2 in BUILD")
    lines = "".join("%s %d\n" % (PASSWORD, i) for i in range(n))
    done = subprocess.run([tool, str(kib), str(passes)], input=lines, capture_output=True, text=True, check=True)
    return done.stdout.split()


@port.test("twenty thousand users with ready-made hashes, streamed in; each can log in; bad lines are named, nothing of them is there")
def _():
    with Running() as r:
        hashes = real_hashes(20)
        path = os.path.join(r.gateway.dir, "users.ndjson")
        with open(path, "w") as f:
            for i in range(20000):
                f.write(json.dumps({"name": "u%05d" % i, "hash": hashes[i % 20], "roles": ["buyer"]}) + "\n")
        code, out, err = r.run("user", "import", path, "--json", seconds=120)
        equal((code, json.loads(out)), (0, {"imported": 20000, "bad": 0, "lines": 20000}), "import: " + err[-300:])
        equal(r.json("user", "show", "u19999")["roles"], ["buyer"], "the last one")
        key, _ = new_key(r)
        for i in (0, 7, 19999):
            equal(r.login(key, "u%05d" % i, "%s %d" % (PASSWORD, i % 20)).status, 200, "login of u%05d" % i)
        equal(r.login(key, "u00001", "%s 2" % PASSWORD).status, 401, "another's password")
        code, out, err = r.run("user", "import", path, "--json", seconds=120)
        equal((code, json.loads(out)["imported"]), (1, 0), "once more")
        names = [line.split()[0] for line in r.ok("user", "list", seconds=60).splitlines()]
        equal((len(names), names[0], names == sorted(names)), (20000, "u00000", True), "all, page by page, in order")

        csv = os.path.join(r.gateway.dir, "users.csv")
        with open(csv, "w") as f:
            f.write('name,hash,roles,permissions\r\n'
                    'ann,"%s",buyer clerk,read\r\n'
                    'bad name,,\r\n'
                    'ben,nohash,\r\n'
                    '"cat","%s"\r\n'
                    'dan,"unended,\r\n'
                    'ann,,\r\n'
                    'eve,,,,,\r\n' % (hashes[0], hashes[1]))
        code, out, err = r.run("user", "import", csv, "--base", "staff")
        equal(code, 1, "bad lines: " + err)
        equal(sorted(map(int, re.findall(r"^line (\d+)", err, re.M))), [3, 4, 6, 7, 8], err)
        equal([u["name"] for u in r.json("user", "list", "--base", "staff")["users"]], ["ann", "cat"], "who is there")
        equal(r.json("user", "show", "ann", "--base", "staff")["roles"], ["buyer", "clerk"], "roles")
        bad = os.path.join(r.gateway.dir, "bad.ndjson")
        with open(bad, "w") as f:
            f.write('{"name":"good1"}\nnonsense\n{"name":"good2"}\n{"name":"x","line":3}\n{"name":"x","sudo":true}\n'
                    + '{"name":"' + "y" * 70000 + '"}\n{"name":"good3"}')
        code, out, err = r.run("user", "import", bad, "--strict", "--base", "staff")
        check(code == 1 and "line 2:" in err, err)
        r.refused(1, "no user 'good2'", "user", "show", "good2", "--base", "staff")
        code, out, err = r.run("user", "import", bad, "--base", "staff")
        equal(code, 1, "without --strict: " + err)
        for name in ("good2", "good3"):
            r.ok("user", "show", name, "--base", "staff")
        equal(sorted(set(map(int, re.findall(r"^line (\d+)", err, re.M))) - {1}), [2, 4, 5, 6], err)


if __name__ == "__main__":
    port.main()
