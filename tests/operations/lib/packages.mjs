// The npm package. It lives in the user's cache and not beside this file, so `import` by name would not find it.

import { join } from 'node:path';
import { createRequire } from 'node:module';

const require = createRequire(join(process.env.INTEROP_NODE_DEPS, 'package.json'));

export const { WebSocket, WebSocketServer } = require('ws');
