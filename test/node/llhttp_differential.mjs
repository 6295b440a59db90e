#!/usr/bin/env node
// Our HTTP/1 parser against llhttp, the one inside Node: whatever ours accepts, llhttp must accept as the same
// message: method, target, fields, body, trailers, and where the next one begins.
//
//   llhttp_differential.mjs [--seed N] [--count N] [--dump PATH_OF_h1_dump]
//
// Without --dump it is the one in $BUILD. Prints how many were compared; exit 1 and the stream on any divergence, 2
// when the comparison would prove nothing.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';

const { HTTPParser } = createRequire(import.meta.url)('_http_common');
const { REQUEST, RESPONSE, kOnHeaders, kOnHeadersComplete, kOnBody, kOnMessageBegin, kOnMessageComplete } = HTTPParser;

const option = (name, otherwise) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? otherwise : process.argv[at + 1];
};
const dump = option('--dump', `${process.env.BUILD}/test/blackbox/h1_dump`);
let seed = Number(option('--seed', 20240131)) | 0;
const count = Number(option('--count', 25000));

// --- seeded streams ---

const random = () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};
const below = (n) => Math.floor(random() * n);
const pick = (list) => list[below(list.length)];
const often = (p) => random() < p;

const methods = ['GET', 'GET', 'GET', 'POST', 'POST', 'PUT', 'HEAD', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'ACL', 'BIND',
  'CHECKOUT', 'COPY', 'LINK', 'LOCK', 'M-SEARCH', 'MERGE', 'MKACTIVITY', 'MKCALENDAR', 'MKCOL', 'MOVE', 'NOTIFY',
  'PROPFIND', 'PROPPATCH', 'PURGE', 'REBIND', 'REPORT', 'SEARCH', 'SUBSCRIBE', 'UNBIND', 'UNLINK', 'UNLOCK',
  'UNSUBSCRIBE'];
const oddMethods = ['CONNECT', 'PRI', 'get', 'GETX', 'SOURCE', 'QUERY', 'G ET', ''];
const targets = ['/', '/a', '/a/b?c=d', '/?', '/?a=[b]&c=%20', '/a;b', '/%41%2f', '//a', '/a:b@c', '/-._~!$&\'()*+,;=',
  'http://h', 'http://h/', 'http://h/x?y', 'http://h?y', 'HTTPS://H/a', 'http://h:80/', '*', '/a?b?c//d'];
const oddTargets = ['', 'a', '/a b', '/#', '/a#b', '/"', '/<>', '/\\', '/^', '/`', '/{}', '/|', '/\x7f', '/\x80', '/\xff',
  'http://', 'http:///', 'http://u@h/', 'http://h/ ', 'ftp://h/', '?a', '/\t', '/\0', 'h:80', 'http://[::1]/', '**'];
const versions = ['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0'];
const oddVersions = ['HTTP/1.2', 'HTTP/2.0', 'HTTP/0.9', 'http/1.1', 'HTTP/1.1 ', 'HTTP/1.10', 'HTTP/11', 'HTTP/1', '',
  'ICE/1.0', 'RTSP/1.0', 'HTTP/01.1', 'HTTP/1. 1'];
const plain = ['Accept: */*', 'X-A: b', 'x: ', 'Empty:', 'Authorization: Bearer abc.def-ghi', 'Cookie: a=b; c=d',
  'User-Agent: Mozilla/5.0 (X11)', 'X-Tab:\ta\tb\t', 'X-Obs: \xe9\xff', '!#$%&\'*+-.^_`|~09az: x', 'Keep-Alive: timeout=5',
  'Proxy-Connection: keep-alive', 'TE: trailers', 'Trailer: X', 'Content_Length: 5', 'Transfer_Encoding: chunked',
  'Connectio: close', 'Content-Lengt: 4', 'Content-Length-: 4', 'Transfer-Encodin: chunked', 'Upgrad: x',
  'Expect: 100-continue', 'Connection: x-a', 'Connection: , ,keep-alive,', 'Connection: close', 'Connection: keep-alive',
  'Connection: Close, Keep-Alive', 'Connection: closed', 'Connection: notclose', 'Connection: close-keep-alive',
  'Connection: upgrade', 'Connection:close', 'Connection: te , close', 'Connection: keep-alivex', 'Connection: keep-alive close'];
