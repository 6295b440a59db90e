// A service on Node's own HTTP server, for tests: answers what it saw, in the way the path asks for.
//
// usage: node echo_server.mjs PORT
import http from 'node:http';
import { createHash } from 'node:crypto';

const server = http.createServer((request, response) => {
  if (request.url.startsWith('/public/big')) {
    response.writeHead(200, { 'Content-Type': 'application/octet-stream' });
    const block = Buffer.alloc(65536, 'z');
    let left = 200;
    const more = () => {
      while (left-- > 0) if (!response.write(block)) return response.once('drain', more);
      return response.end();
    };
    return more();
  }
  if (request.url.startsWith('/public/hints')) response.writeEarlyHints({ link: '</a.css>; rel=preload' });
  const hash = createHash('sha256');
  let size = 0;
  request.on('data', (piece) => { size += piece.length; hash.update(piece); });
  request.on('end', () => {
    const body = JSON.stringify({
      method: request.method, target: request.url, headers: request.headers, trailers: request.trailers,
      body_n: size, body_sha256: hash.digest('hex'),
    });
    response.writeHead(200, { 'Content-Type': 'application/json', Trailer: 'X-Sum' });
    response.write(body);
    response.addTrailers({ 'X-Sum': String(body.length) });
    response.end();
  });
  return undefined;
});
server.keepAliveTimeout = 300; // short on purpose: pooled connections go stale
server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listening'));
