// The official openai SDK for Node through gpt-load: what it got, and what the provider saw.
'use strict';

const assert = require('node:assert/strict');
const { createHash, randomBytes } = require('node:crypto');
const { test } = require('node:test');

const OpenAI = require('openai');
const { TOKEN, eventually, start } = require('./house.js');

const HELLO = { model: 'mock-model', messages: [{ role: 'user', content: 'Grüße, 你好' }] };
const client = (house, options) => new OpenAI({ baseURL: `${house.url}/v1`, apiKey: TOKEN, ...options });

test('a chat', async () => {
  const house = await start();
  const answer = await client(house).chat.completions.create({ ...HELLO, max_tokens: 5 });
  assert.equal(answer.choices[0].message.content, 'Hello from the mock provider');
  const [seen, ...more] = await house.seen();
  assert.equal(more.length, 0);
  assert.equal(seen.key, house.keys[0]);
  assert.ok(!JSON.stringify(seen).includes(TOKEN));
  assert.equal((await house.ended(1)).success_count, 1);
});

test('a stream comes in pieces', async () => {
  const house = await start();
  const pieces = [];
  for await (const chunk of await client(house).chat.completions.create({ ...HELLO, stream: true, max_tokens: 20 })) {
    const piece = chunk.choices[0].delta.content;
    if (piece) pieces.push(piece);
  }
  assert.equal(pieces.length, 20);
  assert.ok((await house.seen())[0].finished);
});

test('many at once share the keys evenly', async () => {
  const house = await start(5);
  const openai = client(house);
  await Promise.all(Array.from({ length: 20 }, () => openai.chat.completions.create(HELLO)));
  const keys = (await house.seen()).map((seen) => seen.key);
  for (const key of house.keys) assert.equal(keys.filter((other) => other === key).length, 4);
});

test('embeddings and models', async () => {
  const house = await start();
  const openai = client(house);
  const answer = await openai.embeddings.create({ model: 'mock-model', input: ['a', 'b', 'c'], dimensions: 4 });
  assert.deepEqual(answer.data[2].embedding, [2, 3, 4, 5].map((value) => value / 256));
  const models = [];
  for await (const model of openai.models.list()) models.push(model.id);
  assert.ok(models.length > 0);
});

test('a file of 20 MB arrives byte for byte', async () => {
  const house = await start();
  const content = randomBytes(20 * 1024 * 1024);
  const file = await OpenAI.toFile(content, 'big.bin');
  const answer = await client(house).files.create({ file, purpose: 'user_data' });
  assert.equal(answer.sha256, createHash('sha256').update(content).digest('hex'));
  const [seen] = await house.seen();
  assert.equal(seen.body_sha256, answer.body_sha256);
  assert.ok(seen.body_length > content.length);
});

test('the Responses API streams', async () => {
  const house = await start();
  const stream = client(house).responses.stream({ model: 'mock-model', input: 'Hi', max_output_tokens: 5 });
  const answer = await stream.finalResponse();
  assert.equal(answer.output_text, 'Hello from the mock provider');
  assert.equal((await house.seen()).length, 1);
});

test('errors keep their class and blame no key', async () => {
  const house = await start();
  const openai = client(house);
  for (const [status, error] of [
    [400, OpenAI.BadRequestError],
    [404, OpenAI.NotFoundError],
    [422, OpenAI.UnprocessableEntityError],
  ]) {
    await assert.rejects(openai.chat.completions.create({ ...HELLO, mock: { play: `fails ${status}` } }), error);
  }
  assert.equal((await house.seen()).length, 3);
  await assert.rejects(client(house, { apiKey: 'wrong' }).models.list(), OpenAI.AuthenticationError);
  assert.equal((await house.seen()).length, 3);
  assert.deepEqual(await house.blacklist(), []);
});

test('a revoked key is healed invisibly', async () => {
  const house = await start(2);
  await house.play(house.keys[0], 'revoked');
  const openai = client(house, { maxRetries: 0 });
  for (let request = 0; request < 4; request++) await openai.chat.completions.create(HELLO);
  assert.deepEqual((await house.seen()).map((seen) => seen.status), [401, 200, 200, 200, 200]);
  const [entry] = await house.blacklist();
  assert.ok(entry.permanent);
});

test('a failing upstream is retried by us and not by the SDK on top', async () => {
  const house = await start(6);
  const failing = client(house).chat.completions.create({ ...HELLO, mock: { play: 'fails 500' } });
  await assert.rejects(failing, OpenAI.InternalServerError);
  assert.equal((await house.seen()).length, 4);
  assert.equal((await house.ended(1)).failures.upstream_fault, 1);
});

test('a stream that dies does not look whole', async () => {
  const house = await start();
  const openai = client(house);
  const got = [];
  const dying = { mock: { play: 'dying 6' } };
  await assert.rejects(async () => {
    for await (const chunk of await openai.chat.completions.create({ ...HELLO, ...dying, stream: true, max_tokens: 50 })) {
      got.push(chunk);
    }
  }, OpenAI.APIError);
  assert.equal(got.length, 6);
  const ask = { model: 'mock-model', input: 'Hi', max_output_tokens: 50, ...dying };
  const events = [];
  await assert.rejects(async () => {
    for await (const event of await openai.responses.create({ ...ask, stream: true })) events.push(event.type);
  }, OpenAI.APIError);
  assert.equal(events.at(-1), 'response.output_text.delta');
  await assert.rejects(openai.responses.stream(ask).finalResponse(), OpenAI.APIError);
  assert.equal((await house.ended(3)).failures.broken_answer, 3);
  assert.deepEqual(await house.blacklist(), []);
});

test('a time-out and an abort end the upstream request and blame no key', async () => {
  const house = await start();
  const impatient = client(house, { timeout: 300, maxRetries: 0 });
  await assert.rejects(
    impatient.chat.completions.create({ ...HELLO, mock: { play: 'stall' } }),
    OpenAI.APIConnectionTimeoutError,
  );
  const stream = await client(house).chat.completions.create({
    ...HELLO,
    stream: true,
    max_tokens: 100_000,
    mock: { pace: '5ms' },
  });
  const chunks = stream[Symbol.asyncIterator]();
  await chunks.next();
  stream.controller.abort();
  await eventually(async () => (await house.seen()).every((seen) => seen.hung_up), 'the provider sees both hang-ups');
  assert.equal((await house.seen()).length, 2);
  assert.equal((await house.ended(2)).failures.client_gone, 2);
  assert.deepEqual(await house.blacklist(), []);
});
