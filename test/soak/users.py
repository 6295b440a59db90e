#!/usr/bin/env python3
"""users.py [N]: N users (a million) imported with ready-made argon2id hashes, 1,000 distinct ones used again and again;
then shown, listed and logged in by chance, backed up, and checked. Memory of the product stays bounded."""

import json
import os
import random
import subprocess
import sys
import time

from common import port

USERS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
DISTINCT, KIB, PASSES, ASKED, LOGINS = 1000, 19456, 2, 2000, 200
PASSWORD = "correct horse battery"


def hashes():
    tool = os.path.join(os.environ["BUILD"], "bench", "argon2")
    text = "".join("%s %d\n" % (PASSWORD, i) for i in range(DISTINCT))
    made = subprocess.run([tool, str(KIB), str(PASSES)], input=text, capture_output=True, text=True, check=True)
    return made.stdout.split()


def rss(gateway):
    return gateway.process.status("VmRSS") // 1024


def main():
    gateway = port.Gateway({
        "authentication": {"issuer": "https://api.test", "throttle": {"account": "1000/m", "address": "100000/m"}},
        "services": {"app": {"instances": ["127.0.0.1:%d" % port.free_port()]}},
        "products": {"web": {"login": "password", "may": ["look"]}},
        "actions": {"look": {"match": "GET /look", "to": "app"}},
    })

    def ok(*args, seconds=3600):
        code, out, err = gateway.cli(*args, seconds=seconds)
        port.equal(code, 0, "exit of %s: %s" % (args[:2], (out + err)[-500:]))
        return out

    begin = time.monotonic()
    real = hashes()
    print("%d hashes in %.1f s" % (len(real), time.monotonic() - begin))
    path = os.path.join(gateway.dir, "users.ndjson")
    with open(path, "w") as f:
        for i in range(USERS):
            f.write('{"name":"user%07d","hash":"%s","roles":["buyer"]}\n' % (i, real[i % DISTINCT]))
    before = rss(gateway)
    begin = time.monotonic()
    done = json.loads(ok("user", "import", path, "--json"))
    took = time.monotonic() - begin
    port.equal((done["imported"], done["bad"]), (USERS, 0), "imported")
    print("%d users imported in %.1f s: %.0f/s; memory %d MB, then %d MB" % (USERS, took, USERS / took, before, rss(gateway)))
    port.check(rss(gateway) - before < 200, "memory grew from %d to %d MB" % (before, rss(gateway)))
    os.unlink(path)

    client = port.Client(os.path.join(gateway.data, "cli.sock"))
    begin = time.monotonic()
    for _ in range(ASKED):
        i = random.randrange(USERS)
        reply = client.get("/v1/users/user%07d" % i, host="localhost")
        port.equal((reply.status, reply.json()["sub"]), (200, "user%07d" % i), "a user")
    print("%d users shown: %.0f us each" % (ASKED, (time.monotonic() - begin) / ASKED * 1e6))

    key = json.loads(ok("key", "new", "--product", "web", "--json"))["key"]
    client = port.Client(gateway.port, timeout=30)
    begin = time.monotonic()
    for _ in range(LOGINS):
        i = random.randrange(USERS)
        body = json.dumps({"username": "user%07d" % i, "password": "%s %d" % (PASSWORD, i % DISTINCT)})
        reply = client.ask("POST", "/authentication/login", [("apikey", key), ("Content-Type", "application/json")], body=body)
        port.equal(reply.status, 200, "login of user%07d: %r" % (i, reply.body[:200]))
    print("%d logins: %.1f ms each" % (LOGINS, (time.monotonic() - begin) / LOGINS * 1e3))

    begin = time.monotonic()
    ok("data", "backup", os.path.join(gateway.dir, "saved"))
    print("backup in %.1f s" % (time.monotonic() - begin))
    begin = time.monotonic()
    ok("data", "check")
    print("check in %.1f s" % (time.monotonic() - begin))
    port.check("whole" in ok("audit", "verify"), "the audit record")
    gateway.stop()
    print("ok: %d users" % USERS)


main()
