// What the scripts here that meet the running product stand on: the product with an Authentication Service, its
// command line, the sample services, and how results are told. Outside only: files, sockets, commands.
import { execFile, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

export const root = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '../..');
export const build = path.resolve(process.env.BUILD ?? path.join(root, 'build'));
export const binary = path.resolve(process.env.SALLYPORT ?? path.join(build, 'sallyport'));

const folder = mkdtempSync(path.join(os.tmpdir(), 'sallyport-node-'));
const children = [];
// What was started is in this process's group and has no other reason to live.
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  if (!process.env.KEEP) rmSync(folder, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130));

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export async function eventually(probe, what, ms = 10_000) {
  const end = Date.now() + ms;
  for (let last; ; await sleep(20)) {
    try {
      const value = await probe();
      if (value) return value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms${last ? ` (${last.message})` : ''}`);
  }
}

export function check(condition, why) {
  if (!condition) throw new Error(why);
}

export function equal(got, want, what) {
  if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
}

let failed = 0;
/** One result line; later tests run whatever became of this one. */
export async function test(name, job) {
  const began = Date.now();
  try {
    const more = await job();
    console.log(`ok ${name}${more ? ` (${more})` : ''}`);
  } catch (error) {
    failed++;
    console.log(`not ok ${name} — ${String(error.stack ?? error).split('\n').slice(0, 3).join(' ').replace(/\s+/g, ' ')}`);
  }
  if (process.env.TIMES) console.log(`# ${Date.now() - began} ms`);
}

export async function finish() {
  await Promise.all(children.map((child) => child.end?.()));
  process.exit(failed ? 1 : 0);
}

const given = new Set();
/** A port below the range that the kernel gives to clients, that nobody listens on. */
export async function freePort() {
  for (;;) {
    const port = 30_000 + Math.floor(Math.random() * 2_700);
    if (given.has(port)) continue;
    given.add(port);
    const free = await new Promise((resolve) => {
      const server = net.createServer().once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

export const listens = (port) => new Promise((resolve) => {
  const socket = net.connect(port, '127.0.0.1', () => resolve(socket.destroy() && true)).once('error', () => resolve(false));
});

/** Starts a program; its output is in child.out and child.err (paths). */
export function start(name, command, args, options = {}) {
  const out = path.join(folder, `${name}.out`);
  const err = path.join(folder, `${name}.err`);
  const child = spawn(command, args, { ...options, stdio: ['ignore', openSync(out, 'a'), openSync(err, 'a')] });
  children.push(Object.assign(child, {
    out, err,
    async end() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await Promise.race([gone, sleep(10_000)]);
    },
  }));
  return child;
}

export async function service(name, ...args) {
  const port = await freePort();
  start(name, path.join(build, 'examples', `example-${name}`), ['--port', String(port), ...args]);
  await eventually(() => listens(port), `${name} listens`);
  return port;
}

export class Product {
  /** `change(config)` may alter what is written; tokens and rotation as short as a test needs them. */
  static async start(change = () => {}) {
    const p = new Product();
    p.dir = path.join(folder, 'product');
    mkdirSync(p.dir);
    [p.port, p.admin] = [await freePort(), await freePort()];
    p.url = `http://127.0.0.1:${p.port}`;
    p.key = JSON.parse(p.run('key', 'new', 'web', '--env', 'test', '--json'));
    const ports = {
      business: await service('business'), orders: await service('orders'),
      web: await service('web', '--root', path.join(root, 'examples/web'), '--apikey', p.key.key),
    };
    p.config = {
      sallyport: 1, environment: 'test', workers: 2, data: './data',
      listen: { gateway: `127.0.0.1:${p.port}`, admin: `127.0.0.1:${p.admin}` },
      authentication: { issuer: 'https://api.example.com', audience: ['demo-api'] },
      products: {
        web: {
          keys: [{ id: p.key.id, sha256: p.key.sha256 }], login: 'password', may: ['business:invoke', 'viewOrder'],
        },
      },
      services: {
        business: { instances: [`127.0.0.1:${ports.business}`] },
        orders: { instances: [`127.0.0.1:${ports.orders}`], implicit: false },
        web: { instances: [`127.0.0.1:${ports.web}`], implicit: false },
      },
      actions: {
        page: { match: 'GET /web/{path*}', to: 'web', public: true },
        viewOrder: { match: 'GET /orders/{id}', to: 'orders' },
        payOrder: { match: 'POST /orders/{id}/pay', to: 'orders' },
      },
      roles: { clerk: ['business:invoke', 'viewOrder'], buyer: ['viewOrder'] },
    };
    change(p.config, p);
    p.path = path.join(p.dir, 'sallyport.yaml');
    writeFileSync(p.path, JSON.stringify(p.config, null, 1));
    p.process = start('sallyport', binary, ['run', '--config', p.path], { cwd: p.dir });
    await eventually(() => {
      if (p.process.exitCode !== null) {
        console.log(`not ok the product starts — ${readFileSync(p.process.err, 'utf8').slice(-1500)}`);
        process.exit(1);
      }
      return fetch(`http://127.0.0.1:${p.admin}/readyz`).then((r) => r.ok);
    }, 'the product is ready', 15_000);
    // The very first signing key is made after the start, and signs when the gateway has it.
    await eventually(() => fetch(`${p.url}/.well-known/jwks.json`).then((r) => r.ok), 'a key signs');
    return p;
  }

  /** Runs `sallyport ARGS`; gives what it says. */
  run(...args) {
    const done = this.tried({}, ...args);
    if (done.status !== 0) throw new Error(`sallyport ${args.join(' ')}: exit ${done.status}: ${done.stderr}${done.stdout}`);
    return done.stdout;
  }

  tried(options, ...args) {
    return spawnSync(binary, args, { encoding: 'utf8', ...this.place(), ...options });
  }

  /** The same beside other work. */
  async running(...args) {
    return (await promisify(execFile)(binary, args, this.place())).stdout;
  }

  place() {
    return { cwd: this.dir, env: { ...process.env, SALLYPORT_SOCKET: path.join(this.dir, 'data', 'cli.sock') } };
  }

  addUser(name, password, ...roles) {
    const done = this.tried({ input: `${password}\n` }, 'user', 'add', name, '--password-stdin', ...(roles.length ? ['--roles', roles.join(',')] : []));
    if (done.status !== 0) throw new Error(`sallyport user add ${name}: exit ${done.status}: ${done.stderr}${done.stdout}`);
  }

  async metrics() {
    const text = await (await fetch(`http://127.0.0.1:${this.admin}/metrics`)).text();
    return Object.fromEntries(text.split('\n').filter((l) => l && !l.startsWith('#')).map((l) => {
      const at = l.lastIndexOf(' ');
      return [l.slice(0, at), Number(l.slice(at + 1))];
    }));
  }

  /** How many requests for that action the gateway has permitted (or denied) so far. */
  async requests(action, decision = 'permit') {
    const counts = await this.metrics();
    return Object.entries(counts).filter(([name]) => name.startsWith('sallyport_requests_total{') &&
      name.includes(`action="${action}"`) && name.includes(`decision="${decision}"`)).reduce((n, [, v]) => n + v, 0);
  }

  /** {status, headers, body} of a request with the product's key. */
  async ask(method, target, { token, body, headers } = {}) {
    const response = await fetch(this.url + target, {
      method,
      headers: {
        apikey: this.key.key, ...(token && { Authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'Content-Type': 'application/json' }), ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    let said = text;
    try {
      said = JSON.parse(text);
    } catch { /* not JSON: as it is */ }
    return { status: response.status, headers: response.headers, body: said };
  }

  async login(username, password, client = 'node') {
    const answer = await this.ask('POST', '/authentication/login', { body: { username, password, client } });
    if (answer.status !== 200) throw new Error(`login of ${username}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  /** Refreshes: {status, headers, body}. */
  refresh(token) {
    return this.ask('POST', '/authentication/refresh', { body: { refresh_token: token } });
  }
}

/** The browser of this machine, or undefined. */
export function chromium() {
  return [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
    .find((file) => file && existsSync(file));
}
