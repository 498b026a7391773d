/* What the ground may command of this device, and what it must not forget of it.
 *
 * The rules are those of the Python agent (agent/authority.py, standing.py, stop.py; PROTOCOL is their source):
 * the highest (epoch, generation) of a scope wins; an intent counts once a tick has echoed a beat of ours, and
 * its leases run from when that beat was sent; what silence does is declared; the stop switch latches until two
 * release keys have signed the latch's name. Everything is bounded, nothing is allocated.
 *
 * One thing differs, to the safe side: this device cannot read policies, so a mitigation that brings one denies
 * what that policy guards, whatever its rule. Failsafe actions are permitted always.
 */
#ifndef ORDERS_H
#define ORDERS_H

#include "cose.h"

enum { ORDERS_KEYS = 8, ORDERS_SCOPES = 2, ORDERS_INTENT = 8192, ORDERS_BEATS = 64, ORDERS_LATCHES = 16,
       ORDERS_LIFTED = 64, ORDERS_NAME = 65, ORDERS_SCOPE = 80 };

typedef struct { int64_t epoch, generation; } orders_position;
typedef struct { unsigned char data[ORDERS_INTENT]; uint32_t length; int is_proven; int64_t since_us;
                 orders_position position; } orders_held;
typedef struct { char id[ORDERS_NAME]; int is_signed; int64_t issued_us; unsigned char by[8]; } orders_latch;

/* What lies on the disk: one value, written whole. */
typedef struct {
    char boot[64];
    int64_t old_us;
    orders_held held[ORDERS_SCOPES];
    orders_latch latches[ORDERS_LATCHES], lifted[ORDERS_LIFTED];
    uint32_t latch_count, lifted_count;
} orders_saved;

typedef struct {
    cose_key keys[ORDERS_KEYS];
    int key_count, has_round_trip;
    const char *fleet, *agent, *path;
    char scopes[ORDERS_SCOPES][ORDERS_SCOPE];
    struct { unsigned char nonce[8]; int64_t sent_us; } beats[ORDERS_BEATS];
    struct { int64_t epoch, number, sent_us; } ticks[ORDERS_BEATS];
    unsigned beat_count, tick_count;
    orders_held waiting[ORDERS_SCOPES]; /* since_us: when it arrived; length 0: none */
    int64_t connected_us, epoch; /* the highest epoch seen */
    orders_saved saved, next;
} orders;

/* What an order brought: a code where it was refused, and what is to be answered (`status` "" for nothing). */
typedef struct { const char *code, *status; char scope[ORDERS_SCOPE]; orders_position position; } orders_answer;

/* Begin with what `path` holds (0: nothing is kept). Keys: lines of a role and 64 hexadecimal digits. */
int orders_trust(orders *self, const char *keys_path);
void orders_begin(orders *self, const char *fleet, const char *agent, const char *path, const char *boot,
                  int64_t now_us);

void orders_connected(orders *self, int64_t now_us);
void orders_disconnected(orders *self);
void orders_beat(orders *self, const unsigned char nonce[8], int64_t now_us);

/* Take what came: "tick", "intent" or "stop" (which lifts are, too). `now_us` is monotonic. */
orders_answer orders_take(orders *self, const char *topic, slice data, int64_t now_us);

/* The next waiting intent that a tick has proved fresh or that waited for nothing; 0 where there is none. */
int orders_ripe(orders *self, int64_t now_us, int64_t patience_us, orders_answer *answer);

/* Why an action is denied now: 0 where it is not. */
const char *orders_denial(const orders *self, const char *action, int is_failsafe, int64_t now_us);

/* The highest position that is obeyed. */
orders_position orders_obeyed(const orders *self);

#endif
