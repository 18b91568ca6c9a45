// oidc-provider over TLS on loopback, with an API at /api; prints its issuer. Arguments: the folder of its module, the
// folder of its files.
import fs from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [modules, folder] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(path.join(modules, 'oidc-provider', 'lib', 'index.js')));
const read = (name) => fs.readFileSync(path.join(folder, name), 'utf8');
const presented = (ctx) => ctx.socket.getPeerX509Certificate();

const tls = { cert: read('server.pem'), key: read('server.key'), ca: read('ca.pem'), requestCert: true };
let answer;
const server = https.createServer({ ...tls, rejectUnauthorized: false }, (request, response) => answer(request, response));
server.listen(0, '127.0.0.1', () => {
  const issuer = `https://localhost:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: JSON.parse(read('clients.json')),
    clientAuthMethods: [
      'client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt', 'tls_client_auth',
      'self_signed_tls_client_auth',
    ],
    scopes: ['read', 'write'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      dPoP: { enabled: true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        selfSignedTlsClientAuth: true,
        tlsClientAuth: true,
        getCertificate: (ctx) => presented(ctx)?.toString(),
        certificateAuthorized: (ctx) => ctx.socket.authorized,
        certificateSubjectMatches: (ctx, _property, expected) => presented(ctx).subject === expected,
      },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, resource) => ({
          scope: 'read write', audience: resource, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  });
  const callback = provider.callback();
  answer = (request, response) => {
    if (request.url !== '/api') return callback(request, response);
    const [scheme] = (request.headers.authorization ?? '').split(' ');
    response.setHeader('Content-Type', 'application/json');
    return response.end(JSON.stringify({ scheme, has_proof: 'dpop' in request.headers }));
  };
  console.log(issuer);
});
