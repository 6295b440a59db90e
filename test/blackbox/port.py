"""What every black-box script stands on: the product as a process, raw clients, raw upstreams, issuers.

The scripts meet Sallyport only from outside: a configuration file, sockets, the command line. Nothing here uses the
product's own code; tokens are minted with python3-cryptography. Results are lines on stdout:

    ok NAME
    not ok NAME — why
    skip NAME — reason

and the exit code is 1 when something failed. Everything a script starts dies with it.

Environment: SALLYPORT (the binary), BUILD (the build folder, for the sample services). Without them the newest build*
folder of this checkout is used. KEEP=1 keeps the temporary folders, TIMES=1 tells how long each test took.
"""

import atexit
import base64
import contextlib
import ctypes
import fcntl
import glob
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


# --- what is under test ---------------------------------------------------------------------------------------------

def _newest(name):
    found = [p for p in glob.glob(os.path.join(ROOT, "build*", name)) if os.access(p, os.X_OK)]
    return max(found, key=os.path.getmtime) if found else None


def binary():
    path = os.environ.get("SALLYPORT") or _newest("sallyport")
    if not path or not os.access(path, os.X_OK):
        sys.exit("port.py: no sallyport binary: build it, or say SALLYPORT=PATH")
    return os.path.abspath(path)


def memory(bound):
    """That bound in kB, or a laxer one when the binary is built with a sanitizer, which keeps shadows and quarantines."""
    with open(binary(), "rb") as file:
        text = file.read()
    return bound * 8 if b"__asan_init" in text or b"__tsan_init" in text else bound


def example(name):
    build = os.environ.get("BUILD")
    path = os.path.join(build, "examples", "example-" + name) if build else _newest("examples/example-" + name)
    if not path or not os.access(path, os.X_OK):
        sys.exit("port.py: no example-%s: build it, or say BUILD=FOLDER" % name)
    return os.path.abspath(path)


# --- results --------------------------------------------------------------------------------------------------------

class Failure(Exception):
    pass


class Skip(Exception):
    pass


_tests = []
_print_lock = threading.Lock()


def test(name):
    """Decorator: the function is a test of that name; it fails by raising, skips by raising Skip."""
    def register(function):
        _tests.append((name, function))
        return function
    return register


def cases(prefix, table):
    """Decorator: one test for each row; row[0] is its name, the whole row is passed."""
    def register(function):
        for row in table:
            _tests.append(("%s: %s" % (prefix, row[0]), lambda row=row: function(*row)))
        return function
    return register


def _one_line(text):
    return " ".join(str(text).split())[:600]


def main():
    """Runs the registered tests whose name contains one of the arguments (all without), one after the other."""
    failed = ran = 0
    began = time.monotonic()
    for name, function in _tests:
        if sys.argv[1:] and not any(want in name for want in sys.argv[1:]):
            continue
        ran += 1
        start = time.monotonic()
        try:
            function()
            line = "ok " + name
        except Skip as reason:
            line = "skip %s — %s" % (name, _one_line(reason))
        except Failure as why:
            failed += 1
            line = "not ok %s — %s" % (name, _one_line(why))
        except Exception as error:  # a test that breaks has not shown what it is for
            failed += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            line = "not ok %s — %s: %s (%s:%d)" % (name, type(error).__name__, _one_line(error),
                                                   os.path.basename(where.filename), where.lineno)
        if os.environ.get("TIMES"):
            line += "  [%.2f s]" % (time.monotonic() - start)
        with _print_lock:
            print(line, flush=True)
    for gateway in list(Gateway.alive):
        why = gateway.autopsy()
        if why:
            failed += 1
            print("not ok the gateway is well at the end — " + _one_line(why), flush=True)
    print("# %s: %d tests, %d failed, %.1f s" % (os.path.basename(sys.argv[0]), ran, failed, time.monotonic() - began),
          flush=True)
    sys.exit(1 if failed or not ran else 0)


def check(condition, why):
    if not condition:
        raise Failure(why() if callable(why) else why)


def equal(got, want, what="value"):
    if got != want:
        raise Failure("%s: got %r, want %r" % (what, got, want))


