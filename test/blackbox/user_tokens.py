#!/usr/bin/env python3
"""Tokens over HTTP: one of each class of bad token, and who may vouch for whom.

A refused token is 401 with a challenge, and nothing of the request reaches the service.
"""

import json
import os
import time

import port
from port import Issuer, Key, Shop, SigningKey, b64, bearer, check, equal

_shop = None


def shop():
    global _shop
    if _shop is None:
        _shop = Shop(port.mirror)
    _shop.upstream.clear()
    return _shop


def ask(s, token, path="/user/x", key=True, fields=()):
    return port.fetch(s.port, path, ([("apikey", s.key.text)] if key else []) + [bearer(token)] + list(fields))


def refused(s, token, want=401, **more):
    reply = ask(s, token, **more)
    equal(reply.status, want, "status")
    equal(s.upstream.count(), 0, "requests upstream")
    if want == 401:
        challenge = reply.get("www-authenticate", "")
        check(challenge.lower().startswith("bearer") or "bearer" in challenge.lower(), "challenge %r" % challenge)
        check(token not in reply.raw_head.decode("latin-1") + reply.body.decode() or not token, "the token is echoed")
    return reply


def spliced(token, index, text):
    parts = token.split(".")
    parts[index] = text
    return ".".join(parts)


def raw_payload(issuer, text, **header):
    return issuer.mint(payload=text, header=header or None)


def unsigned(issuer, alg):
    return issuer.mint(header={"alg": alg}, signature=b"")


