// A client of our own that takes nothing on trust and can keep silent: it notes when the Close came, looks at every bit of
// every frame (RFC 6455 5), and answers only if it is told to. Clients from libraries answer by themselves.

import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { once } from 'node:events';

const CODES = new Set([1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014]);

export class StrictClient {
  /** `{ code, reason, at }` of the Close that came. */
  close = null;
  /** The first thing that was not as it must be. */
  problem = null;
  #unread = Buffer.alloc(0);

  /** `answers`: whether a Close gets an answer. `onMessage` gets whole binary messages. */
  constructor({ answers, onMessage = () => {} }) {
    Object.assign(this, { answers, onMessage });
  }

  /** Resolves when the 101 is there. */
  async open(port, path) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.setNoDelay(true);
    this.ended = once(this.socket, 'close');
    await once(this.socket, 'connect');
    this.socket.on('error', (error) => this.#wrong(error.code));
    this.socket.write(
      `GET ${path} HTTP/1.1\r\nHost: gateway.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n\r\n`,
    );
    return new Promise((resolve, reject) => {
      let head = Buffer.alloc(0);
      const read = (chunk) => {
        head = Buffer.concat([head, chunk]);
        const end = head.indexOf('\r\n\r\n');
        if (end < 0) return;
        this.socket.off('data', read);
        if (!head.toString('latin1').startsWith('HTTP/1.1 101 ')) return reject(new Error(head.toString('latin1', 0, end)));
        this.socket.on('data', (more) => this.#take(more));
        resolve();
        this.#take(head.subarray(end + 4));
      };
      this.socket.on('data', read);
      this.socket.once('close', () => reject(new Error('it ended before the 101')));
    });
  }

  #wrong(why) {
    this.problem ??= why;
  }

  #take(chunk) {
    const at = performance.now();
    let bytes = this.#unread.length > 0 ? Buffer.concat([this.#unread, chunk]) : chunk;
    for (let frame = read(bytes); frame; frame = read(bytes)) {
      bytes = bytes.subarray(frame.size);
      this.#judge(frame, at);
    }
    this.#unread = bytes;
  }

  /** Of what these servers say: whole binary messages, pings of the gateway's and one Close. */
  #judge({ first, masked, minimal, payload }, at) {
    if (this.close) return this.#wrong('something after the Close');
    if (masked) return this.#wrong('a masked frame');
    if (!minimal) return this.#wrong('a length that is not minimal');
    if (first === 0x82) return this.onMessage(payload);
    if (payload.length > 125) return this.#wrong('a control frame that is too long, or no frame at all');
    if (first === 0x89) return this.socket.write(frame(0x8a, payload));
    if (first !== 0x88) return this.#wrong(`a frame that begins with ${first.toString(16)}`);
    const code = payload.length >= 2 ? payload.readUInt16BE() : 0;
    if (!CODES.has(code) && !(code >= 3000 && code < 5000)) this.#wrong(`a Close with ${code}`);
    this.close = { code, reason: payload.toString('utf8', 2), at };
    if (this.answers) this.socket.write(frame(0x88, payload));
    return undefined;
  }

  /** The stream ended inside a frame. */
  get isCut() {
    return this.#unread.length > 0;
  }
}

/** The next whole frame, if it is there. */
function read(bytes) {
  if (bytes.length < 2) return undefined;
  const short = bytes[1] & 0x7f;
  const head = 2 + (short === 126 ? 2 : short === 127 ? 8 : 0);
  if (bytes.length < head) return undefined;
  const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  if (bytes.length < head + length) return undefined;
  const minimal = short < 126 || length > (short === 126 ? 125 : 0xffff);
  const payload = bytes.subarray(head, head + length);
  return { first: bytes[0], masked: (bytes[1] & 0x80) !== 0, minimal, payload, size: head + length };
}

/** A client's frame, of at most 125 bytes. */
function frame(first, payload) {
  const key = randomBytes(4);
  const masked = payload.map((byte, index) => byte ^ key[index % 4]);
  return Buffer.concat([Buffer.from([first, 0x80 | payload.length]), key, masked]);
}
