/** How a person names a node: by its id, or by the way to it from a folder of the server. Pure. */

/** `ns=2;s=Spindle`, `nsu=urn:maker:machine;s=Spindle`, `i=2258` */
export interface NodeById {
  readonly kind: 'id';
  /** An index, or a URI that is looked up at each connection. */
  readonly namespace: number | string;
  /** `s=Spindle` */
  readonly identifier: string;
}

/** `Objects/Machines/CNC-001/3:Spindle`: browse names, each in whatever namespace unless one is given. */
export interface NodeByPath {
  readonly kind: 'path';
  readonly steps: readonly Step[];
}

export interface Step {
  readonly name: string;
  readonly namespace: number | null;
}

const NODE_ID = /^(?:ns=(\d{1,5});|nsu=([^;]+);)?([isgb]=.+)$/s;
const IDENTIFIERS: { readonly [kind: string]: RegExp } = {
  i: /^i=\d{1,10}$/,
  s: /^s=.+$/s,
  g: /^g=[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i,
  b: /^b=[A-Za-z\d+/]+={0,2}$/,
};
/** Where a path may begin, and the node ids of those folders (OPC 10000-6, annex A). */
export const ROOTS: { readonly [name: string]: string } = { Objects: 'i=85', Types: 'i=86', Views: 'i=87' };
/** Steps of a path. */
const STEPS_MAX = 50;

/** Undefined for what is neither an id nor a path. */
export function parseNodeName(text: string): NodeById | NodeByPath | undefined {
  const match = NODE_ID.exec(text);
  if (match === null) return parsePath(text);
  const [, index, uri, identifier = ''] = match;
  if (IDENTIFIERS[identifier[0] ?? '']?.test(identifier) !== true) return undefined;
  if (index !== undefined && Number(index) > 0xffff) return undefined;
  return { kind: 'id', namespace: uri ?? Number(index ?? 0), identifier };
}

/** A slash within a name is written `&/`, an ampersand `&&`, as OPC 10000-4, annex A, does. */
function parsePath(text: string): NodeByPath | undefined {
  const steps = splitPath(text.replace(/^\/?(?:Root\/)?/, '')).map(stepOf);
  const isWhole = steps.length > 0 && steps.length <= STEPS_MAX && steps.every(({ name }) => name !== '');
  if (!isWhole || !Object.hasOwn(ROOTS, steps[0]?.name ?? '')) return undefined;
  return { kind: 'path', steps };
}

function splitPath(text: string): string[] {
  const parts = [''];
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at] ?? '';
    if (character === '/') parts.push('');
    else if (character === '&') parts[parts.length - 1] += text[(at += 1)] ?? '';
    else parts[parts.length - 1] += character;
  }
  return parts;
}

function stepOf(text: string): Step {
  const match = /^(\d{1,5}):(.*)$/s.exec(text);
  return match === null ? { name: text, namespace: null } : { name: match[2] ?? '', namespace: Number(match[1]) };
}

/** A browse name as a step of a path. */
export function stepText(name: string): string {
  // What looks like an index of a namespace is none where one is written before it.
  return name.replaceAll(/[&/]/g, '&$&');
}