def eventually(probe, why, seconds=5.0, every=0.02):
    """Calls probe until it gives something true; gives that. An exception in it counts as not yet."""
    deadline = time.monotonic() + seconds
    last = None
    while True:
        try:
            value = probe()
            if value:
                return value
        except (OSError, Failure, ValueError) as error:
            last = error
        if time.monotonic() > deadline:
            raise Failure("%s within %.1f s%s" % (why, seconds, " (%s)" % last if last else ""))
        time.sleep(every)


# --- folders, ports, processes --------------------------------------------------------------------------------------

_folders = []


def folder():
    """A fresh temporary folder, removed at the end (kept with KEEP=1)."""
    path = tempfile.mkdtemp(prefix="sallyport-test-")
    _folders.append(path)
    return path


_port_locks = []


def free_port():
    """A TCP port nobody listens on, below the range that connections are given theirs from, held for this script by
    a lock file: scripts that run side by side never get the same."""
    locks = os.path.join(tempfile.gettempdir(), "sallyport-test-ports")
    os.makedirs(locks, exist_ok=True)
    start = 12000 + (os.getpid() * 37 + len(_port_locks) * 11) % 18000
    for port in list(range(start, 30000)) + list(range(12000, start)):
        lock = os.open(os.path.join(locks, str(port)), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
            _port_locks.append(lock)
            return port
        except OSError:
            os.close(lock)
    raise Failure("no free port")


_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent():
    _libc.prctl(1, signal.SIGKILL)


def serving_children(pid):
    """The processes of the product that serve for that parent, the newest first (docs/architecture.md)."""
    found = []
    with contextlib.suppress(OSError):
        for child in open("/proc/%d/task/%d/children" % (pid, pid)).read().split():
            with contextlib.suppress(OSError):
                if open("/proc/%s/comm" % child).read().strip() == "sallyport-serve":
                    found.append(int(child))
    return sorted(found, reverse=True)


class Process:
    """A child with its output in files, in a session of its own; killed when the script ends, however it ends."""
    running = set()

    def __init__(self, argv, cwd=None, env=None, name=None, stdin=subprocess.DEVNULL):
        self.dir = folder()
        self.name = name or os.path.basename(argv[0])
        self.out_path = os.path.join(self.dir, "stdout")
        self.err_path = os.path.join(self.dir, "stderr")
        with open(self.out_path, "ab") as out, open(self.err_path, "ab") as err:
            self.popen = subprocess.Popen(argv, cwd=cwd, env=env, stdin=stdin, stdout=out, stderr=err,
                                          preexec_fn=_die_with_parent, start_new_session=True)
        self.pid = self.popen.pid
        Process.running.add(self)

    def out(self):
        return open(self.out_path, "rb").read().decode("utf-8", "replace")

    def err(self):
        return open(self.err_path, "rb").read().decode("utf-8", "replace")

    def alive(self):
        return self.popen.poll() is None

    def wait(self, seconds=10.0):
        """The exit code."""
        try:
            code = self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure("%s is still running after %.1f s" % (self.name, seconds))
        Process.running.discard(self)
        return code

    def signal(self, number):
        if number in (signal.SIGSTOP, signal.SIGCONT):  # frozen means frozen: the one that serves, too
            for pid in {self.serving, self.pid} - {self.pid}:
                os.kill(pid, number)
        self.popen.send_signal(number)

    def stop(self, seconds=5.0):
        if self.alive():
            self.signal(signal.SIGTERM)
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        Process.running.discard(self)

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait()
        Process.running.discard(self)

    @property
    def serving(self):
        """The process that serves: a child of the product's own, or, for anything else, the process itself."""
        return next(iter(serving_children(self.pid)), self.pid)

    def status(self, field):
        """A number of /proc/PID/status in kB (VmRSS, VmHWM) or as it stands (Threads), of the process that serves."""
        with open("/proc/%d/status" % self.serving) as lines:
            for line in lines:
                if line.startswith(field + ":"):
                    return int(line.split()[1])
        raise Failure("no %s of %s" % (field, self.name))

    def descriptors(self):
        try:
            return len(os.listdir("/proc/%d/fd" % self.serving))
        except PermissionError:  # in its sandbox it is nobody's to look into
            raise Skip("only root sees the descriptors of the process that serves")


def _clean():
    for process in list(Process.running):
        with contextlib.suppress(Exception):
            process.kill()
    if not os.environ.get("KEEP"):
        for path in _folders:
            shutil.rmtree(path, ignore_errors=True)


atexit.register(_clean)
for _number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(_number, lambda number, frame: sys.exit(128 + number))


def cli(*args, input=None, cwd=None, env=None, seconds=15):
    """Runs `sallyport ARGS`; gives (exit code, stdout, stderr)."""
    done = subprocess.run([binary(), *map(str, args)], input=input, cwd=cwd, env=env, timeout=seconds,
                          capture_output=True, text=True, errors="replace")
    return done.returncode, done.stdout, done.stderr


# --- the product ----------------------------------------------------------------------------------------------------

class Key:
    """An API key made by the product, and the line of the configuration that admits it."""

    def __init__(self, product="shop", env="test"):
        code, out, err = cli("key", "new", product, "--env", env, "--json")
        if code != 0:
            raise Failure("sallyport key new: exit %d: %s" % (code, out + err))
        made = json.loads(out)
        self.text = made["key"]
        self.entry = {"id": made["id"], "sha256": made["sha256"]}
        if hashlib.sha256(self.text.encode()).hexdigest() != self.entry["sha256"]:
            raise Failure("the hash that `key new` prints is not that of the key it prints")


class Gateway:
    """`sallyport run --config FILE`, in a folder of its own. `config` is a dict (JSON is YAML), completed with free
    ports; files are more files for that folder. wait: until it is ready (True), until it is alive ("live"), not (False)."""
    alive = []

    def __init__(self, config, files=None, wait=True, env=None, command=("run",)):
        self.dir = folder()
        self.config = dict(config)
        self.config.setdefault("sallyport", 1)
        self.config.setdefault("environment", "test")
        self.config.setdefault("workers", 2)
        listen = dict(self.config.get("listen", {}))
        self.port = self.admin = None
        if "gateway" not in listen:
            self.port = free_port()
            listen["gateway"] = "127.0.0.1:%d" % self.port
        if "admin" not in listen:
            self.admin = free_port()
            listen["admin"] = "127.0.0.1:%d" % self.admin
        self.config["listen"] = listen
        self.data = os.path.join(self.dir, "data")
        self.config.setdefault("data", self.data)
        self.path = os.path.join(self.dir, "sallyport.yaml")
        for name, content in (files or {}).items():
            self.write(name, content)
        self.write_config()
        self.env = dict(os.environ, **(env or {}))
        self.process = Process([binary(), *command, "--config", self.path], cwd=self.dir, env=self.env)
        Gateway.alive.append(self)
        if wait:
            self.wait_ready(path="/livez" if wait == "live" else "/readyz")

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.stop()

    @property
    def pid(self):
        """Of the process that serves: what memory, threads and descriptors are looked up by. Signals go to .process."""
        return self.process.serving

    def write(self, name, content):
        path = os.path.join(self.dir, name)
        with open(os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(content if isinstance(content, bytes) else content.encode())
        os.replace(path + ".new", path)
        return path

    def write_config(self, text=None):
        self.write("sallyport.yaml", text if text is not None else json.dumps(self.config, indent=1, ensure_ascii=False))

    def wait_ready(self, seconds=10.0, path="/readyz"):
        def ready():
            if not self.process.alive():
                raise SystemExit("sallyport ended with %d:\n%s" % (self.process.popen.returncode, self.process.err()))
            if self.admin is None:
                return os.path.exists(os.path.join(self.data, "cli.sock"))
            return Client(self.admin).get(path, host="127.0.0.1:%d" % self.admin).status == 200
        eventually(ready, "the gateway is ready", seconds)

    def log(self):
        """The records of the log as dicts; a line that is not JSON is a failure."""
        records = []
        for line in self.process.err().split("\n")[:-1]:
            try:
                records.append(json.loads(line))
            except ValueError:
                raise Failure("a log line is not JSON: %r" % line)
        return records

    def cli(self, *args, **more):
        return cli(*args, env=dict(os.environ, SALLYPORT_SOCKET=os.path.join(self.data, "cli.sock")), **more)

    def metrics(self):
        """{'name{labels}': value} as Prometheus would read it."""
        reply = Client(self.admin).get("/metrics", host="127.0.0.1:%d" % self.admin)
        equal(reply.status, 200, "status of /metrics")
        values = {}
        for line in reply.body.decode().split("\n"):
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
        return values

    def reload(self):
        return self.cli("reload")

    def autopsy(self):
        """Why it is not well (died, or a sanitizer spoke), or None."""
        err = self.process.err()
        for word in ("AddressSanitizer", "ThreadSanitizer", "LeakSanitizer", "runtime error:", "Assertion"):
            if word in err:
                return err[err.index(word) - 40 if err.index(word) > 40 else 0:][:500]
        code = self.process.popen.poll()
        if code is not None and code != 0:
            return "it ended with %d: %s" % (code, err[-300:])
        return None

    def stop(self):
        self.process.stop(35)
        why = self.autopsy()
        if self in Gateway.alive:
            Gateway.alive.remove(self)
        if why:
            raise Failure(why)


# --- raw clients ----------------------------------------------------------------------------------------------------

class Reply:
    """One response as it came."""

    def __init__(self, status, reason, version, fields, body, trailers, raw_head):
        self.status, self.reason, self.version = status, reason, version
        self.fields, self.body, self.trailers, self.raw_head = fields, body, trailers, raw_head

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return "<%d %r %r>" % (self.status, self.fields, self.body[:200])


class Closed(Failure):
    """The peer closed (or reset) where a response was expected."""


class Client:
    """One connection, bytes in and bytes out. `to` is a port of 127.0.0.1, (host, port), or a path."""

    def __init__(self, to, timeout=10.0, rcvbuf=None):
        if isinstance(to, str):
            self.sock = socket.socket(socket.AF_UNIX)
        else:
            self.sock = socket.socket()
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(timeout)
        self.sock.connect(to if isinstance(to, (str, tuple)) else ("127.0.0.1", to))
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))
        return self

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def fill(self):
        try:
            piece = self.sock.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            piece = b""
        except socket.timeout:
            raise Failure("nothing came for %.1f s; so far %r" % (self.sock.gettimeout(), self.buffer[:200]))
        self.buffer += piece
        return len(piece) > 0

    def until(self, mark):
        while mark not in self.buffer:
            if not self.fill():
                raise Closed("the connection ended before %r; got %r" % (mark, self.buffer[:300]))
        taken, self.buffer = self.buffer.split(mark, 1)
        return taken + mark

    def exactly(self, n):
        while len(self.buffer) < n:
            if not self.fill():
                raise Closed("the connection ended at %d of %d bytes" % (len(self.buffer), n))
        taken, self.buffer = self.buffer[:n], self.buffer[n:]
        return taken

    def rest(self):
        """Everything until the peer closes."""
        while self.fill():
            pass
        taken, self.buffer = self.buffer, b""
        return taken

    def head(self):
        raw = self.until(b"\r\n\r\n")
        lines = raw[:-4].split(b"\r\n")
        found = re.fullmatch(rb"(HTTP/1\.[01]) (\d{3}) ?(.*)", lines[0])
        if not found:
            raise Failure("not a status line: %r" % lines[0])
        fields = []
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            if not colon or not re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
                raise Failure("not a field line: %r" % line)
            fields.append((name.decode(), value.strip(b" \t").decode("latin-1")))
        return Reply(int(found.group(2)), found.group(3).decode("latin-1"), found.group(1).decode(), fields, b"", [], raw)

    def body_of(self, reply, method="GET"):
        """Reads the body that belongs to that head, strictly."""
        coding, lengths = reply.get("transfer-encoding"), reply.all("content-length")
        if len(lengths) > 1 or (lengths and coding):
            raise Failure("ambiguous framing from the gateway: %r" % reply.raw_head)
        if method == "HEAD" or reply.status in (204, 304) or reply.status < 200:
            return reply
        if coding:
            equal(coding, "chunked", "transfer coding")
            reply.body, reply.trailers = self.chunks()
        elif lengths:
            reply.body = self.exactly(int(lengths[0]))
        else:
            reply.body = self.rest()
        return reply

    def chunks(self):
        pieces = []
        while True:
            line = self.until(b"\r\n")
            if not re.fullmatch(rb"[0-9a-fA-F]+\r\n", line):
                raise Failure("not a chunk line: %r" % line)
            size = int(line, 16)
            if size == 0:
                break
            pieces.append(self.exactly(size))
            equal(self.exactly(2), b"\r\n", "end of a chunk")
        trailers = []
        while True:
            line = self.until(b"\r\n")
            if line == b"\r\n":
                return b"".join(pieces), trailers
            name, _, value = line.partition(b":")
            trailers.append((name.decode(), value.strip().decode("latin-1")))

    def reply(self, method="GET", interim=None):
        """The next final response; interim ones go to the list."""
        while True:
            head = self.head()
            if head.status >= 200 or head.status == 101:
                return self.body_of(head, method)
            if interim is not None:
                interim.append(head)

    def ask(self, method, path, fields=(), body=None, host="gateway.test"):
        lines = ["%s %s HTTP/1.1" % (method, path)]
        if host is not None:
            lines.append("Host: " + host)
        lines += ["%s: %s" % field for field in (fields.items() if isinstance(fields, dict) else fields)]
        if body is not None:
            lines.append("Content-Length: %d" % len(body))
        self.send("\r\n".join(lines) + "\r\n\r\n")
        if body:
            self.send(body)
        return self.reply(method)

    def get(self, path, fields=(), host="gateway.test"):
        return self.ask("GET", path, fields, host=host)

    def closed(self, seconds=3.0):
        """Whether the peer closes within that time with nothing more to say."""
        self.sock.settimeout(seconds)
        try:
            return self.buffer == b"" and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True
        except socket.timeout:
            return False


