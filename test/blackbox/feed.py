#!/usr/bin/env python3
"""What the store feeds a gateway: keys made at run time, products, revocations, the lease.

Written into the store as the administration writes it (store_tool); asked of every worker over many connections.
"""

import ctypes
import os
import select
import signal
import subprocess
import time

import port
from control_space import Store
from port import Client, Gateway, Issuer, Key, Process, Shop, Skip, bearer, check, equal, eventually

CONNECTIONS = 12  # so many that each worker has some


class Fed:
    """A gateway that is fed, its store, an issuer of files, and a connection or more to each worker."""

    def __init__(self, change=None, lease="5s", **more):
        def fed(config):
            config["store"] = {"engine": "memory"}
            config["feed"] = {"lease": lease}
            if change:
                change(config)
        self.shop = Shop(change=fed, **more)
        self.gateway, self.port = self.shop.gateway, self.shop.port
        self.store = Store(self.gateway.data)
        self.clients = [Client(self.port) for _ in range(CONNECTIONS)]

    def every(self, path, fields, want, reason=None):
        """Every worker says so."""
        for c in self.clients:
            reply = c.get(path, fields)
            equal(reply.status, want, "status of %s" % path)
            if reason:
                equal(reply.json()["code"], reason, "reason")

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        for c in self.clients:
            c.close()
        self.store.stop()
        self.shop.stop()


def new_key(product="shop"):
    key = Key(product)
    key.product = product
    return key


@port.test("an API key made at run time works within 100 ms on every worker, disabled and expired it does not, and gone it is unknown")
def _():
    with Fed() as f:
        for _ in range(5):
            key = new_key()
            fields = [("apikey", key.text)]
            f.every("/keyed/x", fields, 401, "apikey_unknown")
            start = time.monotonic()
            f.store.apikey(key)
            eventually(lambda: f.clients[0].get("/keyed/x", fields).status == 200, "the key works", 1, 0.001)
            check(time.monotonic() - start < 0.1, "it took %.0f ms" % ((time.monotonic() - start) * 1000))
            f.every("/keyed/x", fields, 200)
        equal(f.clients[0].get("/keyed/x", fields).status, 200, "again")
        f.store.in_force(f.store.apikey(key, disabled="restored"))
        f.every("/keyed/x", fields, 401, "apikey_disabled")
        f.store.in_force(f.store.apikey(key, expires_s=int(time.time())))
        f.every("/keyed/x", fields, 401, "apikey_expired")
        f.store.in_force(f.store.apikey(key, expires_s=int(time.time()) + 100))
        f.every("/keyed/x", fields, 200)
        f.store.in_force(f.store.apikey(key, product="nobody"))
        f.every("/keyed/x", fields, 401, "apikey_unknown")
        f.store.in_force(f.store.delete("apikey/" + key.entry["id"]))
        f.every("/keyed/x", fields, 401, "apikey_unknown")
        wrong = key.text[:-7] + ("A" if key.text[-7] != "A" else "B") + key.text[-6:]
        f.store.in_force(f.store.apikey(key))
        f.every("/keyed/x", [("apikey", wrong)], 401)
        f.every("/keyed/x", [("apikey", f.shop.key.text)], 200)


@port.test("a product made at run time: its key and what it may; changed; gone")
def _():
    with Fed() as f:
        key = new_key("desk")
        fields = [("apikey", key.text)]
        f.store.put("product/desk", {"auth": "apikey", "login": "none", "proof": "none", "may": ["keyed", "nothing"],
                                     "created_ms": 1})
        f.store.in_force(f.store.apikey(key))
        f.every("/keyed/x", fields, 200)
        equal(f.shop.upstream.last().get("x-product"), "desk", "X-Product")
        f.store.in_force(f.store.put("product/desk", {"auth": "apikey", "login": "none", "proof": "none", "may": [],
                                                      "created_ms": 1}))
        f.every("/keyed/x", fields, 403)
        # the file's word counts
        f.store.in_force(f.store.put("product/shop", {"auth": "apikey", "login": "none", "proof": "none", "may": [],
                                                      "created_ms": 1}))
        f.every("/keyed/x", [("apikey", f.shop.key.text)], 200)
        equal(f.gateway.reload()[0], 0, "reload")
        f.every("/keyed/x", fields, 403)
        f.store.in_force(f.store.delete("product/desk"))
        f.every("/keyed/x", fields, 401, "apikey_unknown")
        # what nobody can read takes nothing else down
        f.store.in_force(f.store.put("product/desk", {"auth": "sesame"}))
        f.every("/keyed/x", [("apikey", f.shop.key.text)], 200)


