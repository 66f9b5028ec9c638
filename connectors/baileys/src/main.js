#!/usr/bin/env node
/**
 * Starts the connector and ends it in good order on SIGINT or SIGTERM.
 */

import pino from 'pino';
import { readConfig } from './config.js';
import { EngineApi } from './engine/api.js';
import { Fleet } from './fleet.js';
import { quietConsole } from './quiet.js';

let config;
try {
  config = readConfig(process.env);
} catch (error) {
  process.stderr.write(`${/** @type {Error} */ (error).message}\n`);
  process.exit(2);
}
const log = pino({ level: config.logLevel, base: undefined });
const baileysLog = pino({ level: config.baileysLogLevel, base: undefined });
quietConsole(log);
const fleet = new Fleet({ config, api: new EngineApi(config), log, baileysLog });

// A promise that Baileys forgot must not end the sessions that have nothing to do with it.
process.on('unhandledRejection', (error) => log.error({ err: error }, 'something failed and nobody took notice'));

let isStopping = false;
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    if (isStopping) process.exit(1);
    isStopping = true;
    log.info({ signal }, 'stopping');
    void fleet.stop().then(() => process.exit(0));
  });
}
log.info({ engine: config.engineUrl.origin }, 'started');
await fleet.run();
