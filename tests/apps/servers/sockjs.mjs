// One SockJS server of several, which echoes.

import { createServer } from 'node:http';
import { sockjs } from '../lib/packages.mjs';

let counts = { served: 0, refused: 0 };
const http = createServer();
const echo = sockjs.createServer({ prefix: '/sockjs', log: () => {} });
echo.on('connection', (connection) => {
  counts.served += 1;
  connection.on('data', (message) => connection.write(message));
});
http.on('request', (request, response) => {
  if (request.url !== '/counts') return response.writeHead(404).end();
  response.end(JSON.stringify(counts));
  counts = { served: 0, refused: 0 };
});
// Takes the place of the listeners so far, and calls them for what is not its own.
echo.installHandlers(http);
http.prependListener('request', (_, response) => {
  response.on('finish', () => (counts.refused += response.statusCode >= 400 ? 1 : 0));
});
http.listen(0, '127.0.0.1', () => console.log(http.address().port));
