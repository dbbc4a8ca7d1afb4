/** The little of Markdown that the checks read: links, headings and fenced blocks. */

export type Fence = Readonly<{ language: string; text: string; line: number }>
export type Link = Readonly<{ target: string; line: number }>

const fenced = /^(?<indent> *)```(?<language>[a-z-]*)[^\n]*\n(?<text>.*?)^\k<indent>```$/gms

export function fencesOf(markdown: string): readonly Fence[] {
  return [...markdown.matchAll(fenced)].map((match) => ({
    language: match.groups?.['language'] ?? '',
    text: match.groups?.['text'] ?? '',
    line: lineOf(markdown, match.index),
  }))
}

/** Inline links and images, and definitions of reference links; not those in code. */
export function linksOf(markdown: string): readonly Link[] {
  const prose = withoutCode(markdown)
  const links = [...prose.matchAll(/\]\((?<target>[^()\s]+)\)|^\[[^\]]+\]: (?<defined>\S+)/gm)]
  return links.map((match) => ({
    target: match.groups?.['target'] ?? match.groups?.['defined'] ?? '',
    line: lineOf(prose, match.index),
  }))
}

/** The fragments that a page answers to, made from its headings the way GitHub makes them. */
export function anchorsOf(markdown: string): ReadonlySet<string> {
  const anchors = new Set<string>()
  for (const [, title = ''] of withoutFences(markdown).matchAll(/^#{1,6} +(.+?) *#*$/gm)) {
    const text = title.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const slug = text.replaceAll(/[^\p{L}\p{N}\p{M}_ -]/gu, '').replaceAll(' ', '-')
    let anchor = slug
    for (let twin = 1; anchors.has(anchor); twin += 1) anchor = `${slug}-${twin}`
    anchors.add(anchor)
  }
  return anchors
}

/** First cells of all table rows that hold nothing but one name in code font. */
export function codeRowsOf(markdown: string): readonly string[] {
  return [...markdown.matchAll(/^\| *`([^`]+)` *\|/gm)].map(([, name = '']) => name)
}

function withoutFences(markdown: string): string {
  return markdown.replaceAll(fenced, (block) => block.replaceAll(/[^\n]/g, ''))
}

function withoutCode(markdown: string): string {
  return withoutFences(markdown).replaceAll(/(`+).+?\1/g, '')
}

function lineOf(text: string, index: number): number {
  return text.slice(0, index).split('\n').length
}
