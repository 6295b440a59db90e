#!/usr/bin/env python3
# test: seconds 240
"""Parent and child: what the one that serves is refused, what happens when either dies, upgrades under load and
those that fail, sockets of a service manager, its watchdog."""

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import time

import port
from port import Client, Failure, Gateway, Process, Shop, Skip, check, equal, eventually
from admin import Running
from operations import Load, Notify

port._tests.clear()  # those of the scripts above are theirs
REFUSED = signal.SIGRTMIN + 3


def sanitized():
    return port.memory(1) != 1


def probe_library():
    build = os.environ.get("BUILD") or os.path.dirname(port.binary())
    path = os.path.join(build, "test", "blackbox", "libprobe.so")
    if not os.path.exists(path):
        raise Skip("no libprobe.so: build it, or say BUILD=FOLDER")
    if sanitized():
        raise Skip("a sanitizer needs what the sandbox refuses")
    return path


def status(gateway):
    reply = Client(os.path.join(gateway.data, "cli.sock")).get("/v1/status", host="x")
    return json.loads(reply.body)


def verbose(gateway):
    return Client(gateway.admin).get("/readyz?verbose", host="127.0.0.1:%d" % gateway.admin).body.decode()


def field(pid, name):
    with open("/proc/%d/status" % pid) as lines:
        return next(line.split(":")[1].strip() for line in lines if line.startswith(name + ":"))


def gone(pid):
    try:
        return field(pid, "State").startswith(("Z", "X"))
    except (OSError, StopIteration):
        return True


# --- what it is refused -----------------------------------------------------------------------------------------------

def attempts(pid, file):
    os.kill(pid, REFUSED)
    eventually(lambda: os.path.exists(file + ".done"), "the attempts are made", 5)
    lines = open(file + ".done").read().split("\n")
    return {tuple(line.split()[:2]): int(line.split()[2]) for line in lines if line}


@port.test("inside the one that serves: no program, no other file, no listening socket, nobody else's memory, on any thread")
def _():
    library = probe_library()
    with Shop(env={"LD_PRELOAD": library, "SALLYPORT_TEST_PROBE": "data/probe"}) as s:
        file = os.path.join(s.gateway.data, "probe")
        made = attempts(s.gateway.pid, file)
        check(len(made) > 50, "only %d attempts were made" % len(made))
        wrong = [k for k, errno in made.items() if (errno != 0) == k[1].startswith("let:")]
        equal(wrong, [], "refused what is let, or let what is to be refused")
        equal({k[0] for k in made}, {"main", "thread"}, "where it was tried")
        equal(port.fetch(s.port, "/public/x").status, 200, "it serves on")
        equal(s.gateway.reload()[0], 0, "and is fed")


@port.test("the same attempts without a sandbox: that is how they would succeed; and it says so")
def _():
    library = probe_library()
    if os.geteuid() != 0:
        raise Skip("only root is let all of that")
    with Shop(change=lambda c: c.update(sandbox="off"),
              env={"LD_PRELOAD": library, "SALLYPORT_TEST_PROBE": "data/probe"}) as s:
        equal(field(s.gateway.pid, "Seccomp"), "0", "seccomp")
        check("sandbox: switched off" in verbose(s.gateway), verbose(s.gateway))
        equal(status(s.gateway)["sandbox"], "off", "the status")
        check(any("no sandbox" in line["msg"] for line in s.gateway.log()), "the log does not say so")
        # attempts() would really execute a program: only the harmless part is looked at
        fd = os.open("/proc/%d/environ" % s.gateway.pid, os.O_RDONLY)
        os.close(fd)
    with Shop(command=("run", "--no-sandbox")) as s:
        equal(field(s.gateway.pid, "Seccomp"), "0", "seccomp with --no-sandbox")


