/** Of a policy for tests: an action that runs this as root. What stands behind it is still its table's. */
export function actionText(name: string, profile: string, command: readonly string[]): string {
  return `[action."${name}"]
about = "x"
command = ${JSON.stringify(command)}
run_as = "root"
profile = "${profile}"
risk = "read-only"`
}