@port.test("revoked: one token, a user, a product, everything; each on every worker, as soon as it is confirmed")
def _():
    with Fed() as f:
        issuer, now = f.shop.issuer, int(time.time())

        def caller(sub="alice", **claims):
            return [("apikey", f.shop.key.text), bearer(issuer.mint(sub, roles=["user"], **claims))]
        alice, bob = caller("alice", jti="a1", iat=now - 10), caller("bob", jti="b1", iat=now - 10)
        later = caller("alice", jti="a2", iat=now + 3)
        f.every("/user/x", alice, 200)
        f.every("/user/x", bob, 200)
        f.store.in_force(f.store.revoke("token/b1"))
        f.every("/user/x", bob, 401, "token_revoked")
        f.every("/user/x", alice, 200)
        # of users it counts when the token was issued
        f.store.in_force(f.store.revoke("user/corp/alice", now))
        f.every("/user/x", alice, 401, "token_revoked")
        f.every("/user/x", later, 200)
        f.every("/user/x", caller("carol", iat=now - 10), 200)
        f.every("/user/x", caller("alice", iat=None), 401, "token_revoked")
        f.store.in_force(f.store.delete("revoked/user/corp/alice"))
        f.every("/user/x", alice, 200)
        f.store.in_force(f.store.revoke("user/other/alice", now))
        f.every("/user/x", alice, 200)
        # another issuer's sid is no session of ours
        odd = caller("alice", sid="s1", iat=now - 10)
        f.store.in_force(f.store.revoke("session/s1"))
        f.every("/user/x", odd, 200)
        f.store.in_force(f.store.revoke("product/shop", now))
        f.every("/user/x", alice, 401, "token_revoked")
        f.every("/user/x", later, 200)
        f.every("/keyed/x", [("apikey", f.shop.key.text)], 200)
        f.store.in_force(f.store.delete("revoked/product/shop"))
        f.every("/user/x", alice, 200)
        f.store.in_force(f.store.revoke("all/", now + 3))
        f.every("/user/x", later, 401, "token_revoked")
        f.every("/user/x", alice, 401, "token_revoked")
        f.every("/public/x", [], 200)
        reply = f.clients[0].get("/user/x", alice)
        check('error="invalid_token"' in reply.get("www-authenticate", ""), reply.get("www-authenticate"))


@port.test("a revocation ends with its time to live")
def _():
    with Fed() as f:
        token = [("apikey", f.shop.key.text), bearer(f.shop.issuer.mint("alice", roles=["user"], jti="t1"))]
        f.store.in_force(f.store.revoke("token/t1", expires=int(time.time()) + 2))
        f.every("/user/x", token, 401, "token_revoked")
        eventually(lambda: f.clients[0].get("/user/x", token).status == 200, "its time is over", 8, 0.1)


@port.test("100 revocations one after the other: each is refused on every worker when it is confirmed")
def _():
    with Fed() as f:
        took = []
        for i in range(100):
            jti = "t%d" % i
            token = [("apikey", f.shop.key.text), bearer(f.shop.issuer.mint("alice", roles=["user"], jti=jti))]
            f.every("/user/x", token, 200)
            took.append(f.store.in_force(f.store.revoke("token/" + jti)))
            f.every("/user/x", token, 401, "token_revoked")
        took.sort()
        check(took[50] < 50000, "half of them took more than %d us" % took[50])
        print("# confirmed within %.1f ms (median), %.1f ms (slowest)" % (took[50] / 1000, took[-1] / 1000))


@port.test("20,000 revocations at once are taken in, cost 16 bytes each or so, and show in the metrics")
def _():
    with Fed() as f:
        n = int(f.store.ask('many 20000 revoked/token/j {"before_s":1,"at_ms":1}'))
        f.store.in_force(n, 20000)
        m = f.gateway.metrics()
        equal(m["sallyport_feed_revocations"], 20000, "revocations")
        equal(m["sallyport_feed_number"], n, "number")
        equal(m["sallyport_feed_in_force"], 1, "in force")
        check(m["sallyport_feed_bytes"] < 20000 * 40, "%d bytes" % m["sallyport_feed_bytes"])
        check(m["sallyport_feed_age_seconds"] <= 5, "age")
        token = [("apikey", f.shop.key.text), bearer(f.shop.issuer.mint("alice", roles=["user"], jti="j19999"))]
        f.every("/user/x", token, 401, "token_revoked")


