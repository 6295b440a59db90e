#!/usr/bin/env python3
"""Services of several instances that are killed, slow, flap, answer 503 or nothing: who is asked, how often, and what
the callers of others feel of it."""

import collections
import contextlib
import json
import threading
import time

import port
from port import Client, Failure, Shop, Upstream, check, equal, eventually, ok


class Members:
    """A gateway in front of several recording instances of one service. service: more of its configuration; members:
    a dict of each instance's own (weight, zone), or None."""

    def __init__(self, n, answer=None, service=None, members=None, change=None, workers=1, paths=None, **config):
        self.ups = [Upstream(answer(i) if answer else None) for i in range(n)]
        self.service = service or {}
        self.entries = [dict({"address": u.address}, **((members or [{}] * n)[i])) for i, u in enumerate(self.ups)]

        def edit(c):
            c["services"]["app"] = dict({"instances": self.entries}, **self.service)
            c["workers"] = workers
            c.update(config)
            if change:
                change(c)
        self.shop = Shop(upstream=self.ups[0], change=edit)
        self.port, self.gateway = self.shop.port, self.shop.gateway

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        try:
            self.shop.gateway.stop()
        finally:
            for u in self.ups:
                u.stop()

    def kill(self, i):
        self.ups[i].stop()

    def revive(self, i, answer=None):
        self.ups[i] = Upstream(answer, port=self.ups[i].port)

    def counts(self):
        return [u.count() for u in self.ups]

    def clear(self):
        for u in self.ups:
            u.clear()

    def get(self, path="/public/x", **more):
        return port.fetch(self.port, path, **more)

    def statuses(self, n, path="/public/x", **more):
        return collections.Counter(self.get(path, **more).status for _ in range(n))

    def view(self):
        code, out, err = self.gateway.cli("upstreams", "--json")
        equal(code, 0, "exit of `upstreams`: " + err)
        return next(s for s in json.loads(out)["services"] if s["name"] == "app")

    def instance(self, i):
        return next(v for v in self.view()["instances"] if v["address"] == self.ups[i].address)

    def event(self, text):
        """The first line of the log that says so; it may be on its way yet."""
        def find():
            return next((r for r in self.gateway.log() if text in r["msg"]), None)
        eventually(lambda: find() is not None, "the log says that " + text)
        return find()


def at_once(n, work):
    """work(i) on n threads; what they gave, failures as their text."""
    results = [None] * n

    def one(i):
        try:
            results[i] = work(i)
        except (Failure, OSError) as why:
            results[i] = str(why)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


@contextlib.contextmanager
def load(s, clients=3, pause=0.01, path="/public/x"):
    """GETs all the while; gives the Counter of their statuses, complete once the block has ended."""
    stop, seen, lock = threading.Event(), collections.Counter(), threading.Lock()

    def one():
        c = None
        while not stop.is_set():
            try:
                c = c or Client(s.port)
                status = c.get(path).status
            except (Failure, OSError) as why:
                status, c = str(why), None
            with lock:
                seen[status] += 1
            time.sleep(pause)
    threads = [threading.Thread(target=one) for _ in range(clients)]
    for t in threads:
        t.start()
    try:
        yield seen
    finally:
        stop.set()
        for t in threads:
            t.join()


def named(i, body=b""):
    return lambda seen, client: ok(b"%d" % i + body)


def slow(seconds):
    def answer(seen, client):
        time.sleep(seconds)
        return ok(b"late\n")
    return answer


NO_EJECT = {"eject": "none"}


# --- who is asked ---------------------------------------------------------------------------------------------------

@port.test("round robin follows the weights to the request")
def round_robin():
    with Members(3, service={"balance": "round-robin"}, members=[{}, {"weight": 2}, {"weight": 5}]) as s:
        equal(s.statuses(80), {200: 80}, "statuses")
        for got, want in zip(s.counts(), (10, 20, 50)):
            check(abs(got - want) <= 1, "shares: %s" % s.counts())


@port.test("least request: by weight while nobody is busy, away from who is slow when somebody is")
def least_request():
    with Members(2, members=[{}, {"weight": 4}]) as s:
        equal(s.statuses(200), {200: 200}, "statuses")
        check(15 <= s.counts()[0] <= 70, "shares: %s, by weight 40 and 160" % s.counts())
    with Members(3, answer=lambda i: slow(0.5) if i == 0 else None, service=NO_EJECT) as s:
        began = time.monotonic()
        at_once(30, lambda i: s.statuses(10))
        took, counts = time.monotonic() - began, s.counts()
        equal(sum(counts), 300, "requests")
        check(counts[0] < 60, "the slow one of three got %s, a third would be 100" % counts)
        check(took < 4, "it took %.1f s" % took)


