"""What a header holds beside decisions where its policies remember: the state, samples, commits, snapshots.

    static device_state state;                                        <prefix> is `device`
    device_start(&state);                                             or device_restore(&state, bytes, n)
    device_observe(&state, &samples, device_SAMPLED_load, t_us);      gives how many samples were late
    device_decide_go(&state, t_us, &in, &out);                        changes nothing
    if (out.verdict == RIPSTOP_ALLOW && device_commit_go(&state, t_us)) { ... }     consumes budgets

A snapshot is the digest of what is remembered (16 bytes), the arrays of the state, little-endian, a CRC-32 of
both and four zeros. It is the same that the wasm engine gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ripstop.backends.c99.names import comment, identifier, unique
from ripstop.backends.c99.steps import mask_type, routine, structure
from ripstop.backends.edge.memory import LIMIT_US, Memory
from ripstop.backends.edge.snapshots import (
    DIGEST_BYTES,
    POLYNOMIAL,
    digest_of,
    greatest_indices,
    snapshot_bytes,
)
from ripstop.backends.edge.spending import Remembering
from ripstop.backends.edge.steps import Asked

PRELUDE = """\
#ifndef RIPSTOP_MEMORY
#define RIPSTOP_MEMORY
static inline double ripstop_nothing(void)
{
    const uint64_t bits = UINT64_C(0x7ff8000000000000);
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t ripstop_crc(const uint8_t *bytes, uint32_t count)
{
    uint32_t crc = 0xffffffffu;
    for (uint32_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) { crc = crc >> 1 ^ (crc & 1u ? 0xPOLYu : 0u); }
    }
    return ~crc;
}

static inline void ripstop_write(uint8_t *to, uint64_t word, int count)
{
    for (int i = 0; i < count; i++) { to[i] = (uint8_t)(word >> 8 * i); }
}

static inline uint64_t ripstop_read(const uint8_t *from, int count)
{
    uint64_t word = 0;
    for (int i = count; i > 0; i--) { word = word << 8 | from[i - 1]; }
    return word;
}
#endif
""".replace("POLY", f"{POLYNOMIAL:x}")


@dataclass(frozen=True, slots=True)
class CState:
    """What a caller needs: the samples' fields and masks, the commits with how many costs each takes."""

    fields: tuple[str, ...]
    masks: int
    commits: tuple[tuple[str, int], ...]


def state_parts(prefix: str, remembering: Remembering) -> tuple[list[str], CState]:
    """Write everything about the state, and give the names."""
    memory = remembering.memory
    fields = unique(memory.inputs[load].label for load in memory.samples)
    by_load = dict(zip(memory.samples, fields, strict=True))
    names = [by_load.get(load, "") for load in range(len(memory.inputs))]
    parts = [structure(prefix, memory), _samples(prefix, memory, fields)]
    parts += [routine(made, memory, prefix, names) for made in remembering.internal]
    commits: list[str] = []
    for made in remembering.public:
        if made.takes_samples or not made.returns:
            parts.append(routine(made, memory, prefix, names))
            continue
        named = f"commit_{identifier(made.name.removeprefix('commit_'))}" if "_" in made.name else made.name
        commits.append(unique([*commits, named])[-1])
        parts.append(routine(made, memory, prefix, unique(made.costs), commits[-1]))
    parts.append(_snapshots(prefix, memory))
    costs = [len(made.costs) for made in remembering.public if made.name.startswith("commit")]
    return parts, CState(tuple(fields), len(memory.words), tuple(zip(commits, costs, strict=True)))


def _samples(prefix: str, memory: Memory, fields: Sequence[str]) -> str:
    inputs = [memory.inputs[load] for load in memory.samples]
    lines = [
        f"    double {field}; /* {comment(each.label)}: {each.held.value} */"
        for field, each in zip(fields, inputs, strict=True)
    ]
    kind = mask_type(memory)
    one = "UINT64_C(1)" if kind == "uint64_t" else "1u"
    bits = [Asked(number) for number, _ in enumerate(memory.signals)]
    words = [asked.word.upper() for asked in bits]
    names = unique(f"{word}_{each.name}" for word, each in zip(words, memory.signals, strict=True))
    masks = [f"#define {prefix}_{name} ({one} << {bits[n].bit})" for n, name in enumerate(names)]
    about = [
        "/* What windows look at. Of a signal that is sampled now, set its number, NaN where it cannot be",
        f" * used, and its bit in the mask ({kind}); the others stay as they were. Observe samples of other",
        " * signals, too, with no bit set: a sample that comes after a later one counts from then on. */",
    ]
    if len(memory.words) > 1:
        about.insert(1, " * SAMPLED_1_... are bits of the second mask, `sampled_1`, and so on.")
    body = lines or ["    double unused;"]
    return "\n".join([*about, "typedef struct {", *body, f"}} {prefix}_samples;", *masks, ""])


