/** The version of this package, as its processes tell it; a test compares it with `package.json`. */
export const VERSION = '0.1.0';
