"""Processes, their CPU time and memory, load, and alternating pairs. The method is in README.md.

Environment: BUILD (a build folder with sallyport and bench/), BENCH_DATA (keys and tokens, made by gen.py)."""
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get('BUILD', os.path.join(HERE, '..', 'build')))
DATA = os.path.abspath(os.environ.get('BENCH_DATA', os.path.join(HERE, '..', 'build-bench', 'data')))
RUN = os.path.join(os.path.dirname(DATA), 'run')
TOKENS = int(os.environ.get('BENCH_TOKENS', '200000'))
TICK = os.sysconf('SC_CLK_TCK')
PROXY_CORE, LOAD_CORE = '0', '1'


def tool(name):
    return os.path.join(BUILD, 'bench', name)


@contextlib.contextmanager
def alone():
    """One measurement at a time on this machine."""
    with open(os.path.join(tempfile.gettempdir(), 'sallyport-bench.lock'), 'w') as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def family(root):
    """root and all its descendants"""
    children = {}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        with contextlib.suppress(OSError), open(f'/proc/{pid}/stat') as f:
            children.setdefault(int(f.read().rsplit(')', 1)[1].split()[1]), []).append(int(pid))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def cpu_ns(pids):
    """nanoseconds on a core, all threads, user and system"""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in os.listdir(f'/proc/{pid}/task'):
                with open(f'/proc/{pid}/task/{task}/schedstat') as f:
                    total += int(f.read().split()[0])
    return total


def core_busy_s(core):
    with open('/proc/stat') as f:
        for line in f:
            if line.startswith(f'cpu{core} '):
                n = [int(x) for x in line.split()[1:]]
                return (sum(n[:8]) - n[3] - n[4]) / TICK
    raise SystemExit(f'no core {core} here')


def memory_kb(pids):
    """(RSS, PSS)"""
    rss = pss = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f'/proc/{pid}/smaps_rollup') as f:
            for line in f:
                if line.startswith('Rss:'):
                    rss += int(line.split()[1])
                elif line.startswith('Pss:'):
                    pss += int(line.split()[1])
    return rss, pss


def free_port():
    """below the ephemeral range, so that no outgoing connection takes it meanwhile"""
    while True:
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            port = s.getsockname()[1] - 20000
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(('127.0.0.1', port))
            return port


def wait_listening(port, process, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f'it ended with {process.returncode} instead of listening')
        with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', port), 0.5):
            return
        time.sleep(0.02)
    raise SystemExit(f'nothing listens on {port}')


def end(process):
    for number, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    process.wait()


class Upstream:
    def __init__(self, echo=False):
        self.port = free_port()
        where = [str(self.port)] + [f'127.0.0.{i}:{self.port}' for i in range(2, 4)]  # three instances, for who balances
        self.process = subprocess.Popen(['taskset', '-c', LOAD_CORE, tool('upstream'), *where] + ['-e'] * echo,
                                        start_new_session=True)
        wait_listening(self.port, self.process)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process)


class Peer:
    def __init__(self, name, alg, upstream, core=PROXY_CORE, wait=True, **env):
        self.name, self.port = name, free_port()
        self.first = 0  # where its next run of tokens begins
        self.scheme = 'https' if 'TLS=1' in name else 'http'
        os.makedirs(RUN, exist_ok=True)
        self.folder = tempfile.mkdtemp(prefix=re.sub(r'\W', '_', name)[:20] + '-', dir=RUN)
        os.chmod(self.folder, 0o777)
        command = ['bash', '-c', name[1:]] if name[0] == '@' else [os.path.join(HERE, 'peers', name)]
        if core is not None:
            command = ['taskset', '-c', core] + command
        env = dict(os.environ, PORT=str(self.port), UP_PORT=str(upstream.port), ALG=alg, DATA=DATA, RUN=self.folder,
                   BUILD=BUILD, SALLYPORT=os.environ.get('SALLYPORT', os.path.join(BUILD, 'sallyport')), **env)
        with open(os.path.join(self.folder, 'out'), 'w') as out:
            self.started = time.monotonic()
            self.process = subprocess.Popen(command, env=env, start_new_session=True, stdout=out, stderr=subprocess.STDOUT)
        if wait:
            try:
                wait_listening(self.port, self.process, 120)
            except SystemExit as why:
                said = self.said()
                self.__exit__()
                raise SystemExit(f'{name}: {why}\n{said}') from None
            time.sleep(0.3)

    def said(self):
        text = ''
        for name in ('out', 'log'):
            with contextlib.suppress(OSError), open(os.path.join(self.folder, name), errors='replace') as f:
                text += f.read()[-2000:]
        return text

    def pids(self):
        return family(self.process.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process)
        shutil.rmtree(self.folder, ignore_errors=True)


def token_lines(kind):
    with open(os.path.join(DATA, kind)) as f:
        return f.read().splitlines()


def first_token(alg):
    with open(os.path.join(DATA, 'tok.' + alg)) as f:
        return f.readline().strip()


def refused_tokens(alg):
    return dict(line.split() for line in token_lines('bad.' + alg))


def alg_of(mode):
    return 'none' if mode == 'plain' else mode.split('-')[0]


