/** For tests: waiting for a condition, never for a time. */
/** Looks often at first; what takes long is looked at seldom, or the looking would take the processor from what is awaited. */
const POLL_MS = { first: 2, part: 0.05, max: 50 } as const;
/** Generous, since a test never waits longer than the condition takes. */
const WAIT_MS_MAX = 60_000;

/** Resolves when the condition holds; rejects when it does not come to that. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const limit = AbortSignal.timeout(WAIT_MS_MAX);
  const startedMs = performance.now();
  while (!(await condition())) {
    limit.throwIfAborted();
    const pauseMs = Math.max(POLL_MS.first, (performance.now() - startedMs) * POLL_MS.part);
    await new Promise((resolve) => setTimeout(resolve, Math.min(pauseMs, POLL_MS.max)));
  }
}
