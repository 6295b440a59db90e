#!/usr/bin/env node
// test: seconds 240
// Other people's libraries against our logins: openid-client reads the discovery document, jose verifies our tokens by
// the published keys, while these change every two seconds under load; fifty refreshes at once; theft.
import * as jose from 'jose';
import { Issuer, TokenSet } from 'openid-client';
import { Product, check, equal, eventually, finish, sleep, test } from './product.mjs';

const PASSWORD = 'correct horse battery staple';
const slower = Number(process.env.SLOWER ?? 1);
const life = 5 * slower;

const product = await Product.start((config, { url }) => {
  Object.assign(config.authentication, {
    issuer: url, // so that what the discovery document names is here
    access_token: `${life}s`, publish_ahead: '1s', algorithm: 'ES256', throttle: { account: '1000/m', address: '1000/m' },
  });
});
product.addUser('alice', PASSWORD, 'clerk');
const ISSUER = product.url;
const jwksUrl = new URL(`${product.url}/.well-known/jwks.json`);

// cooldownDuration 0: a key it does not know is asked for at once, which in these few seconds happens often.
const remote = jose.createRemoteJWKSet(jwksUrl, { cooldownDuration: 0 });
const verify = (token, keys = remote) => jose.jwtVerify(token, keys, { issuer: ISSUER, audience: 'demo-api', typ: 'at+jwt' });
const kids = async () => (await (await fetch(jwksUrl)).json()).keys.map((k) => k.kid);
const business = (token) => product.ask('GET', '/business/myclass/myoperation', { token });
const code = (error) => (error.status === undefined ? String(error) : `${error.status} ${error.body?.code ?? ''}`);

await test('openid-client discovers the issuer, and what it is told is so', async () => {
  const issuer = await Issuer.discover(product.url);
  equal([issuer.metadata.issuer, issuer.metadata.jwks_uri], [ISSUER, jwksUrl.href], 'issuer and keys');
  check(issuer.metadata.id_token_signing_alg_values_supported.includes('ES256'), 'algorithm');
  // openid-client fills endpoints in that the document does not name; only what was said counts
  const said = await (await fetch(`${product.url}/.well-known/openid-configuration`)).json();
  for (const absent of ['authorization_endpoint', 'token_endpoint', 'userinfo_endpoint', 'registration_endpoint']) {
    equal(said[absent], undefined, absent);
  }
  // There are no ID tokens yet; but its verification (issuer, audience, times, signature by the keys it fetches from
  // where the document says) holds for what we sign.
  const client = new issuer.Client({ client_id: 'demo-api', id_token_signed_response_alg: 'ES256' });
  const { access_token } = await product.login('alice', PASSWORD);
  await client.validateIdToken(new TokenSet({ id_token: access_token }), undefined, 'token');
  const altered = `${access_token.slice(0, -6)}${access_token.endsWith('AAAAAA') ? 'BBBBBB' : 'AAAAAA'}`;
  await client.validateIdToken(new TokenSet({ id_token: altered }), undefined, 'token')
    .then(() => { throw new Error('an altered token is accepted'); },
      (error) => check(/signature/.test(error.message), error.message));
});

