#!/usr/bin/env python3
"""Faults that an attacker's reading of the code has found, each named by what went wrong, and what `--product` hides."""

import os
import socket
import threading
import time

import port
from port import Client, Failure, Gateway, Issuer, Key, Shop, Upstream, bearer, check, equal, eventually, ok


# --- who opens what -------------------------------------------------------------------------------------------------

def token_product(config):
    """Beside `shop`, whose callers show a key, the product `web`, which follows from the token."""
    config["products"]["web"] = {"auth": "token", "may": ["keyed", "both"]}
    config["issuers"]["corp"].update(products=["shop", "web"], claims={"product": "prod"})
    config["actions"]["both"] = {"match": "* /both/{rest*}", "to": "app", "accept": ["token", "apikey"]}
    config["products"]["shop"]["may"].append("both")
    config["roles"]["admin"].append("both")


@port.test("an action that only a key opens is not opened by a token of a product that needs no key")
def key_only_action():
    with Shop(change=token_product) as shop:
        reply = port.fetch(shop.port, "/keyed/x", [bearer(shop.issuer.mint("mallory", roles=[], prod="web"))])
        equal((reply.status, reply.json()["code"]), (401, "apikey_missing"), "a token alone")
        key = ("apikey", shop.key.text)
        equal(port.fetch(shop.port, "/keyed/x", [key]).status, 200, "the key alone")
        equal(port.fetch(shop.port, "/keyed/x", [key, bearer(shop.issuer.mint("a", prod="shop"))]).status, 200, "both")
        equal(shop.upstream.count(), 2, "requests upstream")


@port.test("where either suffices, a good key does not make up for a token that grants nothing")
def both_presented():
    with Shop(change=token_product) as shop:
        def token(**claims):
            return bearer(shop.issuer.mint("alice", **claims))
        key = ("apikey", shop.key.text)
        equal(port.fetch(shop.port, "/both/x", [key]).status, 200, "the key alone")
        reply = port.fetch(shop.port, "/both/x", [key, token(roles=["user"], prod="shop")])
        equal((reply.status, reply.json()["code"]), (403, "action_not_granted"), "a good key and a poor token")
        equal(port.fetch(shop.port, "/both/x", [key, token(roles=["admin"], prod="shop", exp=1)]).status, 401,
              "a good key and a token of yesterday")
        equal(port.fetch(shop.port, "/both/x", [key, token(roles=["admin"], prod="web")]).status, 401,
              "a good key and a token of another product")
        equal(port.fetch(shop.port, "/both/x", [token(roles=["admin"], prod="web")]).status, 200, "a good token")
        equal(port.fetch(shop.port, "/both/x", [token(roles=["user"], prod="web")]).status, 403, "a poor token")
        equal(port.fetch(shop.port, "/both/x", [token(roles=["admin"], prod="shop")]).status, 401, "no key")


# --- bounds of the configuration ------------------------------------------------------------------------------------

@port.test("as many fields as the configuration may allow fit into a request")
def many_fields():
    for wanted in (1000, 256):
        folder = port.folder()
        path = os.path.join(folder, "sallyport.yaml")
        with open(path, "w") as file:
            file.write("{sallyport: 1, limits: {fields: %d}, services: {a: {instances: [\"127.0.0.1:1\"]}}}" % wanted)
        code, out, err = port.cli("lint", path)
        if "limits.fields" in out + err:
            check(wanted > 256, "fields: 256 is refused: " + out + err)
            continue

        def change(c, wanted=wanted):
            c["limits"] = {"fields": wanted, "head": "64kB", "buffer": "64kB"}
        with Shop(change=change) as shop:
            fields = [("X-F%d" % i, "v") for i in range(wanted - 1)]
            equal(port.fetch(shop.port, "/public/x", fields).status, 200, "status with %d fields" % wanted)
            equal(port.fetch(shop.port, "/public/x", fields + [("X-One", "more")]).status, 431, "one more")


