#!/usr/bin/env node
// test: seconds 60
// What a collector gets from the gateway, decoded by OpenTelemetry's own generated code: which requests, which spans,
// what they say and what they never say; and what happens while the collector is away.
import { createRequire } from 'node:module';
import { execFileSync } from 'node:child_process';
import http from 'node:http';
import https from 'node:https';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { binary, check, equal, eventually, finish, freePort, root, sleep, start, test } from './product.mjs';

const proto = createRequire(import.meta.url)('@opentelemetry/otlp-transformer/build/src/generated/root')
  .opentelemetry.proto.collector.trace.v1;
const dir = mkdtempSync(path.join(os.tmpdir(), 'sallyport-otlp-'));
process.on('exit', () => rmSync(dir, { recursive: true, force: true }));

// --- the collector ---
const batches = []; // {headers, bytes, spans, resource}
let answer = () => ({ status: 200 });
const value = (v) => v.stringValue || (v.intValue != null ? Number(v.intValue) : undefined) || v.boolValue || v.stringValue;
const attributes = (list) => Object.fromEntries(list.map((a) => [a.key, value(a.value)]));
const hex = (bytes) => Buffer.from(bytes ?? []).toString('hex');

function collect(request, response) {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    const bytes = Buffer.concat(parts);
    const { status, body } = answer(request);
    if (status === 200) {
      const message = proto.ExportTraceServiceRequest.decode(bytes); // throws on what is no such message
      for (const r of message.resourceSpans) {
        for (const s of r.scopeSpans) {
          batches.push({
            path: request.url, headers: request.headers, bytes, resource: attributes(r.resource.attributes), scope: s.scope.name,
            spans: s.spans.map((span) => ({
              name: span.name, kind: span.kind, trace: hex(span.traceId), id: hex(span.spanId), parent: hex(span.parentSpanId),
              start: BigInt(span.startTimeUnixNano), end: BigInt(span.endTimeUnixNano), status: span.status?.code ?? 0,
              ...{ a: attributes(span.attributes) },
            })),
          });
        }
      }
    }
    response.writeHead(status, { 'Content-Type': 'application/x-protobuf' });
    response.end(body ?? proto.ExportTraceServiceResponse.encode({}).finish());
  });
}
const collectorPort = await freePort();
let collector;
const collects = () => new Promise((resolve) => {
  collector = http.createServer(collect).listen(collectorPort, '127.0.0.1', resolve);
});
await collects();
execFileSync('sh', [path.join(root, 'test/unit/fetch/make_certs.sh'), dir], { stdio: 'ignore' });
const tlsPort = await freePort();
https.createServer({ cert: readFileSync(`${dir}/localhost.pem`), key: readFileSync(`${dir}/localhost.key`) }, collect)
  .listen(tlsPort, '127.0.0.1');

// --- the service: remembers the traceparent it saw ---
const seen = [];
const servicePort = await freePort();
http.createServer((request, response) => {
  seen.push(request.headers.traceparent);
  response.writeHead(request.url.includes('missing') ? 404 : 200);
  response.end('{}');
}).listen(servicePort, '127.0.0.1');

// --- the gateway ---
const [port, admin, secure] = [await freePort(), await freePort(), await freePort()];
const url = `http://127.0.0.1:${port}`;
const key = JSON.parse(execFileSync(binary, ['key', 'new', 'shop', '--env', 'test', '--json'], { cwd: dir, encoding: 'utf8' }));
const file = path.join(dir, 'sallyport.yaml');
const config = {
  sallyport: 1, environment: 'test', name: 'gw-7', workers: 2, data: './data',
  listen: { gateway: [`127.0.0.1:${port}`, { address: `127.0.0.1:${secure}`, tls: true }], admin: `127.0.0.1:${admin}` },
  tls: { certificates: [{ cert: `${dir}/localhost.pem`, key: { file: `${dir}/localhost.key` } }] },
  products: { shop: { keys: [{ id: key.id, sha256: key.sha256 }], may: ['viewOrder'] } },
  services: { orders: { instances: [`127.0.0.1:${servicePort}`], implicit: false } },
  actions: { viewOrder: { match: 'GET /orders/{id}', to: 'orders', accept: 'apikey' } },
  tracing: { otlp: `http://127.0.0.1:${collectorPort}/v1/traces`, sample: '100%', headers: { 'X-Tenant': { env: 'TENANT' } } },
};
const write = () => writeFileSync(file, JSON.stringify(config, null, 1));
const reload = () => {
  write();
  execFileSync(binary, ['reload', '--socket', path.join(dir, 'data/cli.sock')], { cwd: dir });
};
write();
const gateway = start('gateway', binary, ['gateway', '--config', file], { cwd: dir, env: { ...process.env, TENANT: 'blue-team' } });
await eventually(() => fetch(`http://127.0.0.1:${admin}/readyz`).then((r) => r.ok), 'the gateway is ready', 15_000).catch((error) => {
  console.log(`not ok the gateway starts — ${error.message}: ${readFileSync(gateway.err, 'utf8').slice(-800)}`);
  process.exit(1);
});

