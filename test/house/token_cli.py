#!/usr/bin/env python3
"""token verify, inspect and mint, key new: exit codes, what goes to which stream, what is refused."""
import base64
import hashlib
import hmac
import json
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SALLYPORT = os.environ.get('SALLYPORT') or os.path.join(os.environ['BUILD'], 'sallyport')
SECRET = b'0123456789abcdef0123456789abcdef'
failed = 0


def say(good, name, detail=''):
    global failed
    failed += not good
    print(('ok ' if good else 'not ok ') + name + (f'\n# {detail}' if not good and detail else ''))


def sallyport(*args, stdin='', **more):
    return subprocess.run([SALLYPORT, *args], input=stdin, capture_output=True, text=True, timeout=60, **more)


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def token(header=None, **claims):
    claims = {'iss': 'i', 'aud': 'a', 'sub': 'alice', 'exp': 2000, **claims}
    text = b64(json.dumps(header or {'alg': 'HS256', 'kid': 'k'}).encode()) + '.' + b64(json.dumps(claims).encode())
    return text + '.' + b64(hmac.new(SECRET, text.encode(), hashlib.sha256).digest())


KEYS = {'keys': [{'kty': 'oct', 'kid': 'k', 'k': b64(SECRET)}]}


def verify(jwks):
    good, expired = token(), token(exp=1000)
    rows = [
        ('a good token', ['--iss', 'i', '--aud', 'a', '--now', '1000', good], 0, ''),
        ('without issuer and audience', ['--now', '1000', good], 0, ''),
        ('another issuer', ['--iss', 'x', '--now', '1000', good], 1, 'bad_iss'),
        ('another audience', ['--aud', 'x', '--now', '1000', good], 1, 'wrong_audience'),
        ('by the clock', [good], 1, 'expired'),
        ('at the second', ['--now', '1000', expired], 1, 'expired'),
        ('within the leeway', ['--now', '1059', '--leeway', '60', expired], 0, ''),
        ('at the end of the leeway', ['--now', '1060', '--leeway', '60', expired], 1, 'expired'),
        ('jws mode asks for no claims', ['--mode', 'jws', expired], 0, ''),
        ('gate 1', ['--gate', '1', '--now', '1000', good], 0, ''),
        ('gate 2', ['--gate', '2', '--now', '1000', good], 2, 'comes with gate 2'),
        ('gate 3', ['--gate', '3', good], 2, ''),
        ('a mode that is none', ['--mode', 'jwe', good], 2, ''),
        ('a time that is none', ['--now', '1e3', good], 2, ''),
        ('a negative leeway', ['--leeway', '-1', good], 2, ''),
        ('no token', [], 2, ''),
        ('two tokens', [good, good], 2, ''),
        ('no token at all', [''], 1, 'not_a_jws'),
        ('beside --batch', ['--batch'], 2, ''),
    ]
    for name, args, status, text in rows:
        ran = sallyport('token', 'verify', '--jwks', jwks, *args)
        good_answer = ran.returncode == status and text in ran.stderr and (ran.stdout == 'accepted\n') == (status == 0)
        say(good_answer, f'token verify: {name}', f'{ran.returncode} {ran.stdout!r} {ran.stderr!r}')
    for name, stdin, status in [('a line', good + '\n', 0), ('no line end', good, 0), ('CR LF', good + '\r\n', 0),
                                ('a blank before', ' ' + good, 1), ('two lines', good + '\n\n', 1), ('nothing', '', 1)]:
        ran = sallyport('token', 'verify', '--jwks', jwks, '--now', '1000', '-', stdin=stdin)
        say(ran.returncode == status, f'token verify -: {name}', f'{ran.returncode} {ran.stderr!r}')
    for name, args in [('no keys', [good]), ('keys that are not there', ['--jwks', jwks + '.none', good]),
                       ('keys that are none', ['--jwks', __file__, good]), ('both from standard input', ['--jwks', '-', '-'])]:
        ran = sallyport('token', 'verify', '--now', '1000', *args)
        say(ran.returncode == 2 and ran.stdout == '', f'token verify: {name}', f'{ran.returncode} {ran.stderr!r}')
    ran = sallyport('token', 'verify', '--jwks', jwks, '--json', '--now', '1000', expired)
    say(ran.returncode == 1 and json.loads(ran.stdout) == {'accepted': False, 'fault': 'expired'}, 'token verify --json', ran.stdout)