@port.test("hash by header: each key stays with its instance; when that one dies only its keys move, and come back")
def hash_stays():
    service = {"balance": "hash", "hash": "header:X-Tenant", "eject": {"failures": 1, "for": "1s", "at_most": 50}}
    with Members(4, answer=named, service=service, workers=2) as s:
        def where():
            return [int(s.get(fields=[("x-tenant", "tenant-%d" % k)]).body) for k in range(60)]
        before = where()
        equal(sorted(set(before)), [0, 1, 2, 3], "instances in use")
        equal(where(), before, "where the same keys go again")
        equal([int(s.get(fields=[("X-TENANT", "tenant-%d" % k)]).body) for k in range(60)], before, "in capitals")
        s.kill(2)
        gone = where()
        for k, (a, b) in enumerate(zip(before, gone)):
            check(b != 2 and (a == b or a == 2), "tenant-%d went from %d to %d" % (k, a, b))
        check(len({b for a, b in zip(before, gone) if a == 2}) > 1, "all keys of the dead one went to the same")
        s.revive(2, named(2))
        eventually(lambda: where() == before, "the keys are back where they were", 5)


@port.test("hash by user and by product: what the client says of itself does not count")
def hash_of_the_caller():
    for by, keys in (("user", 12), ("product", 1)):
        with Members(4, answer=named, service={"balance": "hash", "hash": by}) as s:
            def where(who, extra=()):
                return s.get("/user/x", fields=s.shop.auth(sub="user-%d" % who) + list(extra)).body
            first = [where(k) for k in range(12)]
            equal([where(k) for k in range(12)], first, "hash by %s: again" % by)
            equal([where(k, [("X-User-ID", "mallory-%d" % k)]) for k in range(12)], first, "with a forged header")
            check(len(set(first)) > 1 if keys > 1 else len(set(first)) == 1, "hash by %s: %s" % (by, first))


@port.test("own zone first; the other serves when it must")
def zones():
    members = [{"zone": "a"}, {"zone": "a"}, {"zone": "b"}, {"zone": "b"}]
    service = {"eject": {"failures": 1, "for": "30s", "at_most": 100}}
    with Members(4, service=service, members=members, zone="a") as s:
        equal(s.statuses(40), {200: 40}, "statuses")
        a0, a1, b0, b1 = s.counts()
        check(min(a0, a1) > 8 and b0 + b1 == 0, "shares with all up: %s" % s.counts())
        s.kill(0)
        equal(s.statuses(20), {200: 20}, "statuses while it is found out")
        s.clear()
        equal(s.statuses(100), {200: 100}, "statuses with half of the own zone")
        _, a1, b0, b1 = s.counts()
        check(a1 > 50 and min(b0, b1) > 3, "shares with half of the own zone (70, 15, 15): %s" % s.counts())
        s.kill(1)
        equal(s.statuses(40), {200: 40}, "statuses without the own zone")
        check(s.counts()[2] > 5 and s.counts()[3] > 5, "shares without the own zone: %s" % s.counts())


# --- failing ones ---------------------------------------------------------------------------------------------------

@port.test("one of three killed under load: nobody gets an error, it is ejected, told of, and taken back")
def killed():
    service = {"eject": {"failures": 3, "for": "1s", "at_most": 50}}
    with Members(3, service=service, workers=2) as s:
        with load(s, 6) as seen:
            time.sleep(0.5)
            s.kill(1)
            eventually(lambda: s.instance(1)["ejected_ms"] > 0, "it is ejected")
            check(not s.instance(1)["serves"], "it is shown to serve")
            time.sleep(1.5)
            s.revive(1)
            eventually(lambda: s.ups[1].count() > 5, "it has requests again", 10)
        equal(set(seen), {200}, "statuses of %d requests" % sum(seen.values()))
        s.event("back after its ejection")
        equal(s.event("is ejected")["instance"], s.ups[1].address, "the instance in the log")
        metrics = s.gateway.metrics()
        label = '{service="app",upstream="%s"}' % s.ups[1].address
        check(metrics["sallyport_upstream_ejections_total" + label] >= 1, "ejections in the metrics")
        equal(metrics["sallyport_upstream_serves" + label], 1, "serves, at the end")


