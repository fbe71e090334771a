/** What stands between an edge and a Modbus server in a test, and counts: connections, and answers by unit. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** Transaction, protocol, length of what follows; the unit is the first byte of that. */
const HEADER_BYTES = 6;

export class ModbusProxy {
  connections = 0;
  /** Whole answers that were passed on, by unit. */
  readonly answers: Map<number, number> = new Map();
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(targetPort: number) {
    this.#server = createServer((edge) => this.#join(edge, connect(targetPort, '127.0.0.1')));
  }

  /** @returns the port */
  async open(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #join(edge: Socket, device: Socket): void {
    this.connections += 1;
    let rest = Buffer.alloc(0);
    device.on('data', (chunk: Buffer) => {
      edge.write(chunk);
      rest = this.#count(Buffer.concat([rest, chunk]));
    });
    edge.pipe(device);
    for (const socket of [edge, device]) {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        edge.destroy();
        device.destroy();
        this.#sockets.delete(socket);
      });
    }
  }

  /** @returns what is not a whole answer yet */
  #count(bytes: Buffer<ArrayBuffer>): Buffer<ArrayBuffer> {
    let at = 0;
    while (bytes.length - at > HEADER_BYTES) {
      const end = at + HEADER_BYTES + bytes.readUInt16BE(at + 4);
      if (bytes.length < end) break;
      const unit = bytes[at + HEADER_BYTES] ?? 0;
      this.answers.set(unit, (this.answers.get(unit) ?? 0) + 1);
      at = end;
    }
    return bytes.subarray(at);
  }
}