def batch():
    line = {'id': 'x', 'token': token(), 'keys': KEYS, 'now': 1000, 'expected_iss': 'i', 'expected_aud': 'a', 'leeway': None,
            'mode': 'jwt'}

    def but(**more):
        return json.dumps({**line, **more})
    rows = [
        ('good', but(id='1'), '1 accept'),
        ('a number as id', but(id=2), '2 accept'),
        ('nulls', but(id='3', expected_iss=None, expected_aud=None, leeway=None, mode=None), '3 accept'),
        ('members that are not there', json.dumps({'id': '4', 'token': token(exp=1 << 50), 'keys': KEYS}), '4 accept'),
        ('the clock', but(id='5', now=None), '5 reject'),
        ('expired', but(id='6', now=2000), '6 reject'),
        ('leeway', but(id='7', now=2000, leeway=1), '7 accept'),
        ('jws', but(id='8', now=9999, mode='jws'), '8 accept'),
        ('another mode', but(id='9', mode='jwe'), '9 reject'),
        ('no token', but(id='10', token=None), '10 reject'),
        ('no keys', but(id='11', keys=None), '11 reject'),
        ('keys that are none', but(id='12', keys={'keys': {}}), '12 reject'),
        ('a time that is none', but(id='13', now='1000'), '13 reject'),
        ('a line that is no strict JSON', '{"x":1,"id": "14","x":2}', '14 reject'),
        ('a broken line', '{"id":15,', '15 reject'),
        ('an empty line', '', None),
        ('a token longer than any', but(id='16', token='x' * 300000), '16 reject'),
        ('negative leeway', but(id='17', leeway=-5), '17 reject'),
    ]
    ran = sallyport('token', 'verify', '--batch', stdin=''.join(r[1] + '\n' for r in rows))
    got = dict(l.split(' ', 1) for l in ran.stdout.splitlines())
    for name, _, want in rows:
        if want:
            word, verdict = want.split()
            say(got.get(word) == verdict, f'token verify --batch: {name}', f'{got.get(word)}')
    say(ran.returncode == 0 and len(got) == 17, 'token verify --batch: status and lines', f'{ran.returncode} {len(got)}')
    ran = sallyport('token', 'verify', '--batch', stdin='garbage\n' + but(id='1') + '\n')
    say(ran.returncode == 2 and ran.stdout == '1 accept\n', 'token verify --batch: whose answer?', ran.stdout)
    ran = sallyport('token', 'verify', '--batch', stdin=but(id='1'))
    say(ran.returncode == 0 and ran.stdout == '1 accept\n', 'token verify --batch: last line without an end', ran.stdout)
    ran = sallyport('token', 'verify', '--batch', '--gate', '2', stdin=but())
    say(ran.returncode == 2 and ran.stdout == '' and 'comes with gate 2' in ran.stderr, 'token verify --batch --gate 2', ran.stderr)


def inspect():
    ran = sallyport('token', 'inspect', '-', stdin=token(roles=['\x1b[31m\u202e\u0085x']) + '\n')
    say(ran.returncode == 0 and ran.stdout.startswith('UNVERIFIED') and '"alice"' in ran.stdout, 'token inspect is loud', ran.stdout)
    say(not re.search('[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]', ran.stdout), 'token inspect sends a terminal nothing odd', repr(ran.stdout))
    ran = sallyport('token', 'inspect', '--json', token(roles=['a"\\\u202e']))
    shown = json.loads(ran.stdout)
    say(shown['unverified'] is True and shown['payload']['roles'] == ['a"\\\u202e'] and shown['header']['alg'] == 'HS256',
        'token inspect --json', ran.stdout)
    for bad in ['', 'x', 'a.b.c', 'e30.e30.e30.e30.e30']:
        ran = sallyport('token', 'inspect', bad)
        say(ran.returncode == 1 and ran.stdout == '', f'token inspect of "{bad}"', ran.stderr)