class Frozen:
    """One thread of a process stands still, the others go on (ptrace)."""

    def __init__(self, pid, name):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.tid = next(int(t) for t in os.listdir("/proc/%d/task" % pid)
                        if open("/proc/%d/task/%s/comm" % (pid, t)).read().strip() == name)

    def ptrace(self, request):
        return self.libc.ptrace(ctypes.c_long(request), ctypes.c_long(self.tid), ctypes.c_void_p(0), ctypes.c_void_p(0))

    def __enter__(self):
        if self.ptrace(16) != 0:  # PTRACE_ATTACH
            raise Skip("ptrace is not allowed: %s" % os.strerror(ctypes.get_errno()))
        os.waitpid(self.tid, 0x40000000)  # __WALL

    def __exit__(self, kind, value, trace):
        self.ptrace(17)  # PTRACE_DETACH


@port.test("a revocation is not confirmed while one worker stands still, and the lease does not outlive that")
def _():
    with Fed(lease="1s") as f:
        token = [("apikey", f.shop.key.text), bearer(f.shop.issuer.mint("alice", roles=["user"], jti="t1"))]
        f.every("/user/x", token, 200)
        with Frozen(f.gateway.pid, "worker-1"):
            n = f.store.revoke("token/t1")
            equal(f.store.raw("wait %d 300" % n), "err timeout", "confirmation")
            # who still serves refuses already
            head = "GET /user/x HTTP/1.1\r\nHost: gateway.test\r\n%s\r\n" % "".join("%s: %s\r\n" % h for h in token)
            for c in f.clients:
                c.send(head)
            time.sleep(0.1)
            answered = [c for c in f.clients if select.select([c.sock], [], [], 0)[0]]
            check(0 < len(answered) < CONNECTIONS, "%d of %d are answered" % (len(answered), CONNECTIONS))
            for c in answered:
                equal(c.reply().json()["code"], "token_revoked", "reason")
            # and when a lease has gone by without a confirmation, nothing is accepted at all
            eventually(lambda: f.gateway.metrics()["sallyport_feed_in_force"] == 0, "the lease ends", 5, 0.05)
            equal(answered[0].get("/user/x", token).json()["code"], "feed_stale", "reason")
        for c in f.clients:
            if c not in answered:
                check(c.reply().status in (401, 503), "the worker that stood still accepts what is revoked")
        f.store.in_force(n)
        eventually(lambda: f.gateway.metrics()["sallyport_feed_in_force"] == 1, "in force again", 5)
        time.sleep(0.1)  # and told to the workers
        f.every("/user/x", token, 401, "token_revoked")


class Split:
    """Data role and gateway as processes of their own."""

    def __init__(self, lease="1s", history=True, engine="sqlite"):
        shop = self.shop = Shop.__new__(Shop)
        shop.upstream, shop.key, shop.issuer = port.Upstream(), Key("shop"), Issuer()
        config = {
            "issuers": {"corp": shop.issuer.config("corp.jwks", default=True, products=["shop"], roles=["user"],
                                                   permissions="any")},
            "products": {"shop": {"keys": [shop.key.entry], "may": ["keyed", "user"]}},
            "services": {"app": {"instances": [shop.upstream.address]}},
            "actions": {"open": {"match": "* /public/{rest*}", "to": "app", "public": True},
                        "keyed": {"match": "* /keyed/{rest*}", "to": "app", "accept": ["apikey"]},
                        "user": {"match": "* /user/{rest*}", "to": "app"}},
            "roles": {"user": ["user"]},
            "store": {"engine": engine},
            "feed": {"lease": lease},
        }
        shop.gateway = self.gateway = Gateway(config, {"corp.jwks": shop.issuer.jwks()}, wait="live",
                                              command=("gateway",))
        shop.port, shop.admin = self.port, self.admin = shop.gateway.port, shop.gateway.admin
        self.data = None

    def start_data(self):
        self.data = Process([port.binary(), "data", "--config", self.gateway.path, "--admin", "none"],
                            cwd=self.gateway.dir)
        eventually(lambda: self.data.alive() and os.path.exists(os.path.join(self.gateway.data, "data.sock")),
                   "the data role serves: %s" % self.data.err(), 5)

    def ready(self):
        return Client(self.admin).get("/readyz?verbose", host="127.0.0.1:%d" % self.admin)

    def user(self, jti):
        return [("apikey", self.shop.key.text), bearer(self.shop.issuer.mint("alice", roles=["user"], jti=jti))]

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        try:
            self.gateway.stop()
        finally:
            if self.data:
                self.data.stop()
            self.shop.upstream.stop()


