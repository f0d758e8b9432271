// jupyter-server with a Python kernel and a terminal, driven by the package that JupyterLab is made with.

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../../interop/lib/gateway.mjs';
import { WebSocket } from '../../interop/lib/packages.mjs';
import { atEnd, start } from '../../interop/lib/processes.mjs';
import { until } from '../../interop/lib/wait.mjs';
import { jupyter, jupyterPage } from '../lib/packages.mjs';
import { refusesOtherSites } from '../lib/refusals.mjs';

// The package tells of every step.
console.debug = () => {};

const TOKEN = 'a-token-for-one-run';

/** As a page opens it, and counted: the package tries again by itself, so nothing but that would show a failure. */
class PageSocket extends WebSocket {
  static opened = [];

  constructor(url, protocols) {
    super(url, protocols, { origin: `https://${new URL(url).host}` });
    PageSocket.opened.push(url);
  }

  static to = (id) => PageSocket.opened.filter((url) => url.includes(id)).length;
}

export async function run({ check, afterQuiet, startGateway, tmp, python }) {
  const port = await startJupyter(tmp, python);
  const gateway = await startGateway({ servers: { BACKEND: `ws://127.0.0.1:${port}` } });
  const serverSettings = jupyter.ServerConnection.makeSettings({
    baseUrl: gateway.https('/'),
    wsUrl: gateway.wss('/'),
    token: TOKEN,
    WebSocket: PageSocket,
    // Jupyter compares it with Host.
    init: { headers: { Origin: gateway.origin } },
  });

  await check('a file of 5 MB is saved and read', async () => {
    const contents = new jupyter.ContentsManager({ serverSettings });
    const content = 'a line of a file\n'.repeat(300_000);
    await contents.save('large.txt', { type: 'file', format: 'text', content });
    assert.equal((await contents.get('large.txt')).content, content);
  });

  const kernels = new jupyter.KernelManager({ serverSettings });
  // It starts while the other checks run.
  const slow = newKernel(kernels, 'slow');
  const kernel = await newKernel(kernels, 'python3');
  await check('a kernel runs code', async () => {
    assert.equal(await printed(kernel, 'for n in range(3): print(n, flush=True)'), '0\n1\n2\n');
    // Jupyter itself holds back what is more than a megabyte in a second.
    assert.equal((await printed(kernel, 'print("ü" * 400_000)')).length, 400_001);
  }, 90_000);
  await check('a kernel asks, and is answered', async () => {
    assert.equal(await printed(kernel, 'print(input("name? ")[::-1])', 'anna b'), 'b anna\n');
  });
  await check('an interrupt and an error come back', async () => {
    const future = kernel.requestExecute({ code: 'import time\ntime.sleep(60)' });
    await until('the kernel to be busy', () => kernel.status === 'busy');
    await kernel.interrupt();
    assert.equal((await future.done).content.ename, 'KeyboardInterrupt');
  });

  // What Jupyter's page would say.
  jupyterPage.PageConfig.setOption('terminalsAvailable', 'true');
  const terminals = new jupyter.TerminalManager({ serverSettings });
  const terminal = await terminals.startNew();
  atEnd(() => terminal.shutdown());
  await check('a terminal', () => calculates(terminal, 6, 7));
  await refusesOtherSites(check, gateway.wss(`/api/kernels/${kernel.id}/channels?token=${TOKEN}`));

  await check('a kernel that takes more than 10 s to start is connected at the first try', async () => {
    const late = await slow;
    assert.equal(await printed(late, 'print(1)'), '1\n');
    assert.equal(PageSocket.to(late.id), 1);
  }, 120_000);
  await check('a second window on the same kernel', async () => {
    const second = kernels.connectTo({ model: kernel.model });
    assert.equal(await printed(second, 'print(1)'), '1\n');
    second.dispose();
  });

  afterQuiet('a kernel and a terminal that were quiet go on', async () => {
    assert.equal(await printed(kernel, 'print(6 * 7)'), '42\n');
    await calculates(terminal, 7, 8);
    // The two windows' and the terminal's.
    assert.deepEqual([PageSocket.to(kernel.id), PageSocket.to(`terminals/websocket/${terminal.name}`)], [2, 1]);
  });
}

async function newKernel(kernels, name) {
  const kernel = await kernels.startNew({ name });
  atEnd(() => kernel.shutdown());
  return kernel;
}

async function startJupyter(tmp, python) {
  const [port] = await freePorts(1);
  const home = join(tmp, 'jupyter');
  const kernelDirectory = join(home, 'kernels/slow');
  mkdirSync(kernelDirectory, { recursive: true });
  const argv = ['sh', '-c', `sleep 12; exec ${python} -m ipykernel_launcher -f "$0"`, '{connection_file}'];
  writeFileSync(join(kernelDirectory, 'kernel.json'), JSON.stringify({ argv, display_name: 'slow', language: 'python' }));
  const args = ['ip=127.0.0.1', `port=${port}`, 'port_retries=0', `root_dir=${home}`, 'allow_root=True', 'allow_remote_access=True', 'open_browser=False'];
  const server = start(
    python,
    ['-m', 'jupyter_server', ...args.map((arg) => `--ServerApp.${arg}`), `--IdentityProvider.token=${TOKEN}`],
    // Nothing of the user's own Jupyter, and nothing left there.
    { env: { HOME: home, JUPYTER_CONFIG_DIR: home, JUPYTER_DATA_DIR: home, JUPYTER_RUNTIME_DIR: home, IPYTHONDIR: home } },
  );
  let ended;
  server.exited.then((how) => (ended = how));
  await until('Jupyter', async () => {
    if (ended !== undefined) throw new Error(`Jupyter ended (${ended}): ${server.output()}`);
    return fetch(`http://127.0.0.1:${port}/api`).then(({ ok }) => ok, () => false);
  }, 90_000);
  return port;
}

/** What the code has printed. `answer` is for what it asks. */
async function printed(kernel, code, answer) {
  let text = '';
  const future = kernel.requestExecute({ code, allow_stdin: answer !== undefined });
  future.onIOPub = ({ header, content }) => (text += header.msg_type === 'stream' ? content.text : '');
  future.onStdin = ({ header }) => kernel.sendInputReply({ status: 'ok', value: answer }, header);
  const { content } = await future.done;
  assert.equal(content.status, 'ok', JSON.stringify(content));
  return text;
}

/** The shell prints a product which stands nowhere in what it was told. */
async function calculates(terminal, a, b) {
  let text = '';
  const listen = (_, { type, content }) => (text += type === 'stdout' ? content.join('') : '');
  terminal.messageReceived.connect(listen);
  terminal.send({ type: 'stdin', content: [`echo product $((${a} * ${b}))\r`] });
  await until('the product', () => text.includes(`product ${a * b}`));
  terminal.messageReceived.disconnect(listen);
}