def wrk(peer, mode, seconds, conns):
    alg, _, kind = mode.partition('-')
    env = dict(os.environ, COUNT='1', FIRST=str(peer.first), TOKENS=os.path.join(DATA, 'tok.' + (kind and alg or 'hs')))
    if kind == 'many':
        env['COUNT'] = str(TOKENS)
    if kind == 'bad':
        env['TOKENS'] = os.path.join(peer.folder, 'bad')
        with open(env['TOKENS'], 'w') as f:
            f.write(refused_tokens(alg)['badsig'] + '\n')
    said = subprocess.run(['taskset', '-c', LOAD_CORE, 'wrk', '-t1', f'-c{conns}', f'-d{seconds}s', '--timeout', '10s',
                           '-s', os.path.join(HERE, 'load.lua'), f'{peer.scheme}://127.0.0.1:{peer.port}/'], env=env,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout
    found = re.search(r'JSON (\{.*\})', said)
    if not found:
        raise SystemExit('wrk failed: ' + said)
    result = json.loads(found[1])
    if kind == 'many':
        peer.first = (peer.first + result['requests'] + conns) % TOKENS
        if result['requests'] > TOKENS:
            raise SystemExit('more requests than tokens: some were met twice; make more (BENCH_TOKENS) or run shorter')
    return result


def measure(peer, mode, seconds=4, conns=64):
    """One repetition: CPU of the peer per request and what else was seen."""
    with alone():
        wrk(peer, mode, 1, conns)
        pids = peer.pids()
        busy, cpu, start = core_busy_s(PROXY_CORE), cpu_ns(pids), time.monotonic()
        load = wrk(peer, mode, seconds, conns)
        elapsed = time.monotonic() - start
        used, busy = cpu_ns(pids) - cpu, core_busy_s(PROXY_CORE) - busy
    n = max(1, load['requests'])
    return {'peer': peer.name, 'mode': mode, 'cpu_us': round(used / 1e3 / n, 2), 'rps': round(n / load['us'] * 1e6),
            'p50_us': load['p50'], 'p99_us': load['p99'], 'requests': n, 'refused': load['status'],
            'socket_errors': load['socket'], 'util_pct': round(used / 10 / load['us']),
            'other_pct': round((busy - used / 1e9) / elapsed * 100), 'pss_kb': memory_kb(pids)[1]}


def sound(result):
    """Whether every answer was what the mode asks for; a quick wrong answer is no speed."""
    wanted = result['requests'] if result['mode'].endswith('-bad') else 0
    return result['socket_errors'] == 0 and abs(result['refused'] - wanted) <= wanted * 0.001


def quartiles(values):
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method='inclusive')
    return low, middle, high


def pairs(a, b, mode, count, seconds, conns=64, mode_a=None, show=lambda r: None):
    """b against a, both running, in ABBA order. mode_a: what a is asked to do instead."""
    got = ([], [])
    with Upstream() as upstream, Peer(a, alg_of(mode_a or mode), upstream) as peer_a, \
            Peer(b, alg_of(mode), upstream) as peer_b:
        for i in range(count):
            for k in ((0, 1), (1, 0))[i % 2]:
                result = measure((peer_a, peer_b)[k], (mode_a or mode, mode)[k], seconds, conns)
                if not sound(result):
                    raise SystemExit(f'wrong answers: {json.dumps(result)}')
                got[k].append(result)
                show(result)
    ratios = [y['cpu_us'] / x['cpu_us'] for x, y in zip(*got)]
    low, middle, high = quartiles(ratios)
    return {'a': a, 'b': b, 'mode': mode, 'pairs': count, 'ratio': round(middle, 3), 'low': round(low, 3),
            'high': round(high, 3), 'min': round(min(ratios), 3), 'max': round(max(ratios), 3),
            'a_us': round(statistics.median(x['cpu_us'] for x in got[0]), 2),
            'b_us': round(statistics.median(x['cpu_us'] for x in got[1]), 2),
            'a_p99_us': statistics.median(x['p99_us'] for x in got[0]),
            'b_p99_us': statistics.median(x['p99_us'] for x in got[1]),
            'b_rps': round(statistics.median(x['rps'] for x in got[1])),
            'other_pct': max(x['other_pct'] for side in got for x in side)}


def verdict(ratio, low, high, goal):
    if low < goal < high:
        return 'undecided'
    return 'met' if ratio <= goal else 'missed'


class Connection:
    """A keep-alive connection that asks one thing at a time."""

    def __init__(self, port, token=None, target='/api/x', extra=''):
        self.socket = socket.create_connection(('127.0.0.1', port), 10)
        self.request = self.head(token, target, extra)

    @staticmethod
    def head(token, target='/api/x', extra=''):
        auth = f'Authorization: Bearer {token}\r\n' if token else ''
        return f'GET {target} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench/1.0\r\n{auth}{extra}\r\n'.encode()

    def ask(self, request=None):
        """(status, everything that came)"""
        self.socket.sendall(request or self.request)
        data = b''
        while b'\r\n\r\n' not in data:
            data += self._more()
        head, _, body = data.partition(b'\r\n\r\n')
        length = re.search(rb'(?i)\r\ncontent-length: *(\d+)', head)
        while len(body) < (int(length[1]) if length else 0):
            body += self._more()
        return int(head.split()[1]), (head + b'\r\n\r\n' + body).decode('latin1')

    def _more(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError('closed')
        return data

    def close(self):
        self.socket.close()
