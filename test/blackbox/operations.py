#!/usr/bin/env python3
"""Start, reload, drain, stop: what operators do, while clients must not notice."""

import ctypes
import json
import os
import resource
import signal
import socket
import threading
import time

import port
from port import Client, Failure, Key, Process, Shop, check, equal, ok


class Load:
    """Some keep-alive clients that ask one after the other and count what is not 200."""

    def __init__(self, to, path="/public/x", fields=(), clients=4, fresh=False, pause=0.0):
        self.done, self.failures, self.stopping = 0, [], threading.Event()
        self.args = (to, path, fields, fresh, pause)
        self.threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for t in self.threads:
            t.start()

    def _run(self):
        to, path, fields, fresh, pause = self.args
        client = None
        while not self.stopping.is_set():
            try:
                if client is None or fresh:
                    if client:
                        client.close()
                    client = Client(to)
                reply = client.get(path, fields() if callable(fields) else fields)
                self.done += 1
                if reply.status != 200:
                    self.failures.append(reply.status)
                if reply.get("connection") == "close":
                    client.close()
                    client = None
                if pause:
                    time.sleep(pause)
            except (Failure, OSError) as why:
                self.failures.append(str(why))
                client = None
        if client:
            client.close()

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join()
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


@port.test("reload under load: no request fails, by command and by SIGHUP")
def reload_under_load():
    with Shop() as s:
        auth = s.auth()
        with Load(s.port, "/user/x", auth) as kept, Load(s.port, fresh=True, clients=2) as fresh:
            for n in range(10):
                s.gateway.config["actions"]["extra%d" % n] = {"match": "GET /extra/%d" % n, "to": "app", "public": True}
                s.gateway.write_config()
                if n % 2:
                    code, out, err = s.gateway.reload()
                    equal(code, 0, "exit code of reload (%s)" % (out + err))
                    equal(port.fetch(s.port, "/extra/%d" % n).status, 200, "status of the action just added")
                else:
                    s.gateway.process.signal(signal.SIGHUP)
                    port.eventually(lambda: port.fetch(s.port, "/extra/%d" % n).status == 200, "the new action is served")
                time.sleep(0.1)
        check(not kept.failures and not fresh.failures, "%d of %d and %d of %d failed: %r" % (
            len(kept.failures), kept.done, len(fresh.failures), fresh.done, (kept.failures + fresh.failures)[:5]))
        check(kept.done > 200 and fresh.done > 100, "only %d and %d requests were made" % (kept.done, fresh.done))


@port.test("reload: a bad file is refused whole, the old one serves on, and all is said")
def bad_reload():
    with Shop() as s, Load(s.port, pause=0.005) as load:
        before = s.gateway.metrics()
        good = json.dumps(s.gateway.config)
        version = [v for k, v in before.items() if k.startswith("sallyport_config_version")]
        for text in ("", "sallyport: 1\n", "sallyport: 2\n", "][", good.replace('"app"', '"ap"', 1), good[:-2],
                     good[:-1] + ', "policy": "permit(principal, action, resource);"}', "\0", good.replace("* /", "* "),
                     "a: &a [*a]\n", good[:-1] + ', "sallyport": 1}',
                     good.replace("corp.jwks", "missing.jwks")):
            s.gateway.write_config(text)
            code, out, err = s.gateway.reload()
            check(code in (1, 78), "exit code %d for %r" % (code, text[:60]))
            check((out + err).strip(), "nothing is said about %r" % text[:60])
            s.gateway.process.signal(signal.SIGHUP)
            time.sleep(0.02)
            equal(port.fetch(s.port, "/public/x").status, 200, "status afterwards")
            equal(port.fetch(s.port, "/user/x", s.auth()).status, 200, "status of a user afterwards")
        os.unlink(s.gateway.path)
        check(s.gateway.reload()[0] in (1, 78), "exit code without a file")
        after = s.gateway.metrics()
        equal([v for k, v in after.items() if k.startswith("sallyport_config_version")], version, "version in force")
        s.gateway.write_config()
        equal(s.gateway.reload()[0], 0, "exit code of a good file afterwards")
        load.stop()
        check(not load.failures, "%d of %d failed: %r" % (len(load.failures), load.done, load.failures[:5]))


