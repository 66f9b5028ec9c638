/**
 * A world for one test: an engine, WhatsApp, and sessions of the connector between them. All end with the test.
 */

import pino from 'pino';
import { readConfig } from '../src/config.js';
import { EngineApi } from '../src/engine/api.js';
import { quietConsole } from '../src/quiet.js';
import { Session } from '../src/session.js';
import { FakeEngine } from './fake-engine.js';
import { FakeWhatsApp } from './fake-whatsapp/server.js';

export const DEVICE = 'dev_1';
export const NUMBER = '491510000001';
export const log = pino({ level: process.env.TEST_LOG ?? 'silent', base: undefined });
quietConsole(log);

/**
 * @param {import('node:test').TestContext} t
 * @param {{ settings?: any, env?: Record<string, string> }} [options]
 */
export async function world(t, { settings = {}, env = {} } = {}) {
  const whatsapp = new FakeWhatsApp();
  const engine = new FakeEngine();
  const engineUrl = await engine.start();
  engine.addDevice(DEVICE, settings);
  const config = readConfig({
    TRUNKLINE_URL: engineUrl.href,
    TRUNKLINE_API_KEY: 'ak_test',
    WHATSAPP_URL: await whatsapp.url(),
    ...env,
  });
  /** @type {Session[]} */
  const sessions = [];
  const connector = () => {
    const session = new Session({ device: DEVICE, settings, config, api: new EngineApi(config), log, baileysLog: log });
    sessions.push(session);
    void session.run();
    return session;
  };
  t.after(async () => {
    await Promise.all(sessions.map((session) => session.stop()));
    await whatsapp.stop();
    await engine.stop();
  });
  return { whatsapp, engine, config, connector };
}

/**
 * The same, with the device paired and connected.
 *
 * @param {import('node:test').TestContext} t
 * @param {{ settings?: any, env?: Record<string, string> }} [options]
 */
export async function pairedWorld(t, options) {
  const around = await world(t, options);
  const session = around.connector();
  const { qr } = await around.engine.state('pairing');
  const account = await around.whatsapp.scan(qr, NUMBER);
  await around.engine.state('connected');
  return { ...around, session, account };
}

/**
 * Waits for something to become true, one turn of the event loop at a time.
 *
 * @param {() => any} isIt
 */
export async function until(isIt) {
  for (;;) {
    const found = await isIt();
    if (found) return found;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
