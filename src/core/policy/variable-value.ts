import { isCleanPath } from '../identity.ts'
import { isWithin } from '../sandbox/root.ts'

// Where others, or the run itself, may put what would then be loaded.
const shared = ['/tmp', '/var/tmp', '/dev', '/proc', '/run/user']

const pathLists =
  /^(?:PATH|(?:LD|PYTHON|PERL5|NODE|RUBY|GEM|GCONV|CLASS)_?\w*PATH|LD_PRELOAD|LD_AUDIT|PERL5LIB|RUBYLIB)$/
const sourced = /^(?:BASH_ENV|PYTHONSTARTUP|OPENSSL_CONF|ZDOTDIR)$/
// Whose values are such paths too, whatever their names: of sudo's list of bad variables, and OpenSSL's modules and Git's programs.
const homes =
  /^(?:PERLLIB|PYTHONHOME|PYTHONUSERBASE|OPENSSL_(?:MODULES|ENGINES)|GIT_EXEC_PATH|TERMINFO(?:_DIRS)?|LOCPATH|NLSPATH|FPATH)$/
// As sudo's env_check and the locales' own names (setlocale(3), terminfo(5)).
const plainNames = /^(?:LANG|LANGUAGE|LC_\w+|TERM|COLORTERM|LINGUAS)$/

/**
 * Why a variable of an action may not have this value, though each of its characters may stand in one; or undefined. A value that
 * is code, or that names a place from which code is loaded, means more than it says (ABUSE C21).
 */
export function variableProblem(name: string, value: string): string | undefined {
  if (/^\(\)/.test(value)) return 'a value that begins with "()" is a function to some shells'
  if (pathLists.test(name)) return listProblem(value)
  if (sourced.test(name) || homes.test(name)) return listProblem(value)
  if (plainNames.test(name) && /[/%]/.test(value)) return `no value of ${name} has a "/" or "%"`
  if (name === 'TZ') return zoneProblem(value)
  return undefined
}

/** An empty element is the working directory. */
function listProblem(value: string): string | undefined {
  const isSafe = value.split(/[: ]/).every((path) => {
    return isCleanPath(path) && !shared.some((place) => isWithin(path, place))
  })
  return isSafe ? undefined : 'expected absolute paths, none of them where others may write'
}

function zoneProblem(value: string): string | undefined {
  const file = value.replace(/^:/, '')
  if (!file.includes('/')) return undefined
  if (/^[A-Za-z0-9_+-]+(?:\/[A-Za-z0-9_+-]+)*$/.test(file)) return undefined
  if (isCleanPath(file) && isWithin(file, '/usr/share/zoneinfo')) return undefined
  return 'expected a time zone, not a path outside of /usr/share/zoneinfo'
}