@port.test("the sandbox is on by default, for every thread; the parent is small and has no threads")
def _():
    with Shop() as s:
        child, parent = s.gateway.pid, s.gateway.process.pid
        check(child != parent, "there is no child")
        said = status(s.gateway)
        equal((said["pid"], said["parent_pid"], said["sandbox"]), (child, parent, "on"), "the status")
        for task in os.listdir("/proc/%d/task" % child):
            equal(field(int(task), "Seccomp"), "2", "seccomp of thread %s" % task)
            equal(field(int(task), "NoNewPrivs"), "1", "no_new_privs of thread %s" % task)
        equal(field(parent, "Threads"), "1", "threads of the parent")
        check("[+] sandbox\n" in verbose(s.gateway), verbose(s.gateway))
        inodes = lambda pid: {os.readlink("/proc/%d/fd/%s" % (pid, fd)) for fd in os.listdir("/proc/%d/fd" % pid)}
        equal([x for x in inodes(parent) if "/" in x and not x.startswith(("/dev/", "/memfd", s.gateway.process.dir))], [],
              "files that the parent has open")


@port.test("secrets: of the environment, of a file and of a command, none of them within its reach; also anew on reload")
def _():
    secret = "the environment keeps this one, 32 bytes at least"
    command = port.folder() + "/secret.sh"
    with open(command, "w") as out:
        out.write("#!/bin/sh\ncat %s.txt\n" % command)
    os.chmod(command, 0o755)
    with open(command + ".txt", "w") as out:
        out.write("1" * 40)
    keys = {name: port.SigningKey("HS256", secret=text.encode()) for name, text in (("env", secret), ("cmd", "1" * 40))}
    issuers = {n: port.Issuer("https://%s.test" % n, keys=[k]) for n, k in keys.items()}

    def change(c):
        for name, source in (("env", {"env": "PROCESS_TEST_SECRET"}), ("cmd", {"command": [command]})):
            c["issuers"][name] = {"issuer": issuers[name].url, "audience": ["api"], "algorithms": ["HS256"],
                                  "secret": source, "roles": ["user"], "products": ["shop"]}
    with Shop(change=change, env={"PROCESS_TEST_SECRET": secret}) as s:
        ask = lambda name: port.fetch(s.port, "/user/x", [("apikey", s.key.text), port.bearer(
            issuers[name].mint(roles=["user"]))]).status
        equal((ask("env"), ask("cmd")), (200, 200), "tokens by both secrets")
        if os.geteuid() == 0:
            environment = open("/proc/%d/environ" % s.gateway.pid, "rb").read()
            check(secret.encode() not in environment, "the secret is in its environment")
        with open(command + ".txt", "w") as out:
            out.write("2" * 40)
        issuers["cmd"].keys[0].private = b"2" * 40
        equal(ask("cmd"), 401, "a token by the new secret before the reload")
        equal(s.gateway.reload()[0], 0, "reload")
        equal((ask("env"), ask("cmd")), (200, 200), "tokens by both secrets, the second anew")
        os.unlink(command)
        code, out, err = s.gateway.reload()
        equal(code, 78, "reload without the command")
        check("sallyport.yaml" in err and "secret.sh" in err, "it says: " + err)
        s.gateway.process.signal(signal.SIGHUP)
        time.sleep(0.3)
        equal((ask("env"), ask("cmd")), (200, 200), "what was in force stays")
        os.kill(s.gateway.pid, signal.SIGKILL)  # and is what one that is started again has
        eventually(lambda: (ask("env"), ask("cmd")) == (200, 200), "it serves again with the last good configuration", 5)


@port.test("both together take little memory at rest")
def _():
    def pss(pid):
        with open("/proc/%d/smaps_rollup" % pid) as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    with Shop() as s:
        time.sleep(1.5)  # pages of the start are given back
        both = pss(s.gateway.pid) + pss(s.gateway.process.pid)
        print("# at rest: parent %d kB, child %d kB" % (pss(s.gateway.process.pid), pss(s.gateway.pid)), flush=True)
        check(both < port.memory(6144), "%d kB" % both)