def hs_with_public_key(issuer):
    """The public key as if it were a shared secret."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    pem = issuer.keys[0].private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    out = []
    for secret in (pem, pem.strip(), b" " + pem, json.dumps(issuer.keys[0].jwk).encode(), b"\0"):
        key = SigningKey("HS256", kid=issuer.keys[0].kid, secret=secret)
        out.append(issuer.mint(key=key))
    return out


def flip(issuer):
    """The last bits of the signature that mean nothing, and a bit that does."""
    token = issuer.mint()
    head, dot, signature = token.rpartition(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(signature[-1])
    return [head + dot + signature[:-1] + alphabet[last ^ 1], head + dot + alphabet[alphabet.index(signature[0]) ^ 32] +
            signature[1:]]


def classes(i):
    """(name, token or tokens) that the gate refuses with 401."""
    now = int(time.time())
    other = SigningKey("ES256")
    good = i.mint()
    head, payload, signature = good.split(".")
    der = None
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    der = i.keys[0].private.sign((head + "." + payload).encode(), ec.ECDSA(hashes.SHA256()))
    claims = json.dumps(i.claims())
    yield "alg none", [unsigned(i, a) for a in ("none", "None", "NONE", "nOnE", " none", "none ", "")]
    yield "alg absent", i.mint(header={"alg": None})
    yield "alg not a string", i.mint(header={"alg": 256})
    yield "alg in another case", i.mint(header={"alg": "es256"})
    yield "HMAC under the public key", hs_with_public_key(i)
    yield "alg of another family than the key", [i.mint(header={"alg": a}) for a in ("RS256", "ES384", "PS256", "EdDSA")]
    yield "signed by somebody else, same kid", i.mint(key=SigningKey("ES256", kid=i.keys[0].kid))
    yield "signed by somebody else, own kid", i.mint(key=other)
    yield "kid as a path, SQL, NUL", [i.mint(header={"kid": k}) for k in (
        "../../../../dev/null", "/dev/null", "' OR 1=1 --", i.keys[0].kid + "\0", i.keys[0].kid.upper(), "", 7, None, ["x"])
        if k is not None]
    yield "jku, x5u, x5c, embedded jwk", [i.mint(key=other, header=h) for h in (
        {"jku": "http://127.0.0.1:1/jwks", "kid": other.kid}, {"x5u": "http://127.0.0.1:1/x"}, {"x5c": ["MIIB"]},
        {"jwk": other.jwk}, {"jwk": other.jwk, "kid": None})]
    yield "crit", [i.mint(header={"crit": c, "exp": now}) for c in (["exp"], [], ["b64"], "exp")]
    yield "b64", [i.mint(header={"b64": False, "crit": ["b64"]}), i.mint(header={"b64": False})]
    yield "JWE and zip", [i.mint(header={"enc": "A256GCM", "zip": "DEF"}), i.mint(header={"zip": "DEF"}),
                          ".".join([b64('{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2000000000,"p2s":"AAAA"}'),
                                    "AAAA", "AAAA", "AAAA", "AAAA"])]
    yield "duplicate members", [raw_payload(i, claims[:-1] + ', "sub": "admin"}'),
                                raw_payload(i, claims[:-1] + ', "x": {"a": 1, "a": 2}}'),
                                raw_payload(i, claims[:-1] + ', "s\\u0075b": "admin"}')]
    yield "trailing garbage, BOM, bad UTF-8, lone surrogate", [
        raw_payload(i, claims + "x"), raw_payload(i, claims + "{}"), raw_payload(i, "\ufeff" + claims),
        raw_payload(i, claims.encode()[:-1] + b', "x": "\xff"}'), raw_payload(i, claims[:-1] + ', "x": "\\ud800"}'),
        raw_payload(i, claims[:-1] + ', "x": NaN}'), raw_payload(i, claims[:-1] + ",}"), raw_payload(i, "[]"),
        raw_payload(i, ""), raw_payload(i, "null")]
    yield "depth", raw_payload(i, claims[:-1] + ', "x": ' + "[" * 40 + "]" * 40 + "}")
    yield "a number of forty digits", raw_payload(i, claims[:-1] + ', "x": ' + "1" * 40 + "}")
    yield "300 claims", raw_payload(i, claims[:-1] + "".join(', "c%d": 1' % n for n in range(300)) + "}")
    yield "65 audiences", i.mint(aud=["api"] + ["a%d" % n for n in range(65)])
    yield "base64url: padding, blanks, + and /, spare bits", [
        good + "=", good + "==", head + "=." + payload + "." + signature, head + "." + payload + ".", head + "." + payload,
        "." + payload + "." + signature, good + ".", good + ".x", head + "." + payload + "\t." + signature,
        good.replace("-", "+").replace("_", "/") + "+"] + flip(i)
    yield "signature: DER, short, long, zero", [i.mint(signature=s) for s in (
        der, b"", b"\0" * 64, b"\0" * 63, b"\x01" * 65, b"\xff" * 64, b"\0" * 32 + b"\x01" * 32)]
    yield "exp: absent, past, at the second, float, string, negative, null, boolean, huge", [
        i.mint(exp=None), i.mint(exp=now - 1), i.mint(exp=now), i.mint(exp=str(now + 600)), i.mint(exp=-1), i.mint(exp=0),
        raw_payload(i, json.dumps(dict(i.claims(), exp=None))), i.mint(exp=True), i.mint(exp=[now + 600]),
        raw_payload(i, json.dumps(i.claims(exp=None))[:-1] + ', "exp": 1e400}'),
        raw_payload(i, json.dumps(i.claims(exp=None))[:-1] + ', "exp": 99999999999999999999999}')]
    yield "nbf, iat in the future", [i.mint(nbf=now + 60), i.mint(iat=now + 60), i.mint(nbf="x"), i.mint(iat="x")]
    yield "iss: another, absent, a list, with a slash, case", [i.mint(iss=v) for v in (
        "https://evil.test", None, [i.url], i.url + "/", i.url.upper(), "")]
    yield "aud: another, absent, empty, a number, prefix", [i.mint(aud=v) for v in (
        "other", None, [], 7, ["other"], "ap", "api ", "")]
    yield "typ: absent, JWT, an ID token's, a refresh token's, a transaction token's", [i.mint(header={"typ": v}) for v in (
        None, "JWT", "id+jwt", "rt+jwt", "refresh", "txntoken+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", 7, "")]
    yield "sub: absent, blank, a number, too long, control characters", [i.mint(sub) for sub in (
        None, "", " ", 7, "x" * 257, "a\nb", "a\x00", ["alice"], {"a": 1})]
    yield "17 kB", i.mint(x="y" * 17000)
    yield "not a token", ["x", "a.b", "a.b.c", "....", "e30.e30.e30", "Bearer", good + " " + good]


_issuer_for_names = Issuer()


def _tokens(name):
    for n, tokens in classes(shop().issuer):
        if n == name:
            return tokens if isinstance(tokens, list) else [tokens]
    raise KeyError(name)


@port.cases("refused", [(name,) for name, _ in classes(_issuer_for_names)])
def bad_tokens(name):
    s = shop()
    for n, token in enumerate(_tokens(name)):
        reply = ask(s, token)
        # a token that makes the head too large, or a header that is no header, may end before it is looked at
        allowed = {401, 431, 400} if len(token) > 16000 or "\t" in token or " " in token else {401}
        check(reply.status in allowed, "variant %d: status %d, token %s" % (n, reply.status, token[:200]))
        equal(s.upstream.count(), 0, "requests upstream for variant %d" % n)
    equal(ask(s, s.issuer.mint(roles=["user"])).status, 200, "status of a good token afterwards")


@port.test("accepted: the good token, in its plain variants")
def good():
    s = shop()
    i = s.issuer
    for token in (i.mint(roles=["user"]), i.mint(roles=["user"], aud=["x", "api"]), i.mint(roles="user"),
                  i.mint(roles=["user"], nbf=int(time.time())), i.mint("x" * 256, roles=["user"]),
                  i.mint(roles=["user"], exp=int(time.time()) + 600.5), i.mint(roles=["user"], iat=None, jti=None)):
        reply = ask(s, token)
        equal(reply.status, 200, "status of %s" % token[:150])
    reply = port.fetch(s.port, "/user/x", [("apikey", s.key.text), ("authorization", "bEaReR " + i.mint(roles=["user"]))])
    equal(reply.status, 200, "scheme in another case")


@port.test("a token that was good a moment ago ends at exp, though it was seen before")
def expires():
    s = shop()
    end = int(time.time()) + 3
    token = s.issuer.mint(roles=["user"], exp=end)
    with s.client() as c:
        while time.time() < end - 0.3:
            equal(c.get("/user/x", [("apikey", s.key.text), bearer(token)]).status, 200, "status before exp")
            time.sleep(0.1)
        time.sleep(max(0.0, end - time.time()) + 0.02)
        for _ in range(5):
            equal(c.get("/user/x", [("apikey", s.key.text), bearer(token)]).status, 401, "status after exp")


@port.test("Authorization: two of them, another scheme, empty, a token in the query")
def authorization_forms():
    s = shop()
    token = s.issuer.mint(roles=["user"])
    key = ("apikey", s.key.text)
    for fields in ([key, bearer(token), bearer(token)], [key, bearer(token), bearer("x")], [key, ("Authorization", "")],
                   [key, ("Authorization", "Bearer")], [key, ("Authorization", "Bearer ")], [key, ("Authorization", token)],
                   [key, ("Authorization", "Basic " + token)], [key, ("Authorization", "Bearer %s, Bearer %s" % (token, token))],
                   [key, ("X-Authorization", "Bearer " + token)], [key, ("Cookie", "access_token=" + token)],
                   [key, ("Authorization_", "Bearer " + token)]):
        reply = port.fetch(s.port, "/user/x", fields)
        check(reply.status in (400, 401), "%r: status %d" % (fields[1:], reply.status))
    for target in ("/user/x?access_token=" + token, "/user/x?apikey=" + s.key.text):
        equal(port.fetch(s.port, target, [key] if "apikey" not in target else [bearer(token)]).status, 401, "status of query")
    equal(s.upstream.count(), 0, "requests upstream")


@port.test("apikey: none, unknown, cut, another case, two, of another environment")
def key_forms():
    s = shop()
    token = bearer(s.issuer.mint(roles=["user"]))
    k = s.key.text
    bad = ["", "x", k[:-1], k + "x", k.upper(), k.replace("sp_", "sp-"), k[:-1] + ("a" if k[-1] != "a" else "b"),
           "sp_prod" + k[k.index("_", 3):], k + ", " + k, "Bearer " + k, k[::-1]]
    for text in bad:
        for path in ("/user/x", "/keyed/x"):
            reply = port.fetch(s.port, path, [("apikey", text), token])
            check(reply.status in (400, 401), "key %r on %s: status %d" % (text, path, reply.status))
            check(not text or text not in reply.body.decode(), "the key is echoed")
    for fields in ([("apikey", k), ("apikey", k)], [("apikey", k), ("apikey", "x")], [("apikey_", k)], [("api_key", k)],
                   [("X-API-Key", k)], []):
        reply = port.fetch(s.port, "/user/x", fields + [token])
        check(reply.status in (400, 401), "%r: status %d" % (fields, reply.status))
    equal(s.upstream.count(), 0, "requests upstream")
    equal(port.fetch(s.port, "/user/x", [("apikey", k), token]).status, 200, "status with the key")
    equal(port.fetch(s.port, "/keyed/x", [("APIKEY", k)]).status, 200, "status of a keyed action, name in upper case")
    equal(port.fetch(s.port, "/keyed/x", [("apikey", k), bearer("x.y.z")]).status, 401,
          "status of a bad token where the key would have been enough")


# --- who may vouch for whom ----------------------------------------------------------------------------------------------------

class TwoProducts:
    """Products A and B with a key each; issuers of A, of B, of both, of neither, of B and a third; another that may
    assert only `guest`."""

    def __init__(self):
        self.a, self.b = Key("a"), Key("b")
        self.issuers = {name: Issuer("https://%s.test" % name) for name in ("ia", "ib", "iboth", "inone", "iguest", "iother")}

        def change(c):
            c["products"] = {"a": {"keys": [self.a.entry], "may": ["user"]}, "b": {"keys": [self.b.entry], "may": ["user"]},
                             "idle": {"keys": [], "may": []}}
            vouch = {"ia": ["a"], "ib": ["b"], "iboth": ["a", "b"], "inone": ["idle"], "iguest": ["a"], "iother": ["b", "idle"]}
            c["issuers"] = {name: issuer.config(name + ".jwks", products=vouch[name],
                                                roles=["guest"] if name == "iguest" else ["user"],
                                                default=True if name == "ia" else None, permissions=[])
                            for name, issuer in self.issuers.items()}
            c["actions"].pop("keyed")
            c["actions"].pop("admin")
            c["roles"] = {"user": ["user"], "guest": []}
        files = {name + ".jwks": issuer.jwks() for name, issuer in self.issuers.items()}
        self.shop = Shop(port.mirror, change=change, files=files)


_two = None


def two():
    global _two
    _two = _two or TwoProducts()
    _two.shop.upstream.clear()
    return _two


cross = [(name + " with the key of " + product, name, product, status) for name, product, status in (
    ("ia", "a", 200), ("ia", "b", 401), ("ib", "a", 401), ("ib", "b", 200), ("iboth", "a", 200), ("iboth", "b", 200),
    ("inone", "a", 401), ("inone", "b", 401), ("iguest", "a", 403), ("iguest", "b", 401),
    ("iother", "a", 401), ("iother", "b", 200))]


@port.cases("product and issuer", cross)
def product_issuer(name, issuer, product, want):
    t = two()
    key = getattr(t, product)
    token = t.issuers[issuer].mint(roles=["user", "admin", "guest"])
    reply = port.fetch(t.shop.port, "/user/x", [("apikey", key.text), bearer(token)])
    equal(reply.status, want, "status")
    equal(t.shop.upstream.count(), 1 if want == 200 else 0, "requests upstream")
    if want == 200:
        seen = t.shop.upstream.last()
        equal(seen.get("x-product"), product, "X-Product")
        equal(seen.get("x-user-roles"), "user", "X-User-Roles: only what the issuer may assert")


@port.test("two issuers both say alice: two principals, and neither can be spelled as the other")
def two_alices():
    t = two()

    def user(issuer, sub, key):
        t.shop.upstream.clear()
        reply = port.fetch(t.shop.port, "/user/x", [("apikey", key.text), bearer(t.issuers[issuer].mint(sub, roles=["user"]))])
        equal(reply.status, 200, "status for %s of %s" % (sub, issuer))
        return t.shop.upstream.last().get("x-user-id")
    equal(user("ia", "alice", t.a), "alice", "alice of the default issuer")
    equal(user("ib", "alice", t.b), "ib:alice", "alice of another issuer")
    equal(user("iboth", "alice", t.a), "iboth:alice", "alice of a third")
    spelled = user("ia", "ib:alice", t.a)
    check(spelled not in ("ib:alice", "alice"), "a default-issuer user named ib:alice is taken for alice of ib: %r" % spelled)
    check(user("ia", "ib%3Aalice", t.a) != spelled, "two subjects are written the same way")


@port.test("an issuer's key does not verify another's token, though iss says so")
def key_of_another():
    t = two()
    for signer in ("ib", "iboth", "iguest"):
        token = t.issuers["ia"].mint(key=t.issuers[signer].keys[0], roles=["user"])
        equal(port.fetch(t.shop.port, "/user/x", [("apikey", t.a.text), bearer(token)]).status, 401, "signed by " + signer)
    token = t.issuers["ia"].mint(key=SigningKey("ES256", kid=t.issuers["ia"].keys[0].kid), roles=["user"])
    equal(port.fetch(t.shop.port, "/user/x", [("apikey", t.a.text), bearer(token)]).status, 401, "a stranger's, same kid")


@port.test("a product with auth: token follows from the token, by claim or as the issuer's only one")
def product_by_token():
    web, other = Issuer("https://web.test"), Issuer("https://multi.test")

    def change(c):
        c["products"].update({"web": {"auth": "token", "may": ["user"]}, "app": {"auth": "token", "may": []}})
        c["issuers"]["web"] = web.config("web.jwks", products=["web"], roles=["user"])
        c["issuers"]["multi"] = other.config("multi.jwks", products=["web", "app"], roles=["user"],
                                             claims={"product": "prod"})
    with Shop(change=change, files={"web.jwks": web.jwks(), "multi.jwks": other.jwks()}) as s:
        def status(issuer, fields=(), **claims):
            return port.fetch(s.port, "/user/x", [bearer(issuer.mint(roles=["user"], **claims)), *fields]).status
        equal(status(web), 200, "the only product")
        equal(s.upstream.last().get("x-product"), "web", "X-Product")
        equal(status(other, prod="web"), 200, "the product that the claim names")
        equal(status(other, prod="app"), 403, "a product that may not")
        equal(status(other, prod="shop"), 401, "a product the issuer may not vouch for")
        equal(status(other), 401, "no claim, two products")
        equal(status(other, prod=["web"]), 401, "a claim that is a list")
        equal(status(s.issuer), 401, "a product that wants a key, without one")
        equal(status(web, [("apikey", s.key.text)]), 401, "a token of web with the key of shop")
        # whoever may need no key says nothing with one: the product is that of the token
        check(status(web, [("apikey", "x")]) == 401, "an unknown key beside a good token")


@port.test("claims are found by path: nested, arrays, scope strings, names with dots")
def claim_paths():
    issuers = {
        "keycloak": (Issuer("https://keycloak.test"), {"roles": "realm_access.roles"},
                     {"realm_access": {"roles": ["user"]}}),
        "scope": (Issuer("https://scope.test"), {}, {"scope": "openid can:read can:user"}),
        "auth0": (Issuer("https://auth0.test"), {"roles": "https://x.example/roles"}, {"https://x.example/roles": ["user"]}),
        "deep": (Issuer("https://deep.test"), {"roles": ["a.b.c", "roles"]}, {"a": {"b": {"c": ["user"]}}}),
        "entra": (Issuer("https://entra.test"), {"user": "oid"}, {"oid": "object-7", "roles": ["user"]}),
    }

    def change(c):
        c["permissions"] = {"can:user": ["user"]}
        for name, (issuer, paths, _) in issuers.items():
            c["issuers"][name] = issuer.config(name + ".jwks", products=["shop"], roles=["user"], permissions=["can:user"],
                                               claims=paths or None)
    files = {name + ".jwks": issuer.jwks() for name, (issuer, _, _) in issuers.items()}
    with Shop(change=change, files=files) as s:
        for name, (issuer, _, claims) in issuers.items():
            s.upstream.clear()
            reply = port.fetch(s.port, "/user/x", [("apikey", s.key.text), bearer(issuer.mint("bob", **claims))])
            equal(reply.status, 200, "status of " + name)
            seen = s.upstream.last()
            equal(seen.get("x-user-id"), "entra:object-7" if name == "entra" else name + ":bob", "X-User-ID of " + name)
            equal(port.fetch(s.port, "/user/x", [("apikey", s.key.text), bearer(issuer.mint("bob"))]).status,
                  403 if name != "entra" else 401, "status of %s without its claim" % name)
        s.upstream.clear()
        port.fetch(s.port, "/user/x", [("apikey", s.key.text), bearer(issuers["scope"][0].mint("bob", scope="can:user x"))])
        check("openid" not in (s.upstream.last().get("x-user-permissions") or ""), "a permission the issuer may not assert")


@port.test("gateway --product: no key, route or issuer of another product is known to it")
def one_product():
    other, theirs = Key("other"), Issuer("https://theirs.test")

    def change(c):
        c["products"]["other"] = {"keys": [other.entry], "may": ["theirs", "user"]}
        c["issuers"]["theirs"] = theirs.config("theirs.jwks", products=["other"], roles=["user"])
        c["actions"]["theirs"] = {"match": "GET /theirs", "to": "app"}
        c["roles"]["user"] = ["user", "theirs"]
    with Shop(change=change, files={"theirs.jwks": theirs.jwks()}, command=("gateway", "--product", "shop")) as s:
        def status(path, key, issuer):
            return port.fetch(s.port, path, [("apikey", key.text), bearer(issuer.mint(roles=["user"]))]).status
        equal(status("/user/x", s.key, s.issuer), 200, "the product's own")
        equal(status("/user/x", other, theirs), 401, "another product's key and token")
        equal(status("/user/x", s.key, theirs), 401, "another product's token")
        equal(status("/theirs", s.key, s.issuer), 404, "another product's route")
        equal(s.upstream.count(), 1, "requests upstream")
    code, _, err = port.cli("gateway", "--product", "nobody", "--config", s.gateway.path)
    equal(code, 78, "exit code for a product that is not there (%s)" % err)


@port.test("HS256 only for an issuer declared so, its secret from a file, the environment, or a command")
def shared_secret():
    secret = "a shared secret of at least thirty-two bytes, in ASCII"
    issuer = Issuer("https://hs.test", keys=[SigningKey("HS256", secret=secret.encode())])
    credentials = port.folder()
    with open(credentials + "/hs", "w") as out:
        out.write(secret)
    os.chmod(credentials + "/hs", 0o600)
    for provider in ({"file": "secret"}, {"env": "HS_SECRET"}, {"credential": "hs"},
                     {"command": ["/bin/printf", "%s", secret]}):
        def change(c, provider=provider):
            entry = issuer.config("none", products=["shop"], roles=["user"])
            entry.pop("keys")
            c["issuers"]["hs"] = dict(entry, secret=provider)
        with Shop(change=change, files={"secret": secret}, env={"HS_SECRET": secret,
                                                                          "CREDENTIALS_DIRECTORY": credentials}) as s:
            def status(**more):
                return port.fetch(s.port, "/user/x", [("apikey", s.key.text), bearer(issuer.mint(roles=["user"], **more))]).status
            equal(status(), 200, "status with the secret by %s" % list(provider))
            equal(status(key=SigningKey("HS256", kid=issuer.keys[0].kid)), 401, "another secret")
            equal(status(alg="HS512"), 401, "another HMAC")
            check(secret not in s.gateway.process.err(), "the secret is in the log")


@port.test("every algorithm that may be declared verifies, and only those declared")
def algorithms():
    names = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
    rsa = SigningKey("RS256")
    issuers = {}
    for alg in names:
        key = SigningKey.__new__(SigningKey)
        if alg[:2] in ("RS", "PS"):  # one RSA key will do
            key.alg, key.kid, key.private = alg, alg.lower(), rsa.private
            key.jwk = dict(rsa.jwk, alg=alg, kid=key.kid)
        else:
            key = SigningKey(alg)
        issuers[alg] = Issuer("https://%s.test" % alg.lower(), keys=[key])

    def change(c):
        for alg, issuer in issuers.items():
            c["issuers"]["i" + alg] = issuer.config(alg + ".jwks", products=["shop"], roles=["user"])
    with Shop(change=change, files={alg + ".jwks": issuer.jwks() for alg, issuer in issuers.items()}) as s:
        for alg, issuer in issuers.items():
            token = issuer.mint(roles=["user"])
            for _ in range(2):  # once verified, once remembered
                equal(port.fetch(s.port, "/user/x", [("apikey", s.key.text), bearer(token)]).status, 200, alg)
            for other, stranger in issuers.items():
                if other != alg:
                    forged = issuer.mint(key=stranger.keys[0], roles=["user"])
                    equal(port.fetch(s.port, "/user/x", [("apikey", s.key.text), bearer(forged)]).status, 401,
                          "a token of %s signed by the key of %s" % (alg, other))


if __name__ == "__main__":
    port.main()
