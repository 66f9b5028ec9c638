// Starts the Bot API of the tests on a free port, says which, and ends with its standard input.
'use strict';

const net = require('node:net');
const TelegramServer = require('telegram-test-api');

/** Asks the system for a free port: the library takes 0 for its default. */
function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

async function main() {
  const port = await freePort();
  const server = new TelegramServer({ port, host: '127.0.0.1' });
  await server.start();
  process.stdout.write(`${port}\n`);
  process.stdin.resume();
  process.stdin.once('end', () => process.exit(0));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
