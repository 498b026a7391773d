/* What the device did, on its disk: one line a record, each with the hash of the line before it, bounded.
 *
 *   <number> <SHA-256 of the line before, 64 hexadecimal digits> <microseconds since 1970> <text>
 *
 * Two files take turns: `path` and, before it, `path.1`; together they hold at most `bound` bytes. A line that a
 * power cut has torn is cut off when the ledger is opened. Each record is synced before `ledger_add` returns.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include <stdint.h>

typedef struct { const char *path; long bound, length; int file; int64_t number; char before[65]; } ledger;

int ledger_open(ledger *self, const char *path, long bound); /* 0 where it can be written */
int ledger_add(ledger *self, int64_t t_us, const char *text);
void ledger_close(ledger *self);

#endif
