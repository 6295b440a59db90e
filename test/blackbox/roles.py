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


def ask_control(path, target, method="GET"):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5)
        s.connect(path)
        more = "Content-Type: application/json\r\nContent-Length: 0\r\n" if method == "POST" else ""
        s.sendall(("%s %s HTTP/1.1\r\nHost: localhost\r\n%sConnection: close\r\n\r\n" % (method, target, more)).encode())
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
    with Data() as d:
        watcher = d.watch("w/", "watcher/1", 3000)
        watcher.until("fresh")
        writer = Process([client_binary(), "unix:" + d.socket, "write", "control", "w/", "3000"])
        kills = 0
        while writer.alive() and kills < 8:
            time.sleep(0.25)
            d.process.kill()
            kills += 1
            time.sleep(0.05)
            d.start()
        equal(writer.wait(120), 0, "exit code of the writer")
        check(kills >= 2, "it was killed %d times only" % kills)
        said = writer.out().splitlines()
        acknowledged = {int(line.split()[1]) for line in said if line.startswith("ok ")}
        equal(len(acknowledged), 3000, "acknowledged writes")
        equal(d.client("count", "control", "w/"), (0, "3000"), "entries")
        eventually(lambda: len(watcher.state()) == 3000, "the watcher has all (%d)" % len(watcher.state()), 20)
        state = watcher.state()
        check(all(state["w/%d" % i] == str(i) for i in range(3000)), "the watcher holds something else")
        lines = watcher.lines()
        check(lines.count("down") >= 1 and lines.count("up") == lines.count("down") + 1,
              "ups and downs: %d, %d" % (lines.count("up"), lines.count("down")))
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


# --- who has the database -------------------------------------------------------------------------------------------

def fed(d):
    d.config["authentication"] = {"issuer": "https://api.example.com", "user_bases": ["users"]}
    d.write()


@port.test("no process but the data role has a file of the store open: gateway")
def only_data_gateway():
    with Data(start=False) as d:
        fed(d)
        d.start()
        gateway = Process([port.binary(), "gateway", "--config", d.path], cwd=d.dir)
        try:
            eventually(lambda: ask_control(os.path.join(d.data, "cli.sock"), "/readyz")[0] in (200, 503) and gateway.alive(),
                       "the gateway answers: " + gateway.err()[-500:], 10)
            eventually(lambda: "gateway" in d.client("watchers", "control")[1], "the gateway watches", 10)
            check(database_files(d.process.pid), "the data role has no file open: the probe sees nothing")
            equal(database_files(gateway.pid), set(), "files of the gateway")
        finally:
            gateway.stop()


@port.test("no process but the data role has a file of the store open: a client")
def only_data_client():
    with Data() as d:
        watcher = d.watch("", "w", 0)
        watcher.until("up")
        names = {os.path.basename(p) for p in database_files(d.process.pid)}
        check({"identity.db", "control.db", "authentication.db", "audit.db"} <= names, "of the data role: %r" % names)
        equal(database_files(watcher.process.pid), set(), "files of a client")


if __name__ == "__main__":
    port.main()
