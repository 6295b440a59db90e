#!/usr/bin/env python3
"""The benchmark's front door: single measurements, and the whole table into RESULTS.md. See README.md."""
import argparse
import contextlib
import datetime
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

import authentication as auth
import edge
import measure as m
import results
import tls
from measure import Connection, Peer, Upstream

HERE = os.path.dirname(os.path.abspath(__file__))


def emit(result):
    print(json.dumps(result), flush=True)


# --- memory ---------------------------------------------------------------------------------------------------------

def memory(peer_name, alg):
    """PSS at rest (before any request) and with idle keep-alive connections that have asked once."""
    out = {'peer': peer_name, 'alg': alg}
    with Upstream() as upstream, Peer(peer_name, alg, upstream) as peer, m.alone():
        time.sleep(1)
        out['idle_rss_kb'], out['idle_pss_kb'] = m.memory_kb(peer.pids())
        request = os.path.join(peer.folder, 'request')
        with open(request, 'wb') as f:
            f.write(Connection.head(m.first_token(alg if alg != 'none' else 'hs')))
        for n in (1000, 10000):
            holder = subprocess.Popen(['taskset', '-c', m.LOAD_CORE, m.tool('idle'), str(peer.port), str(n), request],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            answered = int(holder.stdout.readline())
            if answered != n:
                raise SystemExit(f'{peer_name}: only {answered} of {n} connections were answered 200')
            time.sleep(1)
            out[f'pss_kb_{n}'] = m.memory_kb(peer.pids())[1]
            holder.stdin.close()
            holder.wait()
            time.sleep(1)
        out['after_pss_kb'] = m.memory_kb(peer.pids())[1]
    out['kb_per_connection'] = round((out['pss_kb_10000'] - out['pss_kb_1000']) / 9000, 3)
    out['kb_per_connection_from_rest'] = round((out['pss_kb_10000'] - out['idle_pss_kb']) / 10000, 3)
    return out


# --- start ----------------------------------------------------------------------------------------------------------

def start_once():
    """milliseconds from exec to the first 401 and to the first 200"""
    with Upstream() as upstream, Peer('sallyport', 'es', upstream, wait=False) as peer:
        token, first = m.first_token('es'), {}
        while len(first) < 2:
            wanted, this = (401, None) if 401 not in first else (200, token)
            if time.monotonic() - peer.started > 20:
                raise SystemExit(f'no {wanted} within 20 s: {peer.said()}')
            with contextlib.suppress(OSError):
                c = Connection(peer.port, this)
                status, _ = c.ask()
                c.close()
                if status == wanted:
                    first[wanted] = (time.monotonic() - peer.started) * 1000
                    continue
            time.sleep(0.001)
    return first


def start(times):
    with m.alone():
        got = [start_once() for _ in range(times)]
    return {str(status): {'median_ms': round(statistics.median(g[status] for g in got), 1),
                          'max_ms': round(max(g[status] for g in got), 1)} for status in (401, 200)}


# --- instructions ---------------------------------------------------------------------------------------------------

def instructions(requests, fresh, worker=False, **env):
    """User-space instructions per request under callgrind; fresh: each with a token not seen before; worker: of the
    worker alone, without what other threads of the process do meanwhile by the clock."""
    wrap = 'valgrind --tool=callgrind --trace-children=yes --instr-atstart=no --callgrind-out-file=%s/cg.%%p -q' + (
        ' --separate-threads=yes' if worker else '')
    folder = os.path.join(m.RUN, 'callgrind')
    os.makedirs(folder, exist_ok=True)
    with Upstream() as upstream, Peer('sallyport', 'es' if not fresh else 'hs', upstream, core=None, WRAP=wrap % folder,
                                      **env) as peer:
        tokens = m.token_lines('tok.hs')[:requests + 201] if fresh else [m.first_token('es')]
        connection = Connection(peer.port)

        def ask(n, first):
            for i in range(n):
                status, said = connection.ask(Connection.head(tokens[(first + i) % len(tokens)], '/api/orders/42'))
                if status != 200:
                    raise SystemExit(f'status {status} under callgrind: {said}')
        for _ in range(100):  # under callgrind a gateway that is fed hears its store late
            if connection.ask(Connection.head(tokens[0], '/api/orders/42'))[0] != 503:
                break
            time.sleep(0.1)
        ask(200, 0)
        control = ['callgrind_control', '-i']
        pids = [str(pid) for pid in peer.pids()]  # the parent does nothing meanwhile, and is counted all the same
        for pid in pids:
            subprocess.run([*control, 'on', pid], stdout=subprocess.DEVNULL, check=True)
        ask(requests, 200)
        for pid in pids:
            subprocess.run([*control, 'off', pid], stdout=subprocess.DEVNULL, check=True)
        connection.close()
        peer.process.send_signal(signal.SIGTERM)
        peer.process.wait(60)
    total = 0
    for name in os.listdir(folder):
        with open(os.path.join(folder, name)) as f:
            found = re.findall(r'^(?:summary|totals): (\d+)', f.read(), re.M)
            count = int(found[-1]) if found else 0
            total = max(total, count) if worker else total + count  # the worker is the thread that does the most
    shutil.rmtree(folder)
    if not total:
        raise SystemExit('callgrind counted nothing')
    return round(total / requests)


def instruction_rows(requests):
    one = instructions(requests, False)
    routes = instructions(requests, False, ROUTES='10000')
    fresh = instructions(requests, True)
    issuers = instructions(requests, False, ISSUERS='100')
    fresh_issuers = instructions(requests, True, ISSUERS='100')
    return [('1 → 10,000 routes, token seen before', one, routes), ('1 → 100 issuers, token seen before', one, issuers),
            ('1 → 100 issuers, tokens never seen (HS256)', fresh, fresh_issuers)]


# --- correctness, system calls --------------------------------------------------------------------------------------

def check(peer_name, alg):
    rows = {}
    with Upstream(echo=True) as upstream, Peer(peer_name, alg, upstream) as peer:
        def ask(token, extra=''):
            c = Connection(peer.port, token, extra=extra)
            try:
                return c.ask()
            finally:
                c.close()
        status, said = ask(m.first_token(alg), 'X-User-ID: attacker\r\nx-user-roles: admin\r\nX-User-Id: two\r\n')
        seen = said.split('\r\n\r\n', 1)[1]
        rows['good'] = (status, 200)
        rows['forged removed'] = (int('attacker' not in seen and ': two' not in seen and 'roles: admin' not in seen.lower()), 1)
        rows['identity written'] = (int('user-00000000' in seen), 1)
        rows['none'] = (ask(None)[0], 401)
        for kind, token in m.refused_tokens(alg).items():
            rows[kind] = (ask(token)[0], 403 if kind == 'norole' else 401)
    wrong = {name: f'{got}, not {want}' for name, (got, want) in rows.items() if got != want}
    return {'peer': peer_name, 'alg': alg, 'ok': not wrong, 'wrong': wrong}


def syscalls(peer_name, mode):
    with Upstream() as upstream, Peer(peer_name, m.alg_of(mode), upstream) as peer, m.alone():
        m.wrk(peer, mode, 1, 64)
        out = os.path.join(peer.folder, 'strace')
        tracer = subprocess.Popen(['strace', '-c', '-f', '-U', 'calls,name', '-o', out] +
                                  [x for pid in peer.pids() for x in ('-p', str(pid))], stderr=subprocess.DEVNULL)
        time.sleep(1)
        load = m.wrk(peer, mode, 3, 64)
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        calls = {}
        with open(out) as f:
            for words in map(str.split, f):
                if len(words) == 2 and words[0].isdigit() and words[1] != 'total':
                    calls[words[1]] = int(words[0])
    n = load['requests']
    return {'peer': peer_name, 'mode': mode, 'per_request': round(sum(calls.values()) / n, 2),
            'by': {k: round(v / n, 3) for k, v in sorted(calls.items(), key=lambda x: -x[1]) if v / n > 0.004}}


# --- the table ------------------------------------------------------------------------------------------------------

RATIOS = [  # what, a, b, mode, mode of a, goal
    ('a token seen before, HS256 / relay', 'relay', 'sallyport', 'hs-same', None, 1.15),
    ('a token seen before, RS256 / relay', 'relay', 'sallyport', 'rs-same', None, 1.15),
    ('a token seen before, ES256 / relay', 'relay', 'sallyport', 'es-same', None, 1.15),
    ('tokens never seen before, HS256 / HAProxy', 'haproxy', 'sallyport', 'hs-many', None, 0.70),
    ('tokens never seen before, RS256 / HAProxy', 'haproxy', 'sallyport', 'rs-many', None, 0.65),
    ('tokens never seen before, ES256 / HAProxy', 'haproxy', 'sallyport', 'es-many', None, 0.75),
    ('wrong signature (401), HS256 / HAProxy', 'haproxy', 'sallyport', 'hs-bad', None, 0.80),
    ('wrong signature (401), RS256 / HAProxy', 'haproxy', 'sallyport', 'rs-bad', None, 0.80),
    ('wrong signature (401), ES256 / HAProxy', 'haproxy', 'sallyport', 'es-bad', None, 0.80),
    ('*for orientation:* HAProxy, no check / relay', 'relay', 'haproxy', 'plain', None, None),
    ('*for orientation:* nginx, no check / relay', 'relay', 'nginx', 'plain', None, None),
    ('*for orientation:* a token seen before, ES256 / HAProxy that checks nothing', 'haproxy', 'sallyport', 'es-same',
     'plain', None),
]


def version_of(command, pattern):
    try:
        said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout
    except OSError:
        return 'not installed'
    found = re.search(pattern, said)
    return found[0] if found else '?'


def versions():
    with open('/proc/cpuinfo') as f:
        cpu = re.search(r'model name\s*: (.*)', f.read())
    top = os.path.join(HERE, '..')
    commit = subprocess.run(['git', '-C', top, 'describe', '--always', '--dirty'], stdout=subprocess.PIPE, text=True,
                            check=False).stdout.strip()
    return [f'sallyport {version_of([os.path.join(m.BUILD, "sallyport"), "version"], r"[0-9][^ ]*").strip()} ({commit})',
            version_of(['haproxy', '-v'], r'HAProxy version [^ ]+'), version_of(['nginx', '-v'], r'nginx/[^ \n]+'),
            version_of(['wrk', '-v'], r'wrk [^ ]+'), version_of(['cc', '--version'], r'.*'),
            version_of(['openssl', 'version'], r'OpenSSL [^ ]+'), f'Linux {platform.release()}',
            f'{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores']


def attempt(what, function, *args, **more):
    """A row that cannot be measured is a row that says so, not the end of the table."""
    try:
        return function(*args, **more)
    except (SystemExit, OSError, subprocess.SubprocessError) as why:
        print(f'{what}: {why}', file=sys.stderr, flush=True)
        return None


def ratio_lines(count, seconds):
    yield '| CPU of the proxy per request | µs (ours / theirs) | ratio: median | quartiles | range | goal | |'
    yield '|---|---|---|---|---|---|---|'
    for what, a, b, mode, mode_a, goal in RATIOS:
        # HS256 is so cheap that the tokens would run out in a longer run, and be met again
        r = attempt(what, m.pairs, a, b, mode, count, 1 if mode == 'hs-many' else seconds, mode_a=mode_a)
        if not r:
            yield f'| {what} | | | | | {goal or ""} | **not measured** |'
            continue
        emit(r)
        said = '' if goal is None else m.verdict(r['ratio'], r['low'], r['high'], goal)
        noise = f' (somebody else used up to {r["other_pct"]} % of the core)' if r['other_pct'] > 5 else ''
        yield (f'| {what} | {r["b_us"]} / {r["a_us"]} | {r["ratio"]:.3f} | {r["low"]:.3f}–{r["high"]:.3f} | '
               f'{r["min"]:.3f}–{r["max"]:.3f} | {"≤ %.2f" % goal if goal else ""} | {said}{noise} |')


def other_lines(requests, starts):
    yield '| the rest | measured | goal | |'
    yield '|---|---|---|---|'
    for what, one, many in attempt('instructions', instruction_rows, requests) or []:
        change = (many / one - 1) * 100
        yield (f'| user-space instructions a request, {what} | {one:,} → {many:,} ({change:+.1f} %) | within 3 % | '
               f'{"met" if abs(change) <= 3 else "missed"} |')
    for peer, alg, goals in (('sallyport', 'es', (3072, 0.6)), ('haproxy', 'es', None), ('nginx', 'none', None)):
        r = attempt('memory', memory, peer, alg)
        if not r:
            yield f'| memory of {peer} | | | **not measured** |'
            continue
        emit(r)
        for label, key, goal, shown in (('at rest (PSS)', 'idle_pss_kb', goals and goals[0], '≤ 3 MB'),
                                        ('per idle connection at 10,000', 'kb_per_connection', goals and goals[1],
                                         '≤ 0.6 kB')):
            said = '' if not goals else 'met' if r[key] <= goal else 'missed'
            yield f'| memory {label}, {peer} | {r[key]} kB | {shown if goals else ""} | {said} |'
    r = attempt('start', start, starts)
    for status, label in (('401', '401'), ('200', '200')):
        if r:
            emit(r)
            yield (f'| exec to the first {label}, median of {starts} (most) | {r[status]["median_ms"]} ms '
                   f'({r[status]["max_ms"]}) | ≤ 300 ms | {"met" if r[status]["max_ms"] <= 300 else "missed"} |')


def indicative_lines(seconds):
    yield '| p99 latency and throughput, one worker, 64 connections (indicative) | p99 µs | requests a second |'
    yield '|---|---|---|'
    for peer, mode in (('relay', 'plain'), ('haproxy', 'plain'), ('nginx', 'plain'), ('sallyport', 'es-same'),
                       ('sallyport', 'es-many')):
        def one(peer=peer, mode=mode):
            with Upstream() as upstream, Peer(peer, m.alg_of(mode), upstream) as p:
                return m.measure(p, mode, seconds)
        r = attempt(peer, one)
        if r:
            emit(r)
            yield f'| {peer}, {mode} | {r["p99_us"]} | {r["rps"]:,} |'


def policy_lines():
    """Decisions of the policy engine beside the reference implementation, in one run."""
    wasm = os.path.join(HERE, '..', 'test', 'node', 'node_modules', '@cedar-policy', 'cedar-wasm')
    if not shutil.which('node') or not os.path.exists(wasm):
        yield 'Not measured: npm @cedar-policy/cedar-wasm is not installed (npm ci in test/node).'
        return
    p = subprocess.run(['taskset', '-c', m.PROXY_CORE, 'node', os.path.join(HERE, 'policy_bench.mjs'), m.tool('policy_bench')],
                       stdout=subprocess.PIPE, text=True, check=True)
    yield from ['```', *p.stdout.rstrip().splitlines(), '```', '',
                'Goals: 1,000,000 a second at 10 policies; 10,000 policies at most 2 × the cost of 10; loading 10,000 in '
                '100 ms, 1,000,000 entities in 2 s. The figures of cedar-wasm hold its WebAssembly and its JSON.']


def login_lines(quick):
    """What the Authentication Service and the feed cost."""
    yield '| logins, sessions, revocations | measured | goal | |'
    yield '|---|---|---|---|'
    r = attempt('logins', auth.logins, 5 if quick else 9, 20 if quick else 50)
    if r:
        emit(r)
        said = m.verdict(r['ratio'], r['low'], r['high'], 1.05)
        yield (f'| CPU of a login / of one bare argon2id verification (19 MiB, 2 passes), {r["rounds"]} turns | '
               f'{r["login_ms"]} / {r["argon2_ms"]} ms = {r["ratio"]:.3f} ({r["low"]:.3f}–{r["high"]:.3f}) | ≤ 1.05 | {said} |')
        yield f'| a login as its user waits for it, one at a time | {r["wall_ms"]} ms | | |'
    else:
        yield '| a login | | ≤ 1.05 | **not measured** |'
    r = attempt('refreshes', auth.refreshes, 3 if quick else 10)
    if r:
        emit(r)
        yield (f'| refreshes a second, durable, one core for everything, {r["connections"]} connections | {r["refreshes_s"]:,} '
               f'(p50 {r["p50_ms"]:.1f} ms, p99 {r["p99_ms"]:.1f} ms, {r["cpu_us"]} µs of CPU each) | | |')
    else:
        yield '| refreshes a second | | | **not measured** |'
    r = attempt('revocations', auth.revocations, 20 if quick else 100, 2 if quick else 5)
    if r:
        emit(r)
        yield (f'| `sallyport revoke`, from its start to the last of {r["enforcers"]} enforcers: median (most) of {r["times"]} | '
               f'{r["last_ms"]} ms ({r["last_max_ms"]}) | ≤ 1 s | {"met" if r["last_max_ms"] <= 1000 else "missed"} |')
        yield f'| … to its end, when all have confirmed | {r["command_ms"]} ms ({r["command_max_ms"]}) | | |'
        yield (f'| sessions ended a second, until the last of {r["enforcers"]} enforcers knows of the last | '
               f'{r["revocations_s"]:,} | | |')
    else:
        yield '| revocations | | ≤ 1 s | **not measured** |'
    r = attempt('instructions', fed_row, 1000 if quick else 5000)
    if r:
        change = (r[1] / r[0] - 1) * 100
        yield (f'| user-space instructions a request, token seen before: a gateway without → with a feed | {r[0]:,} → {r[1]:,} '
               f'({change:+.1f} %) | 0 | {"met" if abs(change) <= 1 else "missed"} |')
    else:
        yield '| instructions a request with a feed | | 0 | **not measured** |'
    r = attempt('users', auth.users, 20_000 if quick else 1_000_000)
    if r:
        emit(r)
        yield (f'| `sallyport user import` of {r["users"]:,} users with argon2id hashes | {r["import_s"]} s '
               f'({r["per_second"]:,}/s), {r["store_mb"]} MB on the disk, {r["pss_kb_before"]:,} → {r["pss_kb"]:,} kB in memory | | |')
        yield (f'| … then `sallyport user show` of one of them, the whole command | {r["show_ms"]} ms | | |')
        yield (f'| … then a login: of one of them (most) / of the user who was there before | {r["login_ms"]} '
               f'({r["login_max_ms"]}) / {r["login_of_the_first_ms"]} ms | | |')
    else:
        yield '| a million users | | | **not measured** |'


def durable_writes(pairs, milliseconds):
    """Rows of store_bench, {row: median}; nothing is pinned: the store has a thread, its client another."""
    folder = os.path.join(m.RUN, 'store')
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    try:
        p = subprocess.run([m.tool('store_bench'), folder, str(pairs), str(milliseconds)], stdout=subprocess.PIPE, text=True,
                           check=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rows = [json.loads(line) for line in p.stdout.splitlines()]
    return {r['median']: r for r in rows if 'median' in r}


def store_lines(pairs, milliseconds):
    yield '| durable writes a second of the store, 200 bytes each / bare SQLite | ours / bare | ratio (quartiles) | goal | |'
    yield '|---|---|---|---|---|'
    for name, r in (attempt('store', durable_writes, pairs, milliseconds) or {}).items():
        emit(r)
        said = 'undecided' if r['low'] < 0.8 < r['high'] else 'met' if r['ratio'] >= 0.8 else 'missed'
        yield (f'| {name} | {r["ours"]:,} / {r["bare"]:,} | {r["ratio"]:.3f} ({r["low"]:.3f}–{r["high"]:.3f}) | ≥ 0.8 | {said} |')


def fed_row(requests):
    return instructions(requests, False, worker=True), instructions(requests, False, worker=True, FED='1')


def request_lines(quick):
    for r in [attempt('check', check, 'sallyport', alg) for alg in ('hs', 'rs', 'es')]:
        if not r or not r['ok']:
            yield from [f'**Not correct, so its speed means nothing:** {json.dumps(r)}', '']
    count, seconds, requests, starts = (3, 2, 1000, 3) if quick else (9, 3, 5000, 11)
    yield from [f'{count} alternating pairs of {seconds} s, 64 connections, one worker.', '']
    for lines in (ratio_lines(count, seconds), other_lines(requests, starts), indicative_lines(seconds)):
        yield from [*lines, '']
    yield 'Flat memory under twenty minutes of load is measured by `./do soak load`.'


SECTIONS = {
    'requests': ('Requests', request_lines),
    'edge': ('The edge: limits, balancing, many connections', lambda quick: edge.lines(quick, attempt, emit)),
    'tls': ('TLS in front', lambda quick: tls.lines(quick, attempt, emit)),
    'policies': ('Policy decisions, one core', lambda quick: policy_lines()),
    'store': ('Durable writes', lambda quick: store_lines(3 if quick else 9, 400 if quick else 1000)),
    'authentication': ('Logins, sessions, revocations', login_lines),
}


def section(name, quick):
    """Measures one section and puts it in its place in the results; a quick one is shown, and kept apart."""
    title, function = SECTIONS[name]
    began = time.monotonic()
    lines = list(function(quick))
    said = (f'`./do bench {name}{" quick" if quick else ""}`, {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC, '
            f'{max(1, round((time.monotonic() - began) / 60))} min; {", ".join(versions())}.' +
            (' **A quick run: indicative only.**' if quick else ''))
    text = '\n'.join([said, '', *lines])
    print(f'## {title}\n\n{text}\n', flush=True)
    results.put(os.path.join(m.RUN, '..', 'RESULTS.md') if quick else os.path.join(HERE, 'RESULTS.md'), title, text)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument('words', nargs='*')
    ap.add_argument('--secs', type=int, default=4)
    ap.add_argument('--reps', type=int, default=1)
    ap.add_argument('--pairs', type=int, default=9)
    ap.add_argument('--conns', type=int, default=64)
    a = ap.parse_args()
    words = a.words or ['table']
    verb, rest = words[0], words[1:]
    try:
        if verb in ('table', 'quick'):
            for name in SECTIONS:
                section(name, verb == 'quick')
        elif verb in SECTIONS:
            section(verb, rest[:1] == ['quick'])
        elif verb == 'ab':
            emit(m.pairs(rest[0], rest[1], rest[2], a.pairs, a.secs, a.conns, *rest[3:4], show=emit))
        elif verb == 'run':
            with Upstream() as upstream, Peer(rest[0], m.alg_of(rest[1]), upstream) as peer:
                for _ in range(a.reps):
                    emit(m.measure(peer, rest[1], a.secs, a.conns))
        elif verb == 'mem':
            emit(memory(rest[0], rest[1] if len(rest) > 1 else 'none'))
        elif verb == 'check':
            emit(check(rest[0], rest[1]))
        elif verb == 'sys':
            emit(syscalls(rest[0], rest[1]))
        elif verb == 'start':
            emit(start(a.reps if a.reps > 1 else 11))
        elif verb == 'instructions':
            for what, one, many in instruction_rows(a.reps if a.reps > 1 else 5000):
                emit({'what': what, 'before': one, 'after': many})
        elif verb == 'feed':
            emit(dict(zip(('without', 'with'), fed_row(a.reps if a.reps > 1 else 5000))))
        elif verb == 'logins':
            emit(auth.logins(a.pairs, 50))
        elif verb == 'refreshes':
            emit(auth.refreshes(a.secs))
        elif verb == 'revocations':
            emit(auth.revocations(100, a.secs))
        elif verb == 'users':
            emit(auth.users(int(rest[0]) if rest else 1_000_000))
        else:
            raise SystemExit(f'no measurement "{verb}"; see bench/README.md')
    except IndexError:
        raise SystemExit(f'{verb}: something is missing; see bench/README.md') from None


os.makedirs(m.RUN, exist_ok=True)
main()
