#!/usr/bin/env python3
"""TLS in front of the gateway and behind it, met by other people's TLS: curl, openssl, Python's ssl, Node, nginx."""
# test: seconds 240

import contextlib
import datetime
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time

import port
from port import Client, Process, Shop, check, equal, eventually

CERTS = None


def certs():
    """The folder of certificates, made once."""
    global CERTS
    if not CERTS:
        CERTS = port.folder()
        subprocess.run(["sh", os.path.join(port.ROOT, "test/support/tls_certs.sh"), CERTS], check=True)
        os.chmod(CERTS, 0o755)
        for name in os.listdir(CERTS):
            if name.endswith(".key"):
                os.chmod(os.path.join(CERTS, name), 0o600)
    return CERTS


def file(name):
    return os.path.join(certs(), name)


def entry(name, **more):
    return {"cert": file(name + ".pem"), "key": {"file": file(name + ".key")}, **more}


class Secure(Shop):
    """A shop that also listens with TLS."""

    def __init__(self, answer=None, tls=None, change=None, **more):
        self.tls = port.free_port()
        clear = port.free_port()
        settings = {"certificates": [entry("public")], **(tls or {})}

        def all_of_it(config):
            config["listen"] = {"gateway": ["127.0.0.1:%d" % clear, {"address": "127.0.0.1:%d" % self.tls, "tls": True}]}
            config["tls"] = settings
            if change:
                change(config)
        super().__init__(answer or port.mirror, change=all_of_it, **more)
        self.port = clear

    def secure(self, context=None, name="localhost", session=None, **more):
        """A raw client over TLS."""
        client = Client(self.tls, **more)
        client.sock = (context or trusting()).wrap_socket(client.sock, server_hostname=name, session=session)
        return client

    def s_client(self, *args, name="public.test", say=b"", seconds=10):
        done = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % self.tls, "-servername", name, "-CAfile",
                               file("ca.pem"), *args], input=say, capture_output=True, timeout=seconds)
        return (done.stdout + done.stderr).decode(errors="replace")

    def shaken(self, **labels):
        """How many handshakes the metrics tell of with these labels."""
        return sum(v for k, v in self.gateway.metrics().items() if k.startswith("sallyport_tls_handshakes_total")
                   and all('%s="%s"' % x in k for x in labels.items()))


def events(s, text):
    """Records of the log with that in their message, and warnings about the configuration."""
    found = []
    for line in s.gateway.process.err().split("\n"):
        try:
            record = json.loads(line)
        except ValueError:
            record = {"msg": line}
        if text in record["msg"]:
            found.append(record)
    return found


def trusting(ca="ca.pem", mine=None, **options):
    context = ssl.create_default_context(cafile=file(ca))
    context.set_alpn_protocols(["http/1.1"])
    if mine:
        context.load_cert_chain(file(mine + ".pem"), file(mine + ".key"))
    for name, value in options.items():
        setattr(context, name, value)
    return context


def handshake_fails(s, context, name="localhost"):
    """With TLS 1.3 a client learns of it with its first read."""
    try:
        with s.secure(context, name) as c:
            c.get("/public/x", host=name)
    except (ssl.SSLError, OSError, port.Closed) as why:
        return why
    raise port.Failure("it was let in")


# --- clients --------------------------------------------------------------------------------------------------------

