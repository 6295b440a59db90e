"""A gateway in front of the benchmark's upstream, and wrk with mixed traffic against it."""

import json
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "blackbox"))
os.environ.setdefault("SALLYPORT", os.path.join(os.environ["BUILD"], "sallyport"))
import port  # noqa: E402


class PlainUpstream:
    def __init__(self):
        self.port = port.free_port()
        self.address = "127.0.0.1:%d" % self.port
        self.process = port.Process([os.path.join(os.environ["BUILD"], "bench", "upstream"), str(self.port)])
        port.eventually(lambda: port.Client(self.port).get("/").status == 200, "the upstream answers")

    def stop(self):
        self.process.stop()


def shop(**more):
    return port.Shop(upstream=PlainUpstream(), **more)


def tokens_file(a_shop, n, seconds):
    path = os.path.join(a_shop.gateway.dir, "tokens")
    end = int(time.time()) + seconds + 600
    with open(path, "w") as f:
        for i in range(n):
            f.write(a_shop.issuer.mint("user%d" % i, roles=["user"], exp=end) + "\n")
    return path


class Load:
    """wrk for that many seconds, beside the caller."""

    def __init__(self, a_shop, tokens, seconds, conns=32):
        env = dict(os.environ, TOKENS=tokens, KEY=a_shop.key.text)
        self.process = subprocess.Popen(["wrk", "-t1", "-c%d" % conns, "-d%ds" % seconds, "--timeout", "20s", "-s",
                                         os.path.join(HERE, "mixed.lua"), "http://127.0.0.1:%d/" % a_shop.port],
                                        env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def running(self):
        return self.process.poll() is None

    def result(self):
        said = self.process.communicate()[0]
        found = re.search(r"JSON (\{.*\})", said)
        if not found:
            raise SystemExit("wrk failed: " + said)
        return json.loads(found[1])


def wrong(result):
    """What went wrong in a load of mixed.lua, or "". A connection that asked to be closed is no error."""
    bad = {s: n for s, n in result["status"].items() if s not in ("200", "401", "403", "404")}
    lost = {k: result[k] for k in ("connect", "write", "timeout", "read") if result[k]}
    missing = [s for s in ("200", "401", "403", "404") if not result["status"].get(s)]
    return " ".join([*("status %s: %d times" % x for x in bad.items()), *("%s errors: %d" % x for x in lost.items()),
                     *("no answer %s at all" % s for s in missing)])
