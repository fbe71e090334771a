/**
 * What stands in the subject to which a delivery is acknowledged (nats-server, ADR-15):
 * `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.<time>.<pending>`, and in the newer form
 * `$JS.ACK.<domain>.<account>.<stream>.<consumer>.<deliveries>…<pending>[.<random>]`.
 */
export interface Delivered {
  /** The message's number in the stream. */
  readonly sequence: number;
  /** Not delivered to anybody before, by this consumer. */
  readonly isFirst: boolean;
}

const OLD_FORM_TOKENS = 9;
const NEW_FORM_TOKENS_MIN = 11;
const DOT = 0x2e;
const ZERO = 0x30;

export class AckSubjects {
  /** Up to the number of deliveries: the same for all messages of a consumer. */
  #prefix = '';

  /** Undefined for any other subject. */
  parse(subject: string): Delivered | undefined {
    if (this.#prefix === '' || !subject.startsWith(this.#prefix)) {
      const tokens = subject.split('.');
      if (tokens.length < OLD_FORM_TOKENS || tokens[0] !== '$JS' || tokens[1] !== 'ACK') return undefined;
      if (tokens.length > OLD_FORM_TOKENS && tokens.length < NEW_FORM_TOKENS_MIN) return undefined;
      this.#prefix = `${tokens.slice(0, tokens.length === OLD_FORM_TOKENS ? 4 : 6).join('.')}.`;
    }
    const start = this.#prefix.length;
    const sequenceAt = subject.indexOf('.', start) + 1;
    let sequence = 0;
    for (let index = sequenceAt; subject.charCodeAt(index) !== DOT; index += 1) {
      const digit = subject.charCodeAt(index) - ZERO;
      if (!(digit >= 0 && digit <= 9)) return undefined;
      sequence = sequence * 10 + digit;
    }
    return { sequence, isFirst: sequenceAt - start === 2 && subject.charCodeAt(start) === ZERO + 1 };
  }
}
