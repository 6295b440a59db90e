#!/usr/bin/env python3
# test: seconds 120
"""How often: limits of the edge, of actions and products, quotas across gateways and the store's absence, metering."""

import collections
import json
import os
import re
import signal
import threading
import time

import port
from port import Client, Gateway, Shop, check, equal, eventually


def shop(**sections):
    """A Shop whose actions and products have more members: user={...} of the action, shop={...} of the product."""
    def change(config):
        for name, members in sections.items():
            if name in config["actions"]:
                config["actions"][name].update(members)
            elif name in config["products"]:
                config["products"][name].update(members)
            else:
                config[name] = members
    return Shop(change=change)


def statuses(client, path, fields, n):
    return collections.Counter(client.get(path, fields).status for _ in range(n))


def item(value):
    """{name: {parameter: number}} of a structured list of strings."""
    found = {}
    for member in value.split(", "):
        m = re.fullmatch(r'"([^"]+)"((?:;[a-z]+=\d+)+)', member)
        check(m, "not an item of a structured field: %r" % member)
        found[m[1]] = {k: int(v) for k, v in re.findall(r";([a-z]+)=(\d+)", m[2])}
    return found


def why(gateway, reply, text):
    """`why` names the limit; a decision is recorded just behind its answer."""
    eventually(lambda: text in gateway.cli("why", reply.json()["decision_id"])[1], "why says %r" % text)


@port.test("an action's limit: as many as it allows, then 429 with all that is needed to wait")
def action_limit():
    with shop(user={"limit": {"rate": "5/m", "per": "user"}}) as s, s.client() as c:
        alice, bob = s.auth("alice"), s.auth("bob")
        for left in (4, 3, 2, 1, 0):
            reply = c.get("/user/x", alice)
            equal(reply.status, 200, "status")
            equal(item(reply.get("RateLimit-Policy")), {"user": {"q": 5, "w": 60}}, "policy")
            told = item(reply.get("RateLimit"))["user"]
            equal(told["r"], left, "what is left")
            check(told["t"] <= 12 * (5 - left), "until it is whole: %d" % told["t"])
        before = s.upstream.count()
        reply = c.get("/user/x", alice)
        equal((reply.status, reply.json()["code"]), (429, "rate_limited"), "the sixth")
        check(11 <= int(reply.get("Retry-After")) <= 12, "Retry-After %s" % reply.get("Retry-After"))
        equal(item(reply.get("RateLimit"))["user"]["r"], 0, "left of the sixth")
        equal(item(reply.get("RateLimit-Policy")), {"user": {"q": 5, "w": 60}}, "policy of the sixth")
        check(reply.get("connection") != "close", "the connection goes on")
        equal(s.upstream.count(), before, "requests at the service")
        equal(c.get("/user/x", bob).status, 200, "another user")
        equal(c.get("/keyed/x", alice[:1]).get("RateLimit"), None, "RateLimit of an action without limit")
        why(s.gateway, reply, "user: 5 in 60 s for each user")
        equal(s.gateway.metrics()['sallyport_limited_total{limit="user"}'], 1, "metric")


