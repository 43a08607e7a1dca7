// The house for the SDK tests: a mock provider, and for each test a gpt-load of its own in front.
'use strict';

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, afterEach } = require('node:test');

// Node 18 has it, but not where the SDK looks for it.
globalThis.File ??= require('node:buffer').File;

const TOKEN = 'token-of-the-clients';
const PATIENCE_MS = 15_000;

async function eventually(condition, what) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await condition();
    if (found) return found;
    assert.ok(Date.now() < deadline, `never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

// Starts a server and waits until it has printed where it listens.
async function serve(command, address, env) {
  const child = spawn(command, [], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.on('exit', resolve));
  let log = '';
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (text) => (log += text));
  const found = await eventually(() => address.exec(log), `${command} listens`);
  const url = `http://${found[1]}`;
  const json = async (method, target, body) => {
    const answer = await fetch(url + target, {
      method,
      headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
      body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    return text ? JSON.parse(text) : null;
  };
  const stop = () => {
    child.kill('SIGTERM');
    return ended;
  };
  return { url, json, stop, log: () => log };
}

let provider;
const running = [];

// A gpt-load with so many keys, and the mock provider behind it.
async function start(keys = 3, settings = {}) {
  provider ??= await serve(process.env.MOCK_PROVIDER, /listening on http:\/\/(\S+)/, {});
  await provider.json('POST', '/_mock/play', { unknown: 'valid' });
  await provider.json('POST', '/_mock/reset');
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'gpt-load-node-'));
  const names = Array.from({ length: keys }, (_, number) => `sk-node-${number}-${path.basename(directory)}-secret`);
  fs.writeFileSync(path.join(directory, 'keys.txt'), names.join('\n'));
  const proxy = await serve(process.env.GPT_LOAD, /"gpt-load is serving".*"address":"([^"]+)"/, {
    HOST: '127.0.0.1',
    PORT: '0',
    KEYS_FILE: path.join(directory, 'keys.txt'),
    OPENAI_BASE_URL: provider.url,
    AUTH_KEY: TOKEN,
    LOG_FORMAT: 'json',
    LOG_LEVEL: 'debug',
    ...settings,
  });
  running.push({ proxy, directory, names });
  return {
    url: proxy.url,
    keys: names,
    play: (key, play) => provider.json('POST', '/_mock/play', { key, play }),
    seen: async () => (await provider.json('GET', '/_mock/seen')).exchanges,
    blacklist: async () => (await proxy.json('GET', '/blacklist')).blacklisted_keys,
    // The figures once that many requests have ended.
    ended: (requests) =>
      eventually(async () => {
        const stats = (await proxy.json('GET', '/stats')).requests;
        return stats.total_count === requests && stats;
      }, `${requests} requests end`),
  };
}

// After each test gpt-load must drain well, and its log must not tell a secret.
afterEach(async () => {
  for (const { proxy, directory, names } of running.splice(0)) {
    assert.equal(await proxy.stop(), 0, proxy.log());
    for (const secret of [TOKEN, ...names]) assert.ok(!proxy.log().includes(secret));
    fs.rmSync(directory, { recursive: true });
  }
});
after(() => provider?.stop());

module.exports = { TOKEN, eventually, start };
