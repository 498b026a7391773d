// node decide.mjs policy.wasm device_table.json trace.csv: print one decision a line.

import { readFile } from "node:fs/promises";
import process from "node:process";

import { Policy } from "./policy.mjs";
import { decideAlong } from "./trace.mjs";

const files = process.argv.slice(2);
if (files.length !== 3) {
  console.error("usage: node decide.mjs policy.wasm device_table.json trace.csv");
  process.exit(2);
}
try {
  const [code, table, trace] = await Promise.all(files.map((file) => readFile(file)));
  const policy = await Policy.load(code, JSON.parse(table));
  for (const line of decideAlong(trace.toString(), policy)) process.stdout.write(`${line}\n`);
} catch (error) {
  console.error(`${files[2]}: ${error.message}`);
  process.exitCode = 2;
}
