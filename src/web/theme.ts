/** Light, dark, or as the system is set; remembered in this browser. */
import { type Signal, signal } from '@preact/signals';

export type ThemeChoice = 'system' | 'light' | 'dark';
const CHOICES: readonly ThemeChoice[] = ['system', 'light', 'dark'];
const STORAGE_KEY = 'millwright.theme';

export class Theme {
  readonly choice: Signal<ThemeChoice> = signal('system');
  /** Counts every change of the colours in force, the system's own included: what is painted on a canvas follows it. */
  readonly changes: Signal<number> = signal(0);

  start(): void {
    const stored = CHOICES.find((choice) => choice === readStored());
    this.choice.value = stored ?? 'system';
    this.#apply();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.changes.value++);
  }

  /** system, light, dark, and round again. */
  next(): void {
    this.choice.value = CHOICES[(CHOICES.indexOf(this.choice.value) + 1) % CHOICES.length] ?? 'system';
    try {
      localStorage.setItem(STORAGE_KEY, this.choice.value);
    } catch {
      // A browser that keeps nothing shows the choice until the page is closed.
    }
    this.#apply();
  }

  #apply(): void {
    const { choice } = this;
    if (choice.value === 'system') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = choice.value;
    this.changes.value++;
  }
}

function readStored(): string | null {
  try {
    return localStorage.getItem(STORAGE_KEY);
  } catch {
    return null;
  }
}
