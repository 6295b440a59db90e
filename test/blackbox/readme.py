#!/usr/bin/env python3
"""What the README says works: its file passes the checker, its commands exist, its links lead somewhere."""

import os
import re

import port
from port import check, equal


def text(name="README.md"):
    with open(os.path.join(port.ROOT, name)) as file:
        return file.read()


@port.test("README: the configuration of the first route is accepted, and guards what it says")
def first_route():
    block = re.search(r"```yaml\n(.*?)```", text(), re.S).group(1)
    key = port.Key("shop", env="prod")
    block = block.replace('{id: "…", sha256: "…"}', '{id: "%(id)s", sha256: "%(sha256)s"}' % key.entry)
    check("…" not in block, "something is left to be filled in: %s" % block)
    path = os.path.join(port.folder(), "sallyport.yaml")
    with open(path, "w") as out:
        out.write(block)
    code, out, err = port.cli("lint", path)
    equal(code, 0, "exit code of lint (%s)" % (out + err))
    # the same file, with an issuer and a service that are here
    issuer, upstream = port.Issuer("https://login.example.com/", "shop-api", alg="RS256"), port.Upstream()
    where = port.free_port()
    block = re.sub(r"keys: \{url: [^}]*\}", "keys: {file: keys.jwks}", block)
    block = block.replace("10.0.0.11:8080", upstream.address).replace('":8080"', '"127.0.0.1:%d"' % where)
    gateway = port.Gateway({}, {"keys.jwks": issuer.jwks()}, wait=False)
    gateway.process.kill()
    gateway.write_config(block + "\ndata: ./data\n")
    gateway.process = port.Process([port.binary(), "run", "--config", gateway.path, "--admin", "none"], cwd=gateway.dir)
    port.eventually(lambda: port.fetch(where, "/items").status == 200, "the public action answers")
    token = port.bearer(issuer.mint(roles=["buyer"]))
    equal(port.fetch(where, "/orders/7").status, 401, "an order without credentials")
    equal(port.fetch(where, "/orders/7", [("apikey", key.text), token]).status, 200, "an order of a buyer")
    equal(port.fetch(where, "/orders/7", [("apikey", key.text), port.bearer(issuer.mint())]).status, 403, "no buyer")
    gateway.process.stop()


@port.test("README: users who log in here: two lines more, and what they say holds")
def logins():
    first, second = (re.search(r"```yaml\n(.*?)```", part, re.S).group(1) for part in re.split(r"Users can log in here", text()))
    key = port.Key("shop", env="prod")
    issuer, upstream = port.Issuer("https://login.example.com/", "shop-api", alg="RS256"), port.Upstream()
    where = port.free_port()
    block = re.sub(r"products:\n  shop: .*\n", lambda m: second, first)
    block = block.replace('{id: "…", sha256: "…"}', '{id: "%(id)s", sha256: "%(sha256)s"}' % key.entry)
    block = re.sub(r"keys: \{url: [^}]*\}", "keys: {file: keys.jwks}", block)
    block = block.replace("10.0.0.11:8080", upstream.address).replace('":8080"', '"127.0.0.1:%d"' % where)
    gateway = port.Gateway({}, {"keys.jwks": issuer.jwks()}, wait=False)
    gateway.process.kill()
    gateway.write_config(block + "\ndata: ./data\n")
    gateway.process = port.Process([port.binary(), "run", "--config", gateway.path, "--admin", "none"], cwd=gateway.dir)
    add, login, revoke = re.search(r"    sallyport (user add.*?) +#.*\n    (curl.*)\n    sallyport (revoke.*?) +#", text()).groups()

    def added():
        code, out, err = gateway.cli(*add.split(" "))
        return out.strip() if code == 0 else check(False, err)
    password = port.eventually(added, "the user is added", 10)
    body = re.search(r"--json '(.*)'", login).group(1).replace("…", password)
    path = re.search(r"localhost:8080(\S+)", login).group(1)
    fields = [("apikey", key.text), ("Content-Type", "application/json")]
    answer = port.eventually(lambda: (lambda r: r.status == 200 and r.json())(
        port.fetch(where, path, fields, "POST", body.encode())), "the login", 10)
    both = [("apikey", key.text), port.bearer(answer["access_token"])]
    equal(port.fetch(where, "/orders/7", both).status, 200, "an order of the buyer who logged in")
    equal(upstream.requests[-1].get("x-user-id"), "authentication:alice", "who the service is told")
    equal(port.fetch(where, "/orders/7", [("apikey", key.text), port.bearer(issuer.mint(roles=["buyer"]))]).status, 200,
          "an order of a user of the other issuer")
    equal(gateway.cli(*revoke.split(" "))[0], 0, "exit code of revoke")
    equal(port.fetch(where, "/orders/7", both).status, 401, "an order after she was revoked")
    gateway.process.stop()


@port.test("README: every command that it names exists")
def commands():
    named = set(re.findall(r"sallyport ([a-z]+(?: (?:new|verify|inspect|mint|add))?)", text()))
    for command in sorted(named - {"help"}):
        if command in ("completion", "version"):
            code = port.cli(command, *(["bash"] if command == "completion" else []))[0]
        else:
            code = port.cli(*command.split(" "), "--help")[0]
        equal(code, 0, "exit code of sallyport %s" % command)


@port.test("README, threat model, examples: links and files that they name are there")
def links():
    missing = []
    for name in ("README.md", "docs/threat-model.md", "examples/README.md", "examples/web/README.md", "test/README.md"):
        folder = os.path.dirname(os.path.join(port.ROOT, name))
        for link in re.findall(r"\]\(([^)#]+)", text(name)):
            if not link.startswith("http") and not os.path.exists(os.path.join(folder, link)):
                missing.append("%s: %s" % (name, link))
    for path in re.findall(r"`([a-z0-9_]+/[a-z0-9_/]+\.c)`", text("docs/threat-model.md")):
        if not os.path.exists(os.path.join(port.ROOT, "src", path)):
            missing.append("docs/threat-model.md: src/" + path)
    check(not missing, "; ".join(missing))


if __name__ == "__main__":
    port.main()
