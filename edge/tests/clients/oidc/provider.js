// A real OpenID Connect provider for tests: node provider.js MODULES SETTINGS
//
// MODULES is the folder node_modules; SETTINGS is JSON: issuer (default: the address that is listened on), port, clients
// (as oidc-provider takes them), users (name -> claims), ttl. Prints `port N` when it listens. Whoever knows the name of
// a user is let in with any password, and consent is never asked for.
//
// For tests alone: POST /test/rotate replaces the signing keys, and none of the old ones is published any more.

import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const [modules, settings] = [process.argv[2], JSON.parse(process.argv[3])];
const { default: Provider } = await import(pathToFileURL(`${modules}/oidc-provider/lib/index.js`));

const SCOPES = 'openid email profile groups offline_access';

function signingKeys() {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const key = (from, alg) => ({ ...from.export({ format: 'jwk' }), alg, use: 'sig', kid: randomUUID() });
  return [key(rsa, 'RS256'), key(ec, 'ES256')];
}

function account(sub) {
  const claims = settings.users[sub];
  return claims && { accountId: sub, claims: () => ({ sub, ...claims }) };
}

async function grant(ctx) {
  const { client, session, provider } = ctx.oidc;
  const known = ctx.oidc.result?.consent?.grantId || session.grantIdFor(client.clientId);
  if (known) return provider.Grant.find(known);
  const all = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  all.addOIDCScope(SCOPES);
  if (ctx.oidc.params.resource) all.addResourceScope(ctx.oidc.params.resource, 'api');
  await all.save();
  return all;
}

function makeProvider(issuer) {
  const provider = new Provider(issuer, {
    clients: settings.clients,
    jwks: { keys: signingKeys() },
    cookies: { keys: ['only for tests'] },
    scopes: SCOPES.split(' '),
    claims: {
      email: ['email', 'email_verified'],
      profile: ['name', 'preferred_username'],
      groups: ['groups'],
    },
    conformIdTokenClaims: false,
    findAccount: (_, sub) => account(sub),
    loadExistingGrant: grant,
    pkce: { required: () => true },
    ttl: { AccessToken: 3600, ClientCredentials: 3600, IdToken: 3600, Session: 3600, Interaction: 3600, Grant: 3600, ...settings.ttl },
    extraTokenClaims: (_, token) => ({ groups: settings.users[token.accountId ?? token.clientId]?.groups ?? [] }),
    features: {
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        // A token for a named resource is a JWT that the resource can check by itself.
        getResourceServerInfo: (_, resource) => ({ scope: 'api', audience: resource, accessTokenFormat: 'jwt' }),
      },
    },
  });
  provider.proxy = true;
  return provider.callback();
}

const server = createServer();
server.listen(settings.port ?? 0, '127.0.0.1', () => {
  const { port } = server.address();
  const issuer = settings.issuer ?? `http://127.0.0.1:${port}`;
  let answer = makeProvider(issuer);
  server.on('request', (request, response) => {
    if (request.method === 'POST' && request.url === '/test/rotate') {
      answer = makeProvider(issuer);
      response.writeHead(204).end();
    } else {
      answer(request, response);
    }
  });
  console.log(`port ${port}`);
});