@port.test("no least rate means none: a slow body is waited for")
def rate_zero():
    def change(config):
        config["timeouts"] = {"body_rate": 0, "body_grace": "100ms"}
    with Shop(change=change) as shop:
        with shop.client() as client:
            client.send("POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
            for byte in "abc":
                time.sleep(0.3)
                client.send(byte)
            equal(client.reply().status, 200, "status")


# --- states of a connection -----------------------------------------------------------------------------------------

@port.test("a request behind a body that was refused whole is answered at once")
def behind_refused_body():
    def change(config):
        config["actions"]["open"]["body"] = "4B"
    with Shop(change=change) as shop:
        with shop.client(timeout=3) as client:
            client.send("POST /public/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            eventually(lambda: shop.upstream.bytes(), "the head is upstream")
            client.send("a\r\n0123456789\r\n0\r\n\r\nGET /public/next HTTP/1.1\r\nHost: a\r\n\r\n")
            equal(client.reply().status, 413, "the first")
            equal(client.reply().status, 200, "the second")


@port.test("a slow reader who asked for a close gets the whole answer")
def slow_reader_close():
    body = os.urandom(64 * 1024) * 160
    with Shop(lambda seen, client: ok(body)) as shop:
        with shop.client(rcvbuf=16384, timeout=20) as client:
            client.send("GET /public/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            head = client.head()
            got, began = len(client.buffer), time.monotonic()
            step = len(body) // 60 # about six seconds for all of it
            while got < len(body):
                want = min(len(body) - got, step)
                piece = client.sock.recv(want)
                if not piece:
                    raise Failure("cut at %d of %d bytes after %.1f s" % (got, len(body), time.monotonic() - began))
                got += len(piece)
                time.sleep(0.1 * len(piece) / step)
            equal(head.status, 200, "status")


@port.test("who sends a large body too fast still hears why it was refused")
def refusal_is_heard():
    with Shop() as shop:
        for attempt in range(5):
            with shop.client() as client:
                client.send("POST /user/x HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000\r\n\r\n")
                with_answer = []

                def read(client=client, with_answer=with_answer):
                    try:
                        with_answer.append(client.reply())
                    except (Failure, OSError) as error:
                        with_answer.append(error)
                reader = threading.Thread(target=read)
                piece = b"x" * 262144
                try:
                    for _ in range(100):
                        client.send(piece)
                except OSError:
                    pass
                reader.start()
                reader.join(10)
                check(with_answer and getattr(with_answer[0], "status", 0) == 401,
                      lambda: "attempt %d: %r" % (attempt, with_answer))


@port.test("who ends its side behind a body that nobody reads still hears why it was refused")
def half_close_is_heard():
    with Shop() as shop:
        for attempt in range(10):
            with shop.client() as client:
                client.send(b"POST /user/x HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200000)
                client.half_close()
                equal(client.reply().status, 401, "status of attempt %d" % attempt)


@port.test("an HTTP/1.0 client can tell an answer that was cut from a whole one")
def cut_is_told():
    def serve(client):
        client.until(b"\r\n\r\n")
        client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        time.sleep(0.2)
    with Shop(upstream=Upstream(serve=serve)) as shop:
        with shop.client() as client:
            client.send("GET /public/x HTTP/1.0\r\nHost: a\r\n\r\n")
            equal(client.head().status, 200, "status")
            ended = "cut"
            try:
                while client.sock.recv(100):
                    pass
                ended = "whole"
            except ConnectionResetError:
                pass
            equal(ended, "cut", "the answer seems")


# --- one does not starve the others ---------------------------------------------------------------------------------

def one_worker(config):
    config["workers"] = 1


def worst_wait(shop, seconds=2.0):
    worst, until = 0.0, time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        with Client(shop.port, timeout=8) as client:
            equal(client.get("/public/x").status, 200, "status of the other one")
        worst = max(worst, time.monotonic() - began)
    return worst


def pour(shop, stop, first, piece):
    """One connection that sends as fast as it can and reads as fast as it can."""
    client = Client(shop.port, timeout=4)

    def drain():
        try:
            while client.sock.recv(1 << 20):
                pass
        except OSError:
            pass
    threading.Thread(target=drain, daemon=True).start()
    try:
        client.send(first)
        while not stop.is_set():
            client.send(piece)
    except OSError:
        pass
    client.close()


def starvation(first, piece, bound):
    with Shop(change=one_worker) as shop:
        stop = threading.Event()
        busy = threading.Thread(target=pour, args=(shop, stop, first, piece), daemon=True)
        busy.start()
        time.sleep(0.3)
        try:
            worst = worst_wait(shop)
        finally:
            stop.set()
        busy.join(5)
        check(worst < bound, "another client waited %.2f s" % worst)


@port.test("a flood of refused requests on one connection does not hold up the others")
def flood_of_refusals():
    starvation(b"", b"GET /user/x HTTP/1.1\r\nHost: a\r\n\r\n" * 5000, 0.5)


@port.test("a large body on one connection does not hold up the others")
def flood_of_body():
    starvation(b"POST /public/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
               b"1\r\nx\r\n" * 50000, 0.5)


@port.test("idle connections to one service do not keep another from being reached")
def hoarded_connections():
    barrier = threading.Barrier(17, timeout=10)

    def answer(seen, client):
        if "wait" in seen.target:
            barrier.wait()
        return ok(b"a")
    other = Upstream()

    def change(config):
        config["workers"] = 1
        config["limits"] = {"connections": 18}
        config["services"]["other"] = {"instances": [other.address]}
        config["actions"]["other"] = {"match": "* /other/{rest*}", "to": "other", "public": True}
    with Shop(answer, change) as shop:
        def one():
            with Client(shop.port) as client:
                client.get("/public/wait")
        threads = [threading.Thread(target=one) for _ in range(16)]
        for thread in threads:
            thread.start()
        barrier.wait()
        for thread in threads:
            thread.join()
        clients = [Client(shop.port) for _ in range(6)]
        for n, client in enumerate(clients):
            client.send("GET /other/x HTTP/1.1\r\nHost: a\r\n\r\n")
        for n, client in enumerate(clients):
            equal(client.reply().status, 200, "status of the %d. request to the other service" % n)
    other.stop()


# --- the operator's side --------------------------------------------------------------------------------------------

@port.test("watchers that went away in silence leave the control socket to others")
def dead_watchers():
    with Shop() as shop:
        path = os.path.join(shop.gateway.data, "cli.sock")
        for _ in range(70):
            watcher = Client(path)
            watcher.send("GET /v1/decisions?follow=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            equal(watcher.head().status, 200, "status of a watcher")
            watcher.close()
            time.sleep(0.01)
        time.sleep(0.3)
        code, out, err = shop.gateway.cli("reload")
        equal(code, 0, "exit code of reload (%s)" % (out + err))


@port.test("a crowd at the admin listener leaves the control socket to the operator")
def crowd_at_admin():
    with Shop() as shop:
        crowd = [Client(shop.admin) for _ in range(100)]
        time.sleep(0.2)
        code, out, err = shop.gateway.cli("reload")
        equal(code, 0, "exit code of reload (%s)" % (out + err))
        for client in crowd:
            client.close()
        eventually(lambda: Client(shop.admin).get("/livez", host="127.0.0.1:%d" % shop.admin).status == 200,
                   "the admin listener answers again")


@port.test("a gateway that could not start leaves the other one's Unix socket alone")
def foreign_socket():
    with Upstream() as upstream:
        folder = port.folder()
        taken = os.path.join(folder, "gw.sock")

        def config(first):
            return {"listen": {"gateway": [first, "unix:" + taken]},
                    "services": {"app": {"instances": [upstream.address]}},
                    "actions": {"open": {"match": "* /public/{rest*}", "to": "app", "public": True}}}
        with Gateway(config("127.0.0.1:%d" % port.free_port())) as one:
            equal(port.fetch(taken, "/public/x").status, 200, "by its Unix socket")
            two = Gateway(config("127.0.0.1:%d" % port.free_port()), wait=False)
            eventually(lambda: not two.process.alive(), "the second one gives up", 10)
            Gateway.alive.remove(two)
            equal(two.process.popen.returncode, 1, "its exit code")
            check(one.process.alive(), "the first one is alive")
            equal(port.fetch(taken, "/public/x").status, 200, "by its Unix socket afterwards")


@port.test("a data folder that others may write into is refused")
def foreign_data_folder():
    data = os.path.join(port.folder(), "data")
    os.mkdir(data)
    os.chmod(data, 0o777)
    gateway = Gateway({"actions": {}, "data": data}, wait=False)
    eventually(lambda: not gateway.process.alive(), "it gives up", 10)
    Gateway.alive.remove(gateway)
    check("data folder" in gateway.process.err(), "it says why: " + gateway.process.err())
    equal(os.listdir(data), [], "what it left in the folder")


# --- one product's gateway ------------------------------------------------------------------------------------------

class OneProduct(Gateway):
    """`sallyport gateway --product a` of a configuration with two products."""

    def __init__(self, config, files):
        super().__init__(config, files, wait=False)
        self.process.stop(10)
        self.process = port.Process([port.binary(), "gateway", "--product", "a", "--config", self.path], cwd=self.dir,
                                    env=self.env)
        self.wait_ready()


@port.test("a gateway of one product knows neither the keys, nor the routes, nor the issuers of another")
def only_product():
    keys = {name: Key(name) for name in "ab"}
    issuers = {name: Issuer(url="https://%s.test" % name) for name in ("a", "b", "any")}
    upstream = Upstream()
    config = {
        "issuers": {
            "ia": issuers["a"].config("a.jwks", products=["a"], roles=["user"]),
            "ib": issuers["b"].config("b.jwks", products=["b"], roles=["user"]),
            "iany": issuers["any"].config("any.jwks", products=["a", "b"], roles=["user"],
                                          claims={"product": "prod"}),
        },
        "products": {"a": {"keys": [keys["a"].entry], "may": ["forA", "shared", "app:invoke"]},
                     "b": {"keys": [keys["b"].entry], "may": ["forB", "shared", "other:invoke"]}},
        "services": {"app": {"instances": [upstream.address]}, "other": {"instances": [upstream.address]}},
        "actions": {"forA": {"match": "GET /a", "to": "app"}, "forB": {"match": "GET /b", "to": "app"},
                    "shared": {"match": "GET /shared", "to": "app", "accept": ["token", "apikey"]},
                    "open": {"match": "GET /open", "to": "app", "public": True}},
        "roles": {"user": ["forA", "forB", "shared", "app:invoke", "other:invoke"]},
    }
    files = {name + ".jwks": issuer.jwks() for name, issuer in issuers.items()}
    with OneProduct(config, files) as gateway:
        def token(issuer, **more):
            return bearer(issuers[issuer].mint("alice", roles=["user"], **more))

        key = {name: ("apikey", k.text) for name, k in keys.items()}
        for what, path, fields, want in [
                ("token and key of A", "/a", [key["a"], token("a")], 200),
                ("token of A with the key of B", "/a", [key["b"], token("a")], 401),
                ("token of B with the key of A", "/a", [key["a"], token("b")], 401),
                ("token and key of B", "/shared", [key["b"], token("b")], 401),
                ("key of B alone", "/shared", [key["b"]], 401),
                ("key of A alone", "/shared", [key["a"]], 200),
                ("shared issuer, product A", "/a", [key["a"], token("any", prod="a")], 200),
                ("shared issuer, product B", "/a", [key["a"], token("any", prod="b")], 401),
                ("shared issuer, no product said", "/a", [key["a"], token("any")], 200),
                ("route of B as A", "/b", [key["a"], token("a")], 404),
                ("route of B as B", "/b", [key["b"], token("b")], 404),
                ("implicit route of A", "/app/x", [key["a"], token("a")], 200),
                ("implicit route of B", "/other/x", [key["a"], token("a")], 404),
                ("public route", "/open", [], 200)]:
            equal(port.fetch(gateway.port, path, fields).status, want, what)
        code, out, err = gateway.cli("reload")
        equal(code, 0, "exit code of reload (%s)" % (out + err))
        equal(port.fetch(gateway.port, "/b", [key["b"], token("b")]).status, 404, "route of B after a reload")
        equal(port.fetch(gateway.port, "/a", [key["a"], token("a")]).status, 200, "route of A after a reload")
    gateway = Gateway(config, files, wait=False)
    gateway.process.stop(10)
    Gateway.alive.remove(gateway)
    wrong = port.Process([port.binary(), "gateway", "--product", "c", "--config", gateway.path], cwd=gateway.dir)
    equal(wrong.wait(10), 78, "exit code for a product that is not there")
    check("c" in wrong.err(), "the message names it")
    upstream.stop()


if __name__ == "__main__":
    port.main()
