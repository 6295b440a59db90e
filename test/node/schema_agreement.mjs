#!/usr/bin/env node
// test: seconds 240
// The published JSON Schema and the checker judge the same documents the same way: tables of good and bad ones, the
// examples, and every value of a whole configuration replaced by values of other kinds, or taken out.
//
// What only the checker can know (names that are referred to, bounds of sizes and times, two routes alike) a schema may
// let pass; nothing that the checker takes may the schema refuse.
//
//   schema_agreement.mjs [--all]     without --all every fourth replaced value is judged
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Ajv2020 from 'ajv/dist/2020.js';
import { parseDocument } from 'yaml';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const sallyport = process.env.SALLYPORT ?? join(root, 'build/sallyport');
const folder = mkdtempSync(join(tmpdir(), 'sallyport-schema-'));
const file = join(folder, 't.yaml');
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const schema = JSON.parse(readFileSync(join(root, 'docs/sallyport.schema.json'), 'utf8'));
const validate = new Ajv2020({ strict: true, strictRequired: false, strictTypes: false, allErrors: true }).compile(schema);

let failures = 0;
const report = (ok, name, why = '') => {
  if (!ok) failures++;
  console.log(`${ok ? 'ok' : 'not ok'} ${name}${why ? ` ${why}` : ''}`);
};

// --- the two judges ---

// What a schema cannot say: a document that the checker refuses for these alone may pass the schema.
const onlyTheChecker = new Set(['unknown_action', 'unknown_service', 'unknown_product', 'unknown_role', 'no_implicit',
  'route_conflict', 'strip', 'second_default', 'limits', 'size', 'time', 'twice', 'match', 'network',
  'lives', 'login', 'unknown_base', 'taken', 'rate', 'no_tls', 'no_clients', 'no_store', 'limit_per', 'pool', 'health', 'tickets']);

const bySchema = (text) => {
  const doc = parseDocument(text, { version: '1.2', schema: 'core', uniqueKeys: true });
  if (doc.errors.length) return { ok: false, why: doc.errors[0].message };
  const ok = validate(doc.toJS());
  return { ok, why: ok ? '' : validate.errors.map((e) => `${e.instancePath} ${e.message}`).join('; ') };
};

const byChecker = (text) => {
  writeFileSync(file, text);
  const run = spawnSync(sallyport, ['lint', '--json', file], { encoding: 'utf8' });
  const said = JSON.parse(run.stdout);
  const errors = said.findings.filter((f) => f.level === 'error');
  if ((run.status === 0) !== said.ok || (run.status !== 0 && run.status !== 78)) throw new Error(`exit ${run.status}`);
  return { ok: run.status === 0, codes: errors.map((e) => e.code), why: errors.map((e) => `${e.code}: ${e.text}`).join('; ') };
};

// Empty, or how the two differ where they may not.
const differ = (text) => {
  const mine = byChecker(text), theirs = bySchema(text);
  if (mine.ok && !theirs.ok) return `the checker takes it, the schema does not: ${theirs.why}`;
  if (!mine.ok && theirs.ok && !mine.codes.every((c) => onlyTheChecker.has(c)))
    return `the schema takes it, the checker does not: ${mine.why}`;
  return '';
};

// --- tables ---

const issuer = (rest) => `issuers: {i: {issuer: x, audience: a, ${rest}}}`;
const logins = (rest) => `authentication: {issuer: "https://a", ${rest}}`;
const service = 'services: {s: {instances: "h:1"}}';
const digest = 'ab'.repeat(32);

