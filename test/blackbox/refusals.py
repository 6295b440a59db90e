#!/usr/bin/env python3
"""What a refusal tells, to whom: the problem document, the challenge, `why`, `tap`, the access log, the metrics."""

import json
import os
import re
import signal
import subprocess

import port
from port import Client, Failure, Process, Shop, bearer, check, equal

_shop = None


def change(c):
    c["services"]["dead"] = {"instances": ["127.0.0.1:%d" % port.free_port()]}
    c["actions"]["broken"] = {"match": "GET /broken", "to": "dead", "public": True}
    c["actions"]["small"] = {"match": "POST /small", "to": "app", "public": True, "body": "10B"}
    c["actions"]["ungranted"] = {"match": "GET /ungranted", "to": "app"}
    c["timeouts"] = {"connect": "300ms"}


def shop():
    global _shop
    if _shop is None:
        _shop = Shop(port.mirror, change=change)
    _shop.upstream.clear()
    return _shop


ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


def decision_id(reply):
    found = reply.json().get("decision_id", "")
    check(ULID.fullmatch(found), "decision_id %r" % found)
    return found


# name, method, path, what the caller shows, status, code
refusals = [
    ("no key", "GET", "/user/x", "nothing", 401, None),
    ("key without token", "GET", "/user/x", "key", 401, "token_missing"),
    ("token without key", "GET", "/user/x", "token", 401, "apikey_missing"),
    ("unknown key", "GET", "/user/x", "unknown key", 401, "apikey_unknown"),
    ("malformed key", "GET", "/user/x", "bad key", 401, "apikey_malformed"),
    ("malformed token", "GET", "/user/x", "bad token", 401, "token_malformed"),
    ("bad signature", "GET", "/user/x", "bad signature", 401, "token_signature"),
    ("expired token", "GET", "/user/x", "expired", 401, "token_expired"),
    ("wrong audience", "GET", "/user/x", "wrong audience", 401, "token_audience"),
    ("unknown issuer", "GET", "/user/x", "unknown issuer", 401, "token_issuer_unknown"),
    ("role that grants nothing", "GET", "/admin/x", "user", 403, "action_not_granted"),
    ("product that may not", "GET", "/ungranted", "user", 403, None),
    ("no route", "GET", "/nowhere/x", "user", None, "no_route"),
    ("no route, no credentials", "GET", "/nowhere/x", "nothing", None, None),
    ("method", "DELETE", "/broken", "nothing", 405, "method_not_allowed"),
    ("known method that no action of the path takes", "PROPFIND", "/broken", "nothing", 405, "method_not_allowed"),
    ("unknown method", "FROB", "/broken", "nothing", 501, "method_unknown"),
    ("unknown method where any is taken", "FROB", "/public/x", "nothing", 501, "method_unknown"),
    ("unknown method, no route", "FROB", "/nowhere/x", "nothing", 501, "method_unknown"),
    ("a method in small letters", "get", "/public/x", "nothing", 501, "method_unknown"),
    ("a method too long for any", "F" * 40, "/public/x", "nothing", 501, "method_unknown"),
    ("CONNECT", "CONNECT", "/public/x", "nothing", 501, "method_unknown"),
    ("path", "GET", "/public/../x", "nothing", 400, "path_refused"),
    ("malformed request", "GET", "/public/a b", "nothing", 400, "request_malformed"),
    ("target too long", "GET", "/public/" + "y" * 9000, "nothing", 414, "target_too_long"),
    ("body too large", "POST", "/small", "nothing", 413, "body_too_large"),
    ("dead service", "GET", "/broken", "nothing", None, "upstream_connect"),
]


def caller(s, kind):
    token = s.issuer.mint
    return {"nothing": lambda: [], "key": lambda: [("apikey", s.key.text)], "token": lambda: [bearer(token())],
            "user": s.auth,
            "unknown key": lambda: [("apikey", port.Key("elsewhere").text), bearer(token())],
            "bad key": lambda: [("apikey", "sp_test_nonsense"), bearer(token())],
            "bad token": lambda: [("apikey", s.key.text), bearer("nonsense")],
            "bad signature": lambda: [("apikey", s.key.text), bearer(token(key=port.SigningKey("ES256", s.issuer.keys[0].kid)))],
            "expired": lambda: [("apikey", s.key.text), bearer(token(exp=1))],
            "wrong audience": lambda: [("apikey", s.key.text), bearer(token(aud="x"))],
            "unknown issuer": lambda: [("apikey", s.key.text), bearer(token(iss="https://x"))]}[kind]()