const odd = ['X Y: z', 'X : z', ': z', 'X', 'X\t: z', ' X: z', '\tX: z', 'X: a\r b', 'X: a\n b', 'X: a\nY: b', 'X: a\rY: b',
  'X: \0', 'X: \x01', 'X: \x7f', 'X\0: a', 'X\x80: a', 'X: a\r\n b', 'X: a\r\n\tb', 'Host: h', 'Host: g', 'X(: a', 'X@: a',
  'Content-Length: 5', 'Content-Length: 5', 'Content-Length: 5, 5', 'Content-Length: +5', 'Content-Length: 0x5',
  'Content-Length: 5 ', 'Content-Length: 05', 'Content-Length: 5 5', 'Content-Length: -1', 'Content-Length:',
  'Content-Length: 18446744073709551616', 'Content-Length: 9223372036854775807', 'Content-Length : 5',
  'content-length:\t5\t', 'Transfer-Encoding: chunked', 'Transfer-Encoding: CHUNKED', 'Transfer-Encoding: chunked ',
  'Transfer-Encoding: chunked, chunked', 'Transfer-Encoding: identity', 'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: chunked, gzip', 'Transfer-Encoding: xchunked', 'Transfer-Encoding: chunked;a', 'Transfer-Encoding:',
  'Transfer-Encoding: \x0bchunked', 'Transfer-Encoding : chunked', 'Transfer-Encoding: "chunked"',
  'Transfer-Encoding: ,chunked', 'Transfer-Encoding:\tchunked\t', 'Upgrade: websocket', 'Upgrade: h2c',
  'Connection: Upgrade, HTTP2-Settings', 'Expect: x', 'Connection: a b', 'Connection: close;'];
const hosts = ['Host: h', 'Host: h', 'Host: h', 'host:h', 'HOST: \th \t', 'Host: h:80', 'Host: [::1]', 'Host: 1.2.3.4'];
const ends = ['\n', '\r', '\r\r\n', '\n\r', ' \r\n', '\r\n ', '\0\r\n'];

const bytes = (n) => Array.from({ length: n }, () => pick(['a', 'b', '\r\n', '0\r\n\r\n', '\n', 'GET / HTTP/1.1\r\n', '\0', '\xff']))
  .join('').slice(0, n);

function chunked(strange) {
  let out = '';
  for (let k = below(4); k > 0; k--) {
    const data = bytes(1 + below(20));
    let size = data.length.toString(16);
    if (often(0.2)) size = size.toUpperCase();
    if (often(0.1)) size = '0'.repeat(below(8)) + size;
    if (strange && often(0.2)) {
      size = pick([size + ';a=b', size + ' ', ' ' + size, '0x' + size, '+' + size, '-1', '', 'g', 'fffffffffffffffff',
        '8000000000000000', '0000000000000000' + size, size + '\t', (data.length + 1).toString(16), size + ';']);
    }
    out += size + (strange && often(0.1) ? pick(ends) : '\r\n') + data + (strange && often(0.1) ? pick(ends) : '\r\n');
  }
  out += pick(['0', '0', '0', '00', '0000000000000000']) + (strange && often(0.1) ? pick([...ends, ';a\r\n']) : '\r\n');
  for (let k = often(0.3) ? below(4) : 0; k > 0; k--) out += pick(strange && often(0.3) ? odd : ['A: b', 'X-T:', 'Y:\tz ']) + '\r\n';
  return out + (strange && often(0.1) ? pick(ends) : '\r\n');
}

// Blanks around a value, where the grammar has room for any.
const blanks = () => Array.from({ length: below(4) }, () => pick([' ', '\t'])).join('');
const padded = (field) => (often(0.08) ? field.replace(':', ':' + blanks()) + blanks() : field);

function rest(fields, strange) {
  let framing = pick(['none', 'length', 'chunked']);
  let body = '';
  if (framing === 'length') {
    body = bytes(below(30));
    fields.push('Content-Length: ' + body.length);
  } else if (framing === 'chunked') {
    fields.push('Transfer-Encoding: ' + pick(['chunked', 'Chunked']));
    body = chunked(strange);
  }
  for (let k = below(5); k > 0; k--) fields.splice(below(fields.length + 1), 0, pick(plain));
  if (strange && often(0.6)) fields.splice(below(fields.length + 1), 0, pick(odd));
  let out = '';
  for (const f of fields) out += padded(f) + (strange && often(0.04) ? pick(ends) : '\r\n');
  return out + (strange && often(0.04) ? pick(ends) : '\r\n') + body;
}

function request(strange) {
  const version = strange && often(0.06) ? pick(oddVersions) : pick(versions);
  const method = strange && often(0.06) ? pick(oddMethods) : pick(methods);
  const target = strange && often(0.1) ? pick(oddTargets) : method === 'OPTIONS' && often(0.5) ? '*' : pick(targets);
  const blank = () => (strange && often(0.03) ? pick(['  ', '\t', '', '\r']) : ' ');
  const line = method + blank() + target + blank() + version + (strange && often(0.04) ? pick(ends) : '\r\n');
  const fields = (version === 'HTTP/1.0' && often(0.5)) || (strange && often(0.05)) ? [] : [pick(hosts)];
  return (often(0.05) ? pick(['\r\n', '\r\n', '\n', '\r\n\r\n']) : '') + line + rest(fields, strange);
}

