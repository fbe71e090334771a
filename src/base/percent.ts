/** Percent-encoded text of a URL, decoded; what is no such encoding, as a password with a bare %, is taken as it stands. */
export function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
