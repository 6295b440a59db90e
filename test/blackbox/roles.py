#!/usr/bin/env python3
# test: seconds 240
"""Every role as a process of its own: who has the database, what a kill of the data role costs (nothing that was
acknowledged), who gets in at its socket."""

import json
import os
import re
import signal
import socket
import stat
import struct
import subprocess
import threading
import time

import port
from port import Process, Skip, check, equal, eventually


def client_binary():
    build = os.environ.get("BUILD")
    path = os.path.join(build, "test/blackbox/store_client") if build else port._newest("test/blackbox/store_client")
    if not path or not os.access(path, os.X_OK):
        raise Skip("no store_client: build it, or say BUILD=FOLDER")
    return os.path.abspath(path)


class Data:
    """`sallyport data` on a folder; `config` is more of the configuration, `args` more of the command line."""

    def __init__(self, config=None, args=(), start=True):
        self.dir = port.folder()
        self.data = os.path.join(self.dir, "data")
        self.socket = os.path.join(self.data, "data.sock")
        self.control = os.path.join(self.data, "data-cli.sock")
        self.path = os.path.join(self.dir, "sallyport.yaml")
        self.args = list(args)
        self.config = {
            "sallyport": 1, "environment": "test", "workers": 1, "data": self.data,
            "listen": {"gateway": "127.0.0.1:%d" % port.free_port(), "admin": "none"},
            "services": {"app": {"instances": ["127.0.0.1:%d" % port.free_port()]}},
            "products": {"shop": {"may": ["look"]}},
            "actions": {"look": {"match": "GET /look", "to": "app", "public": True}},
        }
        self.config.update(config or {})
        self.write()
        self.process = None
        if start:
            self.start()

    def write(self):
        with open(self.path, "w") as f:
            json.dump(self.config, f)

    def start(self, wait=True):
        self.process = Process([port.binary(), "data", "--config", self.path, *self.args], cwd=self.dir)
        if wait:
            eventually(self.ready, "the data role is ready: " + self.process.err()[-500:], 10)
        return self.process

    def ready(self):
        if not self.process.alive():
            raise port.Failure("it has ended: " + self.process.err()[-1000:])
        return ask_control(self.control, "/readyz")[0] == 200

    def stop(self):
        if self.process:
            self.process.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def client(self, *args, seconds=20):
        """store_client with these arguments: (exit code, stdout)."""
        done = subprocess.run([client_binary(), "unix:" + self.socket, *map(str, args)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=seconds)
        return done.returncode, done.stdout.strip()

    def get(self, space, key):
        return self.client("get", space, key)[1]

    def put(self, space, key, value):
        return self.client("put", space, key, value)[1]

    def watch(self, prefix="", name="watcher", lease_ms=0, space="control"):
        return Watcher(self, space, prefix, name, lease_ms)


class Watcher:
    def __init__(self, data, space, prefix, name, lease_ms):
        self.process = Process([client_binary(), "unix:" + data.socket, "watch", space, prefix, name, str(lease_ms)],
                               stdin=subprocess.PIPE)

    def lines(self):
        return self.process.out().splitlines()

    def last(self, word):
        found = [line for line in self.lines() if line.split()[0] == word]
        return found[-1] if found else None

    def until(self, line, seconds=10):
        eventually(lambda: line in self.lines(), "the watcher says %r (it says %r)" % (line, self.lines()[-5:]), seconds)

    def state(self):
        """What a map would hold that was changed as the watcher was told."""
        held = {}
        for line in self.lines():
            word, *rest = line.split()
            if word == "begin":
                held = {}
            elif word == "put":
                held[rest[0]] = rest[1]
            elif word == "gone":
                held.pop(rest[0], None)
        return held

    def leave(self):
        self.process.popen.stdin.close()
        return self.process.wait()


def ask_control(path, target, method="GET", body=None, seconds=5):
    """(status, body) of a control socket."""
    text = "" if body is None else json.dumps(body)
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(seconds)
        s.connect(path)
        more = "Content-Type: application/json\r\nContent-Length: %d\r\n" % len(text) if method == "POST" else ""
        s.sendall(("%s %s HTTP/1.1\r\nHost: localhost\r\n%sConnection: close\r\n\r\n%s" % (method, target, more, text)).encode())
        raw = b""
        while True:
            piece = s.recv(65536)
            if not piece:
                break
            raw += piece
    head, _, body = raw.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def database_files(pid):
    """The store's files that a process has open or mapped."""
    found = set()
    for fd in os.listdir("/proc/%d/fd" % pid):
        try:
            found.add(os.readlink("/proc/%d/fd/%s" % (pid, fd)))
        except FileNotFoundError:
            pass
    with open("/proc/%d/maps" % pid) as maps:
        found.update(line.split(None, 5)[5].strip() for line in maps if len(line.split(None, 5)) == 6)
    return {path for path in found if re.search(r"\.db(-wal|-shm|-journal)?$", path)}


# --- the role by itself ---------------------------------------------------------------------------------------------

@port.test("the data role serves its socket to its own user only, and answers on its control socket")
def serves():
    with Data() as d:
        for path in (d.socket, d.control):
            mode = os.lstat(path)
            check(stat.S_ISSOCK(mode.st_mode), "%s is no socket" % path)
            equal(stat.S_IMODE(mode.st_mode), 0o600, "mode of " + path)
        equal(stat.S_IMODE(os.stat(os.path.join(d.data, "store")).st_mode), 0o700, "mode of the store's folder")
        check(d.put("control", "a", "1").startswith("ok "), "put")
        check(d.get("control", "a").startswith("value "), "get")
        status, body = ask_control(d.control, "/v1/status")
        equal((status, json.loads(body)["roles"]), (200, "data"), "status")
        status, body = ask_control(d.control, "/metrics")
        check("sallyport_store_clients_accepted_total 2" in body, "metrics: " + body[-400:])
        status, body = ask_control(d.control, "/readyz?verbose")
        check("[+] space:identity" in body, "readyz: " + body)
        equal(ask_control(d.control, "/v1/reload", "POST")[0], 200, "reload")
        d.process.signal(signal.SIGTERM)
        equal(d.process.wait(), 0, "exit code")
        check(not os.path.exists(d.socket) and not os.path.exists(d.control), "its sockets are left behind")


@port.test("a second data role on the same folder is refused and harms nobody")
def second():
    with Data() as d:
        d.put("control", "a", "1")
        other = Process([port.binary(), "data", "--config", d.path], cwd=d.dir)
        equal(other.wait(), 1, "exit code of the second")
        check("another one runs here" in other.err(), other.err())
        check(d.get("control", "a").endswith(" 1"), "the first one still answers")
        os.unlink(d.control)  # nor when it cannot see the first one's control socket
        other = Process([port.binary(), "data", "--config", d.path], cwd=d.dir)
        equal(other.wait(), 1, "exit code of the third")
        check("sallyport: " in other.err(), other.err())
        check(d.put("control", "a", "2").startswith("ok"), "the first one still writes")


@port.test("it opens only the spaces it is started with")
def spaces():
    with Data(args=["--spaces", "identity,audit"]) as d:
        equal(sorted(os.path.basename(p) for p in os.listdir(os.path.join(d.data, "store")) if p.endswith(".db")),
              ["audit.db", "identity.db"], "files")
        check(d.put("identity", "a", "1").startswith("ok"), "put")
        equal(d.put("control", "a", "1"), "denied", "a space it does not serve")


@port.test("another user gets in only when it is named")
def users():
    if os.geteuid() != 0:
        raise Skip("needs root")
    nobody = 65534

    def knock(path):
        """What another user gets from the socket: the first byte's absence is a refusal."""
        code = ("import os,socket,struct,sys\n"
                "os.setgid(%d); os.setuid(%d)\n"
                "s=socket.socket(socket.AF_UNIX); s.settimeout(3)\n"
                "try:\n s.connect(sys.argv[1])\nexcept PermissionError:\n print('permission'); sys.exit()\n"
                "body=b'SPST'+struct.pack('>HIH',1,31,1)+b'x'\n"
                "try:\n s.sendall(struct.pack('>IB3xI',len(body),1,0)+body); print('in' if s.recv(1) else 'out')\n"
                "except OSError:\n print('out')\n" % (nobody, nobody))
        return subprocess.run(["python3", "-c", code, path], capture_output=True, text=True, timeout=10).stdout.strip()

    with Data() as d:
        for path in (d.dir, d.data):
            os.chmod(path, 0o755)
        equal(knock(d.socket), "permission", "with mode 0600")
        os.chmod(d.socket, 0o666)
        equal(knock(d.socket), "out", "when the mode lets it in")
        check("another user" in d.process.err(), "it is logged: " + d.process.err())
    with Data(args=["--allow-uid", str(nobody)]) as d:
        for path in (d.dir, d.data):
            os.chmod(path, 0o755)
        equal(knock(d.socket), "in", "when it is named")


@port.test("garbage on the socket costs its sender the connection, and others nothing")
def garbage():
    with Data() as d:
        for raw in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 64, os.urandom(4096), b"\xff" * 65536):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(5)
                s.connect(d.socket)
                try:
                    s.sendall(raw)
                    check(s.recv(1) == b"", "an answer to garbage")
                except (ConnectionResetError, BrokenPipeError):
                    pass
            check(d.put("control", "a", "1").startswith("ok"), "put")
        body = b"SPST" + struct.pack(">HIH", 1, 31, 1) + b"x"
        held = []
        for _ in range(20):  # hello, then the beginning of a frame of a megabyte that never comes
            s = socket.socket(socket.AF_UNIX)
            s.connect(d.socket)
            s.sendall(struct.pack(">IB3xI", len(body), 1, 0) + body + struct.pack(">IB3xI", 1 << 20, 2, 1) + b"x")
            held.append(s)
        check(d.put("control", "a", "2").startswith("ok"), "put beside half frames")
        check(d.process.status("VmRSS") < port.memory(40000), "%d kB resident" % d.process.status("VmRSS"))
        for s in held:
            s.close()


