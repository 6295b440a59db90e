"""Logins, refreshes, revocations, a million users: what the Authentication Service and the feed cost. See README.md."""
import concurrent.futures
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time

import measure as m

PASSWORD = 'correct horse battery staple'
KIB, PASSES = 19456, 2
ENFORCERS = 64


def sallyport():
    return os.environ.get('SALLYPORT', os.path.join(m.BUILD, 'sallyport'))


class Product:
    """The product with an Authentication Service, on one core, its data on the disk of the run folder."""

    def __init__(self, core=m.PROXY_CORE, **authentication):
        os.makedirs(m.RUN, exist_ok=True)
        self.folder = tempfile.mkdtemp(prefix='login-', dir=m.RUN)
        self.data = os.path.join(self.folder, 'data')
        self.port = m.free_port()
        self.socket = os.path.join(self.data, 'cli.sock')
        self.key = json.loads(self.cli('key', 'new', 'app', '--json'))
        # throttles stay on, so that they are paid for, and never close
        settings = {'issuer': 'https://api.example', 'audience': ['api'],
                    'throttle': {'account': '1000000/m', 'address': '1000000/m'}, **authentication}
        config = {'sallyport': 1, 'environment': 'bench', 'listen': {'gateway': f'127.0.0.1:{self.port}', 'admin': 'none'},
                  'data': self.data, 'workers': 1, 'log': {'access': True, 'level': 'info'}, 'authentication': settings,
                  'products': {'app': {'keys': [{'id': self.key['id'], 'sha256': self.key['sha256']}],
                                       'login': 'password', 'may': ['read']}},
                  'services': {'up': {'instances': ['127.0.0.1:1'], 'implicit': False}},
                  'actions': {'read': {'match': 'GET /api/{rest*}', 'to': 'up'}}, 'roles': {'reader': ['read']}}
        path = os.path.join(self.folder, 'sallyport.yaml')
        with open(path, 'w') as f:
            json.dump(config, f)
        with open(os.path.join(self.folder, 'log'), 'w') as log:
            self.process = subprocess.Popen(['taskset', '-c', core, sallyport(), 'run', '--config', path],
                                            start_new_session=True, stdout=log, stderr=log)
        try:
            m.wait_listening(self.port, self.process)
            self.wait(lambda: os.path.exists(self.socket), 'its control socket')
            self.add_user('alice')
            self.wait(lambda: self.login('alice'), 'a login')
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if hasattr(self, 'process'):
            m.end(self.process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def wait(self, probe, what, seconds=15):
        end = time.monotonic() + seconds
        why = ''
        while time.monotonic() < end:
            try:
                if probe():
                    return
            except (OSError, SystemExit) as error:
                why = error
            time.sleep(0.05)
        with open(os.path.join(self.folder, 'log')) as log:
            raise SystemExit(f'no {what} ({why}):\n{log.read()[-2000:]}')

    def cli(self, *args, stdin=None, check=True):
        done = subprocess.run([sallyport(), *args], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=dict(os.environ, SALLYPORT_SOCKET=self.socket), check=False)
        if check and done.returncode != 0:
            raise SystemExit(f'sallyport {" ".join(args)}: {done.returncode}: {done.stderr}{done.stdout}')
        return done.stdout

    def add_user(self, name):
        self.cli('user', 'add', name, '--password-stdin', '--roles', 'reader', stdin=PASSWORD + '\n')

    def post(self, what, body, connection=None):
        """(status, JSON)"""
        body = json.dumps(body).encode()
        request = (f'POST /authentication/{what} HTTP/1.1\r\nHost: localhost\r\napikey: {self.key["key"]}\r\n'
                   f'Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n').encode() + body
        c = connection or m.Connection(self.port)
        try:
            status, said = c.ask(request)
        finally:
            if not connection:
                c.close()
        body = said.split('\r\n\r\n', 1)[1]
        return status, json.loads(body) if body else {}

    def login(self, name, connection=None, password=PASSWORD):
        status, answer = self.post('login', {'username': name, 'password': password, 'client': 'bench'}, connection)
        if status != 200:
            raise SystemExit(f'login of {name}: {status} {answer}')
        return answer

    def cpu_ns(self):
        return m.cpu_ns(m.family(self.process.pid))


def bare(times, kib=KIB, passes=PASSES):
    said = subprocess.run(['taskset', '-c', m.PROXY_CORE, m.tool('argon2'), str(kib), str(passes), str(times)],
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(said)


def logins(rounds, times):
    """CPU of a login (gateway, service, store, audit) beside that of a bare argon2 verification, in turns."""
    ratios, ours, theirs, walls = [], [], [], []
    with Product() as p, m.alone():
        connection = m.Connection(p.port)
        p.login('alice', connection)
        bare(times)
        for i in range(rounds):
            def login():
                start, began = p.cpu_ns(), time.monotonic()
                for _ in range(times):
                    p.login('alice', connection)
                walls.append((time.monotonic() - began) / times * 1e3)
                return (p.cpu_ns() - start) / times
            pair = [login, lambda: bare(times)['mean_ns']]
            got = [f() for f in (pair if i % 2 == 0 else pair[::-1])]
            a, b = got if i % 2 == 0 else got[::-1]
            ours.append(a)
            theirs.append(b)
            ratios.append(a / b)
    low, middle, high = m.quartiles(ratios)
    return {'login_ms': round(statistics.median(ours) / 1e6, 3), 'argon2_ms': round(statistics.median(theirs) / 1e6, 3),
            'ratio': round(middle, 4), 'low': round(low, 4), 'high': round(high, 4),
            'wall_ms': round(statistics.median(walls), 2), 'rounds': rounds, 'times': times}


def refreshes(seconds, conns=32):
    """Refreshes a second that are on the disk, each by the token of the one before; and bare durable writes beside."""
    # cheap hashes: here sessions are made, not measured
    with Product(password={'memory': '8MB', 'passes': 1}) as p, m.alone():
        path = os.path.join(p.folder, 'sessions')
        connection = m.Connection(p.port)
        with open(path, 'w') as f:
            for _ in range(conns * 2 + 8):
                f.write(p.login('alice', connection)['refresh_token'] + '\n')
        cpu, began = p.cpu_ns(), time.monotonic()
        said = subprocess.run(['taskset', '-c', m.LOAD_CORE, 'wrk', '-t1', f'-c{conns}', f'-d{seconds}s', '-s',
                               os.path.join(m.HERE, 'refresh.lua'), f'http://127.0.0.1:{p.port}/'],
                              env=dict(os.environ, SESSIONS=path, APIKEY=p.key['key']), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False).stdout
        cpu, elapsed = p.cpu_ns() - cpu, time.monotonic() - began
        found = re.search(r'JSON (\{.*\})', said)
        if not found:
            raise SystemExit('wrk failed: ' + said)
        r = json.loads(found[1])
        if r['status'] or r['socket']:
            raise SystemExit(f'refused refreshes: {said}')
    return {'refreshes_s': round(r['requests'] / r['us'] * 1e6), 'p50_ms': r['p50'] / 1e3, 'p99_ms': r['p99'] / 1e3,
            'cpu_us': round(cpu / 1e3 / r['requests'], 1), 'util_pct': round(cpu / 1e7 / elapsed), 'connections': conns}


class Enforcers:
    """64 watchers of the feed that confirm, and tell when the last of them has a revocation."""

    def __init__(self, product, n=ENFORCERS):
        self.process = subprocess.Popen(['taskset', '-c', m.LOAD_CORE, m.tool('enforcers'),
                                         os.path.join(product.data, 'data.sock'), str(n)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        said = self.process.stdout.readline().split()
        if said != ['ready', str(n)]:
            raise SystemExit(f'the enforcers are not ready: {said}')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)

    def next(self):
        """(key, first, last) of the next revocation that all have heard of; nanoseconds of the monotonic clock."""
        key, first, last = self.process.stdout.readline().split()
        return key, int(first), int(last)


def revocations(times, seconds):
    """One by one, from the start of the command to the last of 64 enforcers, and to the command's end; then as many
    at the same time as the control socket takes."""
    heard, ended = [], []
    with Product(password={'memory': '8MB', 'passes': 1}) as p, Enforcers(p) as enforcers, m.alone():
        for i in range(times):
            began = time.monotonic_ns()
            p.cli('revoke', 'token', f'bench-{i}')
            ended.append((time.monotonic_ns() - began) / 1e6)
            heard.append((enforcers.next()[2] - began) / 1e6)
        rate = logouts(p, enforcers, seconds)
    return {'enforcers': ENFORCERS, 'times': times, 'last_ms': round(statistics.median(heard), 2),
            'last_max_ms': round(max(heard), 2), 'command_ms': round(statistics.median(ended), 2),
            'command_max_ms': round(max(ended), 2), **rate}


def logouts(p, enforcers, seconds, conns=16):
    """Sessions ended a second (each is a revocation in the feed), until the last enforcer has heard of the last."""
    n = max(200, seconds * 300)
    connection = m.Connection(p.port)
    tokens = [p.login('alice', connection)['refresh_token'] for _ in range(n)]
    began = time.monotonic_ns()

    def end(mine):
        c = m.Connection(p.port)
        for token in mine:
            status, answer = p.post('logout', {'refresh_token': token}, c)
            if status != 204:
                raise SystemExit(f'logout: {status} {answer}')
        c.close()
    with concurrent.futures.ThreadPoolExecutor(conns) as pool:
        work = [pool.submit(end, tokens[i::conns]) for i in range(conns)]
        last = 0
        for _ in range(n):
            last = max(last, enforcers.next()[2])
        for w in work:
            w.result()
    return {'revocations_s': round(n / ((last - began) / 1e9)), 'revoked': n}


def users(count):
    """`sallyport user import` of that many with 1,000 distinct real hashes; then they are looked up and log in."""
    distinct = min(1000, count)
    hashes = subprocess.run([m.tool('argon2'), str(KIB), str(PASSES)], input=''.join(f'{PASSWORD} {i}\n' for i in range(distinct)),
                            stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    with Product() as p, m.alone():
        path = os.path.join(p.folder, 'users.ndjson')
        with open(path, 'w') as f:
            for i in range(count):
                f.write(json.dumps({'name': f'user-{i:07}', 'hash': hashes[i % distinct], 'roles': ['reader']}) + '\n')
        before = m.memory_kb(m.family(p.process.pid))[1]
        began = time.monotonic()
        p.cli('user', 'import', path)
        took = time.monotonic() - began
        pss = m.memory_kb(m.family(p.process.pid))[1]
        names = [i * 7919 % count for i in range(200)]
        shown, logged = [], []
        for i in names:
            began = time.monotonic()
            if f'user-{i:07}' not in p.cli('user', 'show', f'user-{i:07}'):
                raise SystemExit(f'user-{i:07} is not there')
            shown.append((time.monotonic() - began) * 1e3)
        connection = m.Connection(p.port)
        alice = []
        for i in names:
            began = time.monotonic()
            p.login(f'user-{i:07}', connection, f'{PASSWORD} {i % distinct}')
            logged.append((time.monotonic() - began) * 1e3)
            began = time.monotonic()
            p.login('alice', connection)
            alice.append((time.monotonic() - began) * 1e3)
        size = sum(os.path.getsize(os.path.join(p.data, 'store', f)) for f in os.listdir(os.path.join(p.data, 'store')))
        connection.close()
    return {'users': count, 'import_s': round(took, 1), 'per_second': round(count / took),
            'show_ms': round(statistics.median(shown), 2), 'login_ms': round(statistics.median(logged), 2),
            'login_max_ms': round(max(logged), 2), 'login_of_the_first_ms': round(statistics.median(alice), 2),
            'store_mb': round(size / 1e6), 'pss_kb_before': before, 'pss_kb': pss}
