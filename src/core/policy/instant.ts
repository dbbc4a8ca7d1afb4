const datePattern = /^([0-9]{4})-([0-9]{2})-([0-9]{2})$/
const timePattern = /^([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?$/
const offsetPattern = /^(?:[Zz]|[+-]([0-9]{2}):([0-9]{2}))$/

const msPerDay = 86_400_000

/**
 * Whether a TOML date, time, or both with or without an offset, is one of the calendar: no 30 February, no 24:00, no
 * leap second. (The TOML libraries let some of these roll over into the next day: ABUSE C112.)
 */
export function isCalendarDatetime(text: string): boolean {
  const { date, time, offset } = splitDatetime(text)
  return (
    (date !== undefined || time !== undefined) &&
    (date === undefined || dayNumber(date) !== undefined) &&
    (time === undefined || timeOfDayMs(time) !== undefined) &&
    (offset === undefined || isOffset(offset))
  )
}

/**
 * Unix milliseconds of an offset date-time in UTC, as TOML spells it; what is finer than a millisecond is cut off.
 *
 * Undefined for anything else, other offsets than `Z` included: one instant has one spelling.
 */
export function parseUtcInstantMs(text: string): number | undefined {
  const { date, time, offset } = splitDatetime(text)
  if (date === undefined || time === undefined || offset !== 'Z') return undefined
  const day = dayNumber(date)
  const ms = timeOfDayMs(time)
  return day === undefined || ms === undefined ? undefined : day * msPerDay + ms
}

type Parts = Readonly<{ date?: string; time?: string; offset?: string }>

function splitDatetime(text: string): Parts {
  const found = /^([0-9-]{10})?(?:[Tt ]?([0-9]{2}:[0-9:.]+))?([Zz]|[+-][0-9:]+)?$/.exec(text)
  if (found === null) return {}
  const [, date, time, offset] = found
  return {
    ...(date === undefined ? {} : { date }),
    ...(time === undefined ? {} : { time }),
    ...(offset === undefined ? {} : { offset }),
  }
}

/** Days since 1970-01-01 in the proleptic Gregorian calendar. */
function dayNumber(date: string): number | undefined {
  const [year, month, day] = numbersOf(datePattern, date)
  if (year === undefined || month === undefined || day === undefined) return undefined
  if (month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return undefined
  // A year here begins in March, so that the leap day is its last.
  const shifted = month > 2 ? year : year - 1
  const dayOfYear = Math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1
  const leapDays = Math.floor(shifted / 4) - Math.floor(shifted / 100) + Math.floor(shifted / 400)
  return shifted * 365 + leapDays + dayOfYear - 719_468
}

function daysInMonth(year: number, month: number): number {
  if (month !== 2) return [4, 6, 9, 11].includes(month) ? 30 : 31
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
}

function timeOfDayMs(time: string): number | undefined {
  const [hour, minute, second] = numbersOf(timePattern, time)
  if (hour === undefined || minute === undefined || second === undefined) return undefined
  if (hour > 23 || minute > 59 || second > 59) return undefined
  const fraction = timePattern.exec(time)?.[4] ?? ''
  return ((hour * 60 + minute) * 60 + second) * 1000 + Number(fraction.slice(0, 3).padEnd(3, '0'))
}

function isOffset(offset: string): boolean {
  const found = offsetPattern.exec(offset)
  return found !== null && Number(found[1] ?? 0) <= 23 && Number(found[2] ?? 0) <= 59
}

function numbersOf(pattern: RegExp, text: string): readonly number[] {
  return (pattern.exec(text) ?? []).slice(1, 4).map(Number)
}