const ask = (target, headers = {}) => fetch(url + target, { headers: { apikey: key.key, ...headers } });
const spans = () => batches.flatMap((b) => b.spans);
const spansOf = (trace) => eventually(() => {
  const found = spans().filter((s) => s.trace === trace);
  return found.length && found;
}, `spans of ${trace}`);
const metric = async (name) => {
  const text = await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text();
  return Number(text.split('\n').find((l) => l.startsWith(name))?.split(' ').pop() ?? 0);
};
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';

await test('a request is two spans: ours, and below it the call to the service, whose traceparent names it', async () => {
  seen.length = 0;
  equal((await ask('/orders/7?card=4111', { Cookie: 'secret=1' })).status, 200, 'status');
  const [, trace, id, flags] = seen[0].split('-');
  equal(flags, '01', 'flags');
  const found = await spansOf(trace);
  equal(found.map((s) => s.kind).sort(), [2, 3], 'kinds');
  const [server, client] = [found.find((s) => s.kind === 2), found.find((s) => s.kind === 3)];
  equal([server.name, server.parent, client.parent, client.id], ['GET /orders/{id}', '', server.id, id], 'names and parents');
  check(server.start <= client.start && client.start <= client.end && client.end <= server.end, 'times');
  check(Math.abs(Number(server.start / 1000000n) - Date.now()) < 20_000, 'the time of day');
  const a = server.a;
  equal([a['http.request.method'], a['http.route'], a['url.path'], a['http.response.status_code'], a['server.address'], a['server.port']],
    ['GET', '/orders/{id}', '/orders/7', 200, '127.0.0.1', port], 'attributes');
  equal([a['sallyport.action'], a['sallyport.product'], a['sallyport.permitted']], ['viewOrder', 'shop', true], 'ours');
  check(/^[0-9A-Z]{26}$/.test(a['sallyport.decision_id']), 'decision id');
  equal([client.a['server.address'], client.a['server.port'], client.a['http.request.resend_count']], ['127.0.0.1', servicePort, undefined],
    'client span');
  equal(a['url.scheme'], 'http', 'scheme');
});

await test('over TLS the scheme is https', async () => {
  const agent = new https.Agent({ ca: readFileSync(`${dir}/ca.pem`) });
  seen.length = 0;
  const status = await new Promise((resolve, reject) => {
    https.get({ host: 'localhost', port: secure, path: '/orders/7', agent, headers: { apikey: key.key } },
      (r) => r.resume().on('end', () => resolve(r.statusCode))).on('error', reject);
  });
  equal(status, 200, 'status');
  const found = await spansOf(seen[0].split('-')[1]);
  equal(found.find((s) => s.kind === 2).a['url.scheme'], 'https', 'scheme');
  agent.destroy();
});

await test('the batch says who sends it, with the field that was configured, and holds no credential and no query', async () => {
  const b = batches[0];
  equal([b.path, b.headers['content-type'], b.headers['x-tenant']], ['/v1/traces', 'application/x-protobuf', 'blue-team'], 'head');
  equal([b.resource['service.name'], b.resource['service.instance.id'], b.scope], ['sallyport', 'gw-7', 'sallyport'], 'resource');
  for (const { bytes } of batches)
    for (const word of [key.key, key.key.slice(-20), 'secret=1', '4111']) check(!bytes.includes(word), `it holds ${word}`);
});

await test('a refusal is one span, without an error; one of the service is an error of the call only', async () => {
  const before = spans().length;
  equal((await fetch(`${url}/orders/8`)).status, 401, 'no key');
  seen.length = 0;
  equal((await ask('/orders/missing')).status, 404, 'missing');
  const found = await spansOf(seen[0].split('-')[1]);
  equal(found.sort((x, y) => x.kind - y.kind).map((s) => s.status), [0, 2], 'status of 404');
  const refused = spans().slice(before).filter((s) => s.a['http.response.status_code'] === 401);
  equal([refused.length, refused[0].kind, refused[0].status, refused[0].a['sallyport.reason'], refused[0].a['sallyport.permitted']],
    [1, 2, 0, 'apikey_missing', undefined], 'the refusal');
});

