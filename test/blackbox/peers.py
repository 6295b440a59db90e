#!/usr/bin/env python3
"""Real peers: Debian's nginx and Node's HTTP server behind the gate, curl and wrk in front of it."""

import hashlib
import os
import re
import shutil
import subprocess
import time

import port
from port import Process, Shop, check, equal

NGINX = """
daemon off; master_process off; pid {dir}/pid; error_log {dir}/error.log warn;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_timeout 300ms; keepalive_requests 50; client_max_body_size 300m;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u;
  scgi_temp_path {dir}/s;
  server {{
    listen 127.0.0.1:{port}; root {dir}/html;
    location /public/small {{ default_type application/json;
      return 200 '{{"user":"$http_x_user_id","roles":"$http_x_user_roles","apikey":"$http_apikey","auth":"$http_authorization","uri":"$request_uri"}}'; }}
    location /user/ {{ default_type application/json;
      return 200 '{{"user":"$http_x_user_id","roles":"$http_x_user_roles","apikey":"$http_apikey","auth":"$http_authorization","uri":"$request_uri"}}'; }}
    location /public/put {{ dav_methods PUT DELETE; create_full_put_path on; }}
    location /public/moved {{ return 302 /public/small; }}
    location /public/empty {{ return 204; }}
    location /public/reset {{ return 444; }}
  }}
}}
"""


class Nginx:
    def __init__(self):
        binary = shutil.which("nginx") or "/usr/sbin/nginx"
        if not os.path.exists(binary):
            raise port.Skip("nginx is not installed")
        self.dir, self.port = port.folder(), port.free_port()
        os.makedirs(self.dir + "/html/public")
        with open(self.dir + "/html/public/file", "wb") as out:
            out.write(os.urandom(3 << 20))
        text = NGINX.format(dir=self.dir, port=self.port)
        with_dav = subprocess.run([binary, "-V"], capture_output=True, text=True).stderr
        self.dav = "http_dav_module" in with_dav
        if not self.dav:
            text = text.replace("dav_methods PUT DELETE; create_full_put_path on;", "")
        with open(self.dir + "/nginx.conf", "w") as out:
            out.write(text)
        if os.getuid() == 0:  # it serves as this user
            os.chmod(self.dir, 0o755)
        self.process = Process([binary, "-e", self.dir + "/error.log", "-c", self.dir + "/nginx.conf"], name="nginx")
        port.eventually(lambda: port.fetch(self.port, "/public/small").status == 200, "nginx serves")

    address = property(lambda self: "127.0.0.1:%d" % self.port)

    def stop(self):
        self.process.stop()


class Node:
    def __init__(self):
        if not shutil.which("node"):
            raise port.Skip("node is not installed")
        self.port = port.free_port()
        self.process = Process(["node", os.path.join(port.ROOT, "test/node/echo_server.mjs"), str(self.port)])
        port.eventually(lambda: "listening" in self.process.out(), "Node serves", 10)

    address = property(lambda self: "127.0.0.1:%d" % self.port)

    def stop(self):
        self.process.stop()


def curl(*args):
    done = subprocess.run(["curl", "-sS", "--max-time", "20", *args], capture_output=True)
    if done.returncode:
        raise port.Failure("curl: exit %d: %s" % (done.returncode, done.stderr.decode()))
    return done.stdout


@port.test("nginx: what passes, what does not, files, conditional and range requests, redirects, 204")
def nginx():
    n = Nginx()
    with Shop(upstream=n) as s:
        base = "http://127.0.0.1:%d" % s.port
        answer = port.fetch(s.port, "/user/x?a=b", s.auth() + [("X-User-Roles", "admin")]).json()
        equal(answer, {"user": "alice", "roles": "user", "apikey": "", "auth": "", "uri": "/user/x?a=b"}, "what nginx saw")
        equal(port.fetch(s.port, "/user/x").status, 401, "status without credentials")
        with open(n.dir + "/html/public/file", "rb") as file:
            want = file.read()
        equal(hashlib.sha256(curl(base + "/public/file")).digest(), hashlib.sha256(want).digest(), "a file")
        equal(curl("-r", "100-299", base + "/public/file"), want[100:300], "a range")
        head = curl("-I", base + "/public/file").decode()
        etag = re.search(r"(?i)etag: (.*)\r", head).group(1)
        equal(curl("-o", "/dev/null", "-w", "%{http_code}", "-H", "If-None-Match: " + etag, base + "/public/file"), b"304",
              "a conditional request")
        equal(curl("-o", "/dev/null", "-w", "%{http_code} %{num_redirects}", "-L", base + "/public/moved"), b"200 1", "a redirect")
        equal(curl("-o", "/dev/null", "-w", "%{http_code}", base + "/public/empty"), b"204", "204")
        equal(curl("-o", "/dev/null", "-w", "%{http_code}", base + "/public/reset"), b"502", "a connection closed unanswered")
        if n.dav:
            data = os.urandom(2 << 20)
            where = os.path.join(port.folder(), "data")
            with open(where, "wb") as out:
                out.write(data)
            equal(curl("-o", "/dev/null", "-w", "%{http_code}", "-T", where, base + "/public/put/x"), b"201", "an upload")
            equal(curl(base + "/public/put/x"), data, "what was uploaded")
            equal(curl("-o", "/dev/null", "-w", "%{http_code}", "-H", "Transfer-Encoding: chunked", "-T", where,
                       base + "/public/put/y"), b"201", "a chunked upload")
            equal(curl(base + "/public/put/y"), data, "what was uploaded in chunks")
        # nginx closes what idles for 300 ms: at that very pace, nobody notices
        with s.client() as c:
            for k in range(12):
                equal(c.get("/public/small").status, 200, "GET %d at the pace of nginx's idle timeout" % k)
                time.sleep(0.3 + (k % 5 - 2) * 0.004)


