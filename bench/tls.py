"""What TLS in front costs, beside HAProxy and nginx: requests on open connections, handshakes, resumed sessions."""
import json
import os
import statistics
import subprocess
import time

import measure as m

HERE = os.path.dirname(os.path.abspath(__file__))


def certificate():
    """A P-256 certificate of its own, made once."""
    pem, key = os.path.join(m.DATA, 'tls.pem'), os.path.join(m.DATA, 'tls.key')
    if not os.path.exists(pem):
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout',
                        key, '-out', pem, '-days', '3650', '-subj', '/CN=localhost', '-addext',
                        'subjectAltName=DNS:localhost,IP:127.0.0.1'], check=True, stderr=subprocess.DEVNULL)
        os.chmod(key, 0o600)


def peer(name):
    return f'@TLS=1 exec {os.path.join(HERE, "peers", name)}'


def shake(p, seconds, conns, kind, version):
    said = subprocess.run(['taskset', '-c', m.LOAD_CORE, m.tool('shake'), str(p.port), str(seconds), str(conns), kind, *version],
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(said)


def one(p, seconds, kind, version=(), conns=16):
    """CPU of the peer for a connection: handshake, one request, goodbye."""
    with m.alone():
        shake(p, 1, conns, kind, version)
        pids = p.pids()
        busy, cpu, began = m.core_busy_s(m.PROXY_CORE), m.cpu_ns(pids), time.monotonic()
        load = shake(p, seconds, conns, kind, version)
        elapsed = time.monotonic() - began
        used, busy = m.cpu_ns(pids) - cpu, m.core_busy_s(m.PROXY_CORE) - busy
    n = load['handshakes']
    wrong = load['errors'] or abs(load['resumed'] - (n if kind == 'resumed' else 0)) > conns
    if not n or wrong:
        raise SystemExit(f'{p.name}: {json.dumps(load)}')
    return {'peer': p.name, 'kind': kind, 'cpu_us': round(used / 1e3 / n, 1), 'n': n,
            'other_pct': round((busy - used / 1e9) / elapsed * 100)}


def pairs(a, b, kind, count, seconds, version=(), show=lambda r: None):
    got = ([], [])
    with m.Upstream() as upstream, m.Peer(peer(a), 'none', upstream) as peer_a, m.Peer(peer(b), 'none', upstream) as peer_b:
        for i in range(count):
            for k in ((0, 1), (1, 0))[i % 2]:
                r = one((peer_a, peer_b)[k], seconds, kind, version)
                got[k].append(r)
                show(r)
    ratios = [y['cpu_us'] / x['cpu_us'] for x, y in zip(*got)]
    low, middle, high = m.quartiles(ratios)
    return {'a': a, 'b': b, 'kind': kind, 'ratio': round(middle, 3), 'low': round(low, 3), 'high': round(high, 3),
            'a_us': round(statistics.median(x['cpu_us'] for x in got[0]), 1),
            'b_us': round(statistics.median(x['cpu_us'] for x in got[1]), 1),
            'other_pct': max(x['other_pct'] for side in got for x in side)}


REQUESTS = [  # what, theirs, mode of ours, mode of theirs, goal
    ('no token / HAProxy', 'haproxy', 'plain', None, 0.95),
    ('no token / nginx', 'nginx', 'plain', None, None),
    ('HS256, token seen before / HAProxy, whole job', 'haproxy', 'hs-same', None, 0.95),
    ('RS256, token seen before / HAProxy, whole job', 'haproxy', 'rs-same', None, 0.95),
    ('HS256, token seen before / HAProxy, no check', 'haproxy', 'hs-same', 'plain', None),
]
HANDSHAKES = [  # what, theirs, kind, version, goal
    ('full handshake, TLS 1.3 / HAProxy', 'haproxy', 'full', (), 1.0),
    ('full handshake, TLS 1.2 / HAProxy', 'haproxy', 'full', ('1.2',), 1.0),
    ('resumed, TLS 1.3 / HAProxy', 'haproxy', 'resumed', (), None),
    ('resumed, TLS 1.2 / HAProxy', 'haproxy', 'resumed', ('1.2',), None),
    ('full handshake, TLS 1.3 / nginx', 'nginx', 'full', (), None),
    ('resumed, TLS 1.3 / nginx', 'nginx', 'resumed', (), None),
]


def row(what, r, goal):
    said = m.verdict(r['ratio'], r['low'], r['high'], goal) if goal else ''
    noise = f' (somebody else used up to {r["other_pct"]} % of the core)' if r['other_pct'] > 5 else ''
    return (f'| {what} | {r["b_us"]} / {r["a_us"]} | {r["ratio"]:.3f} ({r["low"]:.3f}–{r["high"]:.3f}) | '
            f'{"≤ %.2f" % goal if goal else ""} | {said}{noise} |')


def lines(quick, attempt, emit):
    count, seconds = (3, 2) if quick else (9, 3)
    certificate()
    yield 'P-256 certificate, X25519, TLS_AES_128_GCM_SHA256 (1.2: ECDHE-ECDSA-AES128-GCM-SHA256) for everybody.'
    yield ''
    yield '| CPU of the proxy per request, TLS 1.3, 64 open connections | µs (ours / theirs) | ratio: median (quartiles) | goal | |'
    yield '|---|---|---|---|---|'
    for what, theirs, mode, mode_a, goal in REQUESTS:
        r = attempt(what, m.pairs, peer(theirs), peer('sallyport'), mode, count, seconds, mode_a=mode_a)
        if not r:
            yield f'| {what} | | | | **not measured** |'
            continue
        emit(r)
        yield row(what, r, goal)
    yield ''
    yield '| CPU of the proxy per connection: handshake, one request, goodbye | µs (ours / theirs) | ratio: median (quartiles) | goal | |'
    yield '|---|---|---|---|---|'
    for what, theirs, kind, version, goal in HANDSHAKES:
        r = attempt(what, pairs, theirs, 'sallyport', kind, count, seconds, version)
        if not r:
            yield f'| {what} | | | | **not measured** |'
            continue
        emit(r)
        yield row(what, r, goal)