# --- what a kill costs ----------------------------------------------------------------------------------------------

@port.test("kill -9 of the data role, again and again: clients come back, nothing acknowledged is lost, watchers miss nothing")
def kills():
    writes = 12000
    with Data() as d:
        watcher = d.watch("w/", "watcher/1", 3000)
        watcher.until("fresh")
        writer = Process([client_binary(), "unix:" + d.socket, "write", "control", "w/", str(writes)])
        kills = 0
        while writer.alive() and kills < 8:
            time.sleep(0.1)
            d.process.kill()
            kills += 1
            time.sleep(0.05)
            d.start()
        equal(writer.wait(120), 0, "exit code of the writer")
        check(kills >= 2, "it was killed %d times only" % kills)
        said = writer.out().splitlines()
        acknowledged = {int(line.split()[1]) for line in said if line.startswith("ok ")}
        equal(len(acknowledged), writes, "acknowledged writes")
        equal(d.client("count", "control", "w/"), (0, str(writes)), "entries")
        eventually(lambda: len(watcher.state()) == writes, "the watcher has all (%d)" % len(watcher.state()), 20)
        state = watcher.state()
        check(all(state["w/%d" % i] == str(i) for i in range(writes)), "the watcher holds something else")
        # it may have had all before the last kill
        eventually(lambda: watcher.lines().count("up") == watcher.lines().count("down") + 1, "the watcher is up again", 10)
        lines = watcher.lines()
        check(lines.count("down") >= 1, "the watcher never noticed")
        # in order, none twice: numbers rise but where everything is told anew
        number = 0
        for line in lines:
            word, *rest = line.split()
            if word == "begin":
                number = -1
            elif word == "end":
                number = int(rest[0])
            elif word in ("put", "gone") and number >= 0:
                check(int(rest[-1]) > number, "%r after %d" % (line, number))
                number = int(rest[-1])
        equal(lines.count("begin"), 1, "resyncs: what it knew before a kill it is not told again")
        equal(watcher.leave(), 0, "exit code of the watcher")