@port.test("curl, openssl, Python and Node speak with it; the service hears https, the log which TLS")
def clients():
    with Secure() as s:
        url = "https://localhost:%d/public/x" % s.tls
        done = subprocess.run(["curl", "-sS", "--max-time", "10", "--cacert", file("ca.pem"), url, url], capture_output=True)
        equal((done.returncode, done.stderr), (0, b""), "curl")
        said = s.s_client("-quiet", name="localhost", say=b"GET /public/x HTTP/1.0\r\nHost: localhost\r\n\r\n", seconds=15)
        check("200 OK" in said, "openssl s_client: " + said[-300:])
        with s.secure() as c:
            equal(c.sock.selected_alpn_protocol(), "http/1.1", "ALPN")
            equal(c.sock.version(), "TLSv1.3", "version")
            for _ in range(3):
                equal(c.get("/public/x", [("X-Forwarded-Proto", "gopher")], host="localhost").status, 200, "Python")
        seen = s.upstream.last()
        equal(seen.all("x-forwarded-proto"), ["https"], "X-Forwarded-Proto")
        equal(Client(s.port).get("/public/x").status, 200, "in clear beside it")
        equal(s.upstream.last().all("x-forwarded-proto"), ["http"], "X-Forwarded-Proto in clear")
        if shutil.which("node"):
            script = ("const https=require('https');https.get({host:'127.0.0.1',servername:'localhost',port:%d,path:'/public/x',"
                      "ca:require('fs').readFileSync('%s'),headers:{Host:'localhost'}},r=>{console.log(r.statusCode);r.resume()})"
                      % (s.tls, file("ca.pem")))
            done = subprocess.run(["node", "-e", script], capture_output=True, text=True, timeout=20)
            equal(done.stdout, "200\n", "Node: " + done.stderr[-300:])
        eventually(lambda: any(r.get("tls") == "1.3" for r in events(s, "access")), "tls in the access log")
        check(any("tls" not in r for r in events(s, "access")), "tls in the access log of a request in clear")
        eventually(lambda: s.shaken(version="1.3", result="ok") >= 4, "metrics")
        gauges = [k for k in s.gateway.metrics() if k.startswith("sallyport_tls_certificate_not_after_seconds")]
        equal(len(gauges), 1, "gauges of expiry")


@port.test("versions, suites, groups: what is old or weak is refused")
def weak():
    with Secure(tls={"certificates": [entry("public"), entry("publicrsa")]}) as s:
        for args, wanted in (
                (["-tls1_3"], "TLS_AES_128_GCM_SHA256"),
                (["-tls1_2"], "ECDHE-ECDSA-AES128-GCM-SHA256"),
                (["-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"], "ECDHE-RSA-AES256-GCM-SHA384"),
                (["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"], "ECDHE-ECDSA-CHACHA20-POLY1305"),
                (["-groups", "P-256"], "TLS_AES_128_GCM_SHA256"),
                (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], None), (["-tls1", "-cipher", "ALL:@SECLEVEL=0"], None),
                (["-tls1_2", "-cipher", "AES128-GCM-SHA256"], None), (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"], None),
                (["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"], None), (["-groups", "P-384"], None),
                (["-tls1_2", "-sigalgs", "RSA+SHA1", "-cipher", "ALL:@SECLEVEL=0"], None),
                (["-alpn", "h2"], None), (["-alpn", "h2,http/1.1"], "ALPN protocol: http/1.1")):
            said = s.s_client(*args)
            if wanted:
                check(wanted in said and "Verification: OK" in said, "%s: %s" % (args, said[-400:]))
            else:
                check("Cipher is (NONE)" in said or "no application protocol" in said, "%s was let in: %s" % (args, said[-400:]))
        said = s.s_client("-tls1_2")
        check("Compression: NONE" in said and "Secure Renegotiation IS supported" in said, "compression, renegotiation")
        said = s.s_client("-tls1_2", say=b"R\n")
        check("no renegotiation" in said.lower() or "RENEGOTIATING" not in said, "renegotiation: " + said[-300:])
        eventually(lambda: s.shaken(result="failed") >= 6, "refused ones are counted")
    with Secure(tls={"minimum": "1.3"}) as s:
        check("TLSv1.3" in s.s_client(), "1.3")
        check("Cipher is (NONE)" in s.s_client("-tls1_2"), "1.2 where 1.3 is the least")


