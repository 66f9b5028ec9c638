/**
 * Runs the engine's own program for a test: in a folder of its own, on a port of its own, with SQLite.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class EngineBinary {
  key = '';
  url = new URL('http://127.0.0.1');
  #folder;
  #program;
  /** @type {import('node:child_process').ChildProcess | undefined} */
  #child;

  /**
   * @param {string} folder
   * @param {string} program
   */
  constructor(folder, program) {
    this.#folder = folder;
    this.#program = program;
  }

  /** Starts the program for the first time. */
  static async start() {
    const program = process.env.TRUNKLINE_BIN;
    if (!program) throw new Error('TRUNKLINE_BIN has to name the program `trunkline`');
    const engine = new EngineBinary(await mkdtemp(join(tmpdir(), 'trunkline-baileys-')), program);
    await engine.run();
    return engine;
  }

  /** Ends the program and removes its folder. */
  async stop() {
    await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** Starts the program, on the same port as before if it ran before. */
  async run() {
    const env = {
      PATH: process.env.PATH,
      PORT: this.url.port || '0',
      DATA_DIR: join(this.#folder, 'data'),
      LOG_LEVEL: 'warn',
    };
    const child = spawn(this.#program, ['serve'], { cwd: this.#folder, env, stdio: ['ignore', 'pipe', 'inherit'] });
    this.#child = child;
    const isFirst = !this.key;
    let text = '';
    for await (const chunk of /** @type {import('node:stream').Readable} */ (child.stdout)) {
      text += chunk;
      const url = /serves (http:\/\/\S+)/.exec(text)?.[1];
      const key = /\bak_\w+_[0-9a-f]{64}\b/.exec(text)?.[0];
      if (!url || (isFirst && !key)) continue;
      this.url = new URL(url);
      this.key ||= key ?? '';
      break;
    }
    if (!this.key) throw new Error(`the engine did not start: ${text}`);
  }

  /** Ends the program without a chance to say goodbye. */
  async kill() {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   */
  async ask(method, path, body) {
    const headers = {
      authorization: `Bearer ${this.key}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    };
    const answer = await fetch(new URL(path, this.url), {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await answer.text();
    return { status: answer.status, body: text ? JSON.parse(text) : undefined };
  }

  /**
   * The data of what is asked for, as soon as it is as wanted.
   *
   * @param {string} path
   * @param {(data: any) => any} isIt
   */
  async until(path, isIt) {
    for (;;) {
      const { body } = await this.ask('GET', path).catch(() => ({ body: undefined }));
      if (body?.data !== undefined && isIt(body.data)) return body.data;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