const good = [
  '', 'name: "a.b_c~d"', 'environment: x1', 'listen: {gateway: ":8080"}', 'listen: {gateway: ["[::1]:1", "h.example:65535"]}',
  'listen: {admin: none}', 'listen: {admin: "unix:/run/x"}', 'workers: 64', 'trusted_hops: ["10.0.0.0/8", "::1", unix]',
  'trusted_hops: []', 'hops: 1', 'limits: {head: 8kB, body: 0, fields: 10}', 'limits: {body: "100"}', 'timeouts: {idle: 500ms}',
  'log: {access: false, level: warn}', issuer('algorithms: RS256, keys: {file: k}'),
  issuer('algorithms: [ES256, EdDSA], keys: {url: "https://x/y?z", ca: c, private: true, refresh: 1m, min_interval: 1s}'),
  issuer('algorithms: [HS256, HS512], secret: {env: K}'), issuer('algorithms: HS256, secret: {command: [a, b]}'),
  issuer('algorithms: HS256, secret: {credential: a.b}'), issuer('algorithms: RS256, keys: {file: k}, typ: legacy, leeway: 60s'),
  issuer('algorithms: RS256, keys: {file: k}, roles: any, permissions: [a, "b:c"]'),
  issuer('algorithms: RS256, keys: {file: k}, claims: {user: [a, b], roles: null, product: "https://x/p"}'),
  `products: {p: {keys: [{id: abcdefgh, sha256: ${digest}}], may: "s:invoke"}}\n${service}`,
  'products: {p: {auth: token}}', 'products: {p: {auth: apikey, keys: []}}', service,
  'services: {s: {instances: ["1.2.3.4:5", "unix:/x"], pass: [cookie, apikey], implicit: false}}',
  `actions: {a.b: {match: "GET /x/{y}/{z*}", to: s, accept: [token, apikey], strip: /x, timeout: 5s, body: 1MB}}\n${service}`,
  `actions: {a: {match: ["*  /".replace("  ", " "), "PURGE,GET /x/"], to: s, public: true}}\n${service}`.replace('"*  /".replace("  ", " ")', '"* /q"'),
  `actions: {a: {match: GET /, to: s, public: false, accept: apikey}}\n${service}`,
  `roles: {"r 1": "s:invoke", q: []}\n${service}`, 'permissions: {"a:b c": []}',
  logins('audience: a'), logins('access_token: 1s, refresh_token: 30d, session: 90d, rotate: 1d, publish_ahead: 1h'),
  logins('algorithm: Ed25519, password: {memory: 8MB, passes: 20, concurrent: 64, queue: 0}'),
  logins('throttle: {account: 1/h, address: 1000000/s}, user_bases: [a, b-1]'), logins('user_bases: staff'),
  'store: {}', 'store: {engine: memory}', 'feed: {lease: 1s}', 'seal: {command: [a]}', 'seal: {env: K}',
  logins('audience: [a]') + '\nproducts: {p: {login: password, secret: signature, users: users}}',
  'products: {p: {login: none, secret: none}}',
  'dns: {servers: "1.2.3.4"}', 'dns: {servers: ["::1", "[::1]:53", "1.2.3.4:53"]}', 'dns: {}', 'zone: a', 'sandbox: off', 'sandbox: on', 'listen: {gateway: {address: ":1"}}', 'listen: {gateway: [":1", {address: "h:2", tls: false}]}',
  'tls: {certificates: {cert: a, key: {file: b}}}\nlisten: {gateway: {address: ":1", tls: true}}',
  'tls: {certificates: [{cert: a, key: {env: b}, ocsp: c}], minimum: "1.3", tickets: 0s, clients: {ca: d}}',
  'tls: {certificates: [{cert: a, key: {env: b}}], minimum: 1.2, tickets: 7d}',
  'limit: {rate: 1000/s}', 'limit: [{rate: 5/d, burst: 3, per: address}, {rate: 10/h}]',
  'tracing: {otlp: "http://127.0.0.1:4318/v1/traces", sample: 0.05%, headers: {Authorization: {env: T}}}',
  'tracing: {otlp: "https://o", sample: 100%, ca: x}', 'tracing: {otlp: "https://o", sample: 0%}',
  'store: {socket: "unix:/run/a"}', logins('socket: "unix:/run/b"'),
  issuer('algorithms: RS256, keys: {file: k}, caller: third-party'),
  `products: {p: {caller: service, certificates: "sha256:${digest}", signature: {env: X}}}\ntls: {certificates: {cert: a, key: {env: b}}, clients: {ca: c}}`,
  'products: {p: {limit: {rate: 1/s, per: key}, quota: {requests: 1000000000000, per: hour}}}\nstore: {}',
  service.replace('"h:1"', '["h:1", {address: "h:2", weight: 100, zone: b}, "srv:_http._tcp.x", {address: "srv:_a._tcp.y", zone: c}]'),
  service.replace('"h:1"', '"h:1", balance: round-robin, health: GET /, eject: none, slow_start: 0s, retry: {attempts: 0, budget: 100}'),
  service.replace('"h:1"', '"h:1", balance: hash, hash: "header:X-T", health: HEAD /a?b=c every 100ms, eject: {failures: 1, for: 1h, at_most: 100}'),
  service.replace('"h:1"', '"h:1", health: {request: GET /h, every: 1h, timeout: 10ms, healthy: 1, unhealthy: 100}, pool: {idle: 0, open: 1, waiting: 0}'),
  service.replace('"h:1"', '"h:1", breaker: {}, timeouts: {connect: 10ms, response: 1h}, tls: {}'),
  service.replace('"h:1"', '"h:1", breaker: {errors: 100, of: 1, window: 1s, open: 1h, concurrent: {user: 0, third-party: 9}}'),
  service.replace('"h:1"', '"h:1", tls: {ca: a, name: o.internal, cert: c, key: {credential: k}}'),
  `actions: {a: {match: GET /, to: s, accept: {user: token, third-party: [signature, certificate]}, limit: {rate: 5/m, per: caller}}}\n${service}`,
  `actions: {a: {match: GET /, to: s, accept: [apikey, signature], limit: [{rate: 5/m, per: action}, {rate: 1/s, burst: 9}]}}\n${service}`,
];
const bad = [
  'name: a b', 'name: ""', 'name: 5', 'environment: X', 'environment: abcdefghijklm', 'listen: {gateway: 8080}', 'listen: {gateway: []}',
  'listen: {gateway: ":0"}', 'listen: {gateway: ":65536"}', 'listen: {gateway: "h"}', 'listen: {gateway: "unix:x"}', 'listen: {tls: {}}',
  'listen: ":8080"', 'workers: 0', 'workers: 65', 'workers: "2"', 'workers: 1.5', 'trusted_hops: foo', 'trusted_hops: "10.0.0.0/33"',
  'hops: true', 'limits: {fields: 9}', 'limits: {head: 512}', 'limits: {head: 16KB}', 'limits: {body: -1}', 'timeouts: {idle: 10}',
  'timeouts: {idle: 10 s}', 'timeouts: {body_rate: 1s}', 'log: {level: warning}', 'log: {access: yes}', 'log: true', 'policy: x', 'zzz: 1',
  'name:', 'issuers: []', 'issuers: {"a b": {}}', 'issuers: {i: {}}', issuer('algorithms: RS256'), issuer('keys: {file: k}'),
  issuer('algorithms: none, keys: {file: k}'), issuer('algorithms: [], keys: {file: k}'), issuer('algorithms: RS256, keys: {}'),
  issuer('algorithms: HS256, keys: {file: k}'), issuer('algorithms: RS256, secret: {env: K}'),
  issuer('algorithms: [RS256, HS256], keys: {file: k}'), issuer('algorithms: [RS256, HS256], secret: {env: K}'),
  issuer('algorithms: HS256, secret: x'), issuer('algorithms: HS256, secret: {}'), issuer('algorithms: HS256, secret: {env: K, file: f}'),
  issuer('algorithms: HS256, secret: {command: "a b"}'), issuer('algorithms: HS256, secret: {command: []}'),
  issuer('algorithms: HS256, secret: {env: "a-b"}'), issuer('algorithms: HS256, secret: {value: x}'),
  issuer('algorithms: RS256, keys: {file: k, url: "https://x"}'), issuer('algorithms: RS256, keys: {file: k, private: false}'),
  issuer('algorithms: RS256, keys: {url: "http://x"}'), issuer('algorithms: RS256, keys: {url: "https://u@x"}'),
  issuer('algorithms: RS256, keys: {file: k}, secret: {env: K}'), issuer('algorithms: RS256, keys: {file: k}, typ: jwt'),
  issuer('algorithms: RS256, keys: {file: k}, claims: {user: null}'), issuer('algorithms: RS256, keys: {file: k}, claims: {user: []}'),
  issuer('algorithms: RS256, keys: {file: k}, claims: {x: y}'), issuer('algorithms: RS256, keys: {file: k}, default: 1'),
  issuer('algorithms: RS256, keys: {file: k}, permissions: [a, a]'), issuer('algorithms: RS256, keys: {file: k}, leeway: 0'),
  'products: {p: {auth: key}}', 'products: {p: {auth: token, keys: []}}', 'products: {p: {keys: [sp_prod_x]}}',
  `products: {p: {keys: [{id: abcdefgh}]}}`, `products: {p: {keys: [{id: ABCDEFGH, sha256: ${digest}}]}}`,
  `products: {p: {keys: [{id: abcdefgh, sha256: ${digest}, x: y}]}}`, 'products: {p: {keys: [{id: abcdefgh, sha256: abc}]}}',
  'products: {p: {limit: 1}}', 'products: {p: {tier: 1}}', 'products: {p: {login: magic}}', 'services: {s: {}}', 'services: {s: {instances: []}}',
  'services: {s: {instances: ":1"}}', 'services: {s: {instances: "http://h:1"}}', 'services: {s: {instances: "h:1", pass: cookies}}',
  'services: {s: {instances: "h:1", health: x}}', 'services: {2s: {instances: "h:1"}}',
  `actions: {a: {to: s}}\n${service}`, `actions: {a: {match: GET /}}\n${service}`, `actions: {a: {match: [], to: s}}\n${service}`,
  `actions: {a: {match: get /, to: s}}\n${service}`, `actions: {a: {match: "GET //", to: s}}\n${service}`,
  `actions: {a: {match: "GET /{x*}/y", to: s}}\n${service}`, `actions: {a: {match: "GET /%41", to: s}}\n${service}`,
  `actions: {a: {match: "GET /x.", to: s}}\n${service}`, `actions: {a: {match: "TRACE /", to: s}}\n${service}`,
  `actions: {a: {match: GET /, to: s, public: true, accept: token}}\n${service}`,
  `actions: {a: {match: GET /, to: s, accept: []}}\n${service}`, `actions: {a: {match: GET /, to: s, accept: cookie}}\n${service}`,
  `actions: {a: {match: GET /, to: s, strip: /}}\n${service}`, `actions: {a: {match: GET /, to: s, strip: x}}\n${service}`,
  `actions: {a: {match: GET /, to: s, object: x}}\n${service}`, `actions: {"a:b": {match: GET /, to: s}}\n${service}`,
  'roles: {r: 5}', 'roles: {"": []}', 'permissions: {p: {}}', 'hops: 1\nhops: 2', 'data: "a\\nb"',
  'authentication: {}', 'authentication: true', 'authentication: {issuer: a}', 'authentication: {issuer: "https://a?b"}',
  logins('audience: []'), logins('algorithm: HS256'), logins('algorithm: [ES256]'), logins('access_token: 5'),
  logins('password: {memory: 1MB, iterations: 3}'), logins('password: {passes: 21}'), logins('password: {concurrent: 0}'),
  logins('throttle: {account: 10}'), logins('throttle: {account: 10/d}'), logins('throttle: {user: 10/m}'),
  logins('user_bases: []'), logins('user_bases: [A]'), logins('user_bases: [a, a]'), 'store: {engine: postgres}',
  'store: memory', 'feed: {lease: 1}', 'feed: {ttl: 1s}', 'seal: hunter2', 'seal: {}', 'seal: {file: a, env: B}',
  'dns: {servers: []}', 'dns: {servers: ns.example}', 'dns: {server: "1.2.3.4"}', 'zone: "a b"', 'sandbox: true', 'listen: {gateway: {tls: true}}', 'listen: {gateway: {address: ":1", tls: 1}}',
  'tls: {}', 'tls: {certificates: []}', 'tls: {certificates: {cert: a}}', 'tls: {certificates: {cert: a, key: b}}',
  'tls: {certificates: {cert: a, key: {file: b}}, minimum: "1.1"}', 'tls: {certificates: {cert: a, key: {file: b}}, clients: {}}',
  'tls: {certificates: {cert: a, key: {file: b}}, tickets: 0}', 'limit: {}', 'limit: []', 'limit: {rate: 5}', 'limit: {rate: 5/w}',
  'limit: {rate: 5/s, per: user}', 'limit: {rate: 5/s, burst: 0}', 'limit: 5/s', 'tracing: {}', 'tracing: {otlp: x}',
  'tracing: {otlp: "https://o", sample: 1}', 'tracing: {otlp: "https://o", sample: 101%}', 'tracing: {otlp: "https://o", sample: 0.00001%}',
  'tracing: {otlp: "http://o", ca: x}', 'tracing: {otlp: "https://o", headers: {A: b}}', 'tracing: {otlp: "https://o", headers: {Host: {env: B}}}',
  'tracing: {otlp: "https://o", headers: {"A b": {env: B}}}', 'store: {socket: /run/a}', logins('socket: "h:1"'),
  issuer('algorithms: RS256, keys: {file: k}, caller: none'), 'products: {p: {caller: partner}}', 'products: {p: {certificates: "sha256:00"}}',
  `products: {p: {certificates: "${digest}"}}`, `products: {p: {auth: token, certificates: "sha256:${digest}"}}`,
  'products: {p: {auth: token, signature: {env: X}}}', 'products: {p: {signature: hunter2}}', 'products: {p: {limit: {rate: 1/s, per: action}}}',
  'products: {p: {quota: {requests: 5}}}', 'products: {p: {quota: {requests: 0, per: day}}}', 'products: {p: {quota: {requests: 5, per: week}}}',
  service.replace('"h:1"', '[{weight: 1}]'), service.replace('"h:1"', '{address: "h:1", weight: 0}'), service.replace('"h:1"', '{address: "h:1", weight: 101}'),
  service.replace('"h:1"', '"srv:x.y"'), service.replace('"h:1"', '"srv:_http._tcp.x:80"'), service.replace('"h:1"', '{address: "srv:_a._tcp.y", weight: 2}'),
  service.replace('"h:1"', '"h:1", balance: random'), service.replace('"h:1"', '"h:1", balance: hash'), service.replace('"h:1"', '"h:1", hash: user'),
  service.replace('"h:1"', '"h:1", balance: hash, hash: cookie'), service.replace('"h:1"', '"h:1", balance: hash, hash: "header:"'),
  service.replace('"h:1"', '"h:1", health: POST /'), service.replace('"h:1"', '"h:1", health: GET x'), service.replace('"h:1"', '"h:1", health: {every: 1s}'),
  service.replace('"h:1"', '"h:1", health: {request: GET /, healthy: 0}'), service.replace('"h:1"', '"h:1", eject: never'),
  service.replace('"h:1"', '"h:1", eject: {at_most: 0}'), service.replace('"h:1"', '"h:1", eject: {failures: 0}'), service.replace('"h:1"', '"h:1", pool: {open: 0}'),
  service.replace('"h:1"', '"h:1", retry: {attempts: 11}'), service.replace('"h:1"', '"h:1", retry: none'), service.replace('"h:1"', '"h:1", retries: 2'),
  service.replace('"h:1"', '"h:1", breaker: {errors: 0}'), service.replace('"h:1"', '"h:1", breaker: {concurrent: {partner: 1}}'),
  service.replace('"h:1"', '"h:1", breaker: {concurrent: 5}'), service.replace('"h:1"', '"h:1", timeouts: {total: 1s}'), service.replace('"h:1"', '"h:1", tls: true'),
  service.replace('"h:1"', '"h:1", tls: {cert: a}'), service.replace('"h:1"', '"h:1", tls: {key: {file: a}}'), service.replace('"h:1"', '"h:1", tls: {name: "10.0.0.1"}'),
  service.replace('"h:1"', '"h:1", tls: {verify: false}'),
  `actions: {a: {match: GET /, to: s, accept: {}}}\n${service}`, `actions: {a: {match: GET /, to: s, accept: {user: []}}}\n${service}`,
  `actions: {a: {match: GET /, to: s, accept: {users: token}}}\n${service}`, `actions: {a: {match: GET /, to: s, accept: {user: basic}}}\n${service}`,
  `actions: {a: {match: GET /, to: s, limit: {rate: 5/m, per: session}}}\n${service}`, `actions: {a: {match: GET /, to: s, limit: 5/m}}\n${service}`,
  'products: {p: {secret: hunter2}}', 'products: {p: {users: Staff}}', 'products: {p: {login: true}}',
];