@port.test("an instance that comes and goes: no GET at a low rate fails")
def flapping():
    service = {"eject": {"failures": 3, "for": "300ms", "at_most": 50}}
    with Members(2, service=service, workers=2) as s:
        with load(s, 4) as seen:
            for _ in range(6):
                s.kill(0)
                time.sleep(0.25)
                s.revive(0)
                time.sleep(0.25)
        equal(set(seen), {200}, "statuses of %d requests" % sum(seen.values()))


def half(seen, client):
    client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    return False


ill = [
    ("503", lambda seen, client: ok(b"busy", status="503 Busy"), 503),
    ("502", lambda seen, client: ok(b"bad", status="502 Bad"), 502),
    ("garbage", lambda seen, client: b"SSH-2.0-OpenSSH\r\n\r\n", 502),
    ("nothing, and closes", lambda seen, client: False, 502),
    ("half of its answer", half, None),
    ("nothing in time", slow(3), 504),
]


@port.cases("an instance that answers with", ill)
def ill_instance(name, answer, status):
    """POST, so that nothing is hidden by another attempt."""
    service = {"balance": "round-robin", "eject": {"failures": 5, "for": "30s", "at_most": 50},
               "timeouts": {"response": "200ms"}}
    with Members(2, answer=lambda i: answer if i == 0 else None, service=service) as s:
        def post(_):
            try:
                return s.get(method="POST", body=b"x").status
            except Failure:
                return None  # an answer that broke off
        got = collections.Counter(post(n) for n in range(10))
        equal(got, {200: 5, status: 5}, "statuses before the ejection")
        check(s.instance(0)["ejected_ms"] > 0, "it is not ejected: %s" % s.instance(0))
        equal(collections.Counter(post(n) for n in range(10)), {200: 10}, "statuses behind it")


@port.test("an application's 500 and 404 eject nobody")
def well():
    def answer(i):
        return lambda seen, client: ok(b"", status="500 Oops" if "500" in seen.target else "404 No")
    with Members(2, answer=answer, service={"eject": {"failures": 2, "for": "30s", "at_most": 100}}) as s:
        equal(s.statuses(20, "/public/500"), {500: 20}, "statuses")
        equal(s.statuses(20, "/public/404"), {404: 20}, "statuses")
        check(all(v["serves"] and not v["ejections"] for v in s.view()["instances"]), "somebody was ejected")


@port.test("never more ejected than may be; when nobody serves all are tried, and that is told")
def at_most():
    service = {"balance": "round-robin", "eject": {"failures": 2, "for": "30s", "at_most": 50}}
    with Members(4, answer=lambda i: ill[0][1], service=service) as s:
        s.statuses(60)
        equal(sum(not v["serves"] for v in s.view()["instances"]), 2, "ejected of four at 50 %")
    service["eject"]["at_most"] = 100
    with Members(2, answer=lambda i: ill[0][1], service=service) as s:
        equal(s.statuses(40), {503: 40}, "all are asked all the same")
        view = s.view()
        check(view["panic"] and view["panics"] > 10, "panic: %s" % view)
        s.event("no instance serves")
        equal(s.gateway.metrics()['sallyport_upstream_panics_total{service="app"}'], view["panics"], "in the metrics")


# --- trying again ---------------------------------------------------------------------------------------------------

@port.test("no storm: a service that breaks every connection sees the budget's percentage more, not more")
def no_storm():
    service = dict(NO_EJECT, retry={"attempts": 5, "budget": 10})
    with Members(2, answer=lambda i: lambda seen, client: False, service=service, workers=2) as s:
        began = time.monotonic()
        at_once(10, lambda i: s.statuses(40))
        took, asked = time.monotonic() - began, sum(s.counts())
        # 10 % of each worker's requests, three a second beyond that and those of the first second at once
        most = 400 * 1.10 + 3 * took + 4
        check(400 <= asked <= most, "400 requests became %d in %.1f s, at most %d" % (asked, took, most))
        check(s.view()["retries_refused"] > 100, "retries that were refused: %d" % s.view()["retries_refused"])


