// The npm packages that ../../interop/lib/packages.mjs has not. They too live in the user's cache, see there.

import { join } from 'node:path';
import { createRequire } from 'node:module';

const directory = process.env.INTEROP_NODE_DEPS;
const require = createRequire(join(directory, 'package.json'));

export const signalR = require('@microsoft/signalr');
export const sockjs = require('sockjs');
export const SockJs = require('sockjs-client');
export const graphql = require('graphql');
export const graphqlServer = require('graphql-ws/use/ws');
export const graphqlClient = require('graphql-ws');
export const jupyter = require('@jupyterlab/services');
export const jupyterPage = require('@jupyterlab/coreutils');
export const noVncDirectory = join(directory, 'node_modules/@novnc/novnc');
