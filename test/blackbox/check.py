#!/usr/bin/env python3
# test: seconds 60
"""`sallyport check` against a running gateway: each thing that is made to be amiss is found, with a remedy, and is gone from
the report when it is mended."""

import json
import os
import subprocess

import port
from port import check, equal, eventually


def certificate(days):
    """(certificate, key) as PEM, for so many days from now; with a past, so that its life is longer than what is left."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    import datetime
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gw.test")])
    now = datetime.datetime.utcnow()
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=200))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("gw.test")]), False).sign(key, hashes.SHA256()))
    return (made.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


class World:
    """A gateway with TLS, one service with two instances that are checked, and whatever a test changes."""

    def __init__(self):
        self.one, self.two = port.Upstream(), port.Upstream()
        self.key = port.Key("shop")
        cert, key = certificate(150)
        self.gateway = port.Gateway({
            "listen": {"gateway": ["127.0.0.1:%d" % port.free_port(), {"address": "127.0.0.1:%d" % port.free_port(), "tls": True}]},
            "tls": {"certificates": [{"cert": "gw.pem", "key": {"file": "gw.key"}}]},
            "limits": {"connections": 1000},
            "products": {"shop": {"keys": [self.key.entry], "may": ["view"]}},
            "services": {"app": {"instances": [self.one.address, self.two.address], "pool": {"open": 64},
                                 "health": {"request": "GET /healthz", "every": "200ms", "timeout": "100ms"}}},
            "actions": {"view": {"match": "GET /view/{id}", "to": "app", "accept": ["apikey"]}},
        }, {"gw.pem": cert, "gw.key": key})

    def check(self):
        """(exit code, {code: [text]}): what `sallyport check` says; the machine's own clock is not what is tested."""
        code, out, err = self.gateway.cli("check", "--json")
        report = json.loads(out)
        for f in report["findings"]:
            check(f["fix"] and f["text"] and f["level"] in ("error", "warning"), "a finding without remedy: %s" % f)
        equal(code, 1 if report["errors"] else 0, "exit status of %s" % report)
        equal(report["ok"], not report["errors"], "ok")
        found = {}
        for f in report["findings"]:
            if not f["code"].startswith("clock_") and f["code"] != "disk_full":
                found.setdefault(f["code"], []).append(f["text"])
        return code, found

    def stop(self):
        self.gateway.stop()
        self.one.stop()
        self.two.stop()


world = World()


def reload():
    code, out, err = world.gateway.reload()
    equal(code, 0, "reload: %s" % (out + err))


@port.test("nothing is amiss")
def _():
    found = eventually(lambda: (lambda r: r if not r[1] else None)(world.check()), "nothing is found")
    equal(found[0], 0, "exit status")
    code, out, err = world.gateway.cli("check")
    equal(code, 0, out + err)


@port.test("a file on the disk that is not what is in force: named, until it is taken")
def _():
    world.gateway.config["log"] = {"level": "info"}
    world.gateway.write_config()
    code, found = world.check()
    equal(list(found), ["config_differs"], "findings")
    check(world.gateway.path in found["config_differs"][0], "the file is named: %s" % found)
    equal(code, 1, "exit status")
    reload()
    equal(world.check()[1], {}, "after reload")


@port.test("a configuration that was refused, and what lint says of it")
def _():
    good = dict(world.gateway.config)
    world.gateway.write_config('{"sallyport": 1, "servces": {}}')
    code, out, err = world.gateway.reload()
    equal(code, 78, "reload of nonsense: %s" % (out + err))
    code, found = world.check()
    check({"reload_refused", "config_differs", "unknown_key"} <= set(found), "findings: %s" % found)
    world.gateway.config = good
    world.gateway.write_config()
    reload()
    equal(world.check()[1], {}, "after it is mended")


@port.test("a certificate that ends soon, one that was replaced on the disk, one that has ended")
def _():
    cert, key = certificate(20)
    world.gateway.write("gw.pem", cert)
    world.gateway.write("gw.key", key)
    code, found = world.check()
    equal(list(found), ["file_differs"], "findings")
    equal(code, 0, "a warning alone is no failure")
    reload()
    code, found = world.check()
    equal(list(found), ["certificate_expiring"], "findings")
    check(" expires in " in found["certificate_expiring"][0] and "gw.pem" in found["certificate_expiring"][0], "text: %s" % found)
    cert, key = certificate(150)
    world.gateway.write("gw.pem", cert)
    world.gateway.write("gw.key", key)
    reload()
    equal(world.check()[1], {}, "after it is renewed")


@port.test("an instance that is down is a warning while the other serves, an error when none does")
def _():
    address = world.one.port
    world.one.stop()
    found = eventually(lambda: world.check()[1].get("instance_out"), "it is found")
    check(len(found) == 1 and str(address) in found[0], "found: %s" % found)
    equal(world.check()[0], 0, "exit status while one serves")
    other = world.two.port
    world.two.stop()
    eventually(lambda: world.check()[0] == 1, "an error when none serves")
    world.one, world.two = port.Upstream(port=address), port.Upstream(port=other)
    eventually(lambda: world.check()[1] == {}, "both are back", 10)


@port.test("actions that nobody is granted, names that do not resolve, too few open files")
def _():
    config = json.loads(json.dumps(world.gateway.config))
    config["actions"]["orphan"] = {"match": "GET /orphan", "to": "app"}
    config["services"]["app"]["instances"].append("nowhere.invalid:80")
    config["dns"] = {"servers": ["127.0.0.1:%d" % port.free_port()]}
    before, world.gateway.config = world.gateway.config, config
    world.gateway.write_config()
    reload()
    found = eventually(lambda: (lambda f: f if "name_unresolved" in f else None)(world.check()[1]), "the name is found", 15)
    check("nowhere.invalid" in found["name_unresolved"][0], "the name is told: %s" % found)
    check(any("orphan" in text for texts in found.values() for text in texts), "the action is told: %s" % found)
    world.gateway.config = before
    world.gateway.write_config()
    reload()
    equal(world.check()[1], {}, "after it is mended")


@port.test("nobody there: said so, exit status 1")
def _():
    code, out, err = port.cli("check", "--socket", os.path.join(world.gateway.dir, "no.sock"))
    equal(code, 1, out + err)
    check("no such socket" in err or "nobody" in err, err)


@port.test("only who owns it is answered, and only on the control socket")
def _():
    equal(port.Client(world.gateway.admin).get("/v1/check", host="127.0.0.1:%d" % world.gateway.admin).status, 404, "by the admin listener")


@port.test("too few open files for what limits.connections promises")
def _():
    world.stop()
    config = dict(world.gateway.config)
    place = world.gateway.dir
    process = subprocess.Popen(["bash", "-c", "ulimit -n 500; exec \"$0\" run --config \"$1\" 2>\"$2\"", port.binary(),
                                world.gateway.path, os.path.join(place, "few.err")], cwd=place)
    try:
        eventually(lambda: world.check()[0] is not None, "it answers", 10)
        found = world.check()[1]
        check("open_files" in found and "500 open files" in found["open_files"][0], "findings: %s" % found)
    finally:
        process.terminate()
        process.wait(30)


port.main()
