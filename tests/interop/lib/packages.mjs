// The npm packages. They live in the user's cache and not beside this file, so `import` by name would not find them.

import { join } from 'node:path';
import { createRequire } from 'node:module';

const require = createRequire(join(process.env.INTEROP_NODE_DEPS, 'package.json'));

export const { WebSocket, WebSocketServer } = require('ws');
export const { Server: SocketIoServer } = require('socket.io');
export const { io: socketIoClient } = require('socket.io-client');
export const playwright = require('playwright-core');
