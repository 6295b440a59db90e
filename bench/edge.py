"""What the edge costs: limits, balancing, many connections. Each against the same gateway without it, or against HAProxy."""
import os

import measure as m

HERE = os.path.dirname(os.path.abspath(__file__))
OURS = os.path.join(HERE, 'peers', 'sallyport')
US = 0.3  # what each may cost a request


def with_(**env):
    return '@' + ' '.join(f'{k}={v}' for k, v in env.items()) + f' exec {OURS}'


COSTS = [
    ('limits of action, product and address', 'sallyport', with_(LIMITS=1)),
    ('least request among three instances', 'sallyport', with_(INSTANCES=3)),
    ('round robin among three instances', 'sallyport', with_(INSTANCES=3, BALANCE='round-robin')),
]


def lines(quick, attempt, emit):
    count, seconds = (3, 2) if quick else (9, 3)
    yield '| on top of a request, token seen before (ES256) | µs without → with | difference: median (quartiles) | goal | |'
    yield '|---|---|---|---|---|'
    for what, a, b in COSTS:
        r = attempt(what, m.pairs, a, b, 'es-same', count, seconds)
        if not r:
            yield f'| {what} | | | ≤ {US} µs | **not measured** |'
            continue
        emit(r)
        more, low, high = ((r[k] - 1) * r['a_us'] for k in ('ratio', 'low', 'high'))
        yield (f'| {what} | {r["a_us"]} → {r["b_us"]} | {more:+.2f} µs ({low:+.2f} to {high:+.2f}) | ≤ {US} µs | '
               f'{m.verdict(more, low, high, US)} |')
    yield ''
    yield '| 9,000 connections that ask all the time, CPU per request | µs | ratio: median (quartiles) | | |'
    yield '|---|---|---|---|---|'
    for what, a, b, mode, mode_a in (('ours, whole job / HAProxy, no check', 'haproxy', 'sallyport', 'es-same', 'plain'),
                                     ('ours, whole job / HAProxy, whole job', 'haproxy', 'sallyport', 'es-same', None)):
        r = attempt(what, m.pairs, a, b, mode, 2 if quick else 5, seconds, 9000, mode_a=mode_a)
        if not r:
            yield f'| {what} | | | | **not measured** |'
            continue
        emit(r)
        yield (f'| {what} | {r["b_us"]} / {r["a_us"]} | {r["ratio"]:.3f} ({r["low"]:.3f}–{r["high"]:.3f}) | '
               f'p99 {r["b_p99_us"] / 1000:.0f} / {r["a_p99_us"] / 1000:.0f} ms | |')