@port.cases("refusal", refusals)
def refusal(name, method, path, who, status, code):
    s = shop()
    fields = caller(s, who)
    reply = port.fetch(s.port, path, fields, method=method, body=b"y" * 100 if method == "POST" else None)
    if status is None:
        check(400 <= reply.status < 600, "status %d" % reply.status)
    else:
        equal(reply.status, status, "status")
    equal(reply.get("content-type"), "application/problem+json", "content type")
    problem = reply.json()
    equal(problem.get("status"), reply.status, "status in the problem")
    check({"type", "title", "status", "code", "decision_id", "gate"} <= set(problem), "members: %s" % sorted(problem))
    equal(problem["gate"], 1, "gate")
    check(re.fullmatch(r"[a-z]+(_[a-z]+)*", problem["code"]), "code %r" % problem["code"])
    if code:
        equal(problem["code"], code, "code")
    if reply.status in (401, 403) and (reply.status == 401 or reply.get("www-authenticate")):
        check(problem["code"] in reply.get("www-authenticate", ""), "challenge %r" % reply.get("www-authenticate"))
    if reply.status == 405:
        check("GET" in reply.get("allow", ""), "Allow: %r" % reply.get("allow"))
    # outwardly no rule, no name of the configuration
    outward = reply.raw_head.decode("latin-1") + reply.body.decode()
    for inner in ("rule", "ungranted", "corp", "buyer", "dead", "127.0.0.1", "shop", s.issuer.url):
        check(inner not in outward, "the refusal says %r: %s" % (inner, outward))
    for header, value in fields:
        check(value not in outward, "%s is echoed" % header)
    # inwardly everything
    ident = decision_id(reply)
    code_, out, err = s.gateway.cli("why", ident)
    equal(code_, 0, "exit code of why (%s)" % err)
    check(problem["code"] in out, "`why` does not name %s: %s" % (problem["code"], out))
    check(len(out.split("\n")) >= 3, "`why` says little: %r" % out)
    code_, out, err = s.gateway.cli("why", "--json", ident)
    equal(code_, 0, "exit code of why --json (%s)" % err)
    told = json.loads(out)["decision"]
    equal((told.get("decision_id"), told.get("reason")), (ident, problem["code"]), "id and reason in JSON")


@port.test("why: a granted request is explained too, by the id in the access log")
def why_granted():
    s = shop()
    equal(port.fetch(s.port, "/user/granted-one", s.auth()).status, 200, "status")
    record = port.eventually(lambda: [r for r in s.gateway.log() if r.get("path") == "/user/granted-one"], "the access log line")
    code, out, err = s.gateway.cli("why", record[0]["decision_id"])
    equal(code, 0, "exit code (%s)" % err)
    check("granted" in out and "user" in out and "alice" in out, "it says: %s" % out)


@port.test("why: an unknown id is 1, nonsense is 2, no running product is 1")
def why_errors():
    s = shop()
    equal(s.gateway.cli("why", "01J00000000000000000000000")[0], 1, "an unknown id")
    equal(s.gateway.cli("why", "nonsense/../x")[0] in (1, 2), True, "nonsense")
    equal(s.gateway.cli("why")[0], 2, "no id")
    code, _, err = port.cli("why", "01J00000000000000000000000", "--socket", "/nonexistent/cli.sock")
    equal(code, 1, "no running product")
    check("/nonexistent/cli.sock" in err, "it does not say where it looked: %s" % err)


@port.test("the socket is found by --socket, SALLYPORT_SOCKET and ./.sallyport/cli.sock")
def socket_found():
    s = shop()
    where = os.path.join(s.gateway.data, "cli.sock")
    equal(os.stat(where).st_mode & 0o777, 0o600, "mode of cli.sock")
    ident = decision_id(port.fetch(s.port, "/user/x"))
    bare = {k: v for k, v in os.environ.items() if k != "SALLYPORT_SOCKET"}
    equal(port.cli("why", "--socket", where, ident, env=bare)[0], 0, "--socket")
    equal(port.cli("why", ident, env=dict(bare, SALLYPORT_SOCKET=where))[0], 0, "SALLYPORT_SOCKET")
    home = port.folder()
    os.symlink(s.gateway.data, os.path.join(home, ".sallyport"))
    equal(port.cli("why", ident, env=bare, cwd=home)[0], 0, "./.sallyport/cli.sock")