@port.test("the name chooses the certificate, the client its kind")
def names():
    certificates = [entry("public"), entry("publicrsa"), entry("wild"), entry("exact")]
    with Secure(tls={"certificates": certificates}) as s:
        for asked, args, shown in (
                ("public.test", [], "public"), ("public.test", ["-sigalgs", "RSA-PSS+SHA256"], "publicrsa"),
                ("www.public.test", [], "public"), ("a.wild.test", [], "wild"), ("one.wild.test", [], "wild"),
                ("one.wild.test", ["-sigalgs", "RSA-PSS+SHA256"], "exact"), ("UPPER.test", [], "wild"),
                ("nobody.test", [], "public"), ("a.b.wild.test", [], "public")):
            said = s.s_client(*args, name=asked)
            found = re.search(r"subject=CN = (\w+)", said)
            equal(found and found[1], shown, "%s %s" % (asked, args))
        said = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % s.tls, "-noservername"], input=b"",
                              capture_output=True, timeout=10).stdout.decode()
        check("subject=CN = public" in said, "without a name")


# --- sessions -------------------------------------------------------------------------------------------------------

def ask_resuming(s, context, session, host="localhost"):
    with s.secure(context, session=session) as c:
        equal(c.get("/public/x", host=host).status, 200, "status")
        return c.sock.session_reused, c.sock.session


@port.test("sessions are resumed with every worker and across reloads, with TLS 1.2 and 1.3")
def resumption():
    with Secure() as s:
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            context = trusting(maximum_version=version)
            reused, session = ask_resuming(s, context, None)
            check(not reused, "the first was resumed")
            for k in range(20):
                if k == 10:
                    s.gateway.reload()
                reused, session = ask_resuming(s, context, session)
                check(reused, "connection %d was not resumed" % k)
        eventually(lambda: s.shaken(resumed="yes", result="ok") == 40, "resumed ones in the metrics")
    with Secure(tls={"tickets": "0s"}) as s:
        context = trusting()
        _, session = ask_resuming(s, context, None)
        check(not session or not session.has_ticket, "a ticket although there are none")


# --- certificates of clients ----------------------------------------------------------------------------------------

def pin(name):
    der = subprocess.run("openssl x509 -in %s -pubkey -noout | openssl pkey -pubin -outform DER | sha256sum" % file(name + ".pem"),
                         shell=True, capture_output=True, text=True, check=True).stdout
    return "sha256:" + der.split()[0]


def partners(config):
    config["products"]["partner"] = {"caller": "third-party", "certificates": [pin("partner")], "may": ["bycert"]}
    config["actions"]["bycert"] = {"match": "* /cert/{rest*}", "to": "app", "accept": ["certificate"]}


@port.test("certificates of clients: the pinned one is its product, resumed too; foreign, expired, self-signed: no handshake")
def client_certificates():
    with Secure(tls={"clients": {"ca": file("ca.pem")}}, change=partners) as s:
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            context, session = trusting(mine="partner", maximum_version=version), None
            for k in range(4):
                with s.secure(context, session=session) as c:
                    equal(c.get("/cert/x", host="localhost").status, 200, "status with the pinned certificate")
                    equal(c.sock.session_reused, k > 0, "resumed")
                    session = c.sock.session
                equal(s.upstream.last().all("x-product"), ["partner"], "X-Product")
        with s.secure() as c:
            equal(c.get("/cert/x", host="localhost").status, 401, "status without a certificate")
            equal(c.get("/public/x", host="localhost").status, 200, "without a certificate, where none is needed")
        with s.secure(trusting(mine="partner2")) as c:
            equal(c.get("/cert/x", host="localhost").status, 401, "status with one that nobody pinned")
        for bad in ("foreign", "late", "self", "purpose"):
            why = handshake_fails(s, trusting(mine=bad))
            check("ALERT" in str(why).upper() or "RESET" in str(why).upper() or "CERTIFICATE" in str(why).upper(), "%s: %r" % (bad, why))
            time.sleep(1.05)  # one line a second is told
        reasons = " ".join(r["reason"] for r in events(s, "certificate is refused"))
        check("expired" in reasons and "self-signed" in reasons, "events: " + reasons)
        eventually(lambda: s.shaken(result="certificate") == 4, "refused ones in the metrics")
        # nothing that a client writes is taken for its certificate
        for name in ("X-Forwarded-Client-Cert", "X-SSL-Client-Cert", "X-Client-Cert"):
            with s.secure() as c:
                equal(c.get("/cert/x", [(name, pin("partner"))], host="localhost").status, 401, name)
        equal(Client(s.port).get("/cert/x").status, 401, "in clear")