def need_data():
    if subprocess.run([port.binary(), "data", "--help"], capture_output=True).returncode:
        raise Skip("no command `sallyport data` yet")


def status(to, path, fields=()):
    return port.fetch(to, path, fields).status


@port.test("without its store a gateway starts, is not ready, serves what nothing could have taken back, and no more")
def _():
    need_data()
    with Split() as s:
        reply = s.ready()
        equal(reply.status, 503, "readiness")
        check(b"[-] feed: not heard" in reply.body, reply.body)
        equal(status(s.port, "/public/x"), 200, "a public route")
        equal(status(s.port, "/keyed/x", [("apikey", s.shop.key.text)]), 200, "a key of the file")
        reply = port.fetch(s.port, "/user/x", s.user("t0"))
        equal((reply.status, reply.json()["code"]), (503, "feed_stale"), "a token that may be revoked")
        equal(status(s.port, "/user/x", [("apikey", s.shop.key.text), bearer("a.b.c")]), 401, "no token at all")
        reply = port.fetch(s.port, "/keyed/x", [("apikey", new_key().text)])
        equal((reply.status, reply.json()["code"]), (503, "feed_stale"), "a key that the store may know")
        s.start_data()
        eventually(lambda: s.ready().status == 200, "ready with its store", 8)
        equal(status(s.port, "/user/x", s.user("t0")), 200, "a token, now")


@port.test("the lease ends: refused; the store comes again: served, and what was revoked meanwhile is refused at once")
def _():
    need_data()
    with Split() as s:
        s.start_data()
        eventually(lambda: s.ready().status == 200, "ready", 8)
        store = Store(s.gateway.data)
        key = new_key()
        store.in_force(store.apikey(key))
        keyed, user = [("apikey", key.text)], s.user("t1")
        equal(status(s.port, "/keyed/x", keyed), 200, "a key of the store")
        equal(status(s.port, "/user/x", user), 200, "a token")
        store.stop()
        s.data.signal(signal.SIGSTOP)  # hung, not gone: nothing is closed
        stopped = time.monotonic()
        try:
            eventually(lambda: status(s.port, "/user/x", user) == 503, "the lease ends", 3, 0.01)
            after = time.monotonic() - stopped
            check(after <= 1.2, "the lease of 1 s ended after %.2f s" % after)
            equal(port.fetch(s.port, "/user/x", user).json()["code"], "feed_stale", "reason")
            equal(status(s.port, "/keyed/x", keyed), 503, "a key of the store")
            equal(status(s.port, "/keyed/x", [("apikey", s.shop.key.text)]), 200, "a key of the file")
            equal(status(s.port, "/public/x"), 200, "a public route")
            check(b"[-] feed: nothing heard" in s.ready().body, s.ready().body)
        finally:
            s.data.signal(signal.SIGCONT)
        eventually(lambda: status(s.port, "/user/x", user) == 200, "served again", 10)
        # gone and back: resumes; what was changed meanwhile is never accepted on the way
        s.data.stop()
        eventually(lambda: status(s.port, "/user/x", user) == 503, "the lease ends", 3)
        s.start_data()
        store = Store(s.gateway.data)
        n = store.revoke("token/t1")
        eventually(lambda: status(s.port, "/user/x", s.user("t2")) == 200, "served again", 10, 0.002)
        store.in_force(n)
        equal(status(s.port, "/user/x", user), 401, "revoked while it was away")
        equal(status(s.port, "/keyed/x", keyed), 200, "the key is still good")
        store.stop()


