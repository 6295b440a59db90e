#!/usr/bin/env python3
# test: seconds 240
"""A configuration that is changed all over while requests are under way: services, actions, products and limits come, go
and change places. Whoever may do something in all of them never notices. And what must not be taken is not."""

import collections
import copy
import json
import os
import random
import subprocess
import threading

import port
from port import Client, Failure, Process, Shop, Upstream, check, equal, eventually

CERTS = None


def cert(name):
    global CERTS
    if not CERTS:
        CERTS = os.path.join(port.folder(), "certs")
        subprocess.run(["sh", os.path.join(port.ROOT, "test/support/tls_certs.sh"), CERTS], check=True)
    return os.path.join(CERTS, name)


# --- everything moves ----------------------------------------------------------------------------------------------

def rates(r, per):
    """Limits so high that nobody meets them, never the same twice."""
    return [{"rate": "%d/s" % (500000 + r.randrange(1000)), "burst": 400000 + i, "per": per} for i in range(r.randint(1, 3))]


def service(r, addresses):
    some = r.sample(addresses, r.randint(1, len(addresses)))
    s = {"instances": [{"address": a, "weight": r.randint(1, 5), "zone": r.choice("ab")} for a in some], "implicit": False}
    s["balance"] = r.choice(("least-request", "round-robin", "hash"))
    if s["balance"] == "hash":
        s["hash"] = r.choice(("user", "address", "product", "header:X-Tenant"))
    if r.random() < .5:
        s["breaker"] = {"errors": 90, "concurrent": {"user": r.randint(500, 1000), "third-party": r.randint(500, 1000)}}
    if r.random() < .4:
        s["health"] = "GET /health every 100ms"
    if r.random() < .3:
        s["eject"] = "none"
    if r.random() < .4:
        s["slow_start"] = "500ms"
    if r.random() < .4:
        s["pool"] = {"idle": r.randint(1, 8), "open": 64, "waiting": 1000}
    return s


def shuffled(base, seed, addresses):
    """What the shop may do stays; everything else, and where it stands, is by chance."""
    r = random.Random(seed)
    c = copy.deepcopy(base)
    services = {"app": service(r, addresses)}
    for i in range(r.randint(0, 3)):
        services["s%d" % i] = service(r, addresses)
    actions = dict(c["actions"])
    for i in range(r.randint(0, 20)):
        actions["more%d" % i] = {"match": "GET /more%d" % i, "to": r.choice(list(services)),
                                 "accept": {"third-party": r.sample(["apikey", "signature"], r.randint(1, 2))}}
    for name in actions:
        public = actions[name].get("public")
        if r.random() < .5:
            actions[name] = dict(actions[name], limit=rates(r, r.choice(("address", "action") if public else
                                                                    ("user", "key", "product", "caller"))))
    products = dict(c["products"])
    if r.random() < .5:
        products["shop"] = dict(products["shop"], limit=rates(r, "product"), quota={"requests": 10**9, "per": "day"})
    for i in range(r.randint(0, 5)):
        products["other%d" % i] = {"caller": "third-party", "may": r.sample(list(actions), min(3, len(actions)))}

    def mixed(d):
        items = list(d.items())
        r.shuffle(items)
        return dict(items)
    c.update(services=mixed(services), actions=mixed(actions), products=mixed(products), zone=r.choice("ab"))
    if r.random() < .5:
        c["limit"] = rates(r, "address")
    return c


@port.test("forty configurations in a row under load: nobody who may is refused, nobody who may not gets through")
def everything_moves():
    ups = [Upstream() for _ in range(3)]
    with shop(ups[0]) as s:
        base = copy.deepcopy(s.gateway.config)
        user, stop, seen, lock = s.auth(), threading.Event(), collections.Counter(), threading.Lock()
        asks = [("/public/x", [], 200), ("/keyed/x", [("apikey", s.key.text)], 200), ("/user/x", user, 200),
                ("/admin/x", user, 403), ("/user/x", [], 401), ("/nowhere", user, 404)]

        def one(n):
            c = None
            while not stop.is_set():
                path, fields, want = asks[n % len(asks)]
                n += 1
                try:
                    c = c or Client(s.port)
                    got = c.get(path, fields).status
                except (Failure, OSError) as why:
                    got, c = str(why), None
                with lock:
                    seen[(path, want, got)] += 1
        threads = [threading.Thread(target=one, args=(n,)) for n in range(6)]
        for t in threads:
            t.start()
        try:
            for seed in range(40):
                s.gateway.config = shuffled(base, seed, [u.address for u in ups])
                s.gateway.write_config()
                code, out, err = s.gateway.reload()
                equal(code, 0, "reload of configuration %d: %s" % (seed, err))
        finally:
            stop.set()
            for t in threads:
                t.join()
        wrong = {k: n for k, n in seen.items() if k[1] != k[2]}
        equal(wrong, {}, "answers that are others than they should be, of %d" % sum(seen.values()))
        check(sum(seen.values()) > 200, "there was no load: %d" % sum(seen.values()))
    for u in ups:
        u.stop()


def shop(up):
    return Shop(upstream=up, change=lambda c: c.update(store={"engine": "memory"}))


