/**
 * The server's side of WhatsApp's Noise handshake (XX, 25519, AES-GCM, SHA-256) and of the frames that follow it.
 *
 * The certificate is signed by a root of its own, which `trustRoot` puts where Baileys looks for WhatsApp's.
 */

import {
  Curve,
  NOISE_MODE,
  NOISE_WA_HEADER,
  WA_CERT_DETAILS,
  aesDecryptGCM,
  aesEncryptGCM,
  hkdf,
  proto,
  sha256,
} from 'baileys';

const EMPTY = Buffer.alloc(0);
const FRAME_HEADER = 3;

/** A root that Baileys of this process trusts from now on. */
export function trustRoot() {
  const root = Curve.generateKeyPair();
  WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(root.public);
  return root;
}

/**
 * A static key with its certificate.
 *
 * @param {ReturnType<typeof trustRoot>} root
 */
export function makeIdentity(root) {
  const intermediate = Curve.generateKeyPair();
  const leaf = Curve.generateKeyPair();
  const { Details } = proto.CertChain.NoiseCertificate;
  const middle = Details.encode({ serial: 1, issuerSerial: WA_CERT_DETAILS.SERIAL, key: intermediate.public }).finish();
  const last = Details.encode({ serial: 2, issuerSerial: 1, key: leaf.public }).finish();
  const certificate = proto.CertChain.encode({
    intermediate: { details: middle, signature: Curve.sign(root.private, middle) },
    leaf: { details: last, signature: Curve.sign(intermediate.private, last) },
  }).finish();
  return { key: leaf, certificate };
}

/** One connection: bytes in, frames out. */
export class ServerNoise {
  #identity;
  #ephemeral = Curve.generateKeyPair();
  /** @type {Buffer} */
  #hash = Buffer.from(NOISE_MODE);
  /** @type {Buffer} */
  #salt = this.#hash;
  /** @type {Buffer} */
  #key = this.#hash;
  #counter = 0;
  /** @type {{ send: Buffer, receive: Buffer, sent: number, received: number } | undefined} */
  #transport;
  /** @type {Buffer} */
  #bytes = EMPTY;
  #sawHeader = false;

  /** @param {ReturnType<typeof makeIdentity>} identity */
  constructor(identity) {
    this.#identity = identity;
    this.#authenticate(NOISE_WA_HEADER);
  }

  /**
   * The frames that are complete with these bytes.
   *
   * @param {Buffer} bytes
   */
  frames(bytes) {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    if (!this.#sawHeader) this.#dropHeader();
    const frames = [];
    while (this.#bytes.length >= FRAME_HEADER) {
      const size = this.#bytes.readUIntBE(0, FRAME_HEADER);
      if (this.#bytes.length < FRAME_HEADER + size) break;
      const frame = this.#bytes.subarray(FRAME_HEADER, FRAME_HEADER + size);
      this.#bytes = this.#bytes.subarray(FRAME_HEADER + size);
      frames.push(this.#transport ? this.#open(frame) : frame);
    }
    return frames;
  }

  /**
   * Answers the first frame.
   *
   * @param {Uint8Array} frame
   */
  hello(frame) {
    const client = proto.HandshakeMessage.decode(frame).clientHello?.ephemeral ?? EMPTY;
    this.#authenticate(client);
    this.#authenticate(this.#ephemeral.public);
    this.#mix(Curve.sharedKey(this.#ephemeral.private, client));
    const fixed = this.#encrypt(this.#identity.key.public);
    this.#mix(Curve.sharedKey(this.#identity.key.private, client));
    const payload = this.#encrypt(this.#identity.certificate);
    return wrap(
      proto.HandshakeMessage.encode({
        serverHello: { ephemeral: this.#ephemeral.public, static: fixed, payload },
      }).finish(),
    );
  }

  /**
   * Takes the second frame: who the client is.
   *
   * @param {Uint8Array} frame
   */
  finish(frame) {
    const { clientFinish } = proto.HandshakeMessage.decode(frame);
    const client = this.#decrypt(clientFinish?.static ?? EMPTY);
    this.#mix(Curve.sharedKey(this.#ephemeral.private, client));
    const payload = proto.ClientPayload.decode(this.#decrypt(clientFinish?.payload ?? EMPTY));
    const [receive, send] = this.#expand(EMPTY);
    this.#transport = { send, receive, sent: 0, received: 0 };
    return payload;
  }

  /**
   * A frame to send.
   *
   * @param {Uint8Array} data
   */
  seal(data) {
    if (!this.#transport) throw new Error('the handshake is not done');
    return wrap(aesEncryptGCM(data, this.#transport.send, iv(this.#transport.sent++), EMPTY));
  }

  /** @param {Uint8Array} frame */
  #open(frame) {
    if (!this.#transport) throw new Error('the handshake is not done');
    return aesDecryptGCM(frame, this.#transport.receive, iv(this.#transport.received++), EMPTY);
  }

  /** The header, with routing information before it if the client was given some. */
  #dropHeader() {
    const routing = this.#bytes.subarray(0, 2).toString() === 'ED' ? 7 + this.#bytes.readUIntBE(4, 3) : 0;
    this.#bytes = this.#bytes.subarray(routing + NOISE_WA_HEADER.length);
    this.#sawHeader = true;
  }

  /** @param {Uint8Array} data */
  #authenticate(data) {
    this.#hash = sha256(Buffer.concat([this.#hash, data]));
  }

  /** @param {Uint8Array} data */
  #encrypt(data) {
    const sealed = aesEncryptGCM(data, this.#key, iv(this.#counter++), this.#hash);
    this.#authenticate(sealed);
    return sealed;
  }

  /** @param {Uint8Array} data */
  #decrypt(data) {
    const opened = aesDecryptGCM(data, this.#key, iv(this.#counter++), this.#hash);
    this.#authenticate(data);
    return opened;
  }

  /** @param {Uint8Array} data */
  #mix(data) {
    [this.#salt, this.#key] = this.#expand(data);
    this.#counter = 0;
  }

  /**
   * @param {Uint8Array} data
   * @returns {[Buffer, Buffer]}
   */
  #expand(data) {
    const key = Buffer.from(hkdf(Buffer.from(data), 64, { salt: this.#salt, info: '' }));
    return [key.subarray(0, 32), key.subarray(32)];
  }
}

/** @param {number} counter */
function iv(counter) {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32BE(counter, 8);
  return bytes;
}

/** @param {Uint8Array} data */
function wrap(data) {
  const header = Buffer.alloc(FRAME_HEADER);
  header.writeUIntBE(data.length, 0, FRAME_HEADER);
  return Buffer.concat([header, data]);
}
