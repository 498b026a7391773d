// Runs a compiled policy (WebAssembly) in Node or a browser, with no dependency.
//
// The table of what the policy looks at comes from device_table.py. A reading is usable until its max age is
// over; one that is absent, null, of another kind, outside its range, not finite or stale reaches the policy
// as NaN, which no policy takes for "the rule did not match". What temporal operators and budgets remember the
// module keeps in its own memory.

const ABSENT = undefined;
const INVALID = Symbol("invalid");
const VERDICTS = ["deny", "limit", "allow"];

/** Whether policies cannot use a value. */
const isBad = (value) => value === ABSENT || value === null || value === INVALID;

/** Give a value as policies see it; what cannot be used is INVALID. */
function usable(spec, given) {
  if (given === ABSENT || given === null || given === INVALID) return given;
  if (typeof given === "number" && !Number.isFinite(given)) return INVALID;
  switch (spec.kind) {
    case "":
      return given;
    case "number":
    case "timestamp": {
      const number = typeof given === "boolean" ? Number(given) : given;
      const isInside = number >= (spec.low ?? -Infinity) && number <= (spec.high ?? Infinity);
      return typeof number === "number" && isInside ? number : INVALID;
    }
    case "string":
      return typeof given === "string" && (!spec.values.length || spec.values.includes(given)) ? given : INVALID;
    case "boolean":
      return typeof given === "boolean" ? given : INVALID;
    default:
      return INVALID;
  }
}

/** What was read last of each signal, and when. */
class Readings {
  #specs;
  #held = new Map();

  constructor(table) {
    this.#specs = new Map(table.signals.map((spec) => [spec.name, spec]));
  }

  /** Give what a reading comes to; ABSENT where there is none, or no such signal. */
  seen(name, value) {
    const spec = this.#specs.get(name);
    return spec === undefined ? ABSENT : usable(spec, value);
  }

  /** Take what was seen of a known signal at `t_us`; what is older than what is known is dropped. */
  observe(name, seen, t_us) {
    const before = this.#held.get(name);
    if (before !== undefined && t_us < before.t_us) return;
    const until_us = t_us + (this.#specs.get(name).max_age_us ?? Infinity);
    const reading = { value: seen, t_us, until_us, valid: before?.valid };
    if (!isBad(seen)) reading.valid = { value: seen, t_us };
    this.#held.set(name, reading);
  }

  /** Look a signal up; a bad one gives its last valid value where that is at most `lastValid_us` old. */
  look(name, t_us, lastValid_us) {
    const reading = this.#held.get(name);
    if (reading === undefined) return ABSENT;
    const value = !isBad(reading.value) && reading.until_us < t_us ? INVALID : reading.value;
    if (isBad(value) && lastValid_us !== null && reading.valid && t_us - reading.valid.t_us <= lastValid_us) {
      return reading.valid.value;
    }
    return value;
  }
}

/** Give the number that an input of the module is, for what is read of its name. */
function numbered(input, texts, value) {
  if (input.look === "present") return Number(value !== ABSENT);
  if (input.look === "given") return Number(value !== ABSENT && value !== null);
  if (input.look === "filled") return Number(value !== ABSENT && value !== null && value !== "");
  if (input.held === "string") return typeof value === "string" ? (texts[value] ?? -1) : NaN;
  if (typeof value === "boolean") return input.held === "boolean" || !input.is_strict ? Number(value) : NaN;
  return typeof value === "number" && input.held === "number" ? value : NaN;
}

/** Give a cost as it was given; what is no finite number cannot be paid. */
const costOf = (given) => (Number.isFinite(given) ? given : NaN);

/** A module, its table, and what was read: decides about the actions of one agent. Times are whole microseconds. */
export class Policy {
  #functions;
  #actions;
  #readings;

  constructor(table, instance) {
    this.table = table;
    this.#functions = instance.exports;
    this.#actions = new Map(table.actions.map((action) => [action.name, action]));
    this.#readings = new Readings(table);
  }

  /** Load from the module's bytes and the parsed table. */
  static async load(bytes, table) {
    const { instance } = await WebAssembly.instantiate(bytes, {});
    return new Policy(table, instance);
  }