@port.test("reload: keys, issuers and grants end and begin with it, on open connections too")
def reload_revokes():
    with Shop() as s, s.client() as c:
        auth = s.auth()
        equal(c.get("/user/x", auth).status, 200, "status before")
        equal(c.get("/keyed/x", [auth[0]]).status, 200, "status of the key before")
        config = s.gateway.config

        def reload():
            s.gateway.write_config()
            code, out, err = s.gateway.reload()
            equal(code, 0, "exit code of reload (%s)" % (out + err))
        config["roles"]["user"] = []
        reload()
        equal(c.get("/user/x", auth).status, 403, "status without the grant")
        config["roles"]["user"] = ["user"]
        other = Key("shop")
        config["products"]["shop"]["keys"] = [other.entry]
        reload()
        equal(c.get("/user/x", auth).status, 401, "status with the old key")
        auth[0] = ("apikey", other.text)
        equal(c.get("/user/x", auth).status, 200, "status with the new key")
        s.gateway.write("corp.jwks", json.dumps({"keys": [port.SigningKey("ES256").jwk]}))
        reload()
        equal(c.get("/user/x", auth).status, 401, "status when the issuer's key is gone")
        s.gateway.write("corp.jwks", s.issuer.jwks())
        reload()
        equal(c.get("/user/x", auth).status, 200, "status when it is back")
        config["issuers"]["corp"]["audience"] = ["another"]
        reload()
        equal(c.get("/user/x", auth).status, 401, "status when the audience changed")


@port.test("reload: a request that began on the old configuration ends on it")
def reload_in_flight():
    release = threading.Event()

    def answer(seen, client):
        release.wait(5)
        return ok(b"late")
    with Shop(answer) as s, s.client() as c:
        c.send("GET /public/slow HTTP/1.1\r\nHost: a\r\n\r\n")
        port.eventually(lambda: s.upstream.count() == 1, "the request is upstream")
        del s.gateway.config["actions"]["open"]
        s.gateway.write_config()
        equal(s.gateway.reload()[0], 0, "exit code of reload")
        with s.client() as other:
            check(other.get("/public/slow").status in (401, 403, 404), "the action is still served to new requests")
        release.set()
        reply = c.reply()
        equal((reply.status, reply.body), (200, b"late"), "the old request's answer")


@port.test("reload: what cannot change while running says so and leaves all as it was, or changes")
def reload_listen():
    with Shop() as s:
        new = port.free_port()
        old = s.gateway.config["listen"]["gateway"]
        s.gateway.config["listen"]["gateway"] = "127.0.0.1:%d" % new
        s.gateway.write_config()
        code, out, err = s.gateway.reload()
        if code == 0:
            port.eventually(lambda: port.fetch(new, "/public/x").status == 200, "the new address serves")
        else:
            check("listen" in out + err or "restart" in out + err, "it does not say why: %s" % (out + err))
            equal(port.fetch(int(old.split(":")[1]), "/public/x").status, 200, "status at the old address")


@port.test("reload: a key file that is a pipe is refused at once, nobody waits for its writer")
def reload_pipe():
    with Shop() as s:
        where = os.path.join(s.gateway.dir, "corp.jwks")
        os.rename(where, where + ".kept")
        os.mkfifo(where)
        began = time.monotonic()
        code, out, err = s.gateway.reload()
        equal(code, 78, "exit code of reload (%s)" % (out + err))
        check("no regular file" in out + err, "it says: %s" % (out + err))
        check(time.monotonic() - began < 2, "it took %.1f s" % (time.monotonic() - began))
        equal(port.fetch(s.port, "/user/x", s.auth()).status, 200, "status after it")
        equal(port.fetch(s.admin, "/livez", host="127.0.0.1:%d" % s.admin).status, 200, "status of /livez after it")
        os.rename(where + ".kept", where)
        equal(s.gateway.reload()[0], 0, "exit code with the file as it was")