function response(strange) {
  const version = strange && often(0.06) ? pick(oddVersions) : pick(versions);
  const status = strange && often(0.1) ? pick(['99', '1000', '600', '099', '2 0', '', '20x', '999', '000'])
    : pick(['200', '200', '200', '404', '500', '204', '304', '100', '103', '301', '599', '101']);
  const reason = strange && often(0.1) ? pick(['\tOK', ' O\0K', ' O\x7fK', ' \x80', '\r', ' O\rK'])
    : pick([' OK', ' ', '', ' Not  Found', ' \xe9']);
  const line = version + (strange && often(0.02) ? '  ' : ' ') + status + reason + (strange && often(0.04) ? pick(ends) : '\r\n');
  return line + rest([], strange);
}

const marks = ['\r', '\n', '\0', ' ', '\t', ':', ',', ';', '0', '5', 'a', '\x7f', '\x80', '\r\n', '\r\n\r\n', '\n\n', '?', '#', '/'];
function mutate(text) {
  for (let k = 1 + below(3); k > 0; k--) {
    const at = below(text.length + 1);
    const n = below(3);
    text = pick([
      () => text.slice(0, at) + pick(marks) + text.slice(at),
      () => text.slice(0, at) + text.slice(at + n),
      () => text.slice(0, at) + pick(marks) + text.slice(at + 1),
      () => text.slice(0, at) + text.slice(Math.max(0, at - below(20))),
      () => text.slice(0, at),
    ])();
  }
  return text;
}

function stream(make) {
  const strange = often(0.4);
  let text = '';
  for (let k = 1 + below(4); k > 0; k--) text += make(strange);
  return Buffer.from(often(0.2) ? mutate(text) : text, 'latin1');
}

const streams = [];
for (let i = 0; i < count; i++) {
  const kind = i % 4 < 3 ? 'Q' : i % 8 < 5 ? 'S' : 'H';
  streams.push({ kind, bytes: stream(kind === 'Q' ? request : response) });
}

// --- ours ---

function ours(step) {
  const input = Buffer.concat(streams.map(({ kind, bytes: b }) => {
    const head = Buffer.alloc(5, kind, 'latin1');
    head.writeUInt32BE(b.length, 0);
    return Buffer.concat([head, b]);
  }));
  const run = spawnSync(dump, [String(step)], { input, maxBuffer: 1 << 30 });
  if (run.status !== 0) {
    console.error(`${dump} ended with ${run.status ?? run.signal ?? run.error}`);
    process.exit(2);
  }
  return run.stdout.toString('latin1').split('\n').slice(0, -1);
}

// --- llhttp: a byte at a time, so that each event is known to happen at an offset ---

const toHex = (s) => Buffer.from(s, 'latin1').toString('hex');
const pairs = (flat) => {
  const out = [];
  for (let i = 0; i < flat.length; i += 2) out.push([toHex(flat[i]), toHex(flat[i + 1])]);
  return out;
};

function theirs({ kind, bytes: b }) {
  const messages = [];
  const parser = new HTTPParser();
  let now = null;
  let at = 0;
  let flushed = [];
  parser.initialize(kind === 'Q' ? REQUEST : RESPONSE, {});
  parser[kOnMessageBegin] = () => {};
  let line = ''; // of the request, when its fields come in several turns
  parser[kOnHeaders] = (flat, url) => { flushed.push(...flat); line += url; };
  parser[kOnHeadersComplete] = (major, minor, flat, method, url, status, reason, upgrade, keepAlive) => {
    now = { major, minor, method, url: url ?? line, status, upgrade, keepAlive, fields: pairs([...flushed, ...(flat ?? [])]), body: [],
      headEnd: at + 1, whole: false, trailers: [] };
    flushed = [];
    line = '';
    messages.push(now);
    return kind === 'H' ? 1 : 0;
  };
  parser[kOnBody] = (chunk, from, length) => {
    now.body.push(Buffer.from(length === undefined ? chunk : chunk.subarray(from, from + length)));
  };
  parser[kOnMessageComplete] = () => {
    now.trailers = pairs(flushed);
    flushed = [];
    line = '';
    now.whole = true;
    now.end = at + 1;
  };
  let error = null;
  for (; at < b.length && !error; at++) {
    const r = parser.execute(b.subarray(at, at + 1));
    if (r instanceof Error) error = r;
    else if (r !== 1) break; // the rest is another protocol
  }
  if (!error) {
    at = b.length - 1;
    const r = parser.finish();
    if (r instanceof Error) error = r;
  }
  parser.close();
  return { messages, error };
}

