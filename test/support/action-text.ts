/** Of a policy for tests: an action that runs this, as root if nothing is said. What stands behind it is still its table's. */
export function actionText(
  name: string,
  profile: string,
  command: readonly string[],
  user = 'root',
): string {
  return `[action."${name}"]
about = "x"
command = ${JSON.stringify(command)}
run_as = "${user}"
profile = "${profile}"
risk = "read-only"`
}

/** One for whoever is in sudo. `rest` is more of its table. */
export function grantedActionText(
  name: string,
  profile: string,
  command: readonly string[],
  rest = '',
  user = 'root',
): string {
  return `${actionText(name, profile, command, user)}
${rest}
[[grant]]
who = ["group:sudo"]
may = ["${name}"]
`
}
