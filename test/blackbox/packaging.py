#!/usr/bin/env python3
# test: seconds 90
"""What is shipped beside the binary: units that are locked up, a dashboard and alerts that name only metrics which a
running gateway really exports, log lines that the journal understands."""

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile

import port
from port import Skip, check, equal, eventually

PACKAGING = os.path.join(port.ROOT, "packaging")
BUILT = os.path.join(os.environ.get("BUILD") or os.path.dirname(port.binary()), "packaging")
UNITS = {"sallyport.service": "sallyport.service", "sallyport@.service": "sallyport@gateway.service"}
EXPOSURE = 1.2


def need(command):
    if not shutil.which(command):
        raise Skip("%s is not installed" % command)


def run(*args):
    done = subprocess.run(args, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@port.cases("systemd-analyze security", [(name,) for name in UNITS])
def _(unit):
    need("systemd-analyze")
    with tempfile.TemporaryDirectory() as place:
        path = os.path.join(place, UNITS[unit])
        shutil.copy(os.path.join(BUILT, unit), path)
        code, said = run("systemd-analyze", "security", "--offline=yes", "--no-pager", path)
        found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
        check(found, "no verdict: %s" % said)
        check(float(found[1]) <= EXPOSURE, "exposure %s, more than %s:\n%s" % (found[1], EXPOSURE, said))
        code, said = run("systemd-analyze", "security", "--offline=yes", "--threshold=%d" % (EXPOSURE * 10), "--no-pager", path)
        equal(code, 0, "exit status under the threshold")


@port.test("systemd-analyze verify has nothing to say of the units")
def _():
    need("systemd-analyze")
    with tempfile.TemporaryDirectory() as place:
        for unit in list(UNITS) + ["sallyport.socket"]:
            with open(os.path.join(BUILT, unit), encoding="utf-8") as f:
                text = f.read()
            text = re.sub(r"(?m)^(Exec\w+=)\S+/sallyport\b", r"\1/bin/true", text)  # it is not installed here
            text = re.sub(r"(?m)^Documentation=.*\n", "", text)
            with open(os.path.join(place, UNITS.get(unit, unit)), "w", encoding="utf-8") as f:
                f.write(text)
        for unit in list(UNITS.values()) + ["sallyport.socket"]:
            code, said = run("systemd-analyze", "verify", "--recursive-errors=no", os.path.join(place, unit))
            own = [line for line in said.split("\n") if "sallyport" in line]
            check(not own, "%s: %s" % (unit, own))


@port.test("every command that a unit runs exists, and understands its options")
def _():
    for unit in UNITS:
        with open(os.path.join(BUILT, unit), encoding="utf-8") as f:
            text = f.read()
        for command in re.findall(r"(?m)^Exec\w+=\S+/sallyport (.*)$", text):
            words = command.replace("%i", "gateway").split()
            code, out, err = port.cli(words[0], "--help")
            equal(code, 0, "sallyport %s --help" % words[0])
            for option in [w for w in words if w.startswith("--")]:
                check(option in out, "sallyport %s does not know %s" % (words[0], option))


@port.test("promtool takes the alert rules")
def _():
    need("promtool")
    code, said = run("promtool", "check", "rules", "--lint=all", "--lint-fatal", os.path.join(PACKAGING, "prometheus", "sallyport.rules.yml"))
    equal(code, 0, said)


@port.test("each alert is set off by what it is for, and by nothing else (promtool test rules)")
def _():
    need("promtool")
    code, said = run("promtool", "test", "rules", os.path.join(PACKAGING, "prometheus", "sallyport.tests.yml"))
    equal(code, 0, said)


@port.test("the dashboard in the tree is the one that its table of panels makes")
def _():
    code, said = run(os.path.join(port.ROOT, "tools", "make-dashboard"), "-")
    equal(code, 0, said)
    with open(os.path.join(PACKAGING, "grafana", "sallyport.json"), encoding="utf-8") as f:
        check(f.read() == said, "run tools/make-dashboard")


@port.test("every alert has its row in docs/operations.md")
def _():
    with open(os.path.join(PACKAGING, "prometheus", "sallyport.rules.yml"), encoding="utf-8") as f:
        alerts = re.findall(r"- alert: (\S+)", f.read())
    with open(os.path.join(port.ROOT, "docs", "operations.md"), encoding="utf-8") as f:
        told = f.read()
    missing = [name for name in alerts if "`%s`" % name not in told]
    check(len(alerts) > 15 and not missing, "nothing is said of %s" % missing)


def families(text):
    return set(re.findall(r"(?m)^# TYPE (\S+) ", text))


def metrics_of(expression):
    """Names of metrics in an expression of PromQL: what is ours, without the suffixes of a histogram."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\b(sallyport_[a-z0-9_]+)", expression)}


def labels_of(expression):
    """{metric: {labels}} that an expression selects by."""
    found = {}
    for name, inside in re.findall(r"\b(sallyport_[a-z0-9_]+)\{([^}]*)\}", expression):
        found.setdefault(re.sub(r"_(bucket|sum|count)$", "", name), set()).update(re.findall(r"(\w+)\s*(?:=|!=|=~|!~)\s*\"", inside))
    return found


def everything():
    """A configuration with everything in it that exports something."""
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "90",
                           "-subj", "/CN=gw", "-addext", "subjectAltName=DNS:gw.test", "-keyout", "/dev/stdout", "-out", "/dev/stdout"],
                          capture_output=True, text=True, check=True).stdout
    key = made[made.index("-----BEGIN PRIVATE KEY"):made.index("-----END PRIVATE KEY-----") + 26]
    cert = made[made.index("-----BEGIN CERT"):]
    upstream = port.Upstream()
    apikey = port.Key("shop")
    tls = port.free_port()
    plain = port.free_port()
    config = {
        "listen": {"gateway": ["127.0.0.1:%d" % plain, {"address": "127.0.0.1:%d" % tls, "tls": True}]},
        "tls": {"certificates": [{"cert": "gw.pem", "key": {"file": "gw.key"}}]},
        "authentication": {"issuer": "https://api.example.com", "audience": ["api"]},
        "limit": {"rate": "2/m", "burst": 2, "per": "address"},
        "products": {"shop": {"keys": [apikey.entry], "may": ["view"], "login": "password", "limit": {"rate": "1000/s", "per": "key"},
                              "quota": {"requests": 1000, "per": "hour"}}},
        "services": {"app": {"instances": [upstream.address, "localhost:%s" % upstream.address.rsplit(":", 1)[1]], "health": "GET /healthz every 1s",
                             "breaker": {"errors": 50, "of": 20, "window": "10s", "open": "5s"}}},
        "actions": {"view": {"match": "GET /view/{id}", "to": "app", "accept": ["apikey"]}},
        "tracing": {"otlp": "http://127.0.0.1:%d/v1/traces" % port.free_port(), "sample": "100%"},
    }
    gateway = port.Gateway(config, {"gw.pem": cert, "gw.key": key})
    client = port.Client(plain)
    eventually(lambda: port.Client(gateway.admin).get("/readyz", host="127.0.0.1:%d" % gateway.admin).status == 200, "ready")
    for _ in range(4):
        client.get("/view/7", [("apikey", apikey.text)])
    return gateway, upstream


@port.test("every metric that a panel or an alert names is one that a running gateway exports, with those labels")
def _():
    gateway, upstream = everything()
    try:
        text = port.Client(gateway.admin).get("/metrics", host="127.0.0.1:%d" % gateway.admin).body.decode()
        known = families(text)
        with open(os.path.join(PACKAGING, "grafana", "sallyport.json"), encoding="utf-8") as f:
            board = json.load(f)
        asked = [(p["title"], t["expr"]) for p in board["panels"] for t in p.get("targets", [])]
        asked += [("annotation " + a["name"], a["expr"]) for a in board["annotations"]["list"]]
        with open(os.path.join(PACKAGING, "prometheus", "sallyport.rules.yml"), encoding="utf-8") as f:
            rules = f.read()
        for name, expr in re.findall(r"- alert: (\S+)\s+expr: ((?:\|\n(?: {10}.*\n)+)|.*)", rules):
            asked.append((name, expr))
        check(len(asked) > 40, "only %d expressions were found" % len(asked))
        wrong = ["%s: %s" % (title, name) for title, expr in asked for name in metrics_of(expr) if name not in known]
        check(not wrong, "nobody exports: %s" % sorted(set(wrong)))
        named = {}
        for name, inside in re.findall(r"(?m)^(sallyport_[a-z0-9_]+)\{([^}]*)\}", text):
            named.setdefault(re.sub(r"_(bucket|sum|count)$", "", name), set()).update(re.findall(r"(\w+)=\"", inside))
        for title, expr in asked:
            for name, labels in labels_of(expr).items():
                more = labels - {"instance", "job"} - named.get(name, set())
                check(not more or name not in named, "%s: %s has no label %s" % (title, name, more))
            grouped = {w.strip() for inside in re.findall(r"\bby \(([^)]*)\)", expr) for w in inside.split(",")} - {"le", "instance"}
            have = set().union(*(named.get(name, set()) for name in metrics_of(expr)))
            check(not grouped - have or not have, "%s: nothing in it has the labels %s (there are %s)" % (title, grouped - have, have))
        for alert, text_of in re.findall(r"- alert: (\S+)((?:\n(?! *- alert).*)*)", rules):
            wanted = set(re.findall(r"\$labels\.(\w+)", text_of)) - {"instance"}
            have = set().union(*(named.get(name, set()) for name in metrics_of(text_of)))
            check(not wanted - have or not have, "%s speaks of labels %s (there are %s)" % (alert, wanted - have, have))
    finally:
        gateway.stop()
        upstream.stop()


@port.test("lines for the journal begin with their priority, and only for the journal")
def _():
    # what systemd does: stderr is a stream socket, and JOURNAL_STREAM tells which
    ours, theirs = socket.socketpair()
    st = os.fstat(theirs.fileno())
    for stream, prefix in (("%d:%d" % (st.st_dev, st.st_ino), True), ("%d:%d" % (st.st_dev, st.st_ino + 1), False)):
        with tempfile.TemporaryDirectory() as place:
            admin, plain = port.free_port(), port.free_port()
            path = os.path.join(place, "sallyport.yaml")
            with open(path, "w", encoding="utf-8") as f:
                json.dump({"sallyport": 1, "listen": {"gateway": "127.0.0.1:%d" % plain, "admin": "127.0.0.1:%d" % admin},
                           "data": os.path.join(place, "data"), "log": {"access": True}}, f)
            process = subprocess.Popen([port.binary(), "run", "--config", path], stderr=theirs, stdout=subprocess.DEVNULL,
                                       env=dict(os.environ, JOURNAL_STREAM=stream), cwd=place)
            try:
                eventually(lambda: port.Client(admin).get("/readyz", host="127.0.0.1:%d" % admin).status == 200, "ready", 10)
                equal(port.Client(plain).get("/nothing").status, 404, "status")
            finally:
                process.terminate()
                equal(process.wait(30), 0, "exit status")
        ours.setblocking(False)
        said = b""
        try:
            while True:
                said += ours.recv(65536)
        except BlockingIOError:
            pass
        lines = [line for line in said.decode().split("\n") if "{" in line]
        check(any('"msg":"access"' in line for line in lines) and any('"msg":"ready"' in line for line in lines), "lines: %s" % lines)
        for line in lines:
            check(re.match(r"<[3467]>\{" if prefix else r"\{", line), "for %s a line begins so: %r" % (stream, line[:120]))
            json.loads(line[line.index("{"):])
    ours.close()
    theirs.close()


port.main()
