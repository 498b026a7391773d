// node decide.mjs policy.wasm device_table.json trace.csv [state]: print one decision a line.
//
// What the policies remember is read from the file `state` first, where it is there, and written to it at the end.

import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import process from "node:process";

import { Policy } from "./policy.mjs";
import { decideAlong } from "./trace.mjs";

const [code, table, trace, state, ...rest] = process.argv.slice(2);
if (trace === undefined || rest.length > 0) {
  console.error("usage: node decide.mjs policy.wasm device_table.json trace.csv [state]");
  process.exit(2);
}
let file = table; // which one is at fault
try {
  const known = JSON.parse(await readFile(table));
  file = code;
  const policy = await Policy.load(await readFile(code), known);
  file = state;
  if (state !== undefined && existsSync(state) && !policy.restore(await readFile(state))) {
    throw new Error("is not what these policies remember");
  }
  file = trace;
  for (const line of decideAlong((await readFile(trace)).toString(), policy)) process.stdout.write(`${line}\n`);
  file = state;
  if (state !== undefined) await writeFile(state, policy.save());
} catch (error) {
  console.error(`${file}: ${error.message}`);
  process.exitCode = 2;
}