@port.test("at a low rate a broken connection is tried again: twice at most, GET only, elsewhere first")
def tries_again():
    broken = ill[3][1]
    with Members(2, answer=lambda i: broken if i == 0 else None, service=dict(NO_EJECT, balance="round-robin")) as s:
        for _ in range(6):
            equal(s.get().status, 200, "GET")
            time.sleep(0.4)
        check(s.counts()[0] >= 2, "the broken one was not asked: %s" % s.counts())
    with Members(1, answer=lambda i: broken, service=NO_EJECT) as s:
        reply = s.get()
        equal((reply.status, s.counts()), (502, [3]), "GET of one broken instance, and how often it was asked")
        code, out, err = s.gateway.cli("why", reply.json()["decision_id"])
        check("the last of 3 attempts" in out, "why does not tell of three attempts: " + out + err)
        time.sleep(1.2)
        s.clear()
        equal((s.get(method="POST", body=b"x").status, s.counts()), (502, [1]), "POST")
        s.clear()
        equal((s.get(method="POST").status, s.counts()), (502, [1]), "POST without a body")
    with Members(1, answer=lambda i: broken, service=dict(NO_EJECT, retry={"attempts": 0, "budget": 20})) as s:
        equal((s.get().status, s.counts()), (502, [1]), "GET with no attempts")


@port.test("a service that restarts under many requests: they wait, and it is knocked at, not stormed")
def knocking():
    with Members(1, service=NO_EJECT, workers=2, timeouts={"connect": "5s"}) as s:
        equal(s.get().status, 200, "status before")
        s.kill(0)
        done = []
        threads = [threading.Thread(target=lambda: done.append(s.get(method="POST", body=b"x").status))
                   for _ in range(60)]
        for t in threads:
            t.start()
        time.sleep(1.0)
        before = s.instance(0)["outcomes"]["connect"]
        time.sleep(1.0)
        attempts = s.instance(0)["outcomes"]["connect"] - before
        s.revive(0)
        for t in threads:
            t.join()
        equal(collections.Counter(done), {200: 60}, "statuses")
        check(attempts <= 2 * 12, "%d attempts in a second from two workers" % attempts)
        equal(s.counts(), [60], "each was asked once")


# --- bounds ---------------------------------------------------------------------------------------------------------

class Busiest:
    """Notes how many requests it has at a time."""

    def __init__(self, seconds):
        self.seconds, self.now, self.most, self.lock = seconds, 0, 0, threading.Lock()

    def __call__(self, seen, client):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(self.seconds)
        with self.lock:
            self.now -= 1
        return ok(b"done")


@port.test("a pool's bound holds for the whole process; who waits is served in time, by either worker")
def pool():
    busy = Busiest(0.05)
    with Members(1, answer=lambda i: busy, service={"pool": {"idle": 4, "open": 4, "waiting": 100}}, workers=2) as s:
        for _ in range(3):
            equal(collections.Counter(at_once(40, lambda i: s.get().status)), {200: 40}, "statuses")
        check(2 <= busy.most <= 4, "at most %d at a time" % busy.most)
        check(s.ups[0].open_now <= 4 and s.instance(0)["open"] <= 4, "connections: %d" % s.ups[0].open_now)
        at_once(40, lambda i: s.get(method="POST", body=b"x").status)
        eventually(lambda: s.instance(0)["in_flight"] == 0, "nothing is under way at the end")


@port.test("in line: first come, first served; under a load that never ends nobody waits for ever")
def first_come():
    service = {"pool": {"idle": 2, "open": 2, "waiting": 100}, "timeouts": {"connect": "2s"}}
    with Members(1, answer=lambda i: slow(0.02), service=service) as s:
        waits, lock = [], threading.Lock()

        def one(i):
            statuses = collections.Counter()
            with Client(s.port) as c:
                for _ in range(15):
                    began = time.monotonic()
                    statuses[c.get("/public/x").status] += 1
                    with lock:
                        waits.append(time.monotonic() - began)
            return statuses
        total = sum(at_once(24, one), collections.Counter())
        equal(total, {200: 360}, "statuses")
        fair = 24 * 0.02 / 2
        check(max(waits) < 4 * fair + 0.3, "the longest wait was %.2f s, all in turn wait %.2f s" % (max(waits), fair))


