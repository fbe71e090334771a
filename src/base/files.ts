/**
 * The file system, as a small port: the log and everything else that must survive goes through it, so that a test can
 * tear a write, fill the disk, and crash between any two calls.
 */

export interface FileHandle {
  /** Writes all of the buffers, one after the other, at `position`; rejects when it cannot. */
  write(buffers: readonly Uint8Array[], position: number): Promise<void>;
  /** Reads up to `into.length` bytes at `position`; resolves to how many there were. */
  read(into: Uint8Array, position: number): Promise<number>;
  /** Resolves when the file's data is on the disk (fdatasync). */
  datasync(): Promise<void>;
  truncate(length: number): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

export interface Files {
  /** Opens for reading and writing; `create` makes a new file and rejects where one exists. */
  open(path: string, mode: 'read' | 'write' | 'create'): Promise<FileHandle>;
  /** File names in a folder, unsorted; empty when there is no such folder. */
  list(folder: string): Promise<string[]>;
  makeFolder(folder: string): Promise<void>;
  /** Replaces `to` in one step. */
  rename(from: string, to: string): Promise<void>;
  /** Does nothing where there is no such file. */
  remove(path: string): Promise<void>;
  /** Bytes that this process may still write on the folder's disk; undefined where the system does not tell. */
  freeBytes(folder: string): Promise<number | undefined>;
  /** Resolves when the folder's entries are on the disk. */
  syncFolder(folder: string): Promise<void>;
}