class Held:
    """One thread of a process, stopped (by ptrace, as a debugger does it), while the others run."""
    SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17

    def __init__(self, tid):
        self.tid, self.libc = tid, ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        if self.libc.ptrace(self.SEIZE, tid, None, None) != 0:
            raise port.Skip("the kernel allows no ptrace: %s" % os.strerror(ctypes.get_errno()))
        equal(self.libc.ptrace(self.INTERRUPT, tid, None, None), 0, "PTRACE_INTERRUPT")
        os.waitpid(tid, 0x40000000)  # __WALL

    def let_go(self):
        self.libc.ptrace(self.DETACH, self.tid, None, None)


@port.test("reload: a worker that does not take it is told of, not waited for for ever, and gets it in the end")
def reload_stuck():
    with Shop() as s:
        threads = "/proc/%d/task" % s.gateway.pid

        def name_of(tid):
            with open("%s/%s/comm" % (threads, tid)) as file:
                return file.read().strip()
        workers = [int(t) for t in os.listdir(threads) if name_of(t).startswith("worker")]
        equal(len(workers), 2, "workers among %s" % [name_of(t) for t in os.listdir(threads)])
        held = Held(workers[0])
        try:
            began = time.monotonic()
            code, out, err = s.gateway.reload()
            equal(code, 1, "exit code of reload (%s)" % (out + err))
            check("not every worker" in err, "it says: %s" % (out + err))
            check(4 < time.monotonic() - began < 9, "it took %.1f s" % (time.monotonic() - began))
            code, out, err = s.gateway.cli("reload", "--json")
            equal((code, json.loads(out)["code"]), (1, "overloaded"), "in JSON")
        finally:
            held.let_go()
        equal(s.gateway.reload()[0], 0, "exit code when it runs again")
        for _ in range(20):
            equal(port.fetch(s.port, "/user/x", s.auth()).status, 200, "status")


@port.test("SIGTERM: readiness drops, what is in flight ends, then it is gone with 0")
def drain():
    release = threading.Event()

    def answer(seen, client):
        if "slow" in seen.target:
            release.wait(8)
        return ok(b"done")
    with Shop(answer, change=lambda c: c.update(timeouts={"drain": "10s"})) as s:
        slow, idle = s.client(), s.client()
        equal(idle.get("/public/x").status, 200, "status of what will be idle")
        slow.send("GET /public/slow HTTP/1.1\r\nHost: a\r\n\r\n")
        port.eventually(lambda: s.upstream.count() == 2, "the request is upstream")
        s.gateway.process.signal(signal.SIGTERM)
        own = "127.0.0.1:%d" % s.admin

        def unready():
            try:
                return port.fetch(s.admin, "/readyz", host=own).status == 503
            except (OSError, Failure):
                return False
        port.eventually(unready, "readiness drops")
        equal(port.fetch(s.admin, "/livez", host=own).status, 200, "/livez while draining")
        check(idle.closed(5), "an idle connection is kept open while draining")
        check(s.gateway.process.alive(), "it did not wait for what is in flight")
        release.set()
        reply = slow.reply()
        equal((reply.status, reply.body), (200, b"done"), "the answer in flight")
        check(slow.closed(5), "the connection stays open after its last answer")
        equal(s.gateway.process.wait(5), 0, "exit code")
        check(not os.path.exists(os.path.join(s.gateway.data, "cli.sock")), "cli.sock is left behind")


@port.test("SIGTERM: the bound of the drain holds; a second signal is immediate; SIGINT the same")
def drain_bound():
    def answer(seen, client):
        time.sleep(20)
        return False
    for signals, bound, least in (([signal.SIGTERM], 4, 0.7), ([signal.SIGTERM, signal.SIGTERM], 1, 0),
                                  ([signal.SIGINT, signal.SIGTERM], 1, 0)):
        drain_s = "1s" if len(signals) == 1 else "20s"
        with Shop(answer, change=lambda c: c.update(timeouts={"drain": drain_s})) as s:
            with s.client() as c:
                c.send("GET /public/slow HTTP/1.1\r\nHost: a\r\n\r\n")
                port.eventually(lambda: s.upstream.count() == 1, "the request is upstream")
                began = time.monotonic()
                for number in signals:
                    s.gateway.process.signal(number)
                    time.sleep(0.15)
                s.gateway.process.wait(bound + 3)
                took = time.monotonic() - began
                check(least <= took < bound + 0.5, "it took %.1f s after %d signals" % (took, len(signals)))
                s.gateway.process.popen.returncode = 0  # 0, or another number after a second signal: both are an end


