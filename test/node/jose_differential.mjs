#!/usr/bin/env node
// Our token verifier against npm jose: whatever `sallyport token verify --batch` accepts, jose must accept under the
// same rules. Where jose takes what the token profile forbids, the class of the token says so (`lax`): those are all
// the points at which the two may differ, and only in that direction.
//
//   jose_differential.mjs [--seed N] [--count N] [--sallyport PATH]
//
// Without --sallyport it is $SALLYPORT or the one in $BUILD. Prints how many were compared; exit 1 and the token on any
// divergence, 2 when the comparison would prove nothing.
import { spawnSync } from 'node:child_process';
import crypto from 'node:crypto';
import { createRequire } from 'node:module';
import * as jose from 'jose';

const option = (name, otherwise) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? otherwise : process.argv[at + 1];
};
const sallyport = option('--sallyport', process.env.SALLYPORT ?? `${process.env.BUILD}/sallyport`);
let seed = Number(option('--seed', 20240517)) | 0;
const count = Number(option('--count', 6000));

const random = () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};
const below = (n) => Math.floor(random() * n);
const pick = (list) => list[below(list.length)];

// --- keys: two of every algorithm ---

const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519',
  'HS256', 'HS384', 'HS512'];
const curves = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' };
// By way of their encoding: exporting the very object that Node has just generated can deadlock with its collector.
const freshPair = (type, options) => {
  const made = crypto.generateKeyPairSync(type, { ...options, publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' } });
  return { privateKey: crypto.createPrivateKey(made.privateKey), publicKey: crypto.createPublicKey(made.publicKey) };
};
const freshKey = (alg) => {
  if (alg.startsWith('HS')) return { secret: crypto.randomBytes(Number(alg.slice(2)) / 8) };
  return alg.startsWith('ES') ? freshPair('ec', { namedCurve: curves[alg] })
    : alg.startsWith('Ed') ? freshPair('ed25519', {}) : freshPair('rsa', { modulusLength: 2048 });
};
const keys = Object.fromEntries(algorithms.map((alg) => [alg, [freshKey(alg), freshKey(alg)]]));
const jwkOf = ({ secret, publicKey }) => (secret ? { kty: 'oct', k: secret.toString('base64url') } : publicKey.export({ format: 'jwk' }));

const signWith = (alg, { secret, privateKey }, input) => {
  const digest = `sha${alg.slice(2)}`;
  if (secret) return crypto.createHmac(digest, secret).update(input).digest();
  if (alg.startsWith('Ed')) return crypto.sign(null, input, privateKey);
  if (alg.startsWith('ES')) return crypto.sign(digest, input, { key: privateKey, dsaEncoding: 'ieee-p1363' });
  if (alg.startsWith('PS')) {
    return crypto.sign(digest, input, { key: privateKey, padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: crypto.constants.RSA_PSS_SALTLEN_DIGEST });
  }
  return crypto.sign(digest, input, privateKey);
};

// --- one question: a good one, then what a class does to it ---

const NOW = 1700000000;
const b64 = (v) => Buffer.from(v).toString('base64url');

const good = () => {
  const alg = pick(algorithms);
  const q = { alg, kid: pick(['1', 'key', 'ü', 'a/b', undefined]), key: keys[alg][0], now: NOW, leeway: pick([null, 0, 30]),
    iss: pick(['https://idp.example', null]), aud: pick(['api', null]), mode: 'jwt', jwk: {} };
  q.header = { alg, ...(q.kid === undefined ? {} : { kid: q.kid }) };
  const typ = pick([undefined, 'JWT', 'jwt', 'at+jwt', 'application/at+jwt', 'JOSE', 'At+JWT']);
  if (typ) q.header.typ = typ;
  if (random() < 0.5) q.jwk.alg = alg;
  if (random() < 0.3) q.jwk.use = 'sig';
  if (random() < 0.3) q.jwk.key_ops = pick([['verify'], ['sign', 'verify']]);
  q.payload = { iss: 'https://idp.example', aud: pick(['api', ['api'], ['x', 'api', 'y']]), sub: pick(['alice', 'a b', 'J\u00fcrgen', '\ud83d\ude00']),
    exp: NOW + 1 + below(1000) + pick([0, 0.5]) };
  if (random() < 0.5) q.payload.iat = NOW - below(100);
  if (random() < 0.5) q.payload.nbf = NOW - below(100);
  if (random() < 0.5) q.payload.jti = `j${below(1000)}`;
  if (random() < 0.5) q.payload.roles = ['buyer', '"\\\u0001\ud83d\ude00'];
  // keys beside the right one that must not be mistaken for it
  q.others = [];
  while (random() < 0.5) {
    const other = pick(algorithms);
    q.others.push({ ...jwkOf(keys[other][1]), alg: other, kid: pick(['other', 'key2', undefined]) ?? 'z', use: pick(['sig', 'enc']) });
  }
  if (q.kid === undefined) q.others = q.others.filter((o) => o.kty !== jwkOf(q.key).kty);
  return q;
};

const claim = (name, ...values) => (q) => { q.payload[name] = pick(values); };
const head = (name, ...values) => (q) => { q.header[name] = pick(values); };
const without = (name) => (q) => { delete q.payload[name]; };
const rawPayload = (f) => (q) => { q.rawPayload = f(JSON.stringify(q.payload)); };
const rawHeader = (f) => (q) => { q.rawHeader = f(JSON.stringify(q.header)); };
const token = (f) => (q) => { q.edit = f; };
const part = (i, f) => token((t) => { const p = t.split('.'); p[i] = f(p[i]); return p.join('.'); });
const flip = (b) => { const c = Buffer.from(b); c[below(c.length)] ^= 1 << below(8); return c; };
const insert = (s, what) => { const at = below(s.length + 1); return s.slice(0, at) + what + s.slice(at); };
const ecdsaOnly = (f) => (q) => { q.sign = (s) => (q.alg.startsWith('ES') ? f(s, q.alg) : flip(s)); };
const order = { ES256: 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551',
  ES384: 'ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973',
  ES512: '01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409' };

// name, what it does, whether we must accept, and `lax` where jose takes it although the profile forbids it
const classes = [
  ['good', () => {}, 'accept'],
  ['good, jws', (q) => { q.mode = 'jws'; q.rawPayload = pick(['', 'text', '\0\xff', '{"exp":1}', '{']); }, 'accept'],
  ['good, unknown members', (q) => { q.header.x = [{ y: 1 }]; q.payload.x = { a: [[], {}, null, 1e5] }; }, 'accept'],
  ['good, keys that are none', (q) => { q.others.push({ kty: 'XYZ', kid: 'q' }, { kty: 'RSA', kid: 'r', n: 'AQAB', e: 'AQAB', use: 'enc' }); }, 'accept'],
  ['good, embedded addresses', (q) => Object.assign(q.header, { jku: 'https://evil.example', x5u: 'https://evil.example' }), 'accept'],
  ['good, leeway', (q) => { q.leeway = 60; q.payload.exp = NOW - 59.5 + below(50); }, 'accept'],
  ['signature flipped', (q) => { q.sign = flip; }],
  ['signature cut', (q) => { q.sign = (s) => s.subarray(0, below(s.length)); }],
  ['signature longer', (q) => { q.sign = (s) => Buffer.concat([s, Buffer.from([below(256)])]); }],
  ['signature with a zero before', (q) => { q.sign = (s) => Buffer.concat([Buffer.from([0]), s]); }],
  ['signature empty', (q) => { q.sign = () => Buffer.alloc(0); }],
  ['signature zero', (q) => { q.sign = (s) => Buffer.alloc(s.length); }],
  ['ECDSA in DER', ecdsaOnly((s) => { const h = s.length / 2; const int = (x) => { while (x.length > 1 && !x[0]) x = x.subarray(1); if (x[0] & 128) x = Buffer.concat([Buffer.from([0]), x]); return Buffer.concat([Buffer.from([2, x.length]), x]); };
    const body = Buffer.concat([int(s.subarray(0, h)), int(s.subarray(h))]); return Buffer.concat([Buffer.from(body.length > 127 ? [48, 129, body.length] : [48, body.length]), body]); })],
  ['ECDSA r = 0', ecdsaOnly((s) => Buffer.concat([Buffer.alloc(s.length / 2), s.subarray(s.length / 2)]))],
  ['ECDSA s = 0', ecdsaOnly((s) => Buffer.concat([s.subarray(0, s.length / 2), Buffer.alloc(s.length / 2)]))],
  ['ECDSA s = n', ecdsaOnly((s, alg) => Buffer.concat([s.subarray(0, s.length / 2), Buffer.from(order[alg], 'hex')]))],
  ['ECDSA r = n', ecdsaOnly((s, alg) => Buffer.concat([Buffer.from(order[alg], 'hex'), s.subarray(s.length / 2)]))],
  ['another key of the same kind', (q) => { q.signer = keys[q.alg][1]; }],
  ['another algorithm signs', (q) => { q.signerAlg = pick(algorithms.filter((a) => a !== q.alg && !(a.startsWith('Ed') && q.alg.startsWith('Ed')))); q.signer = keys[q.signerAlg][0]; }],
  ['header names another algorithm', (q) => { q.header.alg = pick(algorithms.filter((a) => a !== q.alg && a.slice(0, 2) !== 'Ed')); q.signer = q.key; q.jwk.alg = q.alg; }],
  ['public key as secret', (q) => { const a = pick(['RS256', 'ES256', 'EdDSA']); q.key = keys[a][0]; q.alg = a; q.header.alg = 'HS256'; q.jwk = {};
    q.signerAlg = 'HS256'; q.signer = { secret: Buffer.from(pick(['', ' ', '\n']) + q.key.publicKey.export({ type: 'spki', format: 'pem' })) }; }],
  ['alg none', (q) => { q.header.alg = pick(['none', 'None', 'NONE', 'nOnE', '', 'none ']); q.sign = () => Buffer.alloc(0); }],
  ['alg of JWE', head('alg', 'RSA-OAEP', 'dir', 'PBES2-HS256+A128KW', 'A128KW', 'ES256K', 'HS1')],
  ['alg no string', head('alg', null, 1, ['RS256'], {})],
  ['kid unknown', head('kid', 'nobody', '../../etc/passwd', "' OR 1=1", '\0')],
  ['use enc', (q) => { q.jwk.use = 'enc'; }],
  ['no verify among operations', (q) => { q.jwk.key_ops = pick([[], ['sign'], ['encrypt']]); }],
  ['two keys of one name', (q) => { delete q.jwk.use; delete q.jwk.key_ops; q.others = [{ ...jwkOf(keys[q.alg][1]), kid: q.kid ?? 'x' }]; }],
  ['no key', (q) => { q.noKey = true; q.others = []; }],
  ['crit', head('crit', ['exp'], ['unknown'], [], 'exp', null)],
  ['b64 false', (q) => Object.assign(q.header, { crit: ['b64'], b64: false }), 'reject', 'takes b64:false in jws mode'],
  ['b64 without crit', head('b64', true, false), 'reject', 'b64 that is not named in crit'],
  ['zip or enc', (q) => { q.header[pick(['zip', 'enc'])] = 'DEF'; }, 'reject', 'members of JWE'],
  ['typ of another token', head('typ', 'txntoken+jwt', 'dpop+jwt', 'rt+jwt', 'logout+jwt', 'JWT ', ''), 'reject', 'typ is not asked for'],
  ['typ no string', head('typ', 1, null, ['JWT']), 'reject', 'typ is not asked for'],
  ['kid no string', (q) => { q.header.kid = pick([1, null, ['1']]); }, 'reject', 'a kid that is no string is none'],
  ['expired', (q) => { q.leeway = null; q.payload.exp = NOW - below(100) - pick([0, 0.5]); }],
  ['expired beyond the leeway', (q) => { q.leeway = 30; q.payload.exp = NOW - 30 - below(100); }],
  ['exp no number', claim('exp', '1800000000', null, [NOW + 10], true, {})],
  ['exp missing', without('exp'), 'reject', 'exp is not required'],
  ['exp too large', rawPayload((p) => p.replace(/"exp":[0-9.]+/, `"exp":${pick(['9007199254740992', '1e300', '1e400', '18446744073709551615'])}`)), 'reject', 'exp beyond 2^53'],
  ['nbf in the future', (q) => { q.leeway = null; q.payload.nbf = NOW + 1 + below(100) + pick([0, -0.5]); }],
  ['nbf in the future, leeway', (q) => { q.leeway = 1000; q.payload.nbf = NOW + 1 + below(100); }, 'reject', 'leeway is for exp only'],
  ['nbf no number', claim('nbf', '1', null, [], false)],
  ['iat in the future', claim('iat', NOW + 1, NOW + 0.5, 9e15), 'reject', 'iat in the future'],
  ['iat no number', claim('iat', '1', null, [], false)],
  ['another issuer', (q) => { q.iss = 'https://idp.example'; q.payload.iss = pick(['https://idp.example/', 'https://IDP.example', 'https://idp.example\0', 'x', ['https://idp.example'], null, 1]); }],
  ['issuer missing', (q) => { q.iss = 'https://idp.example'; delete q.payload.iss; }],
  ['issuer no string, not asked', (q) => { q.iss = null; q.payload.iss = pick([1, null, ['x']]); }, 'reject', 'types of claims that are not asked for'],
  ['another audience', (q) => { q.aud = 'api'; q.payload.aud = pick(['API', 'api ', 'api2', [], ['x'], null, 1, {}, [['api']]]); }],
  ['audience missing', (q) => { q.aud = 'api'; delete q.payload.aud; }],
  ['audience with a number', (q) => { q.aud = 'api'; q.payload.aud = ['api', 1]; }, 'reject', 'types of claims'],
  ['too many audiences', (q) => { q.payload.aud = ['api', ...Array.from({ length: 64 }, (_, i) => `a${i}`)]; }, 'reject', 'bounds'],
  ['sub missing', without('sub'), 'reject', 'sub is not required'],
  ['sub no name', claim('sub', '', '  ', 1, null, ['a'], 'a\n', 'a\0', '\u0085x', 'x'.repeat(257)), 'reject', 'sub is not looked at'],
  ['jti no string', claim('jti', 1, null), 'reject', 'types of claims'],
  ['ID token', (q) => { q.payload[pick(['nonce', 'at_hash', 'c_hash'])] = 'x'; }, 'reject', 'kinds of tokens'],
  ['payload no object', (q) => { q.rawPayload = pick(['[]', '"x"', '1', 'null', '', '{', '{"exp":1800000000,}', "{'exp':1}"]); }],
  ['trailing bytes', rawPayload((p) => p + pick(['x', '{}', '\0', ']']))],
  ['duplicate member', rawPayload((p) => p.replace('{', '{"sub":"mallory",')), 'reject', 'duplicate members'],
  ['duplicate deep inside', rawPayload((p) => p.replace('{', '{"x":{"a":1,"a":1},')), 'reject', 'duplicate members'],
  ['duplicate alg', rawHeader((h) => h.replace('{', '{"alg":"none",')), 'reject', 'duplicate members'],
  ['byte order mark', rawPayload((p) => `\ufeff${p}`), 'reject', 'byte order mark'],
  ['bad UTF-8', (q) => { q.rawPayload = Buffer.concat([Buffer.from(JSON.stringify(q.payload).slice(0, -1) + ',"x":"'), Buffer.from([0xc0, 0xaf]), Buffer.from('"}')]); }, 'reject', 'bad UTF-8'],
  ['lone surrogate', rawPayload((p) => p.replace('{', '{"x":"\\ud800",')), 'reject', 'lone surrogates'],
  ['deep', rawPayload((p) => p.replace('{', `{"x":${'['.repeat(40)}${']'.repeat(40)},`)), 'reject', 'bounds'],
  ['long number', rawPayload((p) => p.replace('{', `{"x":${'1'.repeat(31)},`)), 'reject', 'bounds'],
  ['many claims', (q) => { for (let i = 0; i < 257; i++) q.payload[`c${i}`] = i; }, 'reject', 'bounds'],
  ['long', (q) => { q.payload.x = 'x'.repeat(13000); }, 'reject', 'bounds'],
  ['padding', part(below(3), (p) => `${p}=`), 'reject', 'base64url is read leniently'],
  ['padding behind the signature', part(2, (p) => p + pick(['=', '=='])), 'reject', 'base64url is read leniently'],
  ['blank in the signature', part(2, (p) => insert(p, pick([' ', '\n', '\t', '%']))), 'reject', 'base64url is read leniently'],
  ['plain base64 in the signature', part(2, (p) => p.replace(/-/g, '+').replace(/_/g, '/')), 'either', 'base64url is read leniently'],
  ['tail bits', part(2, (p) => { const abc = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'; const c = abc.indexOf(p[p.length - 1]); return p.length % 4 === 0 ? `${p}A` : p.slice(0, -1) + abc[c ^ 1]; }), 'reject', 'base64url is read leniently'],
  ['blanks around', token((t) => pick([` ${t}`, `${t} `, `${t}\n`, `\t${t}`])), 'reject', 'base64url is read leniently'],
  ['parts', token((t) => pick([t.split('.').slice(0, 2).join('.'), `${t}.`, `.${t}`, `${t}.e30`, `${t}.e30.e30`, t.replace('.', '..'), '', '..', '....']))],
  ['a byte of the token', token((t) => { const at = below(t.length); const c = String.fromCharCode(33 + below(94)); return t[at] === c ? `${t.slice(0, at)}${c}${c}${t.slice(at + 1)}` : t.slice(0, at) + c + t.slice(at + 1); }), 'either', 'base64url is read leniently'],
  ['short secret', (q) => { const s = crypto.randomBytes(below(32)); q.alg = 'HS256'; q.header.alg = 'HS256'; q.jwk = {}; q.key = { secret: s }; }, 'reject', 'secrets shorter than the digest'],
  ['small RSA key', (q) => { q.alg = 'RS256'; q.header.alg = 'RS256'; q.jwk = {}; q.key = smallRsa; }],
  ['private key published', (q) => { q.alg = 'ES256'; q.header.alg = 'ES256'; q.key = keys.ES256[0]; q.jwk = { d: q.key.privateKey.export({ format: 'jwk' }).d }; }],
];
const smallRsa = freshPair('rsa', { modulusLength: 1024 });

const build = (q) => {
  const h = b64(q.rawHeader ?? JSON.stringify(q.header));
  const payload = q.rawPayload ?? JSON.stringify(q.payload);
  const p = q.header.b64 === false && q.mode === 'jws' ? payload.toString() : Buffer.from(payload, typeof payload === 'string' && q.mode === 'jws' ? 'latin1' : undefined).toString('base64url');
  const s = signWith(q.signerAlg ?? q.alg, q.signer ?? q.key, Buffer.from(`${h}.${p}`));
  const t = `${h}.${p}.${b64(q.sign ? q.sign(s) : s)}`;
  const jwk = { ...jwkOf(q.key), ...(q.kid === undefined ? {} : { kid: q.kid }), ...q.jwk };
  const set = [...(q.noKey ? [] : [jwk]), ...q.others];
  return { token: q.edit ? q.edit(t) : t, keys: { keys: random() < 0.5 ? set : set.reverse() } };
};

// --- jose under our rules: one key by kid, kty, alg, use and key_ops; secrets are not in its key sets ---

const symmetric = (set) => async (header) => {
  const fit = set.keys.filter((k) => k.kty === 'oct' && (typeof header.kid !== 'string' || k.kid === header.kid) && (k.alg ?? header.alg) === header.alg &&
    (k.use ?? 'sig') === 'sig' && (k.key_ops ?? ['verify']).includes('verify'));
  if (fit.length !== 1) throw new Error('not exactly one key');
  return jose.importJWK(fit[0], header.alg);
};
const theirs = async (line) => {
  const local = jose.createLocalJWKSet(line.keys);
  const find = (header, t) => (/^HS(256|384|512)$/.test(header.alg) ? symmetric(line.keys)(header) : local(header, t));
  try {
    if (line.mode === 'jws') {
      await jose.compactVerify(line.token, find, { algorithms });
    } else {
      await jose.jwtVerify(line.token, find, { algorithms, currentDate: new Date(line.now * 1000), clockTolerance: line.leeway ?? 0,
        ...(line.expected_iss === null ? {} : { issuer: line.expected_iss }), ...(line.expected_aud === null ? {} : { audience: line.expected_aud }) });
    }
    return 'accept';
  } catch (e) {
    return 'reject';
  }
};

const lines = [], wants = [];
for (let i = 0; i < count; i++) {
  const c = i % 3 === 0 ? classes[below(6)] : pick(classes.slice(6));
  const q = good();
  c[1](q);
  lines.push({ id: String(i), ...build(q), now: q.now, expected_iss: q.iss, expected_aud: q.aud, leeway: q.leeway, mode: q.mode });
  wants.push({ name: c[0], want: c[2] ?? 'reject', lax: c[3] });
}
const ran = spawnSync(sallyport, ['token', 'verify', '--batch'], { input: lines.map((l) => `${JSON.stringify(l)}\n`).join(''), encoding: 'utf8', maxBuffer: 1 << 26 });
if (ran.error || ran.status !== 0) {
  console.error(`cannot run ${sallyport}: ${ran.error ?? ran.stderr}`);
  process.exit(2);
}
const ours = new Map(ran.stdout.trim().split('\n').map((l) => l.split(' ')));

let failed = 0;
const tally = { both: 0, refused: 0 }, lax = new Map();
const complain = (what, i, a, z) => {
  if (++failed > 5) return;
  console.error(`${wants[i].name}: ${what} (ours ${a}, jose ${z})\n  ${JSON.stringify(lines[i])}`);
};
for (let i = 0; i < count; i++) {
  const a = ours.get(String(i)), z = await theirs(lines[i]);
  const { want, lax: reason } = wants[i];
  if (a !== 'accept' && a !== 'reject') complain('no answer', i, a, z);
  else if (a === 'accept' && z !== 'accept') complain('accepted by us only', i, a, z);
  else if (want !== 'either' && a !== want) complain(`should be ${want}ed`, i, a, z);
  else if (a === 'reject' && z === 'accept' && !reason) complain('refused by us only, and no class says why', i, a, z);
  if (a === 'accept' && z === 'accept') tally.both++;
  if (a === 'reject') tally.refused++;
  if (a === 'reject' && z === 'accept') lax.set(reason, (lax.get(reason) ?? 0) + 1);
}
const { version } = createRequire(import.meta.url)('jose/package.json');
for (const [reason, n] of [...lax].sort()) console.log(`# jose is laxer in ${n}: ${reason}`);
console.log(`${failed ? 'not ok' : 'ok'} jose ${version}: ${count} compared, ${tally.both} accepted by both, ${tally.refused} ` +
  `refused by us (${[...lax.values()].reduce((x, y) => x + y, 0)} of them taken by jose)`);
if (failed) process.exit(1);
if (tally.both < count / 5 || tally.refused < count / 3) {
  console.error('too few were accepted or refused to prove anything');
  process.exit(2);
}
