// graphql-ws at both ends: subscriptions and queries on the socket, a query by POST beside it.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import { WebSocket, WebSocketServer } from '../../interop/lib/packages.mjs';
import { atEnd, listen } from '../../interop/lib/processes.mjs';
import { openClient } from '../../interop/lib/wspeer.mjs';
import { graphql as language, graphqlClient, graphqlServer } from '../lib/packages.mjs';
import { isClosedAfter, refusesOtherSites } from '../lib/refusals.mjs';

const SUBPROTOCOL = { protocols: ['graphql-transport-ws'] };
const schema = language.buildSchema('type Query { shout(text: String!): String! } type Subscription { count(to: Int!): Int! }');
const rootValue = {
  shout: ({ text }) => text.toUpperCase(),
  async *count({ to }) {
    for (let count = 0; count < to; count += 1) yield { count };
  },
};

export async function run({ check, afterQuiet, startGateway }) {
  const http = createServer(async (request, response) => {
    const { query: source } = await json(request);
    response.end(JSON.stringify(await language.graphql({ schema, source, rootValue })));
  });
  const sockets = new WebSocketServer({ server: http, path: '/graphql' });
  graphqlServer.useServer({ schema, roots: { query: rootValue, subscription: rootValue }, onConnect: admits }, sockets);
  const port = await listen(http);
  const gateway = await startGateway({ servers: { BACKEND: `ws://127.0.0.1:${port}` } });
  const url = gateway.wss('/graphql');

  const client = newClient(url);
  await check('two subscriptions at a time: every event, in order', async () => {
    const expected = Array.from({ length: 1000 }, (_, n) => n);
    const both = await Promise.all([counted(client, 1000), counted(client, 1000)]);
    assert.deepEqual(both, [expected, expected]);
  });
  await check('a query on the socket', () => shouts(client));
  await check('a query by POST', async () => {
    const body = JSON.stringify({ query: '{ shout(text: "hello") }' });
    const answer = await fetch(gateway.https('/graphql'), { method: 'POST', body });
    assert.deepEqual(await answer.json(), { data: { shout: 'HELLO' } });
  });
  await check('the close codes of the protocol reach the client: 4403, 4400', async () => {
    await assert.rejects(shouts(newClient(url, { connectionParams: { token: 'wrong' } })), { code: 4403 });
    const rude = await openClient(url, SUBPROTOCOL);
    rude.socket.send('hello');
    assert.equal((await rude.closed()).code, 4400);
  });
  await check('a server that is lost is no fatal end: the client comes back by itself', async () => {
    const closes = [];
    const steady = newClient(url, { retryAttempts: 3, on: { closed: ({ code }) => closes.push(code) } });
    await shouts(steady);
    const again = once(sockets, 'connection');
    sockets.clients.forEach((socket) => socket.terminate());
    await again;
    await shouts(steady);
    assert.deepEqual(closes, [1012]);
  });
  await refusesOtherSites(check, url, SUBPROTOCOL);
  await check('binary messages are not let through', () => isClosedAfter(Buffer.of(1), url, SUBPROTOCOL));

  const quiet = newClient(url);
  await shouts(quiet);
  afterQuiet('a client that was quiet goes on', () => shouts(quiet));
}

const admits = ({ connectionParams }) => connectionParams?.token !== 'wrong';

function newClient(url, options = {}) {
  const client = graphqlClient.createClient({ url, webSocketImpl: WebSocket, lazy: false, retryAttempts: 0, onNonLazyError: () => {}, ...options });
  atEnd(() => client.dispose());
  return client;
}

async function counted(client, to) {
  const seen = [];
  for await (const { data } of client.iterate({ query: `subscription { count(to: ${to}) }` })) seen.push(data.count);
  return seen;
}

async function shouts(client) {
  for await (const { data } of client.iterate({ query: '{ shout(text: "hello") }' })) assert.deepEqual({ ...data }, { shout: 'HELLO' });
}