@port.test("what was counted stays counted over a reload that leaves the limit as it is, and begins anew when it changes")
def counts_stay():
    def limited(rate):
        return lambda c: c["actions"]["open"].update(limit={"rate": rate, "per": "address"})
    with Shop(change=limited("3/h")) as s:
        got = [port.fetch(s.port, "/public/x").status for _ in range(4)]
        equal(got, [200, 200, 200, 429], "before")
        for i in range(3):  # others come and go beside it
            s.gateway.config["actions"]["more%d" % i] = {"match": "GET /more%d" % i, "to": "app", "limit": {"rate": "3/h"}}
            s.gateway.config["timeouts"] = {"idle": "%ds" % (50 + i)}
            s.gateway.write_config()
            equal(s.gateway.reload()[0], 0, "reload")
            equal(port.fetch(s.port, "/public/x").status, 429, "behind reload %d" % i)
        limited("4/h")(s.gateway.config)
        s.gateway.write_config()
        equal(s.gateway.reload()[0], 0, "reload")
        equal(port.fetch(s.port, "/public/x").status, 200, "with another limit")


# --- what is not taken ---------------------------------------------------------------------------------------------

def secured(c, name="public", key=None):
    c["tls"] = {"certificates": [{"cert": cert(name + ".pem"), "key": {"file": cert((key or name) + ".key")}}]}


def key_for_everybody(c):
    secured(c)
    path = cert("open.key")
    with open(cert("public.key"), "rb") as source, open(path, "wb") as copied:
        copied.write(source.read())
    os.chmod(path, 0o644)
    c["tls"]["certificates"][0]["key"]["file"] = path


BROKEN = [
    ("a key of another certificate", lambda c: secured(c, key="second"), "not that of the certificate"),
    ("a key that everybody may read", key_for_everybody, "everybody may read it"),
    ("a certificate that is not there", lambda c: secured(c, "none"), "cannot be read"),
    ("a key with a pass phrase", lambda c: secured(c, key="encrypted"), "pass phrase"),
    ("authorities that are none", lambda c: c["services"]["app"].update(tls={"ca": cert("public.key")}), "file of authorities"),
    ("a pin that nobody asks for", lambda c: c["products"]["shop"].update(certificates="sha256:" + "ab" * 32), "tls.clients"),
    ("a limit per user where nobody is known", lambda c: c["actions"]["open"].update(limit={"rate": "1/s"}), "per: address"),
    ("a quota without a store", lambda c: c["products"]["shop"].update(quota={"requests": 1, "per": "day"}), "store"),
    ("a hash by nothing", lambda c: c["services"]["app"].update(balance="hash"), "needs `hash`"),
    ("a listener that begins to speak TLS", lambda c: (secured(c), c["listen"].update(
        gateway={"address": c["listen"]["gateway"], "tls": True})), "listen"),
]


@port.cases("a configuration that is not taken changes nothing", BROKEN)
def not_taken(_, change, words):
    with Shop() as s:
        before = copy.deepcopy(s.gateway.config)
        change(s.gateway.config)
        s.gateway.write_config()
        code, out, err = s.gateway.reload()
        equal(code, 78, "exit of reload: " + err)
        check(words in err, "%r is not in: %s" % (words, err))
        check("PRIVATE KEY" not in err, "a key is shown")
        equal(port.fetch(s.port, "/public/x").status, 200, "status meanwhile")
        s.gateway.config = before
        s.gateway.write_config()
        equal(s.gateway.reload()[0], 0, "reload of the old one")


# --- a data folder of one's own ------------------------------------------------------------------------------------

@port.test("a gateway with a data folder of its own follows a store elsewhere by store.socket; `run` has its own")
def sockets_elsewhere():
    folder = port.folder()
    here, there = os.path.join(folder, "here"), os.path.join(folder, "there")
    config = {"sallyport": 1, "environment": "test", "workers": 1, "data": there,
              "listen": {"gateway": "127.0.0.1:%d" % port.free_port(), "admin": "none"},
              "authentication": {"issuer": "https://api.test", "socket": "unix:%s/authentication.sock" % there},
              "store": {"socket": "unix:%s/data.sock" % there},
              "products": {"shop": {"login": "password", "may": []}}}
    path = os.path.join(folder, "sallyport.yaml")
    with open(path, "w") as f:
        json.dump(config, f)
    alone = Process([port.binary(), "run", "--config", path], cwd=folder)
    equal(alone.wait(), 1, "exit of `run`")
    check("store.socket" in alone.err(), "what `run` says: " + alone.err())
    processes = [Process([port.binary(), "data", "--config", path], cwd=folder)]
    try:
        eventually(lambda: os.path.exists(there + "/data.sock"), "the data role listens: " + processes[0].err(), 10)
        processes.append(Process([port.binary(), "authentication", "--config", path], cwd=folder))
        eventually(lambda: os.path.exists(there + "/authentication.sock"), "the service listens: " + processes[1].err(), 10)
        eventually(lambda: os.path.exists(there + "/seal.key"), "the sealing key is there", 10)
        os.makedirs(here, 0o700)
        with open(there + "/seal.key", "rb") as source, open(here + "/seal.key", "wb") as copied:
            copied.write(source.read())
        os.chmod(here + "/seal.key", 0o600)
        processes.append(Process([port.binary(), "gateway", "--config", path, "--data", here], cwd=folder))
        to = int(config["listen"]["gateway"].rsplit(":", 1)[1])

        def served():
            try:
                return b"keys" in port.fetch(to, "/.well-known/jwks.json").body
            except (Failure, OSError):
                return False
        eventually(served, "the keys of the service elsewhere: " + processes[2].err()[-500:], 15)
    finally:
        for p in reversed(processes):
            p.stop(35)


if __name__ == "__main__":
    port.main()
