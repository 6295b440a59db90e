// A key provider that behaves, and several that do not, for test_fetch.c and test_jwks.c.
//
// usage: node https_peer.mjs DIR [PORT]   with the certificates of make_certs.sh in DIR
// Prints "name port" a line for each listener, then "ready". What is answered depends on the path alone. Written on
// raw sockets, because a well-behaved HTTP library would refuse to send most of this.
import crypto from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';

const dir = process.argv[2];
const firstPort = Number(process.argv[3] ?? 0);
const read = (name) => fs.readFileSync(`${dir}/${name}`);
const jwks = '{"keys":[]}';
const head = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n';
const length = (text) => `${head}Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
let hits = 0;

// The socket is written to until it is gone, as fast as it takes the bytes.
const flood = (s, first, piece) => {
  s.write(first);
  const more = () => {
    while (!s.destroyed && s.write(piece));
  };
  s.on('drain', more);
  more();
};
const trickle = (s, text, ms) => {
  let at = 0;
  const timer = setInterval(() => {
    if (s.destroyed || at >= text.length) return clearInterval(timer);
    s.write(text[at++]);
  }, ms);
};

const paths = {
  '/good': (s) => s.end(length(jwks)),
  '/bytes': (s) => trickle(s, length(jwks), 1),
  '/chunked': (s) => s.end(`${head}Transfer-Encoding: chunked\r\n\r\n3\r\n{"k\r\n8\r\neys":[]}\r\n0\r\n\r\n`),
  '/close': (s) => s.end(`${head}\r\n${jwks}`),
  '/cut-close': (s, raw) => s.write(`${head}\r\n${jwks}`, () => raw.destroy()),
  '/reset-close': (s, raw) => s.write(`${head}\r\n${jwks}`, () => setTimeout(() => raw.resetAndDestroy(), 50)),
  '/cut-length': (s) => s.end(`${head}Content-Length: 100\r\n\r\n${jwks}`),
  '/cut-head': (s) => s.end('HTTP/1.1 200 O'),
  '/redirect': (s) => s.end(`HTTP/1.1 302 Found\r\nLocation: https://localhost:${s.localPort}/good\r\nContent-Length: 0\r\n\r\n`),
  '/404': (s) => s.end('HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}'),
  '/503': (s) => s.end('HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n'),
  '/big-length': (s) => s.end(length(`"${'x'.repeat(256 * 1024)}"`)),
  '/big-fits': (s) => s.end(length(`"${'x'.repeat(256 * 1024 - 2)}"`)),
  '/big-chunked': (s) => flood(s, `${head}Transfer-Encoding: chunked\r\n\r\n`, `1000\r\n${'x'.repeat(4096)}\r\n`),
  '/big-close': (s) => flood(s, `${head}\r\n`, 'x'.repeat(65536)),
  '/big-head': (s) => flood(s, 'HTTP/1.1 200 OK\r\n', `X-Junk: ${'x'.repeat(1000)}\r\n`),
  '/slow': (s) => trickle(s, length(jwks), 1000),
  '/slow-body': (s) => {
    s.write(`${head}Content-Length: 11\r\n\r\n`);
    trickle(s, jwks, 1000);
  },
  '/mute': () => {},
  '/gzip': (s) => s.end(`${head}Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}`),
  '/interim': (s) => s.end(`HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n${length(jwks)}`),
  '/garbage': (s) => s.end('220 mail.example ESMTP\r\n\r\n'),
  '/both': (s) => s.end(`${head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`),
  '/hits': (s) => s.end(length(String(hits))),
  '/posted': (s, raw, request) => {
    const at = request.indexOf('\r\n\r\n');
    const sum = crypto.createHash('sha256').update(Buffer.from(request.slice(at + 4), 'latin1')).digest('hex');
    s.end(length(JSON.stringify({ head: request.slice(0, at), bytes: request.length - at - 4, sum })));
  },
  '/echo': (s, raw, request) =>
    s.end(length(JSON.stringify({
      request, sni: s.servername ?? null, alpn: s.alpnProtocol ?? null, version: s.getProtocol?.() ?? null,
    }))),
};

const serve = (s, raw) => {
  let text = '';
  s.on('error', () => {});
  s.on('data', (piece) => {
    text += piece.toString('latin1');
    const at = text.indexOf('\r\n\r\n');
    if (at < 0 || text.length - at - 4 < Number(/\r\nContent-Length: (\d+)/.exec(text.slice(0, at))?.[1] ?? 0)) return;
    const path = text.split(' ')[1];
    if (path !== '/hits') hits++;
    const [name] = path.split('?');
    (paths[name] ?? paths['/404'])(s, raw, text);
    text = '';
  });
};

const listeners = [];
const listen = (name, onSocket, port = 0) =>
  listeners.push(new Promise((resolve) => {
    const server = net.createServer((raw) => {
      raw.on('error', () => {});
      onSocket(raw);
    });
    server.listen(port, '127.0.0.1', () => {
      console.log(`${name} ${server.address().port}`);
      resolve();
    });
  }));
const overTls = (name, cert, options = {}, port = 0) =>
  listen(name, (raw) => {
    const secureContext = tls.createSecureContext({ cert: read(`${cert}.pem`), key: read(`${cert}.key`), ...options });
    const s = new tls.TLSSocket(raw, { isServer: true, secureContext, ALPNProtocols: options.alpn ?? ['http/1.1'] });
    serve(s, raw);
  }, port);

overTls('good', 'localhost', {}, firstPort);
overTls('tls12', 'localhost', { maxVersion: 'TLSv1.2' });
overTls('tls11', 'localhost', { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' });
overTls('cbc', 'localhost', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA' });
overTls('wrong-name', 'elsewhere');
overTls('name-in-subject-only', 'subject');
overTls('expired', 'expired');
overTls('stranger', 'stranger');
overTls('not-a-server', 'client');
listen('plain', (raw) => serve(raw, raw));
listen('no-tls', (raw) => raw.write('220 mail.example ESMTP\r\n'));
listen('silent', () => {});
await Promise.all(listeners);
console.log('ready');
process.stdin.resume();
process.stdin.on('end', () => process.exit(0)); // whoever started us is gone
