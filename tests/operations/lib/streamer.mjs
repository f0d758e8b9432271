// A backend that sends large frames in small pieces, one right after the other: whoever is told to go is inside one. It also
// takes clients that only sit there.

import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { atEnd, listen } from '../../interop/lib/processes.mjs';

export const FRAME_BYTES = 32 * 1024;
const PIECES = 16;
const PIECE_EVERY_MS = 25;

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
/** Bytes that look like none of a Close's, and show where they stand. */
export const PAYLOAD = Buffer.from(Array.from({ length: FRAME_BYTES }, (_, index) => 0x20 + (index % 89)));

export class Streamer {
  #streams = new Set();

  static async start() {
    const streamer = new Streamer();
    const http = createServer((_, response) => response.writeHead(404).end());
    http.on('upgrade', (request, socket) => streamer.#meet(request, socket));
    const timer = setInterval(() => streamer.#streams.forEach((send) => send()), PIECE_EVERY_MS);
    atEnd(() => clearInterval(timer));
    streamer.port = await listen(http);
    return streamer;
  }

  #meet(request, socket) {
    const accept = createHash('sha1').update(request.headers['sec-websocket-key'] + GUID).digest('base64');
    socket.setNoDelay(true);
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    const send = request.url.startsWith('/stream/') ? pieces(socket) : undefined;
    if (send) this.#streams.add(send);
    // All that clients say here is a Close, and the gateway a ping: the former has its end as an answer, the latter none.
    socket.on('data', (bytes) => bytes[0] === 0x88 && socket.end());
    socket.on('error', () => {});
    socket.on('close', () => this.#streams.delete(send));
  }
}

/** Sends the next piece of a frame at each call, and begins another one right behind it. */
function pieces(socket) {
  const head = Buffer.from([0x82, 126, FRAME_BYTES >> 8, FRAME_BYTES & 0xff]);
  const whole = Buffer.concat([head, PAYLOAD]);
  const size = Math.ceil(whole.length / PIECES);
  let piece = 0;
  return () => {
    if (!socket.writable || socket.writableLength > whole.length) return;
    socket.write(whole.subarray(piece * size, (piece + 1) * size));
    piece = (piece + 1) % PIECES;
  };
}
