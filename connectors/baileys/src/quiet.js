/**
 * Keeps what libraries write to the console out of the program's output.
 *
 * libsignal writes whole sessions there, private keys included, whenever it opens or closes one. Only its first words, which
 * say what it did, are logged.
 *
 * @param {import('pino').Logger} log
 */
export function quietConsole(log) {
  for (const name of /** @type {const} */ (['log', 'info', 'warn', 'error', 'debug'])) {
    console[name] = (/** @type {unknown[]} */ ...words) => {
      const [first] = words;
      if (typeof first === 'string') log.debug({ library: true }, first.slice(0, 200));
    };
  }
}
