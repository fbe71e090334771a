/** Finds the nodes that a person named: looks namespaces up by their URIs, and walks paths by browse names. Loads the library. */
import {
  BrowseDirection,
  type BrowseResult,
  browseAll,
  type ClientSession,
  NodeClassMask,
  type ReferenceDescription,
  ResultMask,
} from 'node-opcua';
import { type NodeByPath, parseNodeName, ROOTS, type Step, stepText } from './names.ts';

/** Names of neighbours that a message tells. */
const NEIGHBOURS_TOLD_MAX = 15;

/** A node id as the library takes it, or why there is none. */
export type Found = { readonly nodeId: string } | { readonly fault: string };

/** Of one session: namespaces may have other indexes in the next. */
export class NodeFinder {
  readonly #session: ClientSession;
  readonly #namespaces: readonly string[];
  /** What is below a node; many paths go the same way. */
  readonly #below = new Map<string, Promise<ReferenceDescription[]>>();

  constructor(session: ClientSession, namespaces: readonly string[]) {
    this.#session = session;
    this.#namespaces = namespaces;
  }

  /** @throws what the library throws when the connection is lost */
  async find(text: string): Promise<Found> {
    const name = parseNodeName(text);
    if (name === undefined) return { fault: 'is neither a node id nor a path' };
    if (name.kind === 'path') return await this.#walk(name);
    const { namespace, identifier } = name;
    const index = typeof namespace === 'number' ? namespace : this.#namespaces.indexOf(namespace);
    if (index >= 0) return { nodeId: `ns=${index};${identifier}` };
    return { fault: `the server has no namespace ${namespace}; it has ${this.#namespaces.join(', ')}` };
  }

  /** What was found before may have changed. */
  forget(): void {
    this.#below.clear();
  }

  async #walk({ steps }: NodeByPath): Promise<Found> {
    const [root, ...rest] = steps;
    let nodeId = ROOTS[root?.name ?? ''] ?? '';
    let place = root?.name ?? '';
    for (const step of rest) {
      const below = await this.#childrenOf(nodeId);
      const fits = below.filter(({ browseName }) => isStep(step, browseName));
      const next = fits[0];
      if (next === undefined) return { fault: `there is no ${step.name} below ${place}${neighbours(below)}` };
      if (new Set(fits.map((one) => one.nodeId.toString())).size > 1) {
        const spaces = fits.map(({ browseName }) => `${browseName.namespaceIndex}:${step.name}`).join(', ');
        return { fault: `there are several ${step.name} below ${place}; write which one: ${spaces}` };
      }
      nodeId = next.nodeId.toString();
      place = `${place}/${stepText(step.name)}`;
    }
    return { nodeId };
  }

  #childrenOf(nodeId: string): Promise<ReferenceDescription[]> {
    const known = this.#below.get(nodeId);
    if (known !== undefined) return known;
    const asked = childrenOf(this.#session, nodeId);
    this.#below.set(nodeId, asked);
    return asked;
  }
}

/** Objects and variables below a node. */
export async function childrenOf(session: ClientSession, nodeId: string): Promise<ReferenceDescription[]> {
  const result: BrowseResult = await browseAll(session, {
    nodeId,
    referenceTypeId: 'HierarchicalReferences',
    includeSubtypes: true,
    browseDirection: BrowseDirection.Forward,
    nodeClassMask: NodeClassMask.Object | NodeClassMask.Variable,
    resultMask: ResultMask.BrowseName | ResultMask.NodeClass | ResultMask.TypeDefinition,
  });
  return result.references ?? [];
}

function isStep({ name, namespace }: Step, browseName: { name: string | null; namespaceIndex: number }): boolean {
  return browseName.name === name && (namespace === null || browseName.namespaceIndex === namespace);
}

function neighbours(below: readonly ReferenceDescription[]): string {
  const names = below.map(({ browseName }) => browseName.name ?? '');
  if (names.length === 0) return ', where nothing is';
  const more = names.length > NEIGHBOURS_TOLD_MAX ? ', …' : '';
  return `, but ${names.slice(0, NEIGHBOURS_TOLD_MAX).join(', ')}${more}`;
}
