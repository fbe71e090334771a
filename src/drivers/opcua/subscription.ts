/**
 * Owns the one subscription of a run: makes it, asks for its messages and acknowledges them, and has nodes monitored in it.
 * What a message says goes on to its {@link Hearer}; what ends the subscription ends the run. Loads the library.
 *
 * Subscription and publishing are asked for by the plain services, not by the library's own engine for them: that one hides
 * lost answers, and makes subscriptions and sessions anew by itself.
 */
import {
  AttributeIds,
  DataChangeNotification,
  type DataValue,
  MonitoringMode,
  PublishRequest,
  type PublishResponse,
  StatusChangeNotification,
  TimestampsToReturn,
} from 'node-opcua';
import { closed, statusOf, statusText } from './faults.ts';
import type { Run } from './run.ts';
import { raw } from './services.ts';

/** How often a subscription is to give a sign of life when nothing changes, and the server's own time to be told. */
export const SIGN_MS = 5_000;
/** So many signs may be missing. */
const SIGNS_MISSING_MAX = 2;
/** Requests for messages that wait at the server, so that one is there while another is answered. */
const PUBLISH_REQUESTS = 2;
/** Nodes in one request; some servers take no more. */
const ITEMS_PER_REQUEST = 100;

export interface Change {
  /** As it was given to {@link Subscription.monitor}. */
  readonly clientHandle: number;
  readonly value: DataValue;
}

export interface Hearer {
  /** A message has come, perhaps an empty one. */
  heard(): void;
  /** What one message says. Called for one message after the other, in their order; a rejection ends the run. */
  changed(changes: readonly Change[], gatewayMicros: number): Promise<void>;
}

export interface MonitorRequest {
  readonly nodeId: string;
  readonly handle: number;
  readonly samplingIntervalMs: number;
  readonly queueSize: number;
}

/** The server's number for what it monitors, or why it does not. */
export type Monitored = { readonly id: number } | { readonly fault: string };

export class Subscription {
  readonly #run: Run;
  #id = 0;
  #acknowledgements: { subscriptionId: number; sequenceNumber: number }[] = [];
  #publishing = 0;
  /** Messages are dealt with one after the other, also where the type of a structure has to be asked for. */
  #taking: Promise<void> = Promise.resolve();
  /** Between two signs of life of the subscription, at most, in milliseconds. */
  signMs = 0;
  /** It is frozen when it has told nothing for longer; in milliseconds. */
  silenceMsMax = 0;
  /** The same of the server's time. */
  timeSilenceMsMax = 0;

  constructor(run: Run) {
    this.#run = run;
  }