@port.test("another local user is not the operator")
def other_user():
    s = shop()
    if os.getuid() != 0:
        raise port.Skip("only root can become somebody else")
    os.chmod(s.gateway.dir, 0o755)
    os.chmod(os.path.dirname(port.binary()), 0o755)
    socket_path = os.path.join(s.gateway.data, "cli.sock")
    script = "import socket; socket.socket(socket.AF_UNIX).connect(%r)" % socket_path
    for opened in (False, True):
        if opened:  # even if somebody opens the folder and the socket: the kernel says who is calling
            os.chmod(s.gateway.data, 0o755)
            os.chmod(socket_path, 0o666)
            script += "; s = socket.socket(socket.AF_UNIX); s.connect(%r); s.settimeout(3)" % socket_path
            script += "; s.send(b'GET /v1/status HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n'); print(s.recv(4096))"
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "python3", "-c", script],
                              capture_output=True, text=True)
        check(b"generation" not in done.stdout.encode(), "it was answered: %s" % done.stdout)
        if not opened:
            check("PermissionError" in done.stderr, "it could connect: %s" % done.stderr)


@port.test("tap shows what happens, tap --deny only what is refused")
def tap():
    s = shop()
    env = dict(os.environ, SALLYPORT_SOCKET=os.path.join(s.gateway.data, "cli.sock"))
    everything = Process([port.binary(), "tap", "--json"], env=env)
    denials = Process([port.binary(), "tap", "--deny", "--json"], env=env)
    human = Process([port.binary(), "tap"], env=env)
    port.eventually(lambda: [port.fetch(s.port, "/public/tapped"), port.fetch(s.port, "/user/tapped")] and
                    "/user/tapped" in denials.out() and "/public/tapped" in everything.out() and "tapped" in human.out(),
                    "what happens is shown", every=0.2)
    for line in everything.out().split("\n")[:-1]:
        json.loads(line)
    check("/public/tapped" not in denials.out(), "tap --deny shows what was permitted")
    for p in (everything, denials, human):
        p.signal(signal.SIGINT)
        check(p.wait() in (0, 130, -2), "tap ended with %s" % p.popen.returncode)


@port.test("tap ends with the product, says so, and that is no failure; without a product it is one")
def tap_ends():
    with Shop(port.mirror) as s:
        env = dict(os.environ, SALLYPORT_SOCKET=os.path.join(s.gateway.data, "cli.sock"))
        for number in (signal.SIGTERM, signal.SIGKILL):
            watching = Process([port.binary(), "tap", "--json"], env=env)
            port.eventually(lambda: port.fetch(s.port, "/public/x") and "/public/x" in watching.out(), "it shows", every=0.2)
            s.gateway.process.signal(number)
            equal(watching.wait(), 0, "exit code of tap (%s)" % watching.err())
            check("the product ended" in watching.err(), "it says: %s" % watching.err())
            s.gateway.process.wait()
            if number == signal.SIGTERM:
                s.gateway.process = Process([port.binary(), "run", "--config", s.gateway.path], cwd=s.gateway.dir)
                s.gateway.wait_ready()
        equal(port.cli("tap", env=env)[0], 1, "exit code of tap without a product")
        s.gateway.stop = lambda: port.Gateway.alive.remove(s.gateway)  # it is gone already


# --- log -------------------------------------------------------------------------------------------------------------------