def _snapshots(prefix: str, memory: Memory) -> str:
    """Write `save` and `restore`; the latter changes nothing unless everything is in order."""
    size = snapshot_bytes(memory)
    written = ", ".join(f"0x{each:02x}" for each in digest_of(memory))
    digest = f"    static const uint8_t digest[{DIGEST_BYTES}] = {{{written}}};"
    word = ["    uint64_t word;"] if memory.whole.numbers else []
    saved: list[str] = []
    read: list[str] = []
    at = DIGEST_BYTES
    for name, count, width in _arrays(memory):
        place = f"bytes + {at} + {width} * i" if width > 1 else f"bytes + {at} + i"
        saved += _each(name, (count, width), place, is_saved=True)
        read += _each(name, (count, width), place, is_saved=False)
        at += width * count
    return "\n".join(
        [
            f"#define {prefix.upper()}_SNAPSHOT_BYTES {size}",
            "",
            f"static inline void {prefix}_save(const {prefix}_state *state, uint8_t bytes[{size}])",
            "{",
            digest,
            *word,
            f"    memset(bytes, 0, {size});",
            f"    memcpy(bytes, digest, {DIGEST_BYTES});",
            *saved,
            f"    ripstop_write(bytes + {size - 8}, ripstop_crc(bytes, {size - 8}), 4);",
            "}",
            "",
            "/* Give 1, or 0 where the bytes are foreign, torn or malformed: then the state stays. */",
            f"static inline int {prefix}_restore({prefix}_state *state, const uint8_t *bytes, size_t count)",
            "{",
            digest,
            *word,
            f"    if (count != {size} || memcmp(bytes, digest, {DIGEST_BYTES}) != 0) {{ return 0; }}",
            f"    if (ripstop_read(bytes + {size - 8}, 8) != ripstop_crc(bytes, {size - 8})) {{ return 0; }}",
            *_checks(memory),
            *read,
            "    return 1;",
            "}",
            "",
        ]
    )


def _arrays(memory: Memory) -> list[tuple[str, int, int]]:
    """Give the arrays that there are: name, length, bytes of each element."""
    whole = memory.whole
    arrays = [("moments", whole.moments, 8), ("numbers", whole.numbers, 8)]
    arrays += [("indices", whole.indices, 2), ("truths", whole.truths, 1)]
    return [each for each in arrays if each[1]]


def _each(name: str, shape: tuple[int, int], place: str, *, is_saved: bool) -> list[str]:
    """Write each element of an array to bytes, or read it from there."""
    count, width = shape
    each, loop = f"state->{name}[i]", f"    for (int i = 0; i < {count}; i++) {{"
    if name == "numbers":
        moved = (
            [f"        memcpy(&word, &{each}, 8);", f"        ripstop_write({place}, word, 8);"]
            if is_saved
            else [f"        word = ripstop_read({place}, 8);", f"        memcpy(&{each}, &word, 8);"]
        )
        return [loop, *moved, "    }"]
    kind = {8: "int64_t", 2: "uint16_t", 1: "uint8_t"}[width]
    if is_saved:
        return [f"{loop} ripstop_write({place}, (uint64_t){each}, {width}); }}"]
    return [f"{loop} {each} = ({kind})ripstop_read({place}, {width}); }}"]


def _checks(memory: Memory) -> list[str]:
    """Look at the moments, the places in rings and the truths of what came in."""
    whole, limit = memory.whole, f"INT64_C({2 * LIMIT_US})"
    lines = [
        f"    for (int i = 0; i < {whole.moments}; i++) {{",
        f"        int64_t moment = (int64_t)ripstop_read(bytes + {DIGEST_BYTES} + 8 * i, 8);",
        f"        if (moment != INT64_MIN && (moment < -{limit} || moment > {limit})) {{ return 0; }}",
        "    }",
    ]
    first = DIGEST_BYTES + 8 * (whole.moments + whole.numbers)
    for number, greatest in enumerate(greatest_indices(memory)):
        lines.append(f"    if (ripstop_read(bytes + {first + 2 * number}, 2) > {greatest}) {{ return 0; }}")
    truths = range(first + 2 * whole.indices, first + 2 * whole.indices + whole.truths)
    return lines + [f"    if (bytes[{at}] > 2) {{ return 0; }}" for at in truths]