  /** Give the names of an action's parameters. */
  parameters(action) {
    return this.#find(action).parameters.map((spec) => spec.name);
  }

  /** Let time go on to `t_us`, whether or not anything is sensed then: later samples of before count as late. */
  pass(t_us) {
    this.#remember(ABSENT, ABSENT, t_us);
  }

  /** Take a reading sensed at `t_us`; an older one than is known, or of an unknown signal, is dropped. */
  observe(name, value, t_us) {
    const seen = this.#readings.seen(name, value);
    if (seen === ABSENT) return;
    this.#remember(name, seen, t_us);
    this.#readings.observe(name, seen, t_us);
  }

  /**
   * Decide about an action at `t_us`; changes nothing.
   * Returns { verdict: "deny" | "limit" | "allow", limits: [[parameter, low, high], ...] }, open ends infinite.
   */
  decide(action, context, t_us) {
    const found = this.#find(action);
    if (found.verdict !== null) return { verdict: found.verdict, limits: [] };
    const numbers = found.inputs.map((input) => this.#number(found, input, context, t_us));
    const decide = this.#functions[found.name === "" ? "decide" : `decide_${found.name}`];
    const results = [decide(...(found.takes_t_us ? [BigInt(t_us)] : []), ...numbers)].flat();
    const first = 1 + found.words.reduce((sum, words) => sum + 1 + words, 0); // a status and evidence each
    const limits = found.bounded.map((name, index) => [name, ...results.slice(first + 2 * index, first + 2 * index + 2)]);
    return { verdict: VERDICTS[results[0]], limits: limits.filter(([, low, high]) => low > -Infinity || high < Infinity) };
  }

  /** Consume what an allowed action takes of the budgets, just before it is done; false where that is too much. */
  commit(action, context, t_us) {
    const found = this.#find(action);
    const commit = this.#functions[found.name === "" ? "commit" : `commit_${found.name}`];
    return commit === undefined || commit(BigInt(t_us), ...found.costs.map((name) => costOf(context[name]))) === 1n;
  }

  /** Give what is remembered, as bytes. */
  save() {
    return this.table.memory === null ? new Uint8Array(0) : this.#bytes(0, this.#functions.save()).slice();
  }

  /** Go on from what `save` gave; false, and nothing changes, where it is foreign, torn or malformed. */
  restore(bytes) {
    const { memory } = this.table;
    if (bytes.length !== (memory?.snapshot_bytes ?? 0)) return false;
    if (memory === null) return true;
    this.#bytes(memory.inbox, bytes.length).set(bytes);
    return this.#functions.restore() === 1;
  }

  #bytes(from, count) {
    return new Uint8Array(this.#functions.memory.buffer, from, count);
  }

  #find(action) {
    return this.#actions.get(action) ?? this.#actions.get("");
  }

  /** Tell the module's memory of one sample, as the numbers that it comes as. */
  #remember(name, value, t_us) {
    const { memory } = this.table;
    if (memory === null) return;
    const bit = memory.signals.indexOf(name);
    const words = Array.from({ length: Math.max(Math.ceil(memory.signals.length / 64), 1) }, (_, word) =>
      bit >= 0 && Math.floor(bit / 64) === word ? 1n << BigInt(bit % 64) : 0n,
    );
    const numbers = memory.samples.map((input) => (input.name === name ? numbered(input, memory.texts, value) : 0));
    this.#functions.observe(BigInt(t_us), ...words, ...numbers);
  }

  #number(action, input, context, t_us) {
    if (input.look === "now") return t_us / 1e6;
    const given = Object.hasOwn(context, input.name) ? context[input.name] : ABSENT;
    if (input.look === "cost") return costOf(given);
    if (input.look === "bounded") {
      return typeof given === "number" || typeof given === "boolean" ? Number(given) : NaN; // a limit judges it itself
    }
    const spec = input.is_parameter && action.parameters.find((each) => each.name === input.name);
    const value = spec ? usable(spec, given) : this.#readings.look(input.name, t_us, input.last_valid_us);
    return numbered(input, action.texts, value);
  }
}
