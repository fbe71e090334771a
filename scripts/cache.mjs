// The servers that tests need and npm does not carry are kept outside the checkout, so that each is fetched once.
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';

export const cacheFolder = path.join(process.env.XDG_CACHE_HOME || path.join(homedir(), '.cache'), 'millwright');
const UNFINISHED = '.unfinished-';
/** After this, whoever was filling a folder is taken to have been killed. */
const FILLING_MS_MAX = 3_600_000;

/**
 * Makes a folder of the cache, whole or not at all: `fill` works in a folder of another name, and answers the name that
 * it is to have. Of two processes that do so at the same time the first wins, and the second takes what is there.
 */
export function fillCache(fill) {
  mkdirSync(cacheFolder, { recursive: true });
  removeAbandoned();
  const unfinished = mkdtempSync(path.join(cacheFolder, UNFINISHED));
  try {
    const target = path.join(cacheFolder, fill(unfinished));
    try {
      renameSync(unfinished, target);
    } catch (error) {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    }
    return target;
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
}

function removeAbandoned() {
  for (const name of readdirSync(cacheFolder)) {
    const folder = path.join(cacheFolder, name);
    const changedMs = statSync(folder, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
    if (!name.startsWith(UNFINISHED) || Date.now() - changedMs < FILLING_MS_MAX) continue;
    rmSync(folder, { recursive: true, force: true });
  }
}
