/** Files with which something is wrong: each is a problem of the source as long as it is. */
import type { DriverContext } from '../../ports/driver.ts';
import { nameOf } from './reader.ts';

export class Troubles {
  readonly #context: DriverContext;
  readonly #paths = new Set<string>();

  constructor(context: DriverContext) {
    this.#context = context;
  }

  has(path: string): boolean {
    return this.#paths.has(path);
  }

  begin(path: string, what: string): void {
    this.#paths.add(path);
    this.#context.problem(nameOf(path), what);
  }

  end(path: string): void {
    if (this.#paths.delete(path)) this.#context.problem(nameOf(path), null);
  }

  /** Nothing is wrong any more with files that are not there. */
  endAllBut(found: ReadonlySet<string>): void {
    for (const path of this.#paths) if (!found.has(path)) this.end(path);
  }
}
