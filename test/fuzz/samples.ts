/** Real inputs from the samples of the tests, cut to lengths of which many can be fed. */
import { readFileSync } from 'node:fs';

const DATA = new URL('../data/', import.meta.url);
const DRIVERS = new URL('../../src/drivers/', import.meta.url);

export function sample(path: string): Buffer {
  return readFileSync(new URL(path, DATA));
}

export function driverCase(path: string): Buffer {
  return readFileSync(new URL(path, DRIVERS));
}

/** Pieces of whole lines, taken evenly from the whole. */
export function linePieces(
  text: Buffer,
  { pieces, linesEach }: { readonly pieces: number; readonly linesEach: number },
): Buffer[] {
  const lines = text.toString('latin1').split('\n');
  return Array.from({ length: pieces }, (_, index) => {
    const start = Math.floor((index * lines.length) / pieces);
    return Buffer.from(`${lines.slice(start, start + linesEach).join('\n')}\n`, 'latin1');
  });
}

/** The XML document with only so many of the elements that match, beginning with one after the other. */
export function thinnedXml(
  document: Buffer,
  { element, kept, pieces }: { readonly element: RegExp; readonly kept: number; readonly pieces: number },
): Buffer[] {
  const text = document.toString('utf8');
  const count = [...text.matchAll(element)].length;
  return Array.from({ length: pieces }, (_, index) => {
    const start = Math.floor((index * count) / pieces);
    let number = 0;
    const thinned = text.replaceAll(element, (whole) => {
      const isKept = number >= start && number < start + kept;
      number += 1;
      return isKept ? whole : '';
    });
    return Buffer.from(withoutEmpty(thinned).replaceAll(/\s*\n\s*/g, '\n'));
  });
}

function withoutEmpty(text: string): string {
  const less = text.replaceAll(/<([\w:]+)(?:\s[^<>]*[^/])?>\s*<\/\1>/g, '');
  return less === text ? text : withoutEmpty(less);
}
