/**
 * Decides how long to wait before something is tried again.
 *
 * Waits grow by doubling and are spread at random, so that many sessions that fail together do not come back together.
 */

export class Backoff {
  #attempts = 0;
  #firstMs;
  #maxMs;
  #random;

  /**
   * @param {{ firstMs: number, maxMs: number, random?: () => number }} options
   */
  constructor({ firstMs, maxMs, random = Math.random }) {
    this.#firstMs = firstMs;
    this.#maxMs = maxMs;
    this.#random = random;
  }

  /** The next wait in milliseconds: between half of the present bound and all of it. */
  next() {
    const bound = Math.min(this.#maxMs, this.#firstMs * 2 ** Math.min(this.#attempts, 30));
    this.#attempts += 1;
    return bound / 2 + (this.#random() * bound) / 2;
  }

  /** Starts again with the first wait: what was tried has worked. */
  reset() {
    this.#attempts = 0;
  }
}

/**
 * Waits, unless the signal says that it is over; then it returns at once.
 *
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
  });
}