@port.test("log: every line is JSON whatever was sent, and none has a key or a token")
def log():
    s = shop()
    token = s.issuer.mint("mallory", roles=["user"])
    bad_token = s.issuer.mint("mallory", exp=1)
    secrets = [s.key.text, token, bad_token, token.split(".")[2], bad_token.split(".")[2], "Sup3rSecretCookie"]
    other = port.Key("elsewhere").text
    secrets.append(other)
    evil = ['"}\n{"ts":1}', "\\", "\x7f", "\xe2\x80\xa8", "\xff\xfe", "%0a", "\x1b[31m", '","level":"x', "${jndi:x}", "\u0080"]
    requests = []
    for text in evil:
        raw = text.encode("latin-1", "replace")
        requests += [b"GET /public/" + raw + b" HTTP/1.1\r\nHost: a\r\n\r\n",
                     b"GET /public/x HTTP/1.1\r\nHost: a\r\nUser-Agent: " + raw + b"\r\nX-Correlation-ID: " + raw + b"\r\n"
                     b"traceparent: " + raw + b"\r\nReferer: " + raw + b"\r\n\r\n",
                     b"GET /user/x HTTP/1.1\r\nHost: a\r\napikey: " + raw + b"\r\nAuthorization: Bearer " + raw + b"\r\n\r\n",
                     raw + b" /public/x HTTP/1.1\r\nHost: a\r\n\r\n"]
    for key, tok in ((s.key.text, token), (s.key.text, bad_token), (other, token), (s.key.text + "x", token + "x")):
        requests.append(("GET /user/x HTTP/1.1\r\nHost: a\r\napikey: %s\r\nAuthorization: Bearer %s\r\n"
                         "Cookie: s=Sup3rSecretCookie\r\n\r\n" % (key, tok)).encode())
        requests.append(("GET /user/x?access_token=%s&apikey=%s HTTP/1.1\r\nHost: a\r\n\r\n" % (tok, key)).encode())
    requests.append(b"GET /public/" + b"y" * 8000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    for sub in ('"}\u2028', "<script>", "a" * 256, "ä" * 100):
        requests.append(("GET /user/x HTTP/1.1\r\nHost: a\r\napikey: %s\r\nAuthorization: Bearer %s\r\n\r\n" %
                         (s.key.text, s.issuer.mint(sub, roles=["user"]))).encode())
    for raw in requests:
        with Client(s.port) as c:
            try:
                c.send(raw)
                c.half_close()
                c.rest()
            except (OSError, Failure):
                pass
    port.fetch(s.port, "/public/the-end")
    port.eventually(lambda: "/public/the-end" in s.gateway.process.err(), "the last line is written")
    text = s.gateway.process.err()
    records = s.gateway.log()  # parses every line
    for record in records:
        check({"ts", "level", "role", "msg"} <= set(record), "a record lacks its members: %r" % record)
    access = [r for r in records if r["msg"] == "access"]
    check(len(access) >= len(requests) // 2, "%d access lines for %d requests" % (len(access), len(requests)))
    for record in access:
        check({"decision_id", "gate", "status", "decision", "reason"} <= set(record), "access line: %r" % record)
    for secret in secrets:
        check(secret not in text, "a secret is in the log: …%s" % secret[-8:])
    check(not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text), "a control byte is in the log")
    for name in ("access_token", "Sup3r"):
        check(name not in text, "%s is in the log" % name)


# --- admin listener ------------------------------------------------------------------------------------------------------------------

def admin(s, path, method="GET", host=None, fields=(), body=None):
    return port.fetch(s.admin, path, fields, method, body, host or "127.0.0.1:%d" % s.admin)


@port.test("admin: /livez, /readyz?verbose, /startupz, /metrics")
def admin_paths():
    s = shop()
    equal(admin(s, "/livez").status, 200, "/livez")
    equal(admin(s, "/readyz").status, 200, "/readyz")
    equal(admin(s, "/startupz").status, 200, "/startupz")
    verbose = admin(s, "/readyz?verbose")
    check(verbose.status == 200 and b"issuer" in verbose.body and b"configuration" in verbose.body,
          "verbose: %r" % verbose.body)
    equal(admin(s, "/livez", "HEAD").body, b"", "body of HEAD")
    equal(admin(s, "/nothing").status, 404, "another path")
    check(admin(s, "/livez", "POST", body=b"").status in (405, 404, 415), "POST /livez")
    for path in ("/v1/reload", "/v1/status", "/v1/decisions?follow=1"):
        check(admin(s, path, "POST" if "reload" in path else "GET",
                    body=b"{}" if "reload" in path else None).status in (404, 405, 415), path + " on the admin listener")


@port.test("admin: Host and Origin are its own or nothing is told")
def admin_host():
    s = shop()
    own = "127.0.0.1:%d" % s.admin
    for host in ("evil.example", "evil.example:%d" % s.admin, "127.0.0.1:1", "127.0.0.1.evil.example:%d" % s.admin, "a"):
        reply = admin(s, "/metrics", host=host)
        check(reply.status in (400, 403, 421), "Host %s: status %d" % (host, reply.status))
        check(b"sallyport_" not in reply.body, "Host %s was told the metrics" % host)
    for origin in ("http://evil.example", "null", "https://" + own, "http://127.0.0.1:1", "http://" + own + ".evil.example"):
        reply = admin(s, "/metrics", fields=[("Origin", origin)])
        check(reply.status in (400, 403), "Origin %s: status %d" % (origin, reply.status))
    for host in (own, "localhost:%d" % s.admin):
        reply = admin(s, "/livez", host=host)
        check(reply.status == 200 or host != own, "own address %s: status %d" % (host, reply.status))
    equal(admin(s, "/metrics", fields=[("Origin", "http://" + own)]).status, 200, "own Origin")
    reply = admin(s, "/metrics")
    equal(reply.get("access-control-allow-origin"), None, "CORS")
    equal((reply.get("cache-control"), reply.get("x-content-type-options")), ("no-store", "nosniff"), "headers")


@port.test("admin: never on the data path, the data path never on admin")
def admin_apart():
    s = shop()
    for path in ("/livez", "/readyz", "/metrics", "/v1/status", "/startupz"):
        reply = port.fetch(s.port, path)
        check(reply.status in (401, 403, 404), "%s through the gateway: %d" % (path, reply.status))
        check(b"sallyport_" not in reply.body, "the gateway serves its metrics")
    equal(admin(s, "/public/x").status, 404, "an action on the admin listener")
    equal(s.upstream.count(), 0, "requests upstream")


@port.test("admin: none switches it off")
def admin_none():
    with Shop(change=lambda c: c.update(listen={"gateway": "127.0.0.1:%d" % port.free_port(), "admin": "none"}),
              wait=False) as s:
        where = s.gateway.config["listen"]["gateway"]
        port.eventually(lambda: port.fetch(int(where.split(":")[1]), "/public/x").status == 200, "the gateway serves")
        with open("/proc/%d/net/tcp" % s.gateway.pid):
            pass
        out = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True).stdout
        mine = [line for line in out.split("\n") if "pid=%d," % s.gateway.pid in line]
        check(all(":" + where.split(":")[1] in line for line in mine), "it listens on: %s" % mine)