@port.test("a gateway that slept through a revocation and its lease wakes up refusing")
def _():
    need_data()
    with Split() as s:
        s.start_data()
        eventually(lambda: s.ready().status == 200, "ready", 8)
        store, user = Store(s.gateway.data), s.user("t1")
        clients = [Client(s.port) for _ in range(8)]
        for c in clients:
            equal(c.get("/user/x", user).status, 200, "a token")
        s.gateway.process.signal(signal.SIGSTOP)
        try:
            n = store.revoke("token/t1")
            names = lambda: [w.split() for w in store.ask("watchers").split(";") if w.strip()]
            eventually(lambda: all(int(w[2]) >= n or int(w[3]) <= time.time() for w in names()),
                       "whoever waits for the gateway is told that it refuses by now", 5, 0.05)
            head = "GET /user/x HTTP/1.1\r\nHost: gateway.test\r\n%s\r\n" % "".join("%s: %s\r\n" % f for f in user)
            for c in clients:
                c.send(head.encode())  # it finds them when it wakes up, before it hears anything
        finally:
            s.gateway.process.signal(signal.SIGCONT)
        for c in clients:
            check(c.reply().status in (401, 503), "a revoked token was accepted")
        eventually(lambda: port.fetch(s.port, "/user/x", s.user("t2")).status == 200, "served again", 10)
        equal(status(s.port, "/user/x", user), 401, "revoked")
        store.stop()


@port.test("history that was compacted away meanwhile: everything comes anew, and on the way no good key is refused, nothing revoked accepted")
def _():
    need_data()
    with Split(lease="5m") as s:
        s.start_data()
        eventually(lambda: s.ready().status == 200, "ready", 8)
        store, user = Store(s.gateway.data), s.user("gone")
        key, other = new_key(), new_key()
        store.apikey(key)
        store.apikey(other)
        store.in_force(store.revoke("token/gone"))
        equal(status(s.port, "/user/x", user), 401, "revoked")
        resyncs = s.gateway.metrics()["sallyport_feed_resyncs_total"]
        s.gateway.process.signal(signal.SIGSTOP)
        try:
            store.ask('many 130000 revoked/token/j {"before_s":1,"at_ms":1}')
            store.delete("apikey/" + other.entry["id"])
            last = store.revoke("token/late")
        finally:
            s.gateway.process.signal(signal.SIGCONT)
        bad, turns, deadline = [], 0, time.monotonic() + 60
        with Client(s.port) as c:
            while time.monotonic() < deadline:
                turns += 1
                good = c.get("/keyed/x", [("apikey", key.text)]).status
                gone = c.get("/user/x", user).status
                if (good, gone) != (200, 401):
                    bad.append((good, gone))
                if turns % 200 == 0 and s.gateway.metrics()["sallyport_feed_number"] >= last:
                    break
        equal(bad, [], "wrong answers among %d" % turns)
        m = s.gateway.metrics()
        check(m["sallyport_feed_resyncs_total"] > resyncs, "everything came anew")
        equal(m["sallyport_feed_revocations"], 130002, "revocations")
        equal(status(s.port, "/user/x", s.user("late")), 401, "revoked meanwhile")
        equal(status(s.port, "/keyed/x", [("apikey", other.text)]), 401, "deleted meanwhile")
        equal(status(s.port, "/keyed/x", [("apikey", key.text)]), 200, "the good key")
        check(m["sallyport_feed_bytes"] < 8 << 20, "%d bytes" % m["sallyport_feed_bytes"])
        store.stop()


@port.test("a data role that ends and starts again within the lease is not noticed")
def _():
    need_data()
    with Split(lease="10s") as s:
        s.start_data()
        eventually(lambda: s.ready().status == 200, "ready", 8)
        store = Store(s.gateway.data)
        key = new_key()
        store.in_force(store.apikey(key))
        store.stop()
        fields, user, bad = [("apikey", key.text)], s.user("t1"), []
        with Client(s.port) as c:
            for turn in range(2):
                s.data.stop()
                for k in range(50):
                    bad += [r for r in (c.get("/keyed/x", fields).status, c.get("/user/x", user).status) if r != 200]
                s.start_data()
                for k in range(50):
                    bad += [r for r in (c.get("/keyed/x", fields).status, c.get("/user/x", user).status) if r != 200]
                    time.sleep(0.005)
        equal(bad, [], "refusals")
        store = Store(s.gateway.data)
        store.in_force(store.revoke("token/t1"), 8000)
        equal(status(s.port, "/user/x", user), 401, "revoked")
        store.stop()


port.main()
