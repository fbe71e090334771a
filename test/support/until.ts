/** For tests: waiting for a condition, never for a time. */
const POLL_MS = 2;
/** Generous, since a test never waits longer than the condition takes. */
const WAIT_MS_MAX = 20_000;

/** Resolves when the condition holds; rejects when it does not come to that. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const limit = AbortSignal.timeout(WAIT_MS_MAX);
  while (!(await condition())) {
    limit.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