let before = failures;
for (const text of good) {
  const whole = `sallyport: 1\n${text}\n`, mine = byChecker(whole), theirs = bySchema(whole);
  if (!mine.ok || !theirs.ok) report(false, 'good', `${text}: checker ${mine.why || 'ok'}; schema ${theirs.why || 'ok'}`);
}
report(failures === before, `good: ${good.length} documents that both take`);
before = failures;
for (const text of bad) {
  const whole = `sallyport: 1\n${text}\n`, mine = byChecker(whole), theirs = bySchema(whole);
  if (mine.ok || theirs.ok) report(false, 'bad', `${text}: checker ${mine.ok ? 'takes it' : 'refuses'}, schema ${theirs.ok ? 'takes it' : 'refuses'}`);
}
report(failures === before, `bad: ${bad.length} documents that both refuse`);
for (const text of ['', 'sallyport: 2', 'sallyport: "1"', '- 1', 'x']) {
  const mine = byChecker(text), theirs = bySchema(text);
  if (mine.ok || theirs.ok) report(false, 'version', JSON.stringify(text));
}

const printed = spawnSync(sallyport, ['lint', '--schema'], { encoding: 'utf8' });
report(printed.status === 0 && printed.stdout === readFileSync(join(root, 'docs/sallyport.schema.json'), 'utf8'),
  'lint --schema prints the published schema');