await test("a stranger's trace goes on, but not his word about sampling", async () => {
  seen.length = 0;
  await ask('/orders/9', { traceparent: `00-${TRACE}-00f067aa0ba902b7-00` });
  equal(seen[0].slice(0, 35), `00-${TRACE}`, 'trace');
  equal(seen[0].slice(-2), '01', 'flags');
  const found = await spansOf(TRACE);
  equal(found.find((s) => s.kind === 2).parent, '00f067aa0ba902b7', 'parent');
});

await test('at 0 % nothing is sampled but what a trusted hop has sampled', async () => {
  config.tracing.sample = '0%';
  config.trusted_hops = ['127.0.0.0/8'];
  reload();
  const trusted = 'a'.repeat(32), not = 'b'.repeat(32);
  seen.length = 0;
  for (const target of ['/orders/1', '/orders/2', '/orders/3']) await ask(target);
  await ask('/orders/4', { traceparent: `00-${not}-00f067aa0ba902b7-00` });
  await ask('/orders/5', { traceparent: `00-${trusted}-00f067aa0ba902b7-01` });
  equal(seen.map((t) => t.slice(-2)), ['00', '00', '00', '00', '01'], 'flags');
  await spansOf(trusted);
  const traces = new Set(spans().map((s) => s.trace));
  for (const t of seen.slice(0, 4)) check(!traces.has(t.split('-')[1]), 'one that is not sampled was exported');
  delete config.trusted_hops;
  reload();
  seen.length = 0;
  await ask('/orders/6', { traceparent: `00-${'c'.repeat(32)}-00f067aa0ba902b7-01` });
  equal(seen[0].slice(-2), '00', "a stranger's flag");
});

await test('at 30 % about a third is sampled, by the trace id alone', async () => {
  config.tracing.sample = '30%';
  reload();
  seen.length = 0;
  for (let i = 0; i < 400; i++) await ask(`/orders/${i}`);
  const from = (BigInt(2 ** 32) * 7n) / 10n;
  let sampled = 0;
  for (const t of seen) {
    const [, trace, , flags] = t.split('-');
    equal(flags, BigInt(`0x${trace.slice(18, 26)}`) >= from ? '01' : '00', trace);
    sampled += flags === '01';
  }
  check(sampled > 70 && sampled < 180, `${sampled} of 400`);
  config.tracing.sample = '100%';
  reload();
  return `${sampled} of 400`;
});

await test('a collector that is busy, or away, gets the spans later; nothing waits for it', async () => {
  await eventually(async () => (await metric('sallyport_trace_spans_total{result="exported"}')) > 0, 'exported');
  let refused = 0;
  answer = () => (refused++ < 1 ? { status: 503, body: '' } : { status: 200 });
  seen.length = 0;
  await ask('/orders/10');
  await spansOf(seen[0].split('-')[1]);
  check(refused >= 2, 'it was asked once only');
  answer = () => ({ status: 200 });
  collector.close();
  collector.closeAllConnections?.();
  seen.length = 0;
  const began = Date.now();
  for (let i = 0; i < 50; i++) equal((await ask(`/orders/${i}`)).status, 200, 'status');
  check(Date.now() - began < 3000, 'requests wait for the collector');
  await eventually(async () => (await metric('sallyport_trace_export_failures_total')) >= 2, 'a failure is counted');
  await collects();
  await spansOf(seen[49].split('-')[1]);
  equal(await metric('sallyport_trace_spans_total{result="dropped"}'), 0, 'dropped');
});

await test('what the collector does not take is counted, and not sent again', async () => {
  answer = () => ({ status: 200, body: proto.ExportTraceServiceResponse.encode({ partialSuccess: { rejectedSpans: 1 } }).finish() });
  await ask('/orders/11');
  await eventually(async () => (await metric('sallyport_trace_spans_total{result="rejected"}')) === 1, 'rejected');
  const asked = batches.length;
  answer = () => ({ status: 400, body: '' });
  await ask('/orders/12');
  await eventually(async () => (await metric('sallyport_trace_spans_total{result="dropped"}')) === 2, 'dropped');
  answer = () => ({ status: 200 });
  equal(batches.length, asked, 'sent again');
});

await test('over https, to authorities that the configuration names', async () => {
  Object.assign(config.tracing, { otlp: `https://localhost:${tlsPort}/v1/traces`, ca: `${dir}/ca.pem` });
  reload();
  seen.length = 0;
  await ask('/orders/13');
  await spansOf(seen[0].split('-')[1]);
});

await test('the last spans leave with the process', async () => {
  seen.length = 0;
  await ask('/orders/14');
  const gone = new Promise((resolve) => gateway.once('exit', resolve));
  gateway.kill('SIGTERM');
  equal(await gone, 0, 'exit status');
  await spansOf(seen[0].split('-')[1]);
  await sleep(0);
});

await finish();