await test('jose verifies an access token by the published keys: typ, issuer, audience, life, claims', async () => {
  const answer = await product.login('alice', PASSWORD);
  equal([answer.token_type, answer.expires_in], ['Bearer', life], 'answer');
  const { payload, protectedHeader } = await verify(answer.access_token);
  equal(protectedHeader.alg, 'ES256', 'alg');
  equal([payload.sub, payload.product, payload.roles], ['alice', 'web', ['clerk']], 'claims');
  // the second it was made in is not counted
  check([life, life + 1].includes(payload.exp - payload.iat), `life: ${payload.exp - payload.iat}`);
  for (const claim of ['jti', 'sid', 'client_id']) check(payload[claim], `no ${claim}`);
  await verify(`${answer.access_token.slice(0, -6)}AAAAAA`).then(() => { throw new Error('an altered token is accepted'); },
    (error) => equal(error.code, 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED', 'why'));
  const keys = await (await fetch(jwksUrl)).json();
  for (const key of keys.keys) {
    for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']) equal(key[secret], undefined, `private member ${secret}`);
  }
});

await test('fifty refreshes at once with one token: one successor, and it serves', async () => {
  const { refresh_token } = await product.login('alice', PASSWORD);
  const before = await product.requests('authentication:refresh');
  const answers = await Promise.all(Array.from({ length: 50 }, () => product.refresh(refresh_token)));
  const refused = answers.filter((a) => a.status !== 200).map(code);
  equal(refused, [], 'refused');
  equal(new Set(answers.map((a) => a.body.refresh_token)).size, 1, 'successors');
  equal(await product.requests('authentication:refresh') - before, 50, 'requests');
  await Promise.all(answers.map((a) => verify(a.body.access_token)));
  const next = await product.refresh(answers[0].body.refresh_token);
  equal(next.status, 200, 'a refresh by the successor');
});

await test('a stale refresh token, later: the whole family ends, access tokens included', async () => {
  const first = await product.login('alice', PASSWORD);
  const second = (await product.refresh(first.refresh_token)).body;
  await sleep(10_500);
  const third = (await product.refresh(second.refresh_token)).body;
  equal((await business(third.access_token)).status, 200, 'a call before');
  const thief = await product.refresh(first.refresh_token);
  equal([thief.status, thief.body.code], [401, 'refresh_reused'], 'the thief');
  equal((await product.refresh(third.refresh_token)).status, 401, 'the newest refresh token');
  await eventually(async () => (await business(third.access_token)).status === 401, 'the access token is refused', 1000);
});

await test('keys rotate every 2 s for 30 s under load, ES256 and RS256 in turn: no valid token is refused', async () => {
  const end = Date.now() + 30_000;
  const tokens = []; // {token, kid, exp}
  const wrong = [];
  const algorithms = new Set();
  let calls = 0;
  const usable = (t) => t.exp * 1000 - Date.now() > 800;

  async function page() { // a page: refreshes, and works with what it has
    let { access_token: token, refresh_token: refresh } = await product.login('alice', PASSWORD);
    while (Date.now() < end) {
      const { kid, alg } = jose.decodeProtectedHeader(token);
      const t = { token, kid, exp: jose.decodeJwt(token).exp };
      tokens.push(t);
      algorithms.add(alg);
      await verify(token).catch((error) => wrong.push(`jose: ${alg} ${kid}: ${error.code}`));
      for (let i = 0; i < 10 && usable(t); i++) {
        const got = await business(token);
        calls++;
        if (got.status !== 200) wrong.push(`new token: ${code(got)} ${alg} ${kid}`);
      }
      const answer = await product.refresh(refresh);
      if (answer.status !== 200) return wrong.push(`refresh: ${code(answer)}`);
      ({ access_token: token, refresh_token: refresh } = answer.body);
    }
  }
  async function old() { // whoever still has an earlier token
    while (Date.now() < end) {
      const left = tokens.filter(usable);
      const t = left[Math.floor(Math.random() * Math.min(left.length, 40))];
      if (!t) {
        await sleep(20);
        continue;
      }
      const got = await business(t.token);
      calls++;
      if (got.status !== 200) wrong.push(`token ${Math.round(t.exp - Date.now() / 1000)} s before its end: ${code(got)} ${t.kid}`);
    }
  }
  async function administrator() {
    let turn = 0;
    while (Date.now() < end) {
      await product.running('keys', 'rotate', '--alg', turn++ % 2 ? 'ES256' : 'RS256');
      await sleep(2000);
    }
  }
  await Promise.all([page(), page(), page(), old(), old(), administrator()]);
  equal(wrong.slice(0, 5), [], `wrong answers (${wrong.length} of ${calls})`);
  const used = new Set(tokens.map((t) => t.kid));
  check(used.size >= 8, `only ${used.size} keys have signed`);
  equal([...algorithms].sort(), ['ES256', 'RS256'], 'algorithms');
  // Whatever the published set no longer holds opens nothing.
  const published = new Set(await kids());
  const gone = tokens.filter((t) => !published.has(t.kid));
  check(gone.length > 0, 'no key has gone');
  for (const t of gone.slice(-50)) equal((await business(t.token)).status, 401, `a token of ${t.kid}, which is gone`);
  return `${calls} calls, ${used.size} keys`;
});

await test('a key that is retired verifies no longer: its tokens are refused at once, though their time is not over', async () => {
  const { access_token, refresh_token } = await product.login('alice', PASSWORD);
  const { kid } = jose.decodeProtectedHeader(access_token);
  equal((await business(access_token)).status, 200, 'before');
  product.run('keys', 'retire', kid);
  await eventually(async () => (await business(access_token)).status === 401, 'its tokens are refused', 1000);
  check(jose.decodeJwt(access_token).exp * 1000 > Date.now(), 'the token ended meanwhile');
  await eventually(async () => !(await kids()).includes(kid), 'it is no longer published', 2000);
  const strict = jose.createRemoteJWKSet(jwksUrl);
  await verify(access_token, strict).then(() => { throw new Error('jose finds its key'); },
    (error) => equal(error.code, 'ERR_JWKS_NO_MATCHING_KEY', 'why'));
  const answer = await product.refresh(refresh_token);
  equal(answer.status, 200, 'a refresh goes on');
  equal((await business(answer.body.access_token)).status, 200, 'with the next key');
});

await finish();