def fetch(port, path, fields=(), method="GET", body=None, host="gateway.test"):
    with Client(port) as client:
        return client.ask(method, path, fields, body, host)


# --- raw upstreams --------------------------------------------------------------------------------------------------

class Seen:
    """One request as it reached the upstream, byte for byte."""

    def __init__(self, raw_head):
        self.raw_head = raw_head
        lines = raw_head[:-4].split(b"\r\n")
        self.line = lines[0].decode("latin-1")
        self.method, self.target = (self.line.split(" ") + [""])[:2]
        self.fields = []
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            self.fields.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))
        self.body, self.trailers = b"", []

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default


class Upstream:
    """A service that records every byte. `answer(seen, client)` gives the bytes of the response (or a str), or sends
    by itself and gives None; without it every request is answered 200 with a small body. The connection goes on until
    the peer closes or answer gives False."""

    def __init__(self, answer=None, path=None, port=None, read_body=True, serve=None):
        self.answer, self.read_body, self.serve_connection = answer, read_body, serve
        self.requests, self.raw = [], []
        self.connections = self.open_now = 0
        self.errors = []
        self.lock = threading.Lock()
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
            self.address = "unix:" + path
        else:
            self.listener = socket.socket()
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind(("127.0.0.1", port or 0))
            self.port = self.listener.getsockname()[1]
            self.address = "127.0.0.1:%d" % self.port
        self.listener.listen(512)
        self.stopping = False
        self.clients = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.stop()

    def stop(self):
        """No more connections; those that are open are reset."""
        self.stopping = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            clients = list(self.clients)
        for client in clients:
            with contextlib.suppress(OSError):
                client.sock.shutdown(socket.SHUT_RDWR)

    def clear(self):
        with self.lock:
            self.requests.clear()
            self.raw.clear()

    def bytes(self):
        """Everything received, all connections."""
        with self.lock:
            return b"".join(self.raw)

    def _accept(self):
        while not self.stopping:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        client = Client.__new__(Client)
        client.sock, client.buffer = sock, b""
        sock.settimeout(60)
        recv = sock.recv
        upstream = self

        def fill():
            try:
                piece = recv(262144)
            except OSError:
                piece = b""
            with upstream.lock:
                if upstream.read_body:
                    upstream.raw.append(piece)
            client.buffer += piece
            return len(piece) > 0
        client.fill = fill
        with self.lock:
            self.connections += 1
            self.open_now += 1
            self.clients.add(client)
        try:
            if self.serve_connection:
                self.serve_connection(client)
            else:
                self._requests(client)
        except (Failure, OSError) as error:
            if not isinstance(error, Closed):
                self.errors.append(str(error))
        finally:
            with self.lock:
                self.open_now -= 1
                self.clients.discard(client)
            sock.close()

    def _requests(self, client):
        while True:
            seen = Seen(client.until(b"\r\n\r\n"))
            if self.read_body:
                if seen.get("transfer-encoding"):
                    seen.body, seen.trailers = client.chunks()
                elif seen.get("content-length"):
                    seen.body = client.exactly(int(seen.get("content-length")))
            with self.lock:
                self.requests.append(seen)
            answer = self.answer(seen, client) if self.answer else ok(b"upstream\n", seen.method)
            if answer is False:
                return
            if answer:
                client.send(answer)

    def last(self):
        with self.lock:
            if not self.requests:
                raise Failure("nothing reached the upstream")
            return self.requests[-1]

    def count(self):
        with self.lock:
            return len(self.requests)


