#!/usr/bin/env python3
"""gen.py FOLDER N: keys and N tokens of each algorithm for the benchmark. Does nothing where they are there already.

FOLDER/{hs.txt,rs.key,rs.pub,es.key,es.pub}, {hs,rs,es}.jwks, tok.{hs,rs,es} (a token a line), bad.{hs,rs,es}
(lines "KIND TOKEN", each of which must be refused)."""
import base64
import hashlib
import hmac
import json
import multiprocessing
import os
import secrets
import sys
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

ALGS = ('hs', 'rs', 'es')
DAYS = 30


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def compact(value):
    return b64(json.dumps(value, separators=(',', ':')).encode())


def number(n, size):
    return n.to_bytes(size, 'big')


class Keys:
    def __init__(self, folder):
        self.folder = folder

    def path(self, name):
        return os.path.join(self.folder, name)

    def make(self):
        def put(name, data):
            with open(self.path(name), 'wb') as f:
                os.fchmod(f.fileno(), 0o644 if name.endswith(('.pub', '.jwks')) else 0o600)
                f.write(data if isinstance(data, bytes) else data.encode())
        rs, es, hs = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1()), secrets.token_hex(32)
        put('hs.txt', hs)  # these 64 characters are the key
        for name, key in (('rs', rs), ('es', es)):
            put(name + '.key', key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                                 serialization.NoEncryption()))
            put(name + '.pub', key.public_key().public_bytes(serialization.Encoding.PEM,
                                                             serialization.PublicFormat.SubjectPublicKeyInfo))
        r, e = rs.public_key().public_numbers(), es.public_key().public_numbers()
        for key in ({'kty': 'oct', 'kid': 'hs', 'alg': 'HS256', 'k': b64(hs.encode())},
                    {'kty': 'RSA', 'kid': 'rs', 'alg': 'RS256', 'n': b64(number(r.n, 256)), 'e': 'AQAB'},
                    {'kty': 'EC', 'kid': 'es', 'alg': 'ES256', 'crv': 'P-256', 'x': b64(number(e.x, 32)),
                     'y': b64(number(e.y, 32))}):
            put(key['kid'] + '.jwks', json.dumps({'keys': [key]}))

    def load(self):
        def private(name):
            with open(self.path(name), 'rb') as f:
                return serialization.load_pem_private_key(f.read(), None)
        with open(self.path('hs.txt'), 'rb') as f:
            self.hs = f.read()
        self.rs, self.es = private('rs.key'), private('es.key')

    def sign(self, alg, message):
        if alg == 'hs':
            return hmac.new(self.hs, message, hashlib.sha256).digest()
        if alg == 'rs':
            return self.rs.sign(message, padding.PKCS1v15(), hashes.SHA256())
        r, s = utils.decode_dss_signature(self.es.sign(message, ec.ECDSA(hashes.SHA256())))
        return number(r, 32) + number(s, 32)

    def token(self, alg, i, now, exp=None, roles=('user', 'orders.read')):
        header = compact({'alg': alg.upper() + '256', 'typ': 'JWT', 'kid': alg})
        claims = compact({'iss': 'https://idp.example', 'aud': 'api', 'sub': 'user-%08d' % i, 'iat': now,
                          'exp': exp or now + DAYS * 86400, 'roles': list(roles), 'jti': '%016x' % (i * 2654435761)})
        return header + '.' + claims + '.' + b64(self.sign(alg, (header + '.' + claims).encode()))


def some(job):
    folder, alg, first, last, now = job
    keys = Keys(folder)
    keys.load()
    return ''.join(keys.token(alg, i, now) + '\n' for i in range(first, last))


def refused(keys, alg, now):
    head, claims, signature = keys.token(alg, 1, now).split('.')
    flipped = signature[:9] + ('A' if signature[9] != 'A' else 'B') + signature[10:]
    yield 'badsig', '.'.join((head, claims, flipped))
    yield 'expired', keys.token(alg, 1, now, exp=now - 3600)
    yield 'norole', keys.token(alg, 1, now, roles=('guest',))
    yield 'algnone', b64(b'{"alg":"none","typ":"JWT"}') + '.' + claims + '.'
    yield 'garbage', 'abc.def.ghi'


def current(folder, n):
    try:
        with open(os.path.join(folder, 'made')) as f:
            count, at = (int(word) for word in f.read().split())
        return count >= n and at + (DAYS - 1) * 86400 > time.time()
    except (OSError, ValueError):
        return False


def main():
    folder, n = sys.argv[1], int(sys.argv[2])
    if current(folder, n):
        return
    os.makedirs(folder, exist_ok=True)
    keys, now = Keys(folder), int(time.time())
    keys.make()
    keys.load()
    with multiprocessing.Pool(2) as pool:
        for alg in ALGS:
            jobs = [(folder, alg, i, min(i + 2000, n), now) for i in range(0, n, 2000)]
            with open(keys.path('tok.' + alg), 'w') as f:
                for text in pool.imap(some, jobs):
                    f.write(text)
            with open(keys.path('bad.' + alg), 'w') as f:
                f.writelines('%s %s\n' % row for row in refused(keys, alg, now))
    with open(keys.path('made'), 'w') as f:
        f.write('%d %d\n' % (n, now))


main()
