"""Signed requests (RFC 9421, HMAC-SHA256) and client certificates, made without the product's code."""

import base64
import hashlib
import hmac
import os
import socket
import ssl
import time

import port
from port import Client


def content_digest(body, algorithm="sha-256"):
    name = algorithm.replace("-", "")
    return "%s=:%s:" % (algorithm, base64.b64encode(hashlib.new(name, body).digest()).decode())


class Signer:
    """Signs requests as a product. Every part of what is signed can be bent: `components` replaces the list, `params`
    the parameters' text, `over` what a component is said to be, `label` the label."""

    def __init__(self, product, key, authority, scheme="http"):
        self.product, self.key, self.authority, self.scheme = product, key, authority, scheme

    def fields(self, method, path, body=None, components=None, params=None, over=None, label="sig", created=None,
               nonce=None, keyid=None, key=None, digest=None, more=(), mac=None, alg="hmac-sha256"):
        digest = digest if digest is not None else content_digest(body) if body is not None else None
        query = path.split("?", 1)[1] if "?" in path else None
        values = {"@method": method, "@target-uri": "%s://%s%s" % (self.scheme, self.authority, path),
                  "@authority": self.authority, "@scheme": self.scheme, "@path": path.split("?")[0],
                  "@query": "?" + (query or ""), "@request-target": path, "content-digest": digest}
        values.update({name.lower(): value for name, value in more})
        values.update(over or {})
        if components is None:
            components = ["@method", "@target-uri"] + (["content-digest"] if digest else [])
        if params is None:
            params = ';created=%d;keyid="%s";alg="%s";nonce="%s"' % (
                created if created is not None else int(time.time()), keyid or self.product, alg,
                nonce or os.urandom(9).hex())
        listed = "(" + " ".join('"%s"' % name for name in components) + ")" + params
        base = "".join('"%s": %s\n' % (name, values.get(name, "")) for name in components)
        base += '"@signature-params": ' + listed
        made = mac or hmac.new(key or self.key, base.encode("latin-1"), hashlib.sha256).digest()
        out = [("Content-Digest", digest)] if digest else []
        return out + list(more) + [("Signature-Input", "%s=%s" % (label, listed)),
                                   ("Signature", "%s=:%s:" % (label, base64.b64encode(made).decode()))]


# --- certificates ---------------------------------------------------------------------------------------------------

class Authority:
    """Issues certificates for servers and clients, in a folder of its own."""

    def __init__(self, name="test authority"):
        from cryptography.hazmat.primitives.asymmetric import ec
        self.dir = port.folder()
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.cert = self._certificate(name, self.key.public_key(), name, self.key, ca=True)
        self.ca_path = self._write("ca.pem", self._pem(self.cert))

    @staticmethod
    def _pem(cert):
        from cryptography.hazmat.primitives.serialization import Encoding
        return cert.public_bytes(Encoding.PEM)

    def _write(self, name, content):
        path = os.path.join(self.dir, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(content)
        return path

    def _certificate(self, subject, public, issuer, signer, ca=False, client=False):
        import datetime
        import ipaddress
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateBuilder()
                   .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
                   .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
                   .public_key(public).serial_number(x509.random_serial_number())
                   .not_valid_before(now - datetime.timedelta(hours=1))
                   .not_valid_after(now + datetime.timedelta(days=30))
                   .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True))
        if ca:
            builder = builder.add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False),
                                            critical=True)
        else:
            usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            names = [x509.DNSName(subject)] + ([] if client else [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
                                        critical=False)
        return builder.sign(signer, hashes.SHA256())

    def issue(self, name, client=False):
        """(path of the certificate, path of its key, SHA-256 of its public key in hex)."""
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import (Encoding, NoEncryption, PrivateFormat, PublicFormat)
        key = ec.generate_private_key(ec.SECP256R1())
        cert = self._certificate(name, key.public_key(), "test authority", self.key, client=client)
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return (self._write(name + ".pem", self._pem(cert)),
                self._write(name + ".key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())),
                hashlib.sha256(spki).hexdigest())


def tls_client(to, authority, name, certificate=None, session=None, context=None):
    """A Client over TLS; certificate: what Authority.issue gave."""
    if context is None:
        context = ssl.create_default_context(cafile=authority.ca_path)
        if certificate:
            context.load_cert_chain(certificate[0], certificate[1])
    raw = socket.create_connection(("127.0.0.1", to), timeout=10)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client = Client.__new__(Client)
    client.sock = context.wrap_socket(raw, server_hostname=name, session=session)
    client.sock.settimeout(10)
    client.buffer = b""
    return client