@port.test("admin: a slow or broken client there is cut, and disturbs nobody")
def admin_slow():
    s = shop()
    held = [Client(s.admin) for _ in range(30)]
    for c in held:
        c.send("GET /metrics HTTP/1.1\r\nHo")
    equal(admin(s, "/livez").status, 200, "/livez beside thirty slow clients")
    with Client(s.admin) as c:
        c.send(b"GET / HTTP/1.1\nHost: a\n\n" + b"\0" * 100)
        check(b" 400 " in c.rest()[:20], "garbage to the admin listener")
    for c in held:
        c.close()


# --- metrics ------------------------------------------------------------------------------------------------------------------------

def total(metrics, name, **labels):
    found = 0
    for key, value in metrics.items():
        if key.split("{")[0] == name and all('%s="%s"' % item in key for item in labels.items()):
            found += value
    return found


@port.test("metrics: counted by action and decision, never by path or user; well-formed for Prometheus")
def metrics():
    s = shop()
    before = s.gateway.metrics()
    for _ in range(7):
        port.fetch(s.port, "/public/counted")
    for _ in range(3):
        port.fetch(s.port, "/user/counted")
    for _ in range(2):
        port.fetch(s.port, "/user/counted", s.auth("zaphod"))
    after = port.eventually(lambda: s.gateway.metrics(), "metrics")

    def grown(name, **labels):
        return total(after, name, **labels) - total(before, name, **labels)
    equal(grown("sallyport_requests_total", action="open"), 7, "requests of the action open")
    equal(grown("sallyport_requests_total", action="user"), 5, "requests of the action user")
    equal(grown("sallyport_requests_total", action="user", code="401"), 3, "requests of user refused")
    equal(grown("sallyport_denies_total", gate="1"), 3, "denials of gate 1")
    equal(grown("sallyport_request_duration_seconds_count"), 12, "durations")
    check(total(after, "sallyport_decision_duration_seconds_count", gate="1") > 0, "decision durations")
    check(total(after, "sallyport_config_version") >= 1, "sallyport_config_version")
    text = admin(s, "/metrics").body.decode()
    samples = "\n".join(line for line in text.split("\n") if not line.startswith("#"))
    for word in ("counted", "zaphod", "alice", s.key.text):
        check(word not in samples, "a label has %r" % word)
    check(admin(s, "/metrics").get("content-type", "").startswith("text/plain"), "content type")
    typed = set()
    for line in text.split("\n"):
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            check(name not in typed, "%s is declared twice" % name)
            typed.add(name)
        elif line and not line.startswith("#"):
            found = re.fullmatch(r'([a-z_]+)(\{[a-z_]+="[^"\n]*"(,[a-z_]+="[^"\n]*")*\})? [0-9.e+-]+(Inf)?', line)
            check(found, "not a sample: %r" % line)
            base = re.sub(r"_(bucket|sum|count)$", "", found.group(1))
            check(base in typed or found.group(1) in typed, "%s has no type" % found.group(1))
    # ten thousand paths make no series
    series = len(after)
    with s.client() as c:
        for n in range(300):
            c.get("/nowhere/%d" % n)
    check(len(s.gateway.metrics()) - series < 10, "%d series for 300 paths" % (len(s.gateway.metrics()) - series))


if __name__ == "__main__":
    port.main()
