/**
 * An optional ability of a driver or a sink, for `millwright check --live`: to say whether it would work, and change
 * nothing. A driver without it is checked by running it until its first reading; so one has it for which that would
 * change something, here or there: a file that is moved, a client that pushes the running edge's own out.
 */
export interface Checkable {
  /**
   * Reaches the other end and reads once, or asks whether it would take readings; then lets go of it.
   *
   * @returns what was found, as a sentence for a person
   * @throws MillwrightError that says what does not work, where, and what to do
   */
  check(signal: AbortSignal): Promise<string>;
}

export function isCheckable(part: object): part is Checkable {
  return 'check' in part;
}
