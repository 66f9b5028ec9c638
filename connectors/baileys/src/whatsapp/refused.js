/** A command that cannot be carried out, in the words that the engine passes on to whoever asked for it. */
export class Refused extends Error {
  /**
   * @param {string} code
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/**
 * Whatever was thrown, as a code and a sentence.
 *
 * @param {any} error
 * @returns {{ code: string, message: string }}
 */
export function refusalOf(error) {
  if (error instanceof Refused) return { code: error.code, message: error.message };
  // Baileys' errors carry WhatsApp's number: of the stanza in `data`, of their own in `output`.
  const number = typeof error?.data === 'number' ? error.data : error?.output?.statusCode;
  const message = String(error?.message ?? error);
  return { code: number ? `whatsapp_${number}` : 'failed', message };
}
