/**
 * Remembers a bounded number of things, and forgets the one that was not used for longest.
 *
 * @template K, V
 */
export class Recent {
  /** @type {Map<K, V>} */
  #entries = new Map();
  #max;

  /** @param {number} max */
  constructor(max) {
    this.#max = max;
  }

  /** @param {K} key */
  has(key) {
    return this.#entries.has(key);
  }

  /**
   * @param {K} key
   * @returns {V | undefined}
   */
  get(key) {
    const value = this.#entries.get(key);
    if (value !== undefined) {
      this.#entries.delete(key);
      this.#entries.set(key, value);
    }
    return value;
  }

  /**
   * @param {K} key
   * @param {V} value
   */
  set(key, value) {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size > this.#max) {
      const [oldest] = this.#entries.keys();
      this.#entries.delete(oldest);
    }
  }

  /** @param {K} key */
  delete(key) {
    this.#entries.delete(key);
  }

  /** Keys, the one used last at the end. */
  keys() {
    return [...this.#entries.keys()];
  }
}