// --- files that people copy ---

const examples = readdirSync(join(root, 'examples/config')).filter((f) => f.endsWith('.yaml'));
for (const name of examples) {
  const text = readFileSync(join(root, 'examples/config', name), 'utf8');
  const theirs = bySchema(text);
  report(theirs.ok && byChecker(text).ok, `example ${name}`, theirs.why);
}

// --- every value of a whole configuration, replaced ---

const whole = JSON.parse(JSON.stringify(parseDocument(readFileSync(join(root, 'examples/config/website.yaml'), 'utf8')).toJS()));
Object.assign(whole, { environment: 'dev', workers: 2, hops: 3, roles: { r: ['readOrders'] } });
Object.assign(whole.limits, { head: '8kB', target: '4kB', fields: 50, buffer: '16kB', keepalive_requests: 5 });
Object.assign(whole.timeouts, { head: '1s', body_rate: 1, body_grace: '1s', connect: '1s', response: '1s', drain: '1s' });
whole.log.access = true;
whole.issuers.shared = { issuer: 'y', audience: 'a', algorithms: 'HS256', secret: { env: 'K' }, typ: 'legacy', leeway: '1s' };
whole.issuers.far = { issuer: 'z', audience: 'a', algorithms: 'RS256',
  keys: { url: 'https://x.example/', ca: 'c.pem', private: true, refresh: '1m', min_interval: '5s' } };
