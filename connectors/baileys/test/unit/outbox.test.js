import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Outbox } from '../../src/engine/outbox.js';

const event = (/** @type {string} */ id) => ({ id, type: 'reading', data: { value: id } });

test('frames are sent at once and again in order until they are settled', async () => {
  const outbox = new Outbox();
  /** @type {string[]} */
  const sent = [];
  outbox.onFrame = (text) => sent.push(JSON.parse(text).id);
  const [first] = ['1', '2', '3'].map((id) => outbox.push(event(id)));
  assert.deepEqual(sent, ['1', '2', '3']);
  outbox.settle('1', { stored: true, position: 7 });
  assert.deepEqual(await first, { stored: true, position: 7 });
  assert.deepEqual(
    outbox.unsettled().map((text) => JSON.parse(text).id),
    ['2', '3'],
  );
});

test('a frame whose id is on its way is not taken twice', async () => {
  const outbox = new Outbox();
  const promises = [outbox.push(event('1')), outbox.push(event('1'))];
  assert.equal(outbox.size, 1);
  outbox.settle('1', { stored: false, code: 'template_violation', message: 'no' });
  assert.deepEqual(new Set((await Promise.all(promises)).map((settled) => settled.stored)), new Set([false]));
});

test('there is room while the link is up and few enough frames wait', async () => {
  const outbox = new Outbox({ framesMax: 2 });
  assert.equal(outbox.hasRoom, false);
  outbox.setOpen(true);
  assert.equal(outbox.hasRoom, true);
  for (const id of ['1', '2']) void outbox.push(event(id));
  assert.equal(outbox.hasRoom, false);
  const room = outbox.room();
  outbox.settle('1', { stored: true, position: 1 });
  await room;
  assert.equal(outbox.hasRoom, true);
});

test('bytes are bounded too', () => {
  const outbox = new Outbox({ bytesMax: 100 });
  outbox.setOpen(true);
  void outbox.push({ id: '1', type: 'reading', data: 'x'.repeat(100) });
  assert.equal(outbox.hasRoom, false);
});

test('whoever waits for room is let go when it is over', async () => {
  const over = new AbortController();
  const outbox = new Outbox();
  const waits = [outbox.room(over.signal), outbox.idle(over.signal)];
  over.abort();
  await Promise.all(waits);
});

test('an answer to a frame that is not known is passed over', () => {
  new Outbox().settle('?', { stored: true, position: 1 });
});