@port.test("a lease runs out while nobody renews it, and no earlier; the waiter knows of it over a kill")
def leases():
    with Data() as d:
        watcher = d.watch("", "watcher/lease", 2000)
        watcher.until("fresh")
        check(re.match(r"watcher/lease connected \d+ leased$", d.client("watchers", "control")[1]),
              "watchers: %r" % (d.client("watchers", "control"),))
        d.process.kill()
        began = time.monotonic()
        watcher.until("down")
        check("stale" not in watcher.lines(), "stale as soon as the connection was lost")
        watcher.until("stale", 4)
        check(0.8 < time.monotonic() - began < 2.6, "stale after %.1f s" % (time.monotonic() - began))
        watcher.process.signal(signal.SIGSTOP)
        d.start()
        check(re.match(r"watcher/lease away \d+ leased$", d.client("watchers", "control")[1]),
              "watchers after the restart: %r" % (d.client("watchers", "control"),))
        watcher.process.signal(signal.SIGCONT)
        eventually(lambda: re.match(r"watcher/lease connected \d+ leased$", d.client("watchers", "control")[1]),
                   "it is connected again", 10)
        eventually(lambda: watcher.lines()[-1] == "fresh" or watcher.lines().count("fresh") == 2, "fresh again")
        # one that is frozen is connected, but its lease ends
        watcher.process.signal(signal.SIGSTOP)
        eventually(lambda: d.client("watchers", "control")[1].endswith(" free"), "a frozen watcher's lease ends", 6)
        watcher.process.signal(signal.SIGCONT)
        equal(watcher.leave(), 0, "exit code")
        eventually(lambda: d.client("watchers", "control")[1] == "", "its lease is given back")