  /** From then on its messages are heard, until the run is over. @throws what the library throws */
  async open(hearer: Hearer): Promise<void> {
    const { publishingIntervalMs, sessionTimeoutMs } = this.#run.options;
    const keepAliveCount = Math.max(1, Math.round(SIGN_MS / publishingIntervalMs));
    const answer = await raw(this.#run.connection.session).createSubscription({
      requestedPublishingInterval: publishingIntervalMs,
      requestedMaxKeepAliveCount: keepAliveCount,
      // As long as the session: what is left of a killed edge goes at once.
      requestedLifetimeCount: Math.max(3 * keepAliveCount, Math.round(sessionTimeoutMs / publishingIntervalMs)),
      maxNotificationsPerPublish: 0,
      // Left out it would mean false.
      publishingEnabled: true,
      priority: 0,
    });
    this.#id = answer.subscriptionId;
    const { revisedPublishingInterval, revisedMaxKeepAliveCount } = answer;
    this.signMs = revisedPublishingInterval * revisedMaxKeepAliveCount;
    const allowed = SIGNS_MISSING_MAX * Math.max(SIGN_MS, revisedPublishingInterval) + revisedPublishingInterval;
    this.silenceMsMax = Math.max(allowed, SIGNS_MISSING_MAX * this.signMs);
    this.timeSilenceMsMax = allowed;
    for (let count = 0; count < PUBLISH_REQUESTS; count += 1) void this.#publish(hearer);
  }

  /** @returns one for each, in their order. @throws what the library throws */
  async monitor(wanted: readonly MonitorRequest[]): Promise<Monitored[]> {
    const done: Monitored[] = [];
    for (let first = 0; first < wanted.length; first += ITEMS_PER_REQUEST) {
      const part = wanted.slice(first, first + ITEMS_PER_REQUEST);
      const answer = await raw(this.#run.connection.session).createMonitoredItems({
        subscriptionId: this.#id,
        timestampsToReturn: TimestampsToReturn.Both,
        itemsToCreate: part.map(({ nodeId, handle, samplingIntervalMs, queueSize }) => ({
          itemToMonitor: { nodeId, attributeId: AttributeIds.Value },
          monitoringMode: MonitoringMode.Reporting,
          requestedParameters: {
            clientHandle: handle,
            samplingInterval: samplingIntervalMs,
            queueSize,
            discardOldest: true,
          },
        })),
      });
      for (const { statusCode, monitoredItemId } of answer.results ?? []) {
        done.push(statusCode.isGood() ? { id: monitoredItemId } : { fault: statusText(statusCode.name) });
      }
    }
    return done;
  }

  /** Resolves when the server has answered, whatever it has. */
  async release(monitoredItemId: number): Promise<void> {
    const request = { subscriptionId: this.#id, monitoredItemIds: [monitoredItemId] };
    const session = raw(this.#run.connection.session);
    await new Promise<void>((resolve) => session.deleteMonitoredItems(request, () => resolve()));
  }

  /** Asks for one message after the other. */
  async #publish(hearer: Hearer): Promise<void> {
    this.#publishing += 1;
    while (!this.#run.ended.aborted) {
      const acknowledgements = this.#acknowledgements.splice(0);
      try {
        const answer = await this.#nextMessage(acknowledgements);
        hearer.heard();
        this.#accept(answer, hearer);
      } catch (error) {
        // A server may keep only one of them.
        if (statusOf(error) === 'BadTooManyPublishRequests' && this.#publishing > 1) {
          this.#acknowledgements.push(...acknowledgements);
          break;
        }
        this.#run.fail(error);
        break;
      }
    }
    this.#publishing -= 1;
  }

  #nextMessage(
    subscriptionAcknowledgements: { subscriptionId: number; sequenceNumber: number }[],
  ): Promise<PublishResponse> {
    // It waits as long as nothing happens; how long that may be, the watch knows.
    const timeoutHint = 10 * this.silenceMsMax;
    const request = new PublishRequest({ requestHeader: { timeoutHint }, subscriptionAcknowledgements });
    return new Promise((resolve, reject) => {
      raw(this.#run.connection.session).publish(request, (error, response) => {
        if (response === undefined || error !== null) reject(error ?? new Error('there is no answer'));
        else resolve(response);
      });
    });
  }

  #accept({ subscriptionId, notificationMessage }: PublishResponse, hearer: Hearer): void {
    if (subscriptionId !== this.#id) return;
    const parts = notificationMessage.notificationData ?? [];
    if (parts.length === 0) return;
    this.#acknowledgements.push({ subscriptionId, sequenceNumber: notificationMessage.sequenceNumber });
    const changes: Change[] = [];
    for (const part of parts) {
      if (part instanceof StatusChangeNotification) {
        this.#run.fail(closed(this.#run.options.url, 'subscription', part.status.name));
      } else if (part instanceof DataChangeNotification) changes.push(...(part.monitoredItems ?? []));
    }
    const gatewayMicros = this.#run.context.clock.nowMicros();
    this.#taking = this.#taking
      .then(() => hearer.changed(changes, gatewayMicros))
      .catch((error: unknown) => this.#run.fail(error));
  }
}