class Notify:
    """A stand-in for the service manager's socket."""

    def __init__(self):
        self.path = os.path.join(port.folder(), "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.sock.settimeout(0.05)
        self.said = []

    def heard(self, word):
        try:
            while True:
                self.said += self.sock.recv(4096).decode().split("\n")
        except OSError:
            pass
        return any(line.startswith(word) for line in self.said)


@port.test("sd_notify: READY when it serves, RELOADING and READY again, STOPPING")
def notify():
    manager = Notify()
    with Shop(env={"NOTIFY_SOCKET": manager.path}) as s:
        port.eventually(lambda: manager.heard("READY=1"), "READY=1 (said: %r)" % manager.said)
        manager.said.clear()
        equal(s.gateway.reload()[0], 0, "exit code of reload")
        port.eventually(lambda: manager.heard("RELOADING=1") and manager.heard("READY=1"), "RELOADING=1 and READY=1")
        check(manager.heard("MONOTONIC_USEC="), "RELOADING without MONOTONIC_USEC")
        s.gateway.process.signal(signal.SIGTERM)
        port.eventually(lambda: manager.heard("STOPPING=1"), "STOPPING=1")


@port.test("start: a bad file is 78 with line and column, a taken port 1 naming it, usage 2")
def start_errors():
    where = port.folder()

    def start(text, *args):
        path = os.path.join(where, "c.yaml")
        with open(path, "w") as out:
            out.write(text)
        return port.cli("run", "--config", path, *args, cwd=where)
    code, out, err = start("sallyport: 1\nlisten: {gateway: \"127.0.0.1:1\"}\nsevices: {}\nhops: x\n")
    equal(code, 78, "exit code of a bad file")
    check("c.yaml:3:1" in err and "services" in err and "c.yaml:4:7" in err, "it says: %s" % err)
    equal(port.cli("run", "--config", os.path.join(where, "missing.yaml"))[0] in (78, 1), True, "a missing file")
    equal(port.cli("run", "--nonsense")[0], 2, "an unknown option")
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen(1)
    number = taken.getsockname()[1]
    code, out, err = start("sallyport: 1\nlisten: {gateway: \"127.0.0.1:%d\", admin: none}\ndata: %s/d\n" % (number, where))
    equal(code, 1, "exit code of a taken port (%s)" % err)
    check(str(number) in err, "it does not name the port: %s" % err)
    taken.close()
    # the lock on the folder: two products never share one
    with Shop() as s:
        code, out, err = port.cli("run", "--config", s.gateway.path, cwd=s.gateway.dir)
        equal(code, 1, "exit code of a second one with the same file (%s)" % err[-200:])
        equal(port.fetch(s.port, "/public/x").status, 200, "the first one's status")
        equal(s.gateway.cli("why", "01J00000000000000000000000")[0], 1, "the first one's socket")


@port.test("dev looks at its folder before it writes a key there")
def dev_folder():
    home = port.folder()
    loose, file = os.path.join(home, "loose"), os.path.join(home, "file")
    os.mkdir(loose)
    os.chmod(loose, 0o777)
    with open(file, "w"):
        pass
    long = os.path.join(home, "x" * 120)
    refused = [(loose, "chmod go-w"), (file, "no folder"), (long, "too long"), (os.path.join(home, "no", "such"), "No such file")]
    if os.getuid() == 0:
        other = os.path.join(home, "other")
        os.mkdir(other, 0o700)
        os.chown(other, 65534, 65534)
        refused.append((other, "somebody else"))
    for where, why in refused:
        code, out, err = port.cli("dev", "--data", where, cwd=home)
        equal(code, 1, "exit code of dev --data %s (%s)" % (where, out + err))
        check(why in err and "Traceback" not in err, "it says: %s" % err)
        check(not os.path.isdir(where) or not os.listdir(where), "it left %s in %s" % (os.path.isdir(where) and os.listdir(where), where))
    check(not os.path.exists(long), "it made a folder that cannot hold its socket")
    code, out, err = port.cli("token", "mint", "--dev", "--init", "--data", loose, "--sub", "alice", cwd=home)
    equal(code, 1, "exit code of token mint --init in a folder that others may write (%s)" % (out + err))


@port.test("kill -9 and start again: the dead socket is no obstacle")
def killed():
    with Shop() as s:
        s.gateway.process.kill()
        check(os.path.exists(os.path.join(s.gateway.data, "cli.sock")), "kill -9 cleans up?")
        s.gateway.process = Process([port.binary(), "run", "--config", s.gateway.path], cwd=s.gateway.dir)
        s.gateway.wait_ready()
        equal(port.fetch(s.port, "/public/x").status, 200, "status")
        equal(s.gateway.reload()[0], 0, "exit code of reload")


@port.test("exec to first 401 and first 200: within 300 ms")
def first_answer():
    best = {}
    for _ in range(3):
        with Shop(wait=False) as s:
            began = time.monotonic()
            s.gateway.process.kill()
            s.gateway.process = Process([port.binary(), "run", "--config", s.gateway.path], cwd=s.gateway.dir)
            began = time.monotonic()
            auth = s.auth()
            for status, fields in ((401, ()), (200, auth)):
                def asked():
                    return port.fetch(s.port, "/user/x", fields).status == status
                port.eventually(asked, "status %d" % status, every=0.002)
                took = time.monotonic() - began
                best[status] = min(best.get(status, 9), took)
            s.gateway.wait_ready()
    check(best[401] < 0.3 and best[200] < 0.3, "first 401 after %.0f ms, first 200 after %.0f ms" %
          (best[401] * 1000, best[200] * 1000))


@port.test("no descriptors left: it refuses or waits, and serves again")
def descriptors():
    with Shop(change=lambda c: c.update(workers=1)) as s:
        limit = s.gateway.process.descriptors() + 10
        resource.prlimit(s.gateway.pid, resource.RLIMIT_NOFILE, (limit, limit))
        held = []
        for _ in range(40):
            c = Client(s.port, timeout=0.3)
            held.append(c)
        time.sleep(0.3)
        check(s.gateway.process.alive(), "it died")
        before = sum(int(x) for x in open("/proc/%d/stat" % s.gateway.pid).read().split()[13:15])
        time.sleep(1)
        spent = sum(int(x) for x in open("/proc/%d/stat" % s.gateway.pid).read().split()[13:15]) - before
        check(spent < 50, "it spins: %d ticks of CPU in a second" % spent)
        for c in held:
            c.close()
        port.eventually(lambda: port.fetch(s.port, "/public/x").status == 200, "it serves again")


@port.test("idle connections: none is leaked, memory goes back")
def connections():
    with Shop(change=lambda c: c.update(workers=1)) as s:
        port.fetch(s.port, "/public/x")
        before = s.gateway.process.descriptors()
        for _ in range(3):
            held = [Client(s.port) for _ in range(300)]
            for c in held:
                equal(c.get("/public/x").status, 200, "status")
            for n, c in enumerate(held):
                c.reset() if n % 2 else c.close()
        port.eventually(lambda: s.gateway.process.descriptors() <= before + 40, "descriptors are given back (%d before)" %
                        before)


@port.test("it writes nothing outside its data folder and runs in no other place")
def writes():
    with Shop() as s:
        port.fetch(s.port, "/user/x", s.auth())
        allowed = (s.gateway.data, "/dev/", "/proc/", "pipe:", "socket:", "anon_inode:", s.gateway.process.dir)
        for fd in os.listdir("/proc/%d/fd" % s.gateway.pid):
            try:
                target = os.readlink("/proc/%d/fd/%s" % (s.gateway.pid, fd))
                flags = open("/proc/%d/fdinfo/%s" % (s.gateway.pid, fd)).read()
            except OSError:
                continue
            mode = int([line for line in flags.split("\n") if line.startswith("flags")][0].split()[1], 8) & 3
            check(mode == 0 or target.startswith(allowed), "it has %s open for writing" % target)
        names = set(os.listdir(s.gateway.dir))
        equal(names - {"sallyport.yaml", "corp.jwks", "data"}, set(), "files beside the configuration")
        equal(os.stat(s.gateway.data).st_mode & 0o077, 0, "access of others to the data folder")


if __name__ == "__main__":
    port.main()