# --- deaths -----------------------------------------------------------------------------------------------------------

@port.test("kill -9 of the one that serves, under load: clients wait, nobody is turned away, what was under way is lost")
def _():
    with Shop() as s:
        before = s.gateway.pid
        with contextlib.ExitStack() as stack:
            load = stack.enter_context(Load(s.port, clients=4, fresh=True, pause=0.002))
            time.sleep(0.5)
            for _ in range(3):
                victim = s.gateway.pid
                os.kill(victim, signal.SIGKILL)
                eventually(lambda: s.gateway.pid not in (victim, s.gateway.process.pid), "another one", 5)
                eventually(lambda: status(s.gateway)["ready"], "it is ready", 5)
                time.sleep(0.3)
            load.stop()
        refused = [f for f in load.failures if "refused" in str(f)]
        equal(refused, [], "connections that were refused")
        check(len(load.failures) <= 3 * 4 * 3, "%d of %d were lost: %r" % (len(load.failures), load.done, load.failures[:5]))
        check(load.done > 100, "only %d" % load.done)
        print("# lost in 3 kills: %d of %d" % (len(load.failures), load.done), flush=True)
        died = [line for line in s.gateway.log() if "serving process died" in line["msg"]]
        equal(len(died), 3, "deaths in the log")
        equal(died[0]["pid"], before, "the first one's pid")
        equal(s.gateway.process.alive(), True, "the parent lives")


@port.test("kill -9 of the parent: the one that serves is gone at once, and another can start")
def _():
    with Shop() as s:
        child = s.gateway.pid
        os.kill(s.gateway.process.pid, signal.SIGKILL)
        eventually(lambda: gone(child), "the child is gone", 2)
        s.gateway.process.popen.wait()
        again = Process([port.binary(), "run", "--config", s.gateway.path], cwd=s.gateway.dir)
        eventually(lambda: port.fetch(s.port, "/public/x").status == 200, "the next one serves", 5)
        again.stop()
        equal(again.popen.returncode, 0, "its exit code")
        s.gateway.process = again


@port.test("one that dies again and again is started with growing pauses; what it is told to do in between counts")
def _():
    with Shop() as s:
        began = time.monotonic()
        for _ in range(4):
            victim = eventually(lambda: status(s.gateway)["ready"] and status(s.gateway)["pid"], "ready", 5)
            os.kill(victim, signal.SIGKILL)
            # known to its parent: a signal that comes before is one for a child that serves
            eventually(lambda: not os.path.exists("/proc/%d" % victim), "gone", 2)
        check(time.monotonic() - began > 0.1 + 0.2 + 0.4, "it was started at once")
        s.gateway.process.signal(signal.SIGTERM)
        equal(s.gateway.process.wait(5), 0, "exit code, told while nobody serves")


# --- upgrades ---------------------------------------------------------------------------------------------------------

@contextlib.contextmanager
def own_binary():
    """The product in a folder of its own, where it can be replaced."""
    path = os.path.join(port.folder(), "sallyport")
    before = os.environ.get("SALLYPORT")
    original = port.binary()
    shutil.copy2(original, path)
    os.environ["SALLYPORT"] = path
    try:
        yield path, original
    finally:
        if before is None:
            del os.environ["SALLYPORT"]
        else:
            os.environ["SALLYPORT"] = before


def put(path, content=None, copy=None):
    """As a package does: another file in its place."""
    if copy:
        shutil.copy2(copy, path + ".new")
    else:
        with open(path + ".new", "wb") as out:
            out.write(content)
        os.chmod(path + ".new", 0o755)
    os.replace(path + ".new", path)


