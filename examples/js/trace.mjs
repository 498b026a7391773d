// Decides along a trace: a CSV file of readings and requests, which docs/guide/devices.md describes.

const NUMBER = /^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$/;
const WORDS = new Map([
  ["", undefined],
  ["null", null],
  ["true", true],
  ["false", false],
  ["nan", NaN],
  ["inf", Infinity],
  ["-inf", -Infinity],
]);

/** Read a cell: nothing, null, a truth, a number, else a text. */
function readCell(cell) {
  if (WORDS.has(cell)) return WORDS.get(cell);
  return NUMBER.test(cell) ? Number(cell) : cell;
}

/** Give the lines that are neither blank nor comments, with their numbers. */
function* linesOf(text) {
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line !== "" && !line.startsWith("#")) yield [index + 1, line.split(",")];
  }
}

/**
 * Yield `<t_s> <action> <verdict> [<parameter>=<low>..<high>]...` for each row that asks for an action.
 * What is allowed is done at once, so it is taken from the budgets.
 */
export function* decideAlong(text, policy) {
  const lines = linesOf(text);
  const [, names] = lines.next().value ?? [0, []];
  if (names[0] !== "t_s" || names[1] !== "action") {
    throw new Error("the first two columns are `t_s` and `action`, then come names");
  }
  for (const [number, cells] of lines) {
    if (cells.length !== names.length) throw new Error(`line ${number}: as many cells as names are needed`);
    const [when, action, ...rest] = cells;
    const t_us = Math.floor(Number(when) * 1e6 + 0.5);
    if (!NUMBER.test(when) || !(Math.abs(t_us) < 9e18)) throw new Error(`line ${number}: \`t_s\` is seconds since 1970`);
    policy.pass(t_us);
    const parameters = new Set(action === "" ? [] : policy.parameters(action));
    const context = Object.create(null);
    rest.forEach((cell, index) => {
      const name = names[index + 2];
      if (parameters.has(name)) context[name] = readCell(cell);
      else policy.observe(name, readCell(cell), t_us);
    });
    if (action === "") continue;
    const { verdict, limits } = policy.decide(action, context, t_us);
    const shown = limits.map(([name, low, high]) => ` ${name}=${low > -Infinity ? low : ""}..${high < Infinity ? high : ""}`);
    yield `${when} ${action} ${verdict}${shown.join("")}`;
    if (verdict === "allow") policy.commit(action, context, t_us);
  }
}