@port.test("Node: bodies both ways, trailers, early hints, its short idle timeout")
def node():
    n = Node()
    with Shop(upstream=n) as s:
        data = os.urandom(5 << 20)
        where = os.path.join(port.folder(), "data")
        with open(where, "wb") as out:
            out.write(data)
        base = "http://127.0.0.1:%d" % s.port
        import json
        for extra in ([], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]):
            answer = json.loads(curl(*extra, "--data-binary", "@" + where, base + "/public/x"))
            equal((answer["body_n"], answer["body_sha256"]), (len(data), hashlib.sha256(data).hexdigest()), "body %s" % extra)
        answer = port.fetch(s.port, "/user/x", s.auth() + [("x-user-id", "root")]).json()
        equal(answer["headers"].get("x-user-id"), "alice", "X-User-ID as Node sees it")
        check("authorization" not in answer["headers"] and "apikey" not in answer["headers"], "credentials reach Node")
        equal(len(curl(base + "/public/big")), 200 * 65536, "a large answer")
        with s.client() as c:
            c.send("POST /public/x HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: X-Up\r\nTransfer-Encoding: chunked\r\n\r\n"
                   "5\r\nhello\r\n0\r\nX-Up: def\r\n\r\n")
            reply = c.reply()
            equal(reply.json()["trailers"], {"x-up": "def"}, "trailers as Node sees them")
            equal(dict(reply.trailers).get("X-Sum"), str(len(reply.body)), "trailer of the answer")
            hints = []
            c.send("GET /public/hints HTTP/1.1\r\nHost: a\r\n\r\n")
            equal(c.reply(interim=hints).status, 200, "status")
            equal([h.status for h in hints], [103], "interim responses")
        with s.client() as c:
            for k in range(12):
                equal(c.get("/public/x").status, 200, "GET %d at the pace of Node's idle timeout" % k)
                time.sleep(0.3 + (k % 5 - 2) * 0.004)


@port.test("curl: what it does by itself passes")
def curl_habits():
    with Shop(port.mirror) as s:
        base = "http://127.0.0.1:%d" % s.port
        equal(curl("-o", "/dev/null", "-w", "%{http_code}", "--http1.0", base + "/public/x"), b"200", "HTTP/1.0")
        equal(curl("-o", "/dev/null", "-w", "%{http_code}", "--http0.9", "--http1.1", base + "/public/x"), b"200", "HTTP/1.1")
        out = curl("-o", "/dev/null", "-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n", base + "/public/1", base + "/public/2")
        equal(out.decode().split("\n")[:2], ["200 1", "200 0"], "two requests on one connection")
        # curl --http2 asks to upgrade: refused, or answered as if it had not asked
        check(curl("-o", "/dev/null", "-w", "%{http_code}", "--http2", base + "/public/x") in (b"200", b"400", b"426", b"501"),
              "--http2")
        equal(curl("-o", "/dev/null", "-w", "%{http_code}", "--path-as-is", base + "/public/../user/x"), b"400", "--path-as-is")
        # -F: multipart with Expect
        body = os.path.join(port.folder(), "upload")
        with open(body, "wb") as out:
            out.write(b"x" * 2000000)
        equal(curl("-o", "/dev/null", "-w", "%{http_code}", "-F", "a=@" + body, base + "/public/form"), b"200", "a form")


@port.test("wrk: sixty-four connections, three kinds of callers, no error")
def wrk():
    if not shutil.which("wrk"):
        raise port.Skip("wrk is not installed")
    n = Nginx()
    with Shop(upstream=n) as s:
        auth = s.auth()
        for name, target, fields, errors in (("public", "/public/small", [], False), ("user", "/user/x", auth, False),
                                             ("refused", "/user/x", [], True)):
            headers = [x for f in fields for x in ("-H", "%s: %s" % f)]
            out = subprocess.run(["wrk", "-t1", "-c64", "-d2s", *headers, "http://127.0.0.1:%d%s" % (s.port, target)],
                                 capture_output=True, text=True).stdout
            done = int(re.search(r"(\d+) requests in", out).group(1))
            check(done > 1000, "%s: %d requests: %s" % (name, done, out))
            check("Socket errors" not in out, "%s: %s" % (name, out))
            bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
            equal(int(bad.group(1)) if bad else 0, done if errors else 0, "%s: answers that are not 2xx" % name)
        port.eventually(lambda: s.gateway.metrics(), "metrics")


if __name__ == "__main__":
    port.main()
