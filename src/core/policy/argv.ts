import type { CompiledAction } from './compiled.ts'
import { renderElement } from './template.ts'

/** As the kernel would make it of a script: the interpreter, its argument, the script's path, the arguments. */
export function argvOf(
  { command, interpreter, executable }: CompiledAction,
  values: ReadonlyMap<string, readonly string[]>,
): readonly string[] {
  const words = command.flatMap((element) => renderElement(element, values))
  if (interpreter === null) return words
  const { path, argument } = interpreter
  return [path, ...(argument === null ? [] : [argument]), executable, ...words.slice(1)]
}