@port.test("limits are counted exactly over all workers and connections")
def exact():
    with shop(user={"limit": {"rate": "1/h", "burst": 300, "per": "user"}}) as s:
        auth, seen, lock = s.auth(), collections.Counter(), threading.Lock()

        def run():
            with s.client() as c:
                mine = statuses(c, "/user/x", auth, 60)
            with lock:
                seen.update(mine)
        threads = [threading.Thread(target=run) for _ in range(12)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        equal(dict(seen), {200: 300, 429: 420}, "statuses")


@port.test("who is counted: user, key, product, kind of caller, all together, address")
def kinds():
    one = {"rate": "1/h", "burst": 2}
    other = port.Key("other")
    for per, same, apart in (("user", ["alice", "alice"], "bob"), ("key", ["alice", "bob"], None),
                             ("product", ["alice", "bob"], None), ("caller", ["alice", "bob"], None),
                             ("action", ["alice", "bob"], None), ("address", ["alice", "bob"], None)):
        with shop(user={"limit": dict(one, per=per)}) as s, s.client() as c:
            for name in same:
                equal(c.get("/user/x", s.auth(name)).status, 200, "%s: %s" % (per, name))
            equal(c.get("/user/x", s.auth(same[0])).status, 429, "%s: the third" % per)
            equal(c.get("/user/x", s.auth(apart or "carol")).status, 200 if apart else 429, "%s: another" % per)
    # one key of two, one product of two
    for per, want in (("key", 200), ("product", 429)):
        second = port.Key("shop")

        def change(config):
            config["products"]["shop"]["keys"].append(second.entry)
            config["products"]["other"] = {"keys": [other.entry], "may": ["keyed"]}
            config["actions"]["keyed"]["limit"] = dict(one, per=per)
        with Shop(change=change) as s, s.client() as c:
            equal(statuses(c, "/keyed/x", [("apikey", s.key.text)], 3), {200: 2, 429: 1}, per)
            equal(c.get("/keyed/x", [("apikey", second.text)]).status, want, "%s: another key" % per)
            equal(c.get("/keyed/x", [("apikey", other.text)]).status, 200, "%s: another product" % per)


@port.test("a limit for users counts a key without a user by the key")
def fallbacks():
    with shop(keyed={"limit": {"rate": "1/h", "burst": 2, "per": "user"}}) as s, s.client() as c:
        equal(statuses(c, "/keyed/x", [("apikey", s.key.text)], 3), {200: 2, 429: 1}, "a key without user")


@port.test("several limits: all or none is charged, the tightest is told")
def several():
    with shop(user={"limit": [{"rate": "100/h", "burst": 100, "per": "user"}, {"rate": "1/h", "burst": 3, "per": "action"}]},
              shop={"limit": {"rate": "50/h", "burst": 50, "per": "product"}}) as s, s.client() as c:
        first = c.get("/user/x", s.auth())
        equal(set(item(first.get("RateLimit-Policy"))), {"user", "user-2", "product-shop"}, "policies")
        equal(item(first.get("RateLimit"))["user-2"]["r"], 2, "the tightest")
        equal(statuses(c, "/user/x", s.auth(), 40), {200: 2, 429: 38}, "statuses")
        # what the second refused has cost the third nothing
        reply = c.get("/keyed/x", s.auth()[:1])
        equal(item(reply.get("RateLimit"))["product-shop"]["r"], 50 - 4, "left of the product's")


@port.test("the edge: before any credential, every answer counts, 404 and 401 too; others do not feel it")
def edge():
    networks = {"trusted_hops": ["127.0.0.0/8"]}
    with shop(limit={"rate": "1/h", "burst": 5, "per": "address"}, **networks) as s, s.client() as c:
        def ask(address, path="/nowhere", fields=()):
            return c.get(path, list(fields) + [("X-Forwarded-For", address)]).status
        equal([ask("192.0.2.1"), ask("192.0.2.1", "/user/x"), ask("192.0.2.1", "/public/x"),
               ask("192.0.2.1", "/user/x", [("Authorization", "Bearer x.y.z")])], [404, 401, 200, 401], "counted")
        equal(ask("192.0.2.1", "/public/x"), 200, "the fifth")
        equal(ask("192.0.2.1", "/public/x"), 429, "the sixth")
        equal(ask("192.0.2.1", "/user/x", s.auth()), 429, "with good credentials")
        equal(ask("192.0.2.2", "/public/x"), 200, "another address")
        equal(ask("10.9.9.9, 192.0.2.1", "/public/x"), 429, "what a stranger says of others does not count")
        equal(ask("192.0.2.1, 127.0.0.5", "/public/x"), 429, "behind two hops of ours")
        # IPv6 by its /64, IPv4 in IPv6 as IPv4
        equal([ask("2001:db8:1:2::%x" % i, "/public/x") for i in range(1, 7)], [200] * 5 + [429], "one /64")
        equal(ask("2001:db8:1:3::1", "/public/x"), 200, "the next /64")
        equal(ask("::ffff:192.0.2.1", "/public/x"), 429, "mapped")
        equal(ask("[2001:db8:1:2::9]:443", "/public/x"), 429, "with a port")
        metrics = s.gateway.metrics()
        check(metrics['sallyport_limited_total{limit="edge"}'] >= 6, "metric: %s" % metrics)


@port.test("without trusted hops the address is the connection's, whatever the fields say")
def untrusted():
    with shop(limit={"rate": "1/h", "burst": 3, "per": "address"}) as s, s.client() as c:
        got = [c.get("/public/x", [("X-Forwarded-For", "192.0.2.%d" % i)]).status for i in range(5)]
        equal(got, [200, 200, 200, 429, 429], "statuses")


@port.test("a flood from many addresses leaves the others what they had")
def flood():
    with shop(limit={"rate": "1/h", "burst": 3, "per": "address"}, trusted_hops=["127.0.0.0/8"]) as s:
        with s.client() as c:
            def ask(client, address):
                return client.get("/public/x", [("X-Forwarded-For", address)]).status
            equal([ask(c, "192.0.2.7") for _ in range(2)], [200, 200], "before")
            n = 30000
            lines = b"".join(b"GET /public/x HTTP/1.1\r\nHost: g\r\nX-Forwarded-For: 2001:db8:%x:%x::1\r\n\r\n" %
                             (i >> 16, i & 0xffff) for i in range(n))
            answered = 0
            with s.client(timeout=60) as f:
                sender = threading.Thread(target=f.send, args=(lines,))
                sender.start()
                for _ in range(n):
                    answered += f.reply().status in (200, 429)
                sender.join()
            equal(answered, n, "answers")
            equal([ask(c, "192.0.2.7") for _ in range(3)], [200, 429, 429], "who was known has what he had")
            equal(ask(c, "198.51.100.1"), 200, "a newcomer from elsewhere")


@port.test("a reload forgets nothing of limits that stay what they are; a changed one begins anew")
def reload():
    with shop(user={"limit": {"rate": "1/h", "burst": 4, "per": "user"}}) as s, s.client() as c:
        auth = s.auth()
        equal(statuses(c, "/user/x", auth, 3), {200: 3}, "before")
        s.gateway.config["actions"]["more"] = {"match": "GET /more", "to": "app", "public": True}
        s.gateway.write_config()
        equal(s.gateway.reload()[0], 0, "reload")
        equal(statuses(c, "/user/x", auth, 3), {200: 1, 429: 2}, "behind it")
        s.gateway.config["actions"]["user"]["limit"]["burst"] = 6
        s.gateway.write_config()
        equal(s.gateway.reload()[0], 0, "reload")
        equal(statuses(c, "/user/x", auth, 8), {200: 6, 429: 2}, "another limit")


@port.test("time brings it back: at the rate, not all at once")
def refill():
    with shop(user={"limit": {"rate": "10/s", "burst": 2, "per": "user"}}) as s, s.client() as c:
        auth = s.auth()
        equal(statuses(c, "/user/x", auth, 4), {200: 2, 429: 2}, "the burst")
        began, let = time.monotonic(), 0
        while time.monotonic() - began < 1.5:
            let += c.get("/user/x", auth).status == 200
        check(13 <= let <= 16, "%d in 1.5 s at 10/s" % let)


# --- quotas ---------------------------------------------------------------------------------------------------------

def with_quota(requests, per="hour", engine="memory", **more):
    """Like Shop: the product's quota is of all actions."""
    def change(config):
        config["store"] = {"engine": engine}
        config["feed"] = {"lease": "30s"}
        config["products"]["shop"]["quota"] = {"requests": requests, "per": per}
        for name, members in more.items():
            config["actions"][name].update(members)
    wait_for_hour(30)
    return Shop(change=change)


def wait_for_hour(seconds):
    """A quota of an hour begins anew with the next: no test may run across."""
    rest = 3600 - time.time() % 3600
    if rest < seconds:
        time.sleep(rest + 1)


def burn(to, fields, n, clients=4, path="/keyed/x"):
    """n requests over some connections; what they were answered, by status and code."""
    seen, lock = collections.Counter(), threading.Lock()

    def run(mine):
        counted = collections.Counter()
        with Client(to, timeout=30) as c:
            for _ in range(mine):
                reply = c.get(path, fields)
                counted[reply.status if reply.status == 200 else (reply.status, reply.json()["code"])] += 1
        with lock:
            seen.update(counted)
    threads = [threading.Thread(target=run, args=((n + i) // clients,)) for i in range(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return dict(seen)


def start(gateway):
    """The same once more."""
    gateway.process = port.Process([port.binary(), "run", "--config", gateway.path], cwd=gateway.dir, env=gateway.env)
    Gateway.alive.append(gateway)
    gateway.wait_ready()


EXHAUSTED = (429, "quota_exhausted")


@port.test("a quota: exactly as many as it has, then 429 until the window ends; small ones, too")
def quota():
    for n in (1, 7, 100, 1000):
        with with_quota(n) as s:
            key = [("apikey", s.key.text)]
            equal(burn(s.port, key, n + 80), {200: n, EXHAUSTED: 80}, "a quota of %d" % n)
            reply = port.fetch(s.port, "/keyed/x", key)
            rest = 3600 - time.time() % 3600
            check(abs(int(reply.get("Retry-After")) - rest) <= 2, "Retry-After %s of %d" % (reply.get("Retry-After"), rest))
            equal(item(reply.get("RateLimit"))["quota-shop"]["r"], 0, "RateLimit")
            equal(item(reply.get("RateLimit-Policy"))["quota-shop"], {"q": n, "w": 3600}, "policy")
            why(s.gateway, reply, "quota-shop: %d each hour" % n)
            equal(port.fetch(s.port, "/public/x").status, 200, "a public route")


@port.test("what is refused costs nothing of the quota, whoever refuses")
def refused_is_free():
    with with_quota(50, user={"limit": {"rate": "1/h", "burst": 5, "per": "user"}}) as s, s.client() as c:
        key = [("apikey", s.key.text)]
        equal(statuses(c, "/user/x", s.auth(), 25), {200: 5, 429: 20}, "limited")
        equal(statuses(c, "/admin/x", s.auth(), 20), {403: 20}, "not granted")
        equal(statuses(c, "/user/x", key, 20), {401: 20}, "no token")
        s.upstream.stop()
        equal(statuses(c, "/keyed/x", key, 2), {502: 2}, "no service")
        s.upstream.__init__(port=s.upstream.port)
        eventually(lambda: port.fetch(s.port, "/public/x").status == 200, "the service is back", 15)
        equal(statuses(c, "/keyed/x", key, 60), {200: 45, 429: 15}, "what was left")


@port.test("a quota survives a restart; what a killed process had in hand, at most a block, is lost")
def restart():
    with with_quota(2000, engine="sqlite") as s:
        key = [("apikey", s.key.text)]
        equal(burn(s.port, key, 400), {200: 400}, "before")
        s.gateway.stop()
        start(s.gateway)
        equal(burn(s.port, key, 400), {200: 400}, "behind an orderly restart")
        killed = s.gateway.pid
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: s.gateway.pid not in (None, killed), "the parent starts another", 15)
        s.gateway.wait_ready(15)
        let = burn(s.port, key, 1400)[200]
        check(1200 - 2000 // 20 <= let <= 1200, "%d of 1200 are left behind a kill" % let)


@port.test("a quota in the file is changed: in force with the reload, what was used counts")
def changed():
    with with_quota(20) as s:
        key = [("apikey", s.key.text)]
        equal(burn(s.port, key, 30), {200: 20, EXHAUSTED: 10}, "before")
        s.gateway.config["products"]["shop"]["quota"]["requests"] = 50
        s.gateway.write_config()
        equal(s.gateway.reload()[0], 0, "reload")
        equal(burn(s.port, key, 40), {200: 30, EXHAUSTED: 10}, "more")
        del s.gateway.config["products"]["shop"]["quota"]
        s.gateway.write_config()
        equal(s.gateway.reload()[0], 0, "reload")
        equal(burn(s.port, key, 40), {200: 40}, "none")


@port.test("an upgrade: what was in hand is given back, what was counted is written")
def upgrade():
    with with_quota(1000, engine="sqlite") as s:
        key = [("apikey", s.key.text)]
        equal(burn(s.port, key, 500), {200: 500}, "before")
        code, out, err = s.gateway.cli("upgrade", seconds=30)
        equal(code, 0, "upgrade (%s)" % (out + err))
        equal(burn(s.port, key, 600), {200: 500, EXHAUSTED: 100}, "behind it")
        s.gateway.stop()
        start(s.gateway)
        equal(usage(s.gateway)["total"]["requests"], 1100, "usage")


@port.test("two gateways share a quota: together not one too many, and the end is known to both within a second")
def shared():
    with with_quota(3000, engine="sqlite") as s:
        config = dict(s.gateway.config)
        config["store"] = dict(config["store"], socket="unix:" + os.path.join(s.gateway.data, "data.sock"))
        del config["listen"], config["data"]
        second = Gateway(config, {"corp.jwks": s.issuer.jwks()}, wait=False, command=("gateway",))
        try:
            key = [("apikey", s.key.text)]
            eventually(lambda: port.fetch(second.port, "/public/x").status == 200, "the second serves", 15)
            results = []
            threads = [threading.Thread(target=lambda p=p: results.append(burn(p, key, 2400))) for p in (s.port, second.port)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            let = sum(r.get(200, 0) for r in results)
            check(let <= 3000, "%d of 3000" % let)
            check(let >= 2700, "only %d of 3000" % let)
            eventually(lambda: [port.fetch(p, "/keyed/x", key).status for p in (s.port, second.port)] == [429, 429],
                       "both know", 5)
            more = [burn(p, key, 200) for p in (s.port, second.port)]
            let += sum(r.get(200, 0) for r in more)
            check(let <= 3000, "%d of 3000 in the end" % let)
        finally:
            second.stop()


@port.test("the store does not answer: a gateway goes on within its block and one more, then says that it does not know")
def store_away():
    wait_for_hour(60)
    with Shop(change=lambda c: c.update(store={"engine": "sqlite"}, feed={"lease": "10m"})) as s:
        config = json.loads(json.dumps(s.gateway.config))
        config["store"]["socket"] = "unix:" + os.path.join(s.gateway.data, "data.sock")
        config["products"]["shop"]["quota"] = {"requests": 1000, "per": "hour"}
        del config["listen"], config["data"]
        alone = Gateway(config, {"corp.jwks": s.issuer.jwks()}, command=("gateway",))
        try:
            key = [("apikey", s.key.text)]
            equal(burn(alone.port, key, 300), {200: 300}, "while it answers")
            stopped = s.gateway.pid
            os.kill(stopped, signal.SIGSTOP)
            try:
                began, seen = time.monotonic(), collections.Counter()
                while time.monotonic() - began < 6 and (503, "quota_unknown") not in seen:
                    seen.update(burn(alone.port, key, 20))
                let = seen[200]
                check(let <= 100, "%d were let through without the store: more than two blocks" % let)
                check(seen[(503, "quota_unknown")] > 0, "it is said: %s" % seen)
                equal(port.fetch(alone.port, "/public/x").status, 200, "a public route")
                values = alone.metrics()
                equal(values["sallyport_quota_credits_total"], 1, "credits")
            finally:
                os.kill(stopped, signal.SIGCONT)
            eventually(lambda: port.fetch(alone.port, "/keyed/x", key).status == 200, "it goes on by itself", 15)
            let += 1
            let += burn(alone.port, key, 1000)[200]
            check(300 + let <= 1000 + 50, "%d of 1000: more than a block too many" % (300 + let))
            check(300 + let >= 1000 - 50, "only %d of 1000" % (300 + let))
        finally:
            alone.stop()


# --- metering -------------------------------------------------------------------------------------------------------

def usage(gateway, *more):
    code, out, err = gateway.cli("usage", "--json", *more)
    equal(code, 0, "exit status of usage (%s)" % err)
    return json.loads(out)


@port.test("usage: what was served, refused and limited, by product, action, kind of caller and hour; a restart adds up")
def metering():
    body = b"x" * 100
    with Shop(answer=lambda seen, client: port.ok(b"y" * 50),
              change=lambda c: (c.update(store={"engine": "sqlite"}),
                                c["actions"]["user"].update(limit={"rate": "1/h", "burst": 3, "per": "user"}))) as s:
        with s.client() as c:
            auth = s.auth()
            for _ in range(5):  # each by a connection of its own: a refusal may end it before the body has come
                port.fetch(s.port, "/user/x", auth, "POST", body)
            for _ in range(4):
                c.get("/keyed/x", auth[:1])
            for _ in range(2):
                c.get("/admin/x", auth)
            c.get("/nowhere")
            c.get("/public/x")
        s.gateway.stop()  # writes what it has
        start(s.gateway)
        found = {(r["product"], r["action"], r["caller"]): r for r in usage(s.gateway, "--by", "product,action,caller")["rows"]}
        row = found[("shop", "user", "user")]
        equal([row[k] for k in ("requests", "permitted", "denied", "limited")], [5, 3, 0, 2], "user")
        check(500 < row["bytes_in"] < 20000 and 150 < row["bytes_out"] < 20000, "bytes, heads included: %s" % row)
        row = found[("shop", "admin", "user")]
        equal([row[k] for k in ("requests", "permitted", "denied", "limited")], [2, 0, 2, 0], "admin")
        equal(found[("", "", "none")]["denied"], 1, "no route")
        equal(found[("", "open", "none")]["permitted"], 1, "public")
        equal(sum(r["requests"] for r in found.values()), 13, "requests in all")
        port.fetch(s.port, "/keyed/x", auth[:1])
        total = lambda *more: usage(s.gateway, *more)["total"]["requests"]
        eventually(lambda: total() == 14, "what is served later is added within ten seconds", 14, 0.5)
        equal(total("--from", "2020-01-01", "--to", "2020-02-01"), 0, "another time")
        equal(total("--from", "7d"), 14, "a week")
        hours = usage(s.gateway, "--by", "hour")["rows"]
        check(sum(r["requests"] for r in hours) == 14 and all(r["hour_s"] % 3600 == 0 for r in hours), "hours: %s" % hours)
        code, out, err = s.gateway.cli("usage", "--by", "product,action", "--csv")
        equal(code, 0, "exit status of --csv (%s)" % err)
        lines = out.split("\n")
        equal(lines[0].strip(), "product,action,requests,permitted,denied,limited,bytes_in,bytes_out", "head of the CSV")
        check(any(re.match(r"shop,user,5,3,0,2,\d+,\d+", line) for line in lines), "CSV: %r" % lines)
        code, out, err = s.gateway.cli("usage")
        check(code == 0 and "shop" in out and "permitted" in out, "for people: %s" % (out + err))
        for wrong in (["--from", "yesterday"], ["--by", "colour"], ["--json", "--csv"]):
            check(s.gateway.cli("usage", *wrong)[0] in (1, 2), "exit status of %s" % wrong)


if __name__ == "__main__":
    port.main()
