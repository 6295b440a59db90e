// A real OpenID provider (npm oidc-provider) over https, for tests: two users, one client, JWT access tokens.
//
// usage: node oidc_server.mjs PORT KEY.pem CERT.pem JWKS.json AUDIENCE
// JWKS.json holds the private keys; where it is missing, fresh ones are made and written there. Prints one line when it
// listens. Passwords are not looked at: its development login page takes any.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { exportJWK, generateKeyPair } from 'jose';
import { Provider } from 'oidc-provider';

const [port, keyFile, certFile, jwksFile, audience] = process.argv.slice(2);

async function freshKeys() {
  const keys = [];
  for (const alg of ['ES256', 'RS256']) {
    const { privateKey } = await generateKeyPair(alg, { extractable: true });
    const kid = `${alg.toLowerCase()}-${Math.random().toString(36).slice(2, 8)}`;
    keys.push({ ...(await exportJWK(privateKey)), kid, alg, use: 'sig' });
  }
  return { keys };
}

if (!existsSync(jwksFile)) writeFileSync(jwksFile, JSON.stringify(await freshKeys()), { mode: 0o600 });

const roles = { alice: ['buyer'], bob: ['visitor'] };

const provider = new Provider(`https://localhost:${port}`, {
  jwks: JSON.parse(readFileSync(jwksFile)),
  clients: [{
    client_id: 'web',
    client_secret: 'only-a-test-secret',
    grant_types: ['authorization_code', 'client_credentials'],
    redirect_uris: ['https://app.test/cb'],
  }],
  cookies: { keys: ['only-a-test-cookie-key'] },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  extraTokenClaims: (ctx, token) => ({ roles: roles[token.accountId] ?? [] }),
  pkce: { required: () => true, methods: ['S256'] },
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'api:read',
        audience,
        accessTokenTTL: 300,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
});

https.createServer({ key: readFileSync(keyFile), cert: readFileSync(certFile) }, provider.callback())
  .listen(Number(port), 'localhost', () => console.log(`listening on https://localhost:${port}`));
