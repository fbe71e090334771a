/** When the one who has asked goes away, for answers that take their time. */
import type { ServerResponse } from 'node:http';
import type { FastifyRequest } from 'fastify';

/**
 * Aborted when the client's connection is closed. The response itself does not tell it in time: one that waits behind
 * another on the same connection has no socket yet, and what is written to it is then never answered.
 */
export function clientGone(request: FastifyRequest, response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  const leave = (): void => controller.abort();
  const { socket } = request.raw;
  if (socket.destroyed) leave();
  else {
    socket.once('close', leave);
    response.once('close', () => socket.off('close', leave));
  }
  return controller.signal;
}
