/** Which files are meant, by their names. Pure. */

/** A filter for names with `*` (any text) and `?` (one character), in any letter case. */
export function nameFilter(pattern: string, ignore: readonly string[]): (name: string) => boolean {
  const wanted = expressionOf(pattern);
  const ignored = ignore.map(expressionOf);
  return (name) => wanted.test(name) && !ignored.some((expression) => expression.test(name));
}

function expressionOf(pattern: string): RegExp {
  const source = pattern
    .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`, 'i');
}