def ok(body=b"", method="GET", fields=(), status="200 OK"):
    body = body if isinstance(body, bytes) else body.encode()
    head = "HTTP/1.1 %s\r\nContent-Length: %d\r\n" % (status, len(body))
    head += "".join("%s: %s\r\n" % field for field in fields) + "\r\n"
    return head.encode("latin-1") + (b"" if method == "HEAD" else body)


def mirror(seen, client=None):
    """Answers with what it received, as JSON."""
    return ok(json.dumps({"method": seen.method, "target": seen.target, "fields": seen.fields, "trailers": seen.trailers,
                          "body_n": len(seen.body), "body_sha256": hashlib.sha256(seen.body).hexdigest()}), seen.method)


# --- issuers --------------------------------------------------------------------------------------------------------

def b64(data):
    data = data if isinstance(data, bytes) else data.encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _int(n, size=None):
    return b64(n.to_bytes(size or (n.bit_length() + 7) // 8, "big"))


class SigningKey:
    """A private key of some algorithm, its public JWK, and signing; independent of the product."""
    _rsa = {}

    def __init__(self, alg="ES256", kid=None, secret=None):
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
        self.alg, self.kid = alg, kid or "%s-%s" % (alg.lower(), os.urandom(3).hex())
        self.jwk = {"kid": self.kid, "alg": alg, "use": "sig"}
        family = alg[:2]
        if family in ("RS", "PS"):
            self.private = rsa.generate_private_key(65537, 2048)
            numbers = self.private.public_key().public_numbers()
            self.jwk.update(kty="RSA", n=_int(numbers.n), e=_int(numbers.e))
        elif family == "ES":
            curve, name, size = {"ES256": (ec.SECP256R1(), "P-256", 32), "ES384": (ec.SECP384R1(), "P-384", 48),
                                 "ES512": (ec.SECP521R1(), "P-521", 66)}[alg]
            self.private, self.size = ec.generate_private_key(curve), size
            numbers = self.private.public_key().public_numbers()
            self.jwk.update(kty="EC", crv=name, x=_int(numbers.x, size), y=_int(numbers.y, size))
        elif family == "Ed":
            from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
            self.private = ed25519.Ed25519PrivateKey.generate()
            public = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            self.jwk.update(kty="OKP", crv="Ed25519", x=b64(public))
        else:
            self.private = secret or os.urandom(64)
            self.jwk.update(kty="oct", k=b64(self.private))

    def sign(self, data, alg=None):
        from cryptography.hazmat.primitives import hashes, hmac
        from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
        alg = alg or self.alg
        if alg == "EdDSA":
            return self.private.sign(data)
        digest = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}[alg[2:]]()
        if alg.startswith("HS"):
            mac = hmac.HMAC(self.private, digest)
            mac.update(data)
            return mac.finalize()
        if alg.startswith("RS"):
            return self.private.sign(data, padding.PKCS1v15(), digest)
        if alg.startswith("PS"):
            return self.private.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        r, s = utils.decode_dss_signature(self.private.sign(data, ec.ECDSA(digest)))
        return r.to_bytes(self.size, "big") + s.to_bytes(self.size, "big")


class Issuer:
    """An issuer of access tokens with one or more keys."""

    def __init__(self, url="https://idp.test", audience="api", alg="ES256", typ="at+jwt", keys=None):
        self.url, self.audience, self.typ = url, audience, typ
        self.keys = keys or [SigningKey(alg)]

    def jwks(self, keys=None):
        return json.dumps({"keys": [key.jwk for key in keys or self.keys]})

    def claims(self, sub="alice", **more):
        now = int(time.time())
        claims = {"iss": self.url, "aud": self.audience, "sub": sub, "iat": now, "exp": now + 600,
                  "jti": os.urandom(8).hex(), "client_id": "web"}
        claims.update(more)
        return {name: value for name, value in claims.items() if value is not None}

    def mint(self, sub="alice", key=None, header=None, payload=None, signature=None, alg=None, **claims):
        """A token; header adds or (with None) removes members, payload replaces the claims, signature the signature."""
        key = key or self.keys[0]
        members = {"alg": alg or key.alg, "typ": self.typ, "kid": key.kid}
        members.update(header or {})
        members = {name: value for name, value in members.items() if value is not None}
        if payload is None:
            payload = json.dumps(self.claims(sub, **claims))
        first = b64(json.dumps(members)) + "." + b64(payload)
        if signature is None:
            signature = key.sign(first.encode(), key.alg)
        return first + "." + b64(signature)

    def config(self, file, **more):
        """The issuer's entry in the configuration, its keys in that file."""
        algs = sorted({key.alg for key in self.keys})
        entry = {"issuer": self.url, "audience": [self.audience], "algorithms": algs, "typ": self.typ,
                 "keys": {"file": file}}
        entry.update(more)
        return {name: value for name, value in entry.items() if value is not None}


def bearer(token):
    return ("Authorization", "Bearer " + token)


# --- a protected gateway that most scripts start with -----------------------------------------------------------------

class Shop:
    """A gateway in front of one recording upstream: product `shop`, issuer `corp`, and these actions:
    open (public, /public/{rest*}), keyed (an API key suffices, /keyed/{rest*}), user (needs role `user`, /user/{rest*}),
    admin (needs role `admin`, /admin/{rest*}), any method each. `change` may edit the configuration before the start."""

    def __init__(self, answer=None, change=None, files=None, upstream=None, **more):
        self.upstream = upstream or Upstream(answer)
        self.key = Key("shop")
        self.issuer = Issuer()
        config = {
            "issuers": {"corp": self.issuer.config("corp.jwks", default=True, products=["shop"],
                                                   roles=["user", "admin"], permissions="any")},
            "products": {"shop": {"keys": [self.key.entry], "may": ["keyed", "user", "admin"]}},
            "services": {"app": {"instances": [self.upstream.address]}},
            "actions": {
                "open": {"match": "* /public/{rest*}", "to": "app", "public": True},
                "keyed": {"match": "* /keyed/{rest*}", "to": "app", "accept": ["apikey"]},
                "user": {"match": "* /user/{rest*}", "to": "app"},
                "admin": {"match": "* /admin/{rest*}", "to": "app"},
            },
            "roles": {"user": ["user"], "admin": ["user", "admin"]},
        }
        if change:
            change(config)
        self.gateway = Gateway(config, {"corp.jwks": self.issuer.jwks(), **(files or {})}, **more)
        self.port, self.admin = self.gateway.port, self.gateway.admin

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.stop()

    def stop(self):
        try:
            self.gateway.stop()
        finally:
            self.upstream.stop()

    def auth(self, sub="alice", roles=("user",), **claims):
        """The fields of a caller with that role: the product's key and a token."""
        return [("apikey", self.key.text), bearer(self.issuer.mint(sub, roles=list(roles), **claims))]

    def client(self, **more):
        return Client(self.port, **more)