def mint(folder):
    seed = os.path.join(ROOT, 'test', 'fuzz', 'identity', 'seeds', 'jwk', 'private_ec')
    with open(seed, encoding='ascii') as f:
        jwk = json.load(f)
    file = os.path.join(folder, 'dev-issuer.jwk')
    public = os.path.join(folder, 'public.jwks')
    with open(public, 'w', encoding='ascii') as f:
        json.dump({'keys': [{k: jwk[k] for k in ('kty', 'crv', 'x', 'y', 'kid', 'alg')}]}, f)

    ran = sallyport('token', 'mint')
    say(ran.returncode == 2 and 'no key' in ran.stderr and ran.stdout == '', 'token mint without --dev', ran.stderr)
    ran = sallyport('token', 'mint', '--dev', '--data', folder)
    say(ran.returncode == 1 and 'sallyport dev' in ran.stderr, 'token mint where no dev instance runs', ran.stderr)
    with open(file, 'w', encoding='ascii') as f:
        json.dump(jwk, f)
    os.chmod(file, 0o640)
    ran = sallyport('token', 'mint', '--dev', '--data', folder)
    say(ran.returncode == 1 and 'others may read it' in ran.stderr, 'token mint: a key that others may read', ran.stderr)
    os.chmod(file, 0o600)
    ran = sallyport('token', 'mint', '--dev', '--data', folder, '--sub', 'bob', '--roles', 'a, b,,c', '--permissions', 'x:y',
                    '--client', 'web', '--product', 'shop', '--ttl', '2m')
    minted = ran.stdout.strip()
    claims = json.loads(base64.urlsafe_b64decode(minted.split('.')[1] + '=='))
    say(ran.returncode == 0 and claims['sub'] == 'bob' and claims['roles'] == ['a', 'b', 'c'] and claims['permissions'] == ['x:y']
        and claims['client_id'] == 'web' and claims['product'] == 'shop' and claims['exp'] - claims['iat'] == 120, 'token mint --dev', str(claims))
    say(sallyport('token', 'verify', '--jwks', public, '--iss', 'i', '--aud', 'a', minted).returncode == 0, 'what is minted verifies')
    for ttl in ['0', '25h', '86401', '-1', '1d', 'x', '', '1e3', '99999999999999999999']:
        ran = sallyport('token', 'mint', '--dev', '--data', folder, '--ttl', ttl)
        say(ran.returncode == 2 and ran.stdout == '', f'token mint --ttl "{ttl}"', ran.stderr)
    ran = sallyport('token', 'mint', '--dev', '--data', folder, '--json')
    say(ran.returncode == 0 and set(json.loads(ran.stdout)) == {'token', 'exp'}, 'token mint --json', ran.stdout)
    os.rename(file, file + '.x')
    os.symlink(file + '.x', file)
    ran = sallyport('token', 'mint', '--dev', '--data', folder)
    say(ran.returncode == 1 and 'symbolic link' in ran.stderr, 'token mint: a symbolic link', ran.stderr)


def key_new():
    ran = sallyport('key', 'new', 'mobile-app', '--env', 'dev')
    lines = ran.stdout.splitlines()
    say(ran.returncode == 0 and len(lines) == 2 and bool(re.fullmatch(r'sp_dev_[a-z0-9]{12}_[0-9A-Za-z]{30}', lines[0])), 'key new', ran.stdout)
    want = f'keys: [{{id: "{lines[0].split("_")[2]}", sha256: "{hashlib.sha256(lines[0].encode()).hexdigest()}"}}]'
    say(lines[1] == want, 'key new prints the line that knows it', lines[1])
    say(lines[0] not in ran.stderr, 'key new says the key once')
    made = json.loads(sallyport('key', 'new', 'mobile-app', '--json').stdout)
    say(made['sha256'] == hashlib.sha256(made['key'].encode()).hexdigest() and made['key'].startswith('sp_prod_') and
        made['key'] != lines[0], 'key new --json', str(made))
    for args in [[], ['1x'], ['a b'], [''], ['a' * 65], ['a', 'b'], ['a', '--env', 'DEV'], ['a', '--env', ''], ['a', '--env', 'x' * 13]]:
        ran = sallyport('key', 'new', *args)
        say(ran.returncode == 2 and ran.stdout == '', f'key new {args}', ran.stderr)


with tempfile.TemporaryDirectory() as temporary:
    path = os.path.join(temporary, 'keys.jwks')
    with open(path, 'w', encoding='ascii') as out:
        json.dump(KEYS, out)
    verify(path)
    batch()
    inspect()
    mint(temporary)
    key_new()
sys.exit(failed > 0)