@port.test("while nobody listens, a client waits for its deadline and says so; a client that waits is served at once")
def waits():
    with Data(start=False) as d:
        began = time.monotonic()
        equal(d.client("get", "control", "a"), (1, "timeout"), "without a data role")
        check(4.5 < time.monotonic() - began < 7, "after %.1f s" % (time.monotonic() - began))
        late = []
        thread = threading.Thread(target=lambda: late.append(d.client("get", "control", "a")))
        thread.start()
        time.sleep(0.7)
        d.start()
        thread.join()
        equal(late, [(0, "none")], "a question that was asked before")


# --- every role a process of its own --------------------------------------------------------------------------------

PASSWORD = "correct horse battery staple"


class Apart:
    """data, authentication and gateway as three processes, and a service that answers with what it got."""
    ROLES = ("data", "authentication", "gateway")

    def __init__(self, order=ROLES):
        self.upstream = port.Upstream(port.mirror)
        self.key = port.Key("shop")
        self.port = port.free_port()
        self.data = Data(start=False)
        self.data.config.update({
            "listen": {"gateway": "127.0.0.1:%d" % self.port, "admin": "none"},
            "authentication": {"issuer": "https://api.example.com", "password": {"memory": "8MB", "passes": 1}},
            "feed": {"lease": "4s"},
            "services": {"app": {"instances": [self.upstream.address]}},
            "products": {"shop": {"keys": [self.key.entry], "may": ["look"], "login": "password"}},
            "actions": {"look": {"match": "GET /look", "to": "app"}},
            "roles": {"user": ["look"]},
        })
        self.data.write()
        self.sockets = {"data": "data-cli.sock", "authentication": "authentication-cli.sock", "gateway": "cli.sock"}
        self.processes = {}
        for role in order:
            self.start(role, order == Apart.ROLES)
        for role in order:
            self.until_ready(role)

    def control(self, role, *args, **more):
        return ask_control(os.path.join(self.data.data, self.sockets[role]), *args, **more)

    def start(self, role, wait=True):
        self.processes[role] = Process([port.binary(), role, "--config", self.data.path], cwd=self.data.dir)
        if wait:
            self.until_ready(role)

    def until_ready(self, role):
        process = self.processes[role]

        def ready():
            if not process.alive():
                raise port.Failure("%s has ended: %s" % (role, process.err()[-800:]))
            return self.control(role, "/readyz")[0] == 200
        eventually(ready, "%s is ready" % role, 15)

    def kill(self, role):
        self.processes[role].kill()

    def pid(self, role):
        return self.processes[role].serving

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        try:
            for role in reversed(Apart.ROLES):
                self.processes[role].stop()
                if kind is None:
                    equal(self.processes[role].popen.returncode, 0, "exit code of %s" % role)
        finally:
            self.upstream.stop()

    def add_user(self, name):
        status, body = self.control("data", "/v1/users", "POST", {"name": name, "password": PASSWORD, "roles": ["user"]},
                                    seconds=15)
        check(status in (200, 201), "adding %s: %d %s" % (name, status, body))

    def login(self, name, password=PASSWORD):
        return port.fetch(self.port, "/authentication/login", [("apikey", self.key.text), ("Content-Type", "application/json")],
                          "POST", json.dumps({"username": name, "password": password}).encode())

    def token(self, name):
        reply = self.login(name)
        equal(reply.status, 200, "login of %s (%r)" % (name, reply.body[:200]))
        return reply.json()["access_token"]

    def look(self, token):
        return port.fetch(self.port, "/look", [("apikey", self.key.text), ("Authorization", "Bearer " + token)])


