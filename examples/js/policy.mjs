// Runs a compiled policy (WebAssembly) in Node or a browser, with no dependency.
//
// The table of what the policy looks at comes from device_table.py. A reading is usable until its max age is
// over; one that is absent, null, of another kind, outside its range, not finite or stale reaches the policy
// as NaN, which no policy takes for "the rule did not match".

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

/** What was read last of each signal, and when. Times are whole microseconds. */
export class Readings {
  #specs;
  #held = new Map();

  constructor(table) {
    this.#specs = new Map(table.signals.map((spec) => [spec.name, spec]));
  }

  /** Take a reading sensed at `t_us`; an older one than is known, or of an unknown signal, is dropped. */
  observe(name, value, t_us) {
    const spec = this.#specs.get(name);
    const before = this.#held.get(name);
    if (spec === undefined || value === ABSENT || (before !== undefined && t_us < before.t_us)) return;
    const seen = usable(spec, value);
    const reading = { value: seen, t_us, until_us: t_us + (spec.max_age_us ?? Infinity), valid: before?.valid };
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

/** A module and its table: decides about actions. */
export class Policy {
  #functions;
  #actions;

  constructor(table, instance) {
    this.table = table;
    this.#functions = instance.exports;
    this.#actions = new Map(table.actions.map((action) => [action.name, action]));
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

  /**
   * Decide about an action at `t_us`.
   * Returns { verdict: "deny" | "limit" | "allow", limits: [[parameter, low, high], ...] }, open ends infinite.
   */
  decide(action, context, readings, t_us) {
    const found = this.#find(action);
    if (found.verdict !== null) return { verdict: found.verdict, limits: [] };
    const numbers = found.inputs.map((input) => this.#number(found, input, context, readings, t_us));
    const decide = this.#functions[found.name === "" ? "decide" : `decide_${found.name}`];
    const results = [decide(...numbers)].flat();
    const first = 1 + found.words.reduce((sum, words) => sum + 1 + words, 0); // a status and evidence each
    const limits = found.bounded.map((name, index) => [name, ...results.slice(first + 2 * index, first + 2 * index + 2)]);
    return { verdict: VERDICTS[results[0]], limits: limits.filter(([, low, high]) => low > -Infinity || high < Infinity) };
  }

  #find(action) {
    return this.#actions.get(action) ?? this.#actions.get("");
  }

  #number(action, input, context, readings, t_us) {
    if (input.look === "now") return t_us / 1e6;
    if (input.look === "bounded") {
      const given = context[input.name]; // as it was given: a limit judges it itself
      return typeof given === "number" || typeof given === "boolean" ? Number(given) : NaN;
    }
    const spec = input.is_parameter && action.parameters.find((each) => each.name === input.name);
    const value = spec
      ? usable(spec, Object.hasOwn(context, input.name) ? context[input.name] : ABSENT)
      : readings.look(input.name, t_us, input.last_valid_us);
    if (input.look === "present") return Number(value !== ABSENT);
    if (input.look === "given") return Number(value !== ABSENT && value !== null);
    if (input.look === "filled") return Number(value !== ABSENT && value !== null && value !== "");
    if (input.held === "string") return typeof value === "string" ? (action.texts[value] ?? -1) : NaN;
    if (typeof value === "boolean") return input.held === "boolean" || !input.is_strict ? Number(value) : NaN;
    return typeof value === "number" && input.held === "number" ? value : NaN;
  }
}