def upgrade(gateway, binary, data=None):
    done = subprocess.run([binary, "upgrade", "--socket", os.path.join(data or gateway.data, "cli.sock")],
                          capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@port.cases("upgrade under load, no request fails", [("gateway",), ("run",)])
def _(command):
    with own_binary() as (path, original), Shop(command=(command,)) as s:
        parent, seen = s.gateway.process.pid, {s.gateway.pid}
        with Load(s.port, clients=3, fresh=True, pause=0.001) as fresh, Load(s.port, clients=3, pause=0.001) as kept:
            for n in range(4):
                time.sleep(0.3)
                put(path, copy=original)
                if n == 2:
                    s.gateway.process.signal(signal.SIGUSR2)
                    eventually(lambda: s.gateway.pid not in seen, "another one", 10)
                    eventually(lambda: status(s.gateway)["ready"], "it is ready", 5)
                else:
                    code, said = upgrade(s.gateway, original)
                    equal(code, 0, "exit code of upgrade (%s)" % said)
                    check("took over" in said, said)
                seen.add(s.gateway.pid)
            time.sleep(0.8)
            fresh.stop(), kept.stop()
        equal((fresh.failures[:5], kept.failures[:5]), ([], []), "failures of %d" % (fresh.done + kept.done))
        check(fresh.done > 200 and kept.done > 200, "%d, %d" % (fresh.done, kept.done))
        equal(s.gateway.process.alive() and s.gateway.process.pid, parent, "the parent's pid")
        equal(len(seen), 5, "processes that served")
        eventually(lambda: len(port.serving_children(parent)) == 1, "the earlier ones are gone", 5)
        print("# %s: %d requests over 4 upgrades" % (command, fresh.done + kept.done), flush=True)


@port.test("upgrade of `run` with its store under load: logins and requests go on, users and sessions are there")
def _():
    with own_binary() as (path, original):
        upstream = port.Upstream()

        def change(c):
            c["services"]["app"]["instances"] = [upstream.address]
            c["actions"]["open"] = {"match": "GET /open", "to": "app", "public": True}
        with Running(change) as r:
            r.ok("user", "add", "alice", "--password-stdin", input="correct horse battery")
            before = r.ok("user", "show", "alice")
            with Load(r.port, path="/open", clients=3, fresh=True, pause=0.002) as load:
                for _ in range(3):
                    time.sleep(0.3)
                    code, said = upgrade(r.gateway, original)
                    equal(code, 0, "exit code of upgrade (%s)" % said)
                time.sleep(0.5)
                load.stop()
            equal(load.failures[:5], [], "failures of %d" % load.done)
            equal(r.ok("user", "show", "alice"), before, "the user")
            r.ok("user", "disable", "alice")
            code, out, err = r.run("audit", "verify")
            equal(code, 0, "audit verify: " + out + err)
            print("# run with a store: %d requests over 3 upgrades" % load.done, flush=True)
        upstream.stop()


@port.test("a request that is under way when another one takes over is answered")
def _():
    def slowly(seen):
        time.sleep(1.5)
        return None
    with own_binary() as (path, original), Shop() as s, Client(s.port) as c:
        old = s.gateway.pid
        c.send("POST /public/x HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 5\r\n\r\nab")
        time.sleep(0.2)
        equal(upgrade(s.gateway, original)[0], 0, "upgrade")
        check(s.gateway.pid != old, "another one serves")
        equal(port.fetch(s.port, "/public/y").status, 200, "by the new one")
        check(not gone(old), "the old one still drains")
        c.send("cde")
        equal(c.response("POST").status if hasattr(c, "response") else int(c.until(b"\r\n").split()[1]), 200, "by the old one")
        c.close()
        eventually(lambda: gone(old), "the old one is gone", 5)


BAD = [
    ("a text", b"this is no program\n", "Exec format error"),
    ("a program that is something else", "/bin/true", "can take over"),
    ("one that dies", b"#!/bin/sh\necho oh dear >&2\nkill -SEGV $$\n", "signal 11"),
    ("one that complains", b"#!/bin/sh\necho no way >&2\nexit 3\n", "no way"),
    ("one that is not there", None, "No such file"),
]


@port.cases("an upgrade that cannot be: the old one goes on and says why", BAD)
def _(name, program, want):
    with own_binary() as (path, original), Shop() as s:
        before = s.gateway.pid
        if program is None:
            os.unlink(path)
        elif isinstance(program, str):
            put(path, copy=program)
        else:
            put(path, program)
        with Load(s.port, clients=2, fresh=True, pause=0.002) as load:
            code, said = upgrade(s.gateway, original)
            load.stop()
        equal(code, 1, "exit code (%s)" % said)
        check(want in said, said)
        equal(load.failures[:3], [], "failures")
        equal(s.gateway.pid, before, "who serves")
        check(any("upgrade refused" in line["msg"] for line in s.gateway.log()), "the log does not say it")
        put(path, copy=original)
        equal(upgrade(s.gateway, original)[0], 0, "the next upgrade")


@port.test("an upgrade with a bad configuration: refused with its line; one that only the new process finds out: the old goes on")
def _():
    with own_binary() as (path, original), Shop() as s:
        before, parent = s.gateway.pid, s.gateway.process.pid
        s.gateway.write_config("sallyport: 1\nnonsense: 2\n")
        code, said = upgrade(s.gateway, original)
        equal(code, 1, "exit code (%s)" % said)
        check("sallyport.yaml:2:1" in said, said)
        s.gateway.write_config()
        s.gateway.write("corp.jwks", "{}")  # the text is fine; its keys are not
        with Load(s.port, clients=2, fresh=True, pause=0.002) as load:
            code, said = upgrade(s.gateway, original)
            equal(code, 1, "exit code (%s)" % said)
            check("exit status 78" in said, said)
            load.stop()
        equal(load.failures[:3], [], "failures")
        equal((s.gateway.pid, s.gateway.process.pid), (before, parent), "who serves")
        equal(s.gateway.reload()[0], 78, "a reload finds the same")
        s.gateway.write("corp.jwks", s.issuer.jwks())
        equal(s.gateway.reload()[0], 0, "a reload")
        equal(upgrade(s.gateway, original)[0], 0, "an upgrade")
        check(s.gateway.pid != before, "another one serves")


@port.test("an upgrade that fails after the store was given up: one of the old version serves again")
def _():
    with own_binary() as (path, original), Running() as r:
        before = r.gateway.pid
        os.rename(os.path.join(r.data, "audit"), os.path.join(r.data, "audit.away"))
        with open(os.path.join(r.data, "audit"), "w"):
            pass
        code, said = upgrade(r.gateway, original)
        equal(code, 1, "exit code (%s)" % said)
        os.unlink(os.path.join(r.data, "audit"))
        os.rename(os.path.join(r.data, "audit.away"), os.path.join(r.data, "audit"))
        eventually(lambda: status(r.gateway)["pid"] != before and status(r.gateway)["ready"], "one serves again", 20)
        r.ok("user", "add", "bob", "--password-stdin", input="correct horse battery")
        code, said = upgrade(r.gateway, original)
        equal(code, 0, "the next upgrade (%s)" % said)
        r.ok("user", "show", "bob")


# --- the other roles ----------------------------------------------------------------------------------------------------

@port.test("data and authentication have a parent and a sandbox, too, and are upgraded")
def _():
    from admin import Apart
    with Apart() as a:
        a.user("alice")
        for process, name in ((a.data_role, "data"), (a.authentication, "authentication")):
            parent, child = process.pid, process.serving
            check(parent != child, "%s has no child" % name)
            equal(field(child, "Seccomp"), "2", "seccomp of " + name)
            done = subprocess.run([port.binary(), "upgrade", "--socket", os.path.join(a.dir, name + "-cli.sock")],
                                  capture_output=True, text=True, timeout=60)
            equal(done.returncode, 0, "upgrade of %s (%s)" % (name, done.stdout + done.stderr))
            check(process.alive() and process.serving != child, "another one serves")
        eventually(lambda: a.cli("user", "show", "alice")[0] == 0, "alice is there", 10)


# --- the service manager ------------------------------------------------------------------------------------------------

def activated(s_config, sockets, names, env=None, files=None):
    """The product as systemd starts it: sockets from descriptor 3 on, LISTEN_PID its own."""
    where = port.folder()
    config = dict(s_config, data=os.path.join(where, "data"))
    for name, text in (files or {}).items():
        with open(os.path.join(where, name), "w") as out:
            out.write(text)
    with open(os.path.join(where, "sallyport.yaml"), "w") as out:
        json.dump(config, out)
    numbers = [x.fileno() for x in sockets]

    def place():
        high = [os.dup2(n, 100 + i) for i, n in enumerate(numbers)]
        for i, n in enumerate(high):
            os.dup2(n, 3 + i)
        os.closerange(100, 100 + len(high))
    command = "LISTEN_PID=$$ LISTEN_FDS=%d LISTEN_FDNAMES=%s exec %s run --config %s/sallyport.yaml" % (
        len(sockets), ":".join(names), port.binary(), where)
    return subprocess.Popen(["sh", "-c", command], preexec_fn=place, close_fds=False, cwd=where,
                            stderr=open(os.path.join(where, "err"), "w"), env=dict(os.environ, **(env or {}))), where


@port.cases("sockets of the service manager", [("by address", ["x", "y"]), ("by name", ["gateway", "admin"])])
def _(how, names):
    upstream = port.Upstream()
    gateway, admin = socket.socket(), socket.socket()
    for x in (gateway, admin):
        x.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        x.bind(("127.0.0.1", 0))
        x.listen(64)
    at = gateway.getsockname()[1]
    # by name the configured address is another one, where nothing may be opened
    listen = {"gateway": "127.0.0.1:%d" % (at if how == "by address" else port.free_port()),
              "admin": "127.0.0.1:%d" % (admin.getsockname()[1] if how == "by address" else port.free_port())}
    early = Client(at)  # waits in the queue of the socket
    early.send("GET /x HTTP/1.1\r\nHost: gateway.test\r\n\r\n")
    process, where = activated({"sallyport": 1, "listen": listen, "workers": 2,
                                "services": {"app": {"instances": [upstream.address]}},
                                "actions": {"open": {"match": "GET /x", "to": "app", "public": True}}},
                               [gateway, admin], names)
    try:
        check(b" 200 " in early.until(b"\r\n"), "who was there before it started")
        for _ in range(20):
            equal(port.fetch(at, "/x").status, 200, "status")
        if how == "by name":
            with contextlib.suppress(OSError):
                Client(int(listen["gateway"].split(":")[1]))
                raise Failure("it listens where the configuration says, too")
        equal(subprocess.run([port.binary(), "upgrade", "--socket", where + "/data/cli.sock"], capture_output=True,
                             timeout=30).returncode, 0, "upgrade")
        equal(port.fetch(at, "/x").status, 200, "status after an upgrade")
    finally:
        process.terminate()
        equal(process.wait(10), 0, "exit code (%s)" % open(where + "/err").read()[-300:])
        upstream.stop()


@port.test("the watchdog: one that hangs is ended and started again, and the manager hears of us all the time")
def _():
    manager = Notify()
    with Shop(env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "2000000"}) as s:
        eventually(lambda: manager.heard("WATCHDOG=1"), "WATCHDOG=1", 3)
        victim = s.gateway.pid
        os.kill(victim, signal.SIGSTOP)
        eventually(lambda: gone(victim), "the one that hangs is ended", 4)
        eventually(lambda: port.fetch(s.port, "/public/x").status == 200, "another one serves", 5)
        manager.said.clear()
        eventually(lambda: manager.heard("WATCHDOG=1"), "WATCHDOG=1 again", 3)
        check(any("no sign of life" in line["msg"] for line in s.gateway.log()), "the log does not say it")


if __name__ == "__main__":
    port.main()