@port.test("no room: 503 pool_exhausted at once when the line is full, and in time when nothing comes free")
def pool_exhausted():
    service = {"pool": {"idle": 1, "open": 1, "waiting": 2}, "timeouts": {"connect": "500ms", "response": "10s"}}
    with Members(1, answer=lambda i: slow(1.5), service=service) as s:
        began = time.monotonic()

        def one(i):
            reply = s.get()
            return (reply.status, reply.json().get("code") if reply.status != 200 else None, reply.get("retry-after"),
                    time.monotonic() - began)
        results = at_once(6, one)
        refused = sorted(r[3] for r in results if r[:2] == (503, "pool_exhausted"))
        equal(sorted(r[0] for r in results), [200] + [503] * 5, "statuses: %s" % results)
        equal(len(refused), 5, "refusals of the pool: %s" % results)
        check(refused[2] < 0.4, "three find the line full: %s" % refused)
        check(0.4 < refused[3] < 1.2, "two wait as long as connecting may take: %s" % refused)
        check(all(r[2] for r in results if r[0] == 503), "Retry-After")
        equal(s.view()["pool_refusals"], 5, "counted")


@port.test("no socket to a service before the head is complete and permitted")
def no_socket():
    with Members(1) as s:
        halves = [Client(s.port) for _ in range(30)]
        for n, c in enumerate(halves):
            c.send(b"GET /public/x HTTP/1.1\r\nHost: gateway.test\r\nX-A: " + b"a" * n)
        for path in ("/user/x", "/keyed/x", "/nowhere"):
            check(s.get(path).status in (401, 404), "status of " + path)
        time.sleep(0.3)
        equal(s.ups[0].connections, 0, "connections")
        equal(s.instance(0)["open"], 0, "connections, as shown")
        halves[0].send(b"\r\n\r\n")
        equal(halves[0].reply().status, 200, "the one that was completed")
        equal(s.ups[0].connections, 1, "connections")
        for c in halves:
            c.close()


@port.test("a service's own timeouts: connecting and answering")
def own_timeouts():
    def change(c):
        c["services"]["other"] = {"instances": [s2.address]}
        c["actions"]["other"] = {"match": "GET /other", "to": "other", "public": True}
    with Upstream(slow(0.6)) as s2, Members(1, answer=lambda i: slow(0.6), change=change,
                                            service={"timeouts": {"response": "200ms"}}) as s:
        began = time.monotonic()
        reply = s.get()
        equal((reply.status, reply.json()["code"]), (504, "upstream_timeout"), "with 200 ms")
        check(0.15 < time.monotonic() - began < 0.5, "it took %.2f s" % (time.monotonic() - began))
        equal(s.get("/other").status, 200, "with the default")


# --- breakers -------------------------------------------------------------------------------------------------------

def with_partner(c):
    """Two kinds of callers for one action: users by token, a partner by its key."""
    c["products"]["shop"].update(caller="third-party", may=["keyed", "user", "admin", "both"])
    c["actions"]["both"] = {"match": "* /both/{rest*}", "to": "app",
                            "accept": {"user": ["token"], "third-party": ["apikey"]}}
    c["roles"]["user"] = ["user", "both"]


@port.test("a partner trips its breaker: it is refused at once, users are served; when the service is well again it closes")
def third_party_breaker():
    sick = threading.Event()
    sick.set()

    def answer(i):
        def one(seen, client):
            bad = "partner" in seen.target and sick.is_set()
            return ok(b"", status="503 Sick" if bad else "200 OK")
        return one
    service = dict(NO_EJECT, breaker={"errors": 50, "of": 10, "window": "10s", "open": "1s"})
    with Members(1, answer=answer, service=service, change=with_partner, workers=2) as s:
        user, partner = s.shop.auth(), [("apikey", s.shop.key.text)]

        def ask(fields, path):
            reply = s.get("/both/" + path, fields=fields)
            code = reply.json()["code"] if reply.status == 503 and reply.body else None
            return reply.status, code
        equal({ask(user, "user") for _ in range(5)}, {(200, None)}, "users before")
        equal([ask(partner, "partner") for _ in range(10)], [(503, None)] * 10, "the partner, ten times")
        s.clear()
        equal([ask(partner, "partner") for _ in range(20)], [(503, "breaker_open")] * 20, "the partner then")
        equal(s.counts(), [0], "what reached the service of it")
        equal({ask(user, "user") for _ in range(20)}, {(200, None)}, "users meanwhile")
        states = {b["caller"]: b["state"] for b in s.view()["breakers"]}
        equal(states, {"none": "closed", "user": "closed", "service": "closed", "third-party": "open"}, "breakers")
        metrics = s.gateway.metrics()
        equal(metrics['sallyport_breaker_open{service="app",caller="third-party"}'], 1, "the metric")
        time.sleep(1.1)
        equal(ask(partner, "partner"), (503, None), "one trial goes through")
        equal(ask(partner, "partner"), (503, "breaker_open"), "and opens it again")
        sick.clear()
        time.sleep(1.1)
        equal([ask(partner, "partner") for _ in range(20)], [(200, None)] * 20, "trials close it")
        for text in ("breaker opens", "breaker lets a trial", "breaker is closed"):
            equal(s.event(text)["caller"], "third-party", "whose, in the log")