const methodNames = createRequire(import.meta.url)('_http_common').methods;
const methodName = (n) => toHex(typeof n === 'number' ? methodNames[n] : String(n));

function targetOf(url, options) {
  const m = /^https?:\/\/[^/?]*(.*)$/is.exec(url);
  if (!m) return toHex(url);
  const path = m[1];
  if (path === '') return toHex(options ? '*' : '/');
  return toHex(path[0] === '/' ? path : '/' + path);
}

const framing = new Set(['content-length', 'transfer-encoding']);

function difference(kind, a, z) {
  if (!z) return 'not there';
  if (kind === 'Q') {
    if (a.method !== methodName(z.method)) return 'method';
    if (a.target !== targetOf(z.url, a.method === toHex('OPTIONS'))) return 'target';
    if (z.major !== 1 || a.minor !== z.minor) return 'version';
  } else if (a.status !== z.status) {
    return 'status';
  }
  if (JSON.stringify(a.fields) !== JSON.stringify(z.fields)) return 'fields';
  if (a.head_end !== z.headEnd) return 'end of the head';
  if ((kind === 'Q' && a.upgrade) || a.status === 101) return null; // what follows is another protocol
  // asked before llhttp is told that a response to HEAD has no body: it then still counts on the end of the stream
  const early = kind === 'H' && !a.fields.some(([name]) => framing.has(Buffer.from(name, 'hex').toString().toLowerCase()));
  if (a.keep_alive && !z.keepAlive && !early) return 'keep-alive';
  const body = Buffer.concat(z.body).toString('hex');
  if (a.whole ? a.body !== body : !body.startsWith(a.body)) return 'body';
  if (!a.whole) return null;
  if (!z.whole) return 'not whole';
  if (a.end !== z.end) return 'end';
  if (JSON.stringify(a.trailers ?? []) !== JSON.stringify(z.trailers)) return 'trailers';
  return null;
}

const lines = ours(0);
if (lines.length !== streams.length) {
  console.error(`${lines.length} answers to ${streams.length} streams`);
  process.exit(2);
}
// A verdict without how far a message that never came to its end was read.
const settled = (line) => {
  const v = JSON.parse(line);
  for (const m of v.messages) if (!m.whole) delete m.body, delete m.end;
  return v;
};
for (const step of [1, 7]) {
  const again = ours(step);
  const at = lines.findIndex((line, i) => {
    if (line === again[i]) return false;
    // what arrives in pieces may still be waited for where the whole shows a fault before the end of the head
    const a = settled(line), b = settled(again[i]);
    return JSON.stringify(a.messages) !== JSON.stringify(b.messages) || (a.then !== b.then && b.then !== 'more');
  });
  if (at >= 0) {
    console.error(`in pieces of ${step}: ${JSON.stringify(streams[at].bytes.toString('latin1'))}\n${lines[at]}\n${again[at]}`);
    process.exit(1);
  }
}

// Before llhttp 8 a Content-Length was believed in 1xx, 204 and 304 as well, against RFC 9112 §6.3: nothing to
// compare with from there on.
const old = Number(process.versions.llhttp.split('.')[0]) < 8;
const misread = (m) => old && (m.status < 200 || m.status === 204 || m.status === 304) &&
  m.fields.some(([name]) => framing.has(Buffer.from(name, 'hex').toString().toLowerCase()));

let compared = 0, messages = 0, refused = 0, stricter = 0, failed = 0;
streams.forEach((s, i) => {
  const a = JSON.parse(lines[i]);
  const z = theirs(s);
  compared++;
  const weRefuse = !['end', 'more', 'closed'].includes(a.then);
  refused += weRefuse;
  stricter += weRefuse && !z.error;
  const until = a.messages.findIndex(misread);
  const accepted = a.messages.slice(0, until < 0 ? undefined : until);
  messages += accepted.length;
  accepted.forEach((m, k) => {
    const what = difference(s.kind, m, z.messages[k]);
    if (!what || failed >= 5) return;
    failed++;
    console.error(`stream ${i}, message ${k}: ${what}\n  ${JSON.stringify(s.bytes.toString('latin1'))}\n  ours   ${JSON.stringify(m)}` +
      `\n  llhttp ${JSON.stringify({ ...z.messages[k], body: undefined })} ${z.error?.code ?? ''} ${z.error?.reason ?? ''}`);
  });
});
console.log(`${failed ? 'not ok' : 'ok'} llhttp ${process.versions.llhttp}: ${compared} compared, ${messages} messages ` +
  `accepted by both, ${refused} streams refused (${stricter} of them taken by llhttp)`);
if (failed) process.exit(1);
if (messages < compared / 2 || refused < compared / 10) {
  console.error('too few were accepted or refused to prove anything');
  process.exit(2);
}
