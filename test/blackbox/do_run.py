#!/usr/bin/env python3
# test: alone
"""`./do run` with what is built already: the samples and the product come up, every command it prints works when pasted,
a second start knows its user again, and everything ends with it."""

import json
import os
import re
import signal
import subprocess
import time

import port
from port import Process, check, equal

if not os.environ.get("BUILD"):
    os.environ["BUILD"] = os.path.dirname(port.binary())

_run = None


def run():
    """The running demo: its process and what it printed, {label: command}."""
    global _run
    if _run is None:
        data = os.path.join(port.folder(), "data")
        process = Process(["./do", "run"], cwd=port.ROOT, env=dict(os.environ, DATA=data), name="./do run")
        port.eventually(lambda: "metrics:" in process.out() or not process.alive(), "./do run is ready", 30, 0.1)
        check(process.alive(), "it ended: %s" % process.err())
        lines = dict(re.findall(r"(?m)^([a-z ]+): +(.*)$", process.out()))
        _run = process, lines, data
    return _run


def logged_in(command):
    """A line that uses what the line `log in` leaves behind."""
    return run()[1]["log in"] + "\n" + command


def paste(command):
    done = subprocess.run(["bash", "-c", command], cwd=port.ROOT, capture_output=True, text=True, timeout=20)
    equal(done.returncode, 0, "exit code of %s (%s)" % (command, done.stderr))
    return done.stdout


for name, said in (("public", '"items"'), ("denied", "HTTP/1.1 401"), ("log in", ""),
                   ("allowed", '"user": "alice"'), ("partner", '"asked_by": "partner:bob"'), ("not hers", "HTTP/1.1 403"),
                   ("why", "action_not_granted")):
    def told(name=name, said=said):
        out = paste(logged_in(run()[1][name]) if "$TOKEN" in run()[1][name] else run()[1][name])
        check(said in out, "it says: %s" % out)
    port.test("./do run prints a command for: " + name)(told)


@port.test("./do run prints where the browser client is, and a password that is the user's")
def browser():
    address, name, password = re.fullmatch(r"(\S+) +log in as (\S+), password (\S+)", run()[1]["browser"]).groups()
    page = paste("curl -si " + address)
    check("HTTP/1.1 200" in page and "<title>Sallyport" in page, "the page: %s" % page)
    check("default-src 'none'" in page, "it has no policy: %s" % page)
    key = json.loads(paste("curl -s %ssettings.json" % address))["apikey"]
    answer = paste("curl -s -H 'apikey: %s' --json '%s' %s" % (
        key, json.dumps({"username": name, "password": password}), address.replace("/web/", "/authentication/login")))
    check("access_token" in answer, "the login: %s" % answer)


@port.test("./do run prints a command for: revoke")
def revoke():
    lines = run()[1]
    said = paste(logged_in(lines["allowed"] + "\n" + lines["revoke"] + "\n" + lines["allowed"]))
    equal(re.findall(r"HTTP/1.1 (\d+)", said), ["200", "401"], "before and after")
    time.sleep(1.1)
    check('"user": "alice"' in paste(logged_in(lines["allowed"])), "she cannot log in anew")


@port.test("./do run prints a command for: watch")
def watch():
    process, lines, _ = run()
    tap = Process(["bash", "-c", "exec " + lines["watch"]], cwd=port.ROOT)
    port.eventually(lambda: paste(lines["public"]) and "/items" in tap.out(), "the call is seen", every=0.2)
    tap.stop()


@port.test("./do run prints a command for: health and metrics")
def health():
    commands = run()[1]["health"].split("     metrics: ")
    check("ready" in paste(commands[0]), "health")
    check("sallyport_requests_total" in paste(commands[1]), "metrics")


@port.test("./do run prints a command for: change")
def change():
    edit, reload = run()[1]["change"].split("; ")
    path = os.path.join(port.ROOT, edit.split(" ")[1])
    with open(path) as file:
        text = file.read()
    with open(path, "w") as file:
        file.write(text.replace("GET /items", "GET /things"))
    paste(reload)
    check("no_route" in paste(run()[1]["public"]), "the change is not in force")
    code, out, err = port.cli("lint", path)
    equal(code, 0, "exit code of lint (%s)" % (out + err))


@port.test("./do run: a second one takes other ports, and Ctrl-C ends everything")
def ends():
    process, lines, data = run()
    other = Process(["./do", "run"], cwd=port.ROOT, env=dict(os.environ, DATA=os.path.join(port.folder(), "data")))
    port.eventually(lambda: "metrics:" in other.out(), "the second one is ready", 15, 0.1)
    check(lines["public"] not in other.out(), "both have the same address")
    for p in (process, other):
        children = subprocess.run(["pgrep", "-P", str(p.pid)], capture_output=True, text=True).stdout.split()
        check(len(children) == 4, "%d children" % len(children))
        p.signal(signal.SIGINT)
        equal(p.wait(15), 130, "exit code after Ctrl-C")
        time.sleep(0.1)
        for child in children:
            check(not os.path.exists("/proc/%s" % child), "a child is left: %s" % child)
    check(os.stat(data).st_mode & 0o077 == 0, "others may look into its folder")
    for kept in ("shop.json", "alice.json"):
        check(os.stat(os.path.join(data, kept)).st_mode & 0o077 == 0, "others may read " + kept)
    again = Process(["./do", "run"], cwd=port.ROOT, env=dict(os.environ, DATA=data))
    port.eventually(lambda: "metrics:" in again.out(), "it is ready again", 30, 0.1)
    lines = dict(re.findall(r"(?m)^([a-z ]+): +(.*)$", again.out()))
    said = paste(lines["log in"] + "\n" + lines["allowed"])
    check('"user": "alice"' in said, "alice is not known any more: %s" % said)
    again.signal(signal.SIGINT)
    again.wait(15)


if __name__ == "__main__":
    port.main()