@port.test("data, authentication and gateway apart: a login, a request, and only the data role has the database open")
def apart():
    with Apart() as a:
        a.add_user("alice")
        token = a.token("alice")
        reply = a.look(token)
        equal(reply.status, 200, "status (%r)" % reply.body[:300])
        equal([v for n, v in reply.json()["fields"] if n.lower() == "x-user-id"], ["alice"], "who the service sees")
        equal(a.login("alice", "wrong").status, 401, "a wrong password")
        check(database_files(a.pid("data")), "the data role has no file open: the probe sees nothing")
        for role in ("authentication", "gateway"):
            equal(database_files(a.pid(role)), set(), "files of the store that %s has open" % role)
        watchers = a.data.client("watchers", "control")[1]
        check(re.search(r"^gateway\S* connected \d+ leased$", watchers, re.M), "watchers: " + watchers)


@port.test("the roles may be started in any order: nobody is ready without what it needs, and all are in the end")
def any_order():
    with Apart(("gateway", "authentication", "data")) as a:
        a.add_user("alice")
        equal(a.look(a.token("alice")).status, 200, "status")


@port.test("the data role is killed: requests go on while the lease holds, then stop; all is well again when it is back")
def data_killed():
    with Apart() as a:
        a.add_user("alice")
        token = a.token("alice")
        before = a.look(token)
        equal(before.status, 200, "before (%r)" % before.body[:300])
        a.kill("data")
        killed = time.monotonic()
        equal(a.look(token).status, 200, "right after: decided from memory")
        eventually(lambda: a.look(token).status != 200, "the gateway refuses once its lease is over", 8)
        check(time.monotonic() - killed > 1.5, "it refused %.1f s after the kill, with a lease of 4 s" % (time.monotonic() - killed))
        check(a.look(token).status in (401, 503), "it refuses with %d" % a.look(token).status)
        equal(a.login("alice").status, 503, "a login without a store")
        a.start("data")
        eventually(lambda: a.look(token).status == 200, "the same token again", 10)
        eventually(lambda: a.login("alice").status == 200, "a login", 10)


@port.test("a revocation reaches the gateway of another process, is acknowledged when it is in force there, and outlives all kills")
def revoked():
    with Apart() as a:
        a.add_user("alice")
        a.add_user("bob")
        alice, bob = a.token("alice"), a.token("bob")
        equal((a.look(alice).status, a.look(bob).status), (200, 200), "before")
        status, body = a.control("data", "/v1/revocations", "POST", {"kind": "user", "value": "alice"}, seconds=15)
        check(status in (200, 201), "revoking: %d %s" % (status, body))
        check("gateway" in body, "it names who confirmed: " + body)
        equal(a.look(alice).status, 401, "at the very moment it was acknowledged")
        equal(a.look(bob).status, 200, "another user's")
        for role in ("gateway", "data", "authentication"):
            a.kill(role)
            a.start(role)
            eventually(lambda: a.look(bob).status == 200, "bob is served after a kill of " + role, 10)
            equal(a.look(alice).status, 401, "alice after a kill of " + role)


@port.test("the Authentication Service is killed: tokens stay good, and its keys are the same when it is back")
def authentication_killed():
    with Apart() as a:
        a.add_user("alice")
        token = a.token("alice")
        jwks = port.fetch(a.port, "/.well-known/jwks.json").json()
        a.kill("authentication")
        equal(a.look(token).status, 200, "a token while it is away")
        equal(a.login("alice").status // 100, 5, "a login while it is away")
        a.start("authentication")
        eventually(lambda: a.login("alice").status == 200, "a login", 10)
        equal(a.look(token).status, 200, "the old token")
        equal(port.fetch(a.port, "/.well-known/jwks.json").json(), jwks, "its public keys")


@port.test("no process but the data role has a file of the store open: a client")
def only_data_client():
    with Data() as d:
        watcher = d.watch("", "w", 0)
        watcher.until("up")
        names = {os.path.basename(p) for p in database_files(d.process.serving)}
        check({"identity.db", "control.db", "authentication.db", "audit.db"} <= names, "of the data role: %r" % names)
        equal(database_files(watcher.process.serving), set(), "files of a client")


if __name__ == "__main__":
    port.main()
