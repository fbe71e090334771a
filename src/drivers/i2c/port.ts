/** What carries bytes to a chip and back. Opened by `i2ctransfer-port.ts`; tests have a bus in memory. */

export type Message = { readonly write: readonly number[] } | { readonly read: number };

/** Messages of one transfer: what the kernel takes at once (I2C_RDWR_IOCTL_MAX_MSGS). */
export const MESSAGES_MAX = 42;

export interface I2cPort {
  /**
   * One transfer, its messages joined by repeated starts: nobody else gets between them.
   *
   * @returns the bytes of each message that reads
   * @throws connection_failed: not acknowledged, or the bus is stuck, or there is no such bus; config_invalid where trying
   *   again does not help; protocol_violation
   */
  transfer(address: number, messages: readonly Message[], signal: AbortSignal): Promise<readonly Buffer[]>;
}
