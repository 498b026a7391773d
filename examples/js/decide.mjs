// node decide.mjs policy.wasm device_table.json trace.csv [state]: print one decision a line.
//
// What the policies remember is read from the file `state` first, where it is there, and written to it at the end.

import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import process from "node:process";

import { Policy } from "./policy.mjs";
import { decideAlong } from "./trace.mjs";

const [code, table, trace, state, ...rest] = process.argv.slice(2);
const files = [code, table, trace];
if (trace === undefined || rest.length > 0) {
  console.error("usage: node decide.mjs policy.wasm device_table.json trace.csv [state]");
  process.exit(2);
}
try {
  const [bytes, known, text] = await Promise.all(files.map((file) => readFile(file)));
  const policy = await Policy.load(bytes, JSON.parse(known));
  if (state !== undefined && existsSync(state) && !policy.restore(await readFile(state))) {
    throw new Error(`\`${state}\` is not what these policies remember`);
  }
  for (const line of decideAlong(text.toString(), policy)) process.stdout.write(`${line}\n`);
  if (state !== undefined) await writeFile(state, policy.save());
} catch (error) {
  console.error(`${trace}: ${error.message}`);
  process.exitCode = 2;
}