whole.products.keyed = { auth: 'apikey', keys: [{ id: 'abcdefgh', sha256: digest }], may: ['readOrders'] };
Object.assign(whole, { store: { engine: 'memory' }, feed: { lease: '1m' }, seal: { file: 'f' }, authentication: {
  issuer: 'https://a.example', audience: ['a'], access_token: '10m', refresh_token: '1d', session: '2d', algorithm: 'ES256',
  rotate: '30d', publish_ahead: '1h', password: { memory: '19MB', passes: 2, concurrent: 2, queue: 64 },
  throttle: { account: '10/m', address: '60/m' }, user_bases: ['users', 'staff'] } });
Object.assign(whole.products.keyed, { login: 'password', users: 'staff', secret: 'basic' });
const edge = JSON.parse(JSON.stringify(parseDocument(readFileSync(join(root, 'examples/config/edge.yaml'), 'utf8')).toJS()));
for (const key of ['zone', 'tls', 'limit', 'tracing']) whole[key] = edge[key];
whole.listen.gateway.push({ address: ':8443', tls: true });
whole.issuers.machines = edge.issuers.machines;
whole.issuers.machines.products = [];
whole.issuers.machines.permissions = ['x'];
whole.products.partner = { ...edge.products.partner, may: ['partnerOrders'] };
Object.assign(whole.services, { orders: edge.services.orders, hashed: edge.services.payments });
whole.services.hashed.health = { request: 'GET /healthz', every: '2s', timeout: '1s', healthy: 2, unhealthy: 3 };
whole.actions.partnerOrders = { match: 'GET /partner/orders', to: 'orders', accept: edge.actions.viewOrder.accept, limit: edge.actions.payOrder.limit };
Object.assign(whole, { dns: { servers: ['10.0.0.53', '[fd00::53]:53'] }, sandbox: 'off' });
whole.store.socket = 'unix:/run/sallyport/data.sock';
whole.authentication.socket = 'unix:/run/sallyport/authentication.sock';
Object.assign(whole.actions.readOrders, { timeout: '5s', body: '1MB', accept: ['token', 'apikey'] });