@port.test("as many of one kind of caller under way as may be; the others are not held up")
def concurrency():
    service = dict(NO_EJECT, breaker={"errors": 50, "of": 1000, "window": "10s", "open": "1s",
                                      "concurrent": {"third-party": 3}})
    with Members(1, answer=lambda i: slow(0.4), service=service, change=with_partner, workers=2) as s:
        partner = [("apikey", s.shop.key.text)]
        results = {}

        def one(i):
            fields = partner if i < 8 else s.shop.auth()
            reply = s.get("/both/x", fields=fields)
            return (i < 8, reply.status, reply.json()["code"] if reply.status == 503 else None)
        results = collections.Counter(at_once(16, one))
        equal(results, {(True, 200, None): 3, (True, 503, "concurrency_limit"): 5, (False, 200, None): 8}, "results")
        equal(s.get("/both/x", fields=partner).status, 200, "the partner afterwards")
        bound = next(b for b in s.view()["breakers"] if b["caller"] == "third-party")
        equal((bound["in_flight"], bound["crowded"]), (0, 5), "under way, refused")


# --- reloads --------------------------------------------------------------------------------------------------------

@port.test("reloads under load: instances leave and join, answers under way end, nobody gets an error")
def reloads():
    def answer(i):
        return lambda seen, client: (time.sleep(1.5) if "long" in seen.target else None) or ok(b"%d" % i)
    with Members(3, answer=answer, workers=2) as s:
        slow_ones = []
        with load(s, 4, pause=0.003) as seen:
            longs = [threading.Thread(target=lambda: slow_ones.append(s.get("/public/long").status)) for _ in range(6)]
            for t in longs:
                t.start()
            time.sleep(0.2)
            for n in range(8):
                left = [e for i, e in enumerate(s.entries) if i != n % 3]
                s.gateway.config["services"]["app"]["instances"] = left
                s.gateway.config["services"]["app"]["balance"] = ("least-request", "round-robin")[n % 2]
                s.gateway.write_config()
                code, out, err = s.gateway.reload()
                equal(code, 0, "reload %d: %s" % (n, err))
                equal({v["address"] for v in s.view()["instances"]}, {e["address"] for e in left}, "instances shown")
                time.sleep(0.1)
            for t in longs:
                t.join()
        equal(set(seen), {200}, "statuses of %d requests" % sum(seen.values()))
        equal(slow_ones, [200] * 6, "those that were under way")
        last = s.entries.index(next(e for e in s.entries if e not in left))
        eventually(lambda: s.ups[last].open_now == 0, "connections to who left are closed")


@port.test("a reload keeps what is known: who is ejected stays so")
def reload_keeps():
    service = {"balance": "round-robin", "eject": {"failures": 2, "for": "30s", "at_most": 50}}
    with Members(2, answer=lambda i: ill[0][1] if i == 0 else None, service=service) as s:
        s.statuses(10)
        check(not s.instance(0)["serves"], "it is not ejected")
        s.gateway.config["timeouts"] = {"idle": "61s"}
        s.gateway.write_config()
        equal(s.gateway.reload()[0], 0, "reload")
        equal(s.statuses(10), {200: 10}, "statuses behind the reload")
        check(not s.instance(0)["serves"], "the reload has forgotten it")


@port.test("sallyport upstreams, for people")
def shown():
    service = {"breaker": {"errors": 50, "of": 10, "window": "10s", "open": "1s"}}
    with Members(2, service=service, members=[{"zone": "a"}, {"weight": 7}]) as s:
        s.statuses(5)
        code, out, err = s.gateway.cli("upstreams")
        equal((code, err), (0, ""), "exit")
        for word in ("app (least-request)", s.ups[0].address, s.ups[1].address, "unknown", "breaker third-party"):
            check(word in out, "%r is not in:\n%s" % (word, out))
        code, _, err = port.cli("upstreams", "--socket", "/nonexistent/cli.sock")
        check(code == 1 and "nonexistent" in err, "nobody there: %d %s" % (code, err))


if __name__ == "__main__":
    port.main()
