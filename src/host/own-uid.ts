/** The uid that files are opened with. Node's types allow for systems without one. */
export function ownUid(): number {
  return process.geteuid?.() ?? 0
}