const values = [null, true, 0, 7, -1, 1.5, 1e12, '', 'x', 'any', 'none', '10s', '16kB', ':8080', 'GET /x', [], [null], ['x'], ['x', 'x'], {},
  { x: 'y' }, { file: 'f' }];
const gone = Symbol('gone');

function* places(value, path = []) {
  if (value === null || typeof value !== 'object') return;
  for (const key of Object.keys(value)) {
    yield [...path, key];
    yield* places(value[key], [...path, key]);
  }
}

const changed = (path, value) => {
  const copy = structuredClone(whole);
  let at = copy;
  for (const key of path.slice(0, -1)) at = at[key];
  const last = path.at(-1);
  if (value !== gone) at[last] = value;
  else if (Array.isArray(at)) at.splice(Number(last), 1);
  else delete at[last];
  return JSON.stringify(copy, null, 1); // JSON is YAML
};

const untouched = differ(JSON.stringify(whole, null, 1)) || byChecker(JSON.stringify(whole, null, 1)).why;
report(!untouched, 'the whole configuration is good', untouched);
let tried = 0, wrong = 0, turn = 0;
const step = process.argv.includes('--all') ? 1 : 4;
for (const path of places(whole))
  for (const value of [...values, gone]) {
    if (turn++ % step) continue;
    const why = differ(changed(path, value));
    tried++;
    if (!why) continue;
    if (wrong++ < 20) report(false, `${path.join('.')} = ${value === gone ? '(gone)' : JSON.stringify(value)}`, why);
  }
report(wrong === 0, `${tried} changed documents are judged alike`);
process.exit(failures ? 1 : 0);