# --- OCSP, expiry, reload -------------------------------------------------------------------------------------------

def old_ocsp():
    """An answer that was good until an hour ago, by the authority's own hand."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    with open(file("ca.pem"), "rb") as f:
        ca = x509.load_pem_x509_certificate(f.read())
    with open(file("ca.key"), "rb") as f:
        key = serialization.load_pem_private_key(f.read(), None)
    with open(file("public.leaf"), "rb") as f:
        leaf = x509.load_pem_x509_certificate(f.read())
    now = datetime.datetime.utcnow()
    answer = x509.ocsp.OCSPResponseBuilder().add_response(
        cert=leaf, issuer=ca, algorithm=hashes.SHA1(), cert_status=x509.ocsp.OCSPCertStatus.GOOD,
        this_update=now - datetime.timedelta(hours=2), next_update=now - datetime.timedelta(hours=1), revocation_time=None,
        revocation_reason=None).responder_id(x509.ocsp.OCSPResponderEncoding.HASH, ca).sign(key, hashes.SHA256())
    with open(file("old.ocsp"), "wb") as f:
        f.write(answer.public_bytes(serialization.Encoding.DER))
    return file("old.ocsp")


@port.test("OCSP answers are stapled while they hold")
def ocsp():
    with Secure(tls={"certificates": [entry("public", ocsp=file("public.ocsp"))]}) as s:
        said = s.s_client("-status")
        check("OCSP Response Status: successful" in said and "Cert Status: good" in said, said[:600])
        check("OCSP Response Status" not in s.s_client(), "stapled to who has not asked")
    try:
        from cryptography.x509 import ocsp as _  # noqa: F401
    except ImportError:
        return
    with Secure(tls={"certificates": [entry("public", ocsp=old_ocsp())]}) as s:
        check("OCSP response: no response sent" in s.s_client("-status"), "an old answer is stapled")
        eventually(lambda: events(s, "not stapled any more") or events(s, "OCSP answer is past"), "the event")


@port.test("a certificate that expires soon is told of, and when in the metrics")
def expiry():
    with Secure(tls={"certificates": [entry("soon")]}) as s:
        eventually(lambda: events(s, "expires in less than 3 days"), "the event")
        at = [v for k, v in s.gateway.metrics().items() if k.startswith("sallyport_tls_certificate_not_after_seconds")]
        check(86400 < at[0] - time.time() < 3 * 86400, "the gauge: %s" % at)


@port.test("certificates change under load and no request fails; a wrong one is refused and the old one stays")
def change_under_load():
    live = port.folder()

    def put(name):
        for kind in ("pem", "key"):
            shutil.copy(file("%s.%s" % (name, kind)), os.path.join(live, "new"))
            os.replace(os.path.join(live, "new"), os.path.join(live, "live." + kind))
    put("public")
    certificate = {"cert": live + "/live.pem", "key": {"file": live + "/live.key"}}
    with Secure(tls={"certificates": [certificate]}) as s:
        failures, done, stop = [], [0, 0], threading.Event()

        def keep_alive():
            with contextlib.suppress(Exception) if stop.is_set() else contextlib.nullcontext():
                try:
                    with s.secure() as c:
                        while not stop.is_set():
                            equal(c.get("/public/x", host="localhost").status, 200, "status")
                            done[0] += 1
                except Exception as why:
                    failures.append(repr(why))

        def anew():
            context, session = trusting(), None
            while not stop.is_set():
                try:
                    _, session = ask_resuming(s, context, session if done[1] % 2 else None)
                    done[1] += 1
                except Exception as why:
                    failures.append(repr(why))
        threads = [threading.Thread(target=f) for f in (keep_alive, anew, anew)]
        for t in threads:
            t.start()
        for k in range(6):
            put("second" if k % 2 == 0 else "public")
            s.gateway.reload()
            check("subject=CN = " + ("second" if k % 2 == 0 else "public") in s.s_client(), "the certificate after reload %d" % k)
        shutil.copy(file("wild.key"), os.path.join(live, "live.key"))  # another's key
        s.gateway.reload()
        check("subject=CN = public" in s.s_client(), "the certificate after a refused reload")
        time.sleep(0.2)
        stop.set()
        for t in threads:
            t.join()
        check(not failures, "%d failures: %s" % (len(failures), failures[:3]))
        check(done[0] > 50 and done[1] > 20, "requests: %s" % done)
        eventually(lambda: events(s, "configuration refused"), "the event of the refused reload")


# --- bytes ----------------------------------------------------------------------------------------------------------

class ByteWise:
    """TLS over memory, its bytes sent in pieces of our choice."""

    def __init__(self, to, piece, pause=0.0):
        self.sock = socket.create_connection(("127.0.0.1", to), 10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = trusting().wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.piece, self.pause = piece, pause

    def push(self):
        data = self.outgoing.read()
        for at in range(0, len(data), self.piece):
            self.sock.sendall(data[at:at + self.piece])
            if self.pause:
                time.sleep(self.pause)

    def run(self, function, *args):
        while True:
            try:
                result = function(*args)
                self.push()
                return result
            except ssl.SSLWantReadError:
                self.push()
                got = self.sock.recv(65536)
                if not got:
                    raise port.Closed("closed") from None
                self.incoming.write(got)


@port.test("handshakes and records in pieces of one byte and more")
def byte_split():
    with Secure() as s:
        for piece in (1, 2, 3, 5, 7, 16, 100, 517):
            c = ByteWise(s.tls, piece, 0.0002 if piece < 5 else 0)
            c.run(c.tls.do_handshake)
            for _ in range(2):
                c.run(c.tls.write, b"GET /public/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
                answer = b""
                while b"\r\n\r\n" not in answer:
                    answer += c.run(c.tls.read, 65536)
                check(answer.startswith(b"HTTP/1.1 200"), "pieces of %d: %r" % (piece, answer[:60]))
            c.sock.close()


@port.test("garbage instead of TLS ends its connection and nobody else's")
def garbage():
    with Secure() as s:
        with s.secure() as witness:
            for data in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x00" * 500, os.urandom(3000), b"\x16\x03\x01\xff\xff" + b"a" * 70000,
                         b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", b"\x15\x03\x03\x00\x02\x01\x00" * 1000, b"\x80\x2e\x01\x03\x01",
                         b"\x17\x03\x03\x00\x10" + b"x" * 16, b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n"):
                with Client(s.tls) as c:
                    with contextlib.suppress(OSError):
                        c.send(data)
                        c.half_close()
                    with contextlib.suppress(port.Closed, OSError):
                        check(b"HTTP" not in c.rest(), "it answers in clear: %r" % data[:20])
            equal(witness.get("/public/x", host="localhost").status, 200, "another connection")
            # garbage behind a good handshake
            with s.secure() as c:
                os.write(c.sock.fileno(), b"\x17\x03\x03\x00\x20" + os.urandom(32))
                with contextlib.suppress(ssl.SSLError, OSError, port.Closed):
                    check(not c.rest(), "an answer to garbage")
            equal(witness.get("/public/x", host="localhost").status, 200, "another connection")


def hello():
    """A ClientHello as Python makes it."""
    out = ssl.MemoryBIO()
    tls = trusting().wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return out.read()


@port.test("slow handshakes end at the deadline; a crowd of them keeps nobody out")
def slow():
    def small(config):
        config["timeouts"] = {"head": "1s"}
        config["limits"] = {"connections": 128}
        config["workers"] = 1
    with Secure(change=small) as s:
        first = hello()
        began = time.monotonic()
        waiting = []
        for what in (b"", first[:1], first[:100], first):
            c = Client(s.tls)
            c.send(what)
            waiting.append(c)
        dribbler = Client(s.tls)
        ended_at = None
        for k in range(60):
            try:
                dribbler.send(first[k:k + 1])
                dribbler.sock.settimeout(0.05)
                if not dribbler.sock.recv(100):
                    raise OSError
            except TimeoutError:
                continue
            except OSError:
                ended_at = time.monotonic() - began
                break
        check(ended_at and 0.7 < ended_at < 2.5, "one who sends a byte now and then was let go after %s" % ended_at)
        for c in waiting:
            c.sock.settimeout(3)
            try:
                while c.sock.recv(65536):
                    pass
            except TimeoutError:
                raise port.Failure("a handshake that stands still goes on") from None
        eventually(lambda: s.shaken(result="late") >= 5, "late ones in the metrics")
        # half of the connections may be at it; the oldest make room
        crowd = [Client(s.tls) for _ in range(100)]
        for c in crowd:
            c.send(first[:200])
        for _ in range(5):
            with s.secure() as c:
                equal(c.get("/public/x", host="localhost").status, 200, "in the crowd")
        eventually(lambda: s.shaken(result="crowded") >= 30, "crowded ones in the metrics")
        for c in crowd:
            c.close()


@port.test("bodies of a megabyte both ways, pipelining, half-close, 100-continue, chunks")
def bodies():
    data = os.urandom(1 << 20)
    with Secure(lambda seen, client=None: port.ok(seen.body)) as s:
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            with s.secure(trusting(maximum_version=version)) as c:
                for _ in range(2):
                    equal(c.ask("POST", "/public/x", body=data, host="localhost").body == data, True, "a megabyte there and back")
                c.send("POST /public/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
                equal(c.reply().body, b"hello", "chunks")
                c.send("POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
                equal(c.head().status, 100, "100")
                c.send("hello")
                equal(c.reply().body, b"hello", "behind 100-continue")
                one = "POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n%03d"
                c.send("".join(one % k for k in range(200)))
                equal([c.reply().body for _ in range(200)], [b"%03d" % k for k in range(200)], "two hundred in a row")
        # a client that says that it has ended, within TLS or below it, still gets its answer
        for end in ("tls", "tcp"):
            with s.secure() as c:
                c.send("POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
                if end == "tcp":
                    socket.socket(fileno=os.dup(c.sock.fileno())).shutdown(socket.SHUT_WR)
                equal(c.reply().body, b"hello", "the answer after half-close: " + end)
        # a slow reader of a large answer
        with s.secure(rcvbuf=4096) as c:
            c.send("POST /public/x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(data))
            c.send(data)
            time.sleep(0.5)
            equal(c.reply().body == data, True, "to a slow reader")
        # Connection: close is said within TLS, too
        with s.secure() as c:
            c.send("GET /public/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            equal(c.reply().status, 200, "status")
            equal(c.sock.recv(10), b"", "close_notify behind the last answer")


# --- behind ---------------------------------------------------------------------------------------------------------

NGINX = """
daemon off; master_process off; pid {dir}/pid; error_log {dir}/error.log warn;
events {{ worker_connections 256; }}
http {{
  access_log off; keepalive_timeout {keepalive}; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; client_max_body_size 10m;
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {cert}.pem; ssl_certificate_key {cert}.key; ssl_protocols {protocols};
    ssl_session_cache none; ssl_session_tickets on; {more}
    location / {{ return 200 "$ssl_session_reused $ssl_protocol $ssl_server_name $ssl_client_s_dn"; }}
  }}
}}
"""


@contextlib.contextmanager
def nginx(cert, more="", keepalive="0", protocols="TLSv1.2 TLSv1.3"):
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    if not os.path.exists(binary):
        raise port.Skip("nginx is not installed")
    folder, listening = port.folder(), port.free_port()
    if os.getuid() == 0:
        os.chmod(folder, 0o755)
    with open(folder + "/nginx.conf", "w") as out:
        out.write(NGINX.format(dir=folder, port=listening, cert=file(cert), more=more, keepalive=keepalive, protocols=protocols))
    process = Process([binary, "-e", folder + "/error.log", "-c", folder + "/nginx.conf"], name="nginx")
    try:
        eventually(lambda: socket.create_connection(("127.0.0.1", listening), 1).close() or True, "nginx listens")
        yield "127.0.0.1:%d" % listening
    finally:
        process.stop()


def behind(address, **tls):
    def change(config):
        config["services"]["app"] = {"instances": [address], "tls": {"ca": file("ca.pem"), **tls}}
        config["timeouts"] = {"connect": "2s"}
    return change


def refused_upstream(s, reason):
    began = time.monotonic()
    reply = port.fetch(s.port, "/public/x")
    equal((reply.status, reply.json()["code"]), (502, "upstream_connect"), "the answer")
    check(time.monotonic() - began < 1.5, "it took %.1f s" % (time.monotonic() - began))
    eventually(lambda: [r for r in events(s, "access") if r.get("fault") == "certificate"], "the fault in the access log")
    told = eventually(lambda: events(s, "TLS to a service failed"), "the event")
    check(reason in told[0]["reason"], "the reason: " + told[0]["reason"])


@port.test("services behind TLS: asked by name, verified; sessions resumed; our certificate shown")
def upstream_good():
    for protocols in ("TLSv1.2", "TLSv1.3"):
        with nginx("upstream", protocols=protocols) as address:
            with Shop(change=lambda c: (behind(address, name="orders.internal")(c), c.update(workers=1))) as s:
                said = [port.fetch(s.port, "/public/x").body.decode().split() for _ in range(6)]
                equal(said[0][:3], [".", protocols, "orders.internal"], "the first connection")
                check(all(x[0] == "r" for x in said[1:]), "resumed: %s" % said)
            with Shop(change=behind(address)) as s:  # by the instance's address
                equal(port.fetch(s.port, "/public/x").status, 200, "by address")
    verify = "ssl_verify_client on; ssl_client_certificate %s;" % file("ca.pem")
    with nginx("upstream", verify, keepalive="60s") as address:
        with Shop(change=behind(address, name="orders.internal", cert=file("partner.pem"), key={"file": file("partner.key")})) as s:
            with s.client() as c:
                for _ in range(20):
                    reply = c.get("/public/x")
                    equal(reply.status, 200, "mutual TLS")
                    check(b"CN=partner" in reply.body, "what nginx saw: %r" % reply.body)
            check(s.gateway.metrics()["sallyport_upstream_connections_opened_total"] < 5, "connections are kept")
        with Shop(change=behind(address, name="orders.internal")) as s:
            equal(port.fetch(s.port, "/public/x").status, 400, "nginx without our certificate")


@port.test("services behind TLS that are not who they should be: 502, the fault, an event with the reason")
def upstream_bad():
    for cert, tls, reason in (("upstream", {"ca": file("other.pem"), "name": "orders.internal"}, "certificate"),
                              ("elsewhere", {"name": "orders.internal"}, "mismatch"),
                              ("expired", {"name": "orders.internal"}, "expired"),
                              ("partner", {"name": "orders.internal"}, "purpose")):
        with nginx(cert) as address, Shop(change=behind(address, **tls)) as s:
            refused_upstream(s, reason)
    with Shop(change=lambda c: behind(c["services"]["app"]["instances"][0], name="orders.internal")(c)) as s:  # no TLS there
        reply = port.fetch(s.port, "/public/x")
        equal((reply.status, reply.json()["code"]), (502, "upstream_connect"), "in clear")
        equal(s.upstream.count(), 0, "requests that a service in clear got")


@port.test("an answer that ends with its connection is whole only if TLS says so")
def truncation():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file("upstream.pem"), file("upstream.key"))
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                sock, _ = listening.accept()
                tls = context.wrap_socket(sock, server_side=True)
                head = tls.recv(65536)
                tls.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 5000)
                if b"/whole" in head:
                    tls.unwrap()
                tls.close()
            except ssl.SSLError:
                pass
            except OSError:
                if listening.fileno() < 0:
                    return
    threading.Thread(target=serve, daemon=True).start()
    with Shop(change=behind("127.0.0.1:%d" % listening.getsockname()[1], name="orders.internal")) as s:
        equal(len(port.fetch(s.port, "/public/whole").body), 5000, "the whole answer")
        try:
            reply = port.fetch(s.port, "/public/cut")
        except (port.Closed, OSError):
            reply = None
        check(reply is None or reply.status == 502, "half an answer was passed on as a whole one")
    listening.close()


@port.test("TLS to services is switched on, off and to another authority by reload; no warm connection outlives it")
def upstream_reload():
    with nginx("upstream", keepalive="60s") as address:
        with Shop(change=lambda c: (behind(address, name="orders.internal")(c), c.update(workers=1))) as s:
            equal(port.fetch(s.port, "/public/x").status, 200, "with TLS")
            s.gateway.config["services"]["app"]["tls"]["ca"] = file("other.pem")
            s.gateway.write_config()
            s.gateway.reload()
            equal(port.fetch(s.port, "/public/x").status, 502, "another authority")
            s.gateway.config["services"]["app"]["tls"]["ca"] = file("both.pem")
            s.gateway.write_config()
            s.gateway.reload()
            equal(port.fetch(s.port, "/public/x").status, 200, "both authorities")
            del s.gateway.config["services"]["app"]["tls"]
            s.gateway.write_config()
            s.gateway.reload()
            equal(port.fetch(s.port, "/public/x").status, 400, "in clear, which nginx does not take there")


# --- laws -----------------------------------------------------------------------------------------------------------

@port.test("requests on an open connection make no futex call, with two workers and other connections coming")
def no_futex():
    if not shutil.which("strace"):
        raise port.Skip("strace is not installed")
    with Secure() as s:
        with s.secure() as c:
            for _ in range(200):
                equal(c.get("/public/x", host="localhost").status, 200, "status")
            out = os.path.join(port.folder(), "strace")
            workers = [t for t in os.listdir("/proc/%d/task" % s.gateway.pid)
                       if open("/proc/%d/task/%s/comm" % (s.gateway.pid, t)).read().startswith("worker")]
            tracer = subprocess.Popen(["strace", "-e", "trace=futex,brk,mmap,munmap", "-o", out] + [x for t in workers for x in ("-p", t)],
                                      stderr=subprocess.DEVNULL)
            time.sleep(0.7)
            for _ in range(500):
                equal(c.get("/public/x", host="localhost").status, 200, "status")
            tracer.send_signal(2)
            tracer.wait(10)
            with open(out) as f:
                calls = [line for line in f if "futex(" in line or "mmap(" in line or "brk(" in line]
            check(len(calls) <= 2, "%d calls: %s" % (len(calls), calls[:3]))


@port.test("testssl.sh finds nothing from MEDIUM on")
def testssl():
    script = shutil.which("testssl") or shutil.which("testssl.sh")
    if not script:
        raise port.Skip("testssl is not installed")
    with Secure(tls={"certificates": [entry("public"), entry("publicrsa")]}) as s:
        out = os.path.join(port.folder(), "found.json")
        done = subprocess.run([script, "--quiet", "--color", "0", "--warnings", "off", "--severity", "MEDIUM", "--nodns", "min", "-p", "-s",
                               "-P", "-f", "-U", "--add-ca", file("ca.pem"), "--jsonfile", out, "localhost:%d" % s.tls],
                              capture_output=True, text=True, timeout=150, stdin=subprocess.DEVNULL)
        with open(out) as f:
            found = json.load(f)
        # BREACH is about compression of answers, which is the services' to do; scanTime and the like are no findings
        bad = [x for x in found if x["severity"] in ("MEDIUM", "HIGH", "CRITICAL") and x["id"] not in ("BREACH",)]
        check(not bad, "found: %s" % [(x["id"], x["severity"], x["finding"]) for x in bad])
        check("Testing protocols" in done.stdout or done.stdout, "it said nothing")


if __name__ == "__main__":
    port.main()
