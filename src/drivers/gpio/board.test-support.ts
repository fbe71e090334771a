/**
 * A board with a GPIO chip, and libgpiod's tools for it in a folder: programs that say what the real ones say, in the form
 * and with the texts and exit codes of 1.6.3 (Debian 12) or 2.2.1 (Debian 13). What they are asked, the board answers.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

const TOOLS = ['gpiomon', 'gpioget', 'gpioinfo', 'gpiodetect'];

/**
 * Hands its arguments to the board at this port, and does what that says, line by line. Each run of the driver starts many,
 * and a shell is there in a fiftieth of the time of a Node.
 */
const program = (port: number, tool: string): string => `#!/bin/bash
exec 3<>/dev/tcp/127.0.0.1/${port} || exit
IFS=$'\\t'
printf '%s\\n' "${tool}\${*:+$IFS$*}" >&3
while IFS= read -r line <&3; do
  case $line in
    out*) printf %b "\${line#out }" ;;
    err*) printf %b "\${line#err }" >&2 ;;
    exit*) exit "\${line#exit }" ;;
  esac
done
`;

interface Answer {
  readonly out?: string;
  readonly err?: string;
  readonly exit?: number;
}

interface Monitor {
  readonly socket: Socket;
  readonly offsets: readonly number[];
}

export interface BoardLine {
  readonly name?: string;
  level: boolean;
  /** Who else has it. */
  consumer?: string;
}

export class Board {
  readonly version: 1 | 2;
  readonly folder: string = mkdtempSync(path.join(tmpdir(), 'gpio-'));
  readonly lines: BoardLine[];
  readonly monitors: Set<Monitor> = new Set<Monitor>();
  /** Arguments of every run, in order. */
  readonly runs: string[] = [];
  /** 1.6 with a kernel before 5.7. */
  isRealtime = false;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server = createServer((socket) => this.#serve(socket));

  private constructor(version: 1 | 2, lines: BoardLine[]) {
    this.version = version;
    this.lines = lines;
  }

  static async start(version: 1 | 2, lines: BoardLine[]): Promise<Board> {
    const board = new Board(version, lines);
    await once(board.#server.listen(0, '127.0.0.1'), 'listening');
    const { port } = board.#server.address() as AddressInfo;
    for (const tool of TOOLS) writeFileSync(path.join(board.folder, tool), program(port, tool), { mode: 0o755 });
    return board;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
    rmSync(this.folder, { recursive: true });
  }

  set(offset: number, level: boolean): void {
    const line = this.lines[offset]!;
    if (line.level === level) return;
    line.level = level;
    for (const { socket, offsets } of this.monitors) {
      if (offsets.includes(offset)) answer(socket, { out: `${this.#edge(offset, level)}\n` });
    }
  }

  /** What the monitors print, whatever it is. */
  say(out: string): void {
    for (const { socket } of this.monitors) answer(socket, { out });
  }

  #edge(offset: number, level: boolean): string {
    const nanoseconds = this.isRealtime ? BigInt(Date.now()) * 1_000_000n : process.hrtime.bigint();
    const [seconds, rest] = [nanoseconds / 1_000_000_000n, nanoseconds % 1_000_000_000n];
    if (this.version === 1) return `${offset} ${level ? 1 : 0} ${seconds} ${rest}`;
    return `${offset} ${level ? 1 : 2} ${seconds}.${String(rest).padStart(9, '0')}`;
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket));
    socket.setEncoding('utf8').once('data', (text: string) => {
      const [tool = '', ...args] = text.trimEnd().split('\t');
      this.runs.push([tool, ...args].join(' '));
      if (args.includes('--version')) return answer(socket, { out: this.#versionText(tool), exit: 0 });
      if (tool === 'gpiodetect')
        return answer(socket, { out: `gpiochip0 [pinctrl-test] (${this.lines.length} lines)\n`, exit: 0 });
      const fault = this.#chipFault(tool, args);
      if (fault !== undefined) return answer(socket, { err: `${tool}: ${fault}\n`, exit: 1 });
      if (tool === 'gpioinfo') return answer(socket, { out: this.#infoText(), exit: 0 });
      const offsets = this.#offsetsOf(args);
      if (offsets.some((offset) => this.#holderOf(offset) !== undefined)) {
        return answer(socket, { err: `${tool}: ${this.#busyText(tool)}: Device or resource busy\n`, exit: 1 });
      }
      if (tool === 'gpioget') {
        const levels = offsets.map((offset) => (this.lines[offset]!.level ? '1' : '0'));
        return answer(socket, { out: `${levels.join(' ')}\n`, exit: 0 });
      }
      const monitor = { socket, offsets };
      this.monitors.add(monitor);
      socket.on('close', () => this.monitors.delete(monitor));
      if (args.includes('--banner')) answer(socket, { out: `Monitoring lines '${offsets.join("', '")}'...\n` });
    });
  }

  #versionText(tool: string): string {
    return `${tool} (libgpiod) v${this.version === 1 ? '1.6.3' : '2.2.1'}\nCopyright (C) 2017-2023 Bartosz Golaszewski\n`;
  }

  /** The chip is the one with the first place of what is no option. */
  #chipFault(tool: string, args: readonly string[]): string | undefined {
    const chip = this.version === 2 ? args[args.indexOf('-c') + 1] : args.find((one) => /^(gpiochip|\/|\d)/.test(one));
    if (chip === 'gpiochip0') return undefined;
    if (this.version === 2) return `cannot find GPIO chip character device '${chip}'`;
    const what = { gpioinfo: `looking up chip ${chip}`, gpioget: 'error reading GPIO values' }[tool];
    return `${what ?? 'error waiting for events'}: No such file or directory`;
  }

  #offsetsOf(args: readonly string[]): number[] {
    return args.slice(args.indexOf('gpiochip0') + 1).map(Number);
  }

  #holderOf(offset: number): string | undefined {
    const isWatched = [...this.monitors].some(({ offsets }) => offsets.includes(offset));
    return isWatched ? 'gpiomon' : this.lines[offset]!.consumer;
  }

  #busyText(tool: string): string {
    if (this.version === 2)
      return tool === 'gpioget' ? 'unable to request lines' : 'unable to request lines on chip /dev/gpiochip0';
    return tool === 'gpioget' ? 'error reading GPIO values' : 'error waiting for events';
  }

  #infoText(): string {
    const lines = this.lines.map(({ name }, offset) => {
      const holder = this.#holderOf(offset);
      const label = name === undefined ? 'unnamed' : `"${name}"`;
      if (this.version === 2) {
        const consumer = holder === undefined ? '' : ` consumer="${holder}"`;
        return `\tline ${String(offset).padStart(3)}:\t${label.padEnd(16)}\tinput${consumer}`;
      }
      const consumer = holder === undefined ? 'unused' : `"${holder}"`;
      const used = holder === undefined ? '' : '[used]';
      return `\tline ${String(offset).padStart(3)}: ${label.padStart(12)} ${consumer.padStart(12)}   input  active-high ${used}`;
    });
    return `gpiochip0 - ${lines.length} lines:\n${lines.join('\n')}\n`;
  }
}

function answer(socket: Socket, what: Answer): void {
  const lines = Object.entries(what).map(([kind, value]) => `${kind} ${escaped(String(value))}\n`);
  socket.write(lines.join(''));
}

/** As the shell's printf %b takes it. */
function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}
