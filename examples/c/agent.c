/* agent HOST PORT FLEET ID TRACE.csv [PACE]: an agent that decides by itself and tells the ground over MQTT.
 *
 * The password is in the environment, DEVICE_PASSWORD. The trace stands for the sensors and for what the
 * mission asks; replace `trace_next` by your drivers. Its time runs PACE times as fast as the clock's.
 * Each decision is made here and now, whether the link is up or not, and printed as `decide` prints it.
 *
 * With DEVICE_TRUST (a file of the ground's public keys) it obeys signed intents and the stop switch, and
 * remembers them in DEVICE_STATE over a restart; DEVICE_LEDGER keeps what it decided and was ordered.
 */
#define _DEFAULT_SOURCE
#include <math.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "device_table.h"
#include "ledger.h"
#include "link.h"
#include "orders.h"
#include "trace.h"
#include "wire.h"

#ifndef BEAT_US
#define BEAT_US 5000000 /* as the ground expects it: `ripstop up --beat` */
#endif
enum { SILENCE_US = 20000000, BUFFERED = 512, MESSAGE = 16384, BUFFERED_FLAG = 2, LEDGER_BYTES = 1 << 20 };
static const double BAND = 0.02; /* of the declared range: what changed by less is not worth a message */

typedef struct {
    link_t *link;
    const char *id;
    char boot[64];
    int64_t life, beats, notices, beat_due_us;
    unsigned connections;
    double sent[DEVICE_SIGNALS];
    int64_t sent_us[DEVICE_SIGNALS];
    wire_sample buffer[BUFFERED];
    uint32_t buffered;
    int was_up, has_ledger;
    orders orders;
    ledger ledger;
} agent;

static int64_t clock_us(clockid_t which)
{
    struct timespec now;
    clock_gettime(which, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void say(agent *self, const char *topic, const wire *message)
{
    if (!message->is_full) { link_say(self->link, topic, message->data, message->length); }
}

static void record(agent *self, const char *kind, const char *what, const char *why)
{
    char text[256];
    snprintf(text, sizeof text, "%s %s %s", kind, what, why);
    if (self->has_ledger && ledger_add(&self->ledger, clock_us(CLOCK_REALTIME), text) != 0) {
        fprintf(stderr, "the ledger cannot be written\n");
    }
}

/* `Beat` of docs/reference/wire.md: no release is known, and the ledger stays here. */
static void beat(agent *self)
{
    unsigned char data[MESSAGE], nonce[8];
    wire out = {data, sizeof data, 0, 0};
    orders_position obeyed = orders_obeyed(&self->orders);
    if (getrandom(nonce, sizeof nonce, 0) != sizeof nonce) { return; } /* one that can be guessed proves nothing */
    orders_beat(&self->orders, nonce, clock_us(CLOCK_MONOTONIC));
    wire_array(&out, 10);
    wire_text(&out, self->id);
    wire_text(&out, self->boot);
    wire_number(&out, self->life);
    wire_number(&out, ++self->beats);
    wire_bytes(&out, nonce, sizeof nonce);
    wire_array(&out, 2);
    wire_number(&out, obeyed.epoch);
    wire_number(&out, obeyed.generation);
    wire_number(&out, 0);
    wire_text(&out, "closed");
    wire_number(&out, 0);
    wire_bytes(&out, "", 0);
    say(self, "beat", &out);
}

/* `Ack`: what became of an intent. */
static void answer_to(agent *self, const orders_answer *answer)
{
    unsigned char data[MESSAGE];
    wire out = {data, sizeof data, 0, 0};
    if (answer->code != 0) { fprintf(stderr, "refused %s\n", answer->code); }
    if (answer->status[0] == '\0') { return; }
    record(self, "intent", answer->status, answer->code ? answer->code : "-");
    wire_array(&out, 6);
    wire_text(&out, self->id);
    wire_text(&out, answer->scope);
    wire_array(&out, 2);
    wire_number(&out, answer->position.epoch);
    wire_number(&out, answer->position.generation);
    wire_text(&out, answer->status);
    wire_text(&out, answer->code ? answer->code : "");
    wire_number(&out, clock_us(CLOCK_MONOTONIC));
    say(self, "ack", &out);
}

/* Take what the ground has said, and what has waited for its tick. */
static void listen_to(agent *self, int64_t now_us)
{
    static unsigned char data[MESSAGE];
    char topic[16];
    orders_answer answer;
    int is_up = link_is_up(self->link);
    if (!is_up && self->was_up) { orders_disconnected(&self->orders); }
    self->was_up = is_up;
    for (size_t length; (length = link_hear(self->link, topic, data, sizeof data)) > 0;) {
        answer = orders_take(&self->orders, topic, (slice){data, length}, now_us);
        if (strcmp(topic, "stop") == 0) { record(self, "stop", answer.code ? answer.code : "taken", "-"); }
        answer_to(self, &answer);
    }
    while (orders_ripe(&self->orders, now_us, 2 * BEAT_US, &answer)) { answer_to(self, &answer); }
}

/* `Notice`; the keys of a map stand in the order of their bytes. */
static void tell_veto(agent *self, const trace_row *row, const device_decision *decision)
{
    unsigned char data[MESSAGE];
    wire out = {data, sizeof data, 0, 0};
    wire_array(&out, 5);
    wire_text(&out, self->id);
    wire_number(&out, ++self->notices);
    wire_number(&out, clock_us(CLOCK_REALTIME));
    wire_text(&out, "action.vetoed");
    wire_map(&out, 2);
    wire_text(&out, "action");
    wire_text(&out, row->action_name);
    wire_text(&out, "verdict");
    wire_text(&out, decision->verdict == DEVICE_DENY ? "deny" : "limit");
    say(self, "notice", &out);
}

static int is_worth_sending(const agent *self, int signal, double value, int64_t t_us)
{
    const device_spec *spec = &device_known.signals[signal];
    double span = spec->high - spec->low, change = fabs(value - self->sent[signal]);
    double band = isfinite(span) ? BAND * span : BAND * fabs(self->sent[signal]);
    return self->sent_us[signal] == 0 || t_us - self->sent_us[signal] >= SILENCE_US || !(change <= band);
}

/* Keep what the ground cannot guess; when the buffer is full, the oldest goes. */
static void sense(agent *self, const device *readings, int64_t t_us)
{
    for (int signal = 0; signal < device_known.signal_count; signal++) {
        const device_reading *reading = &readings->readings[signal];
        int is_number = reading->value.kind == DEVICE_NUMBER || reading->value.kind == DEVICE_BOOLEAN;
        if (!reading->is_known || !is_number || !is_worth_sending(self, signal, reading->value.number, t_us)) {
            continue;
        }
        if (self->buffered == BUFFERED) {
            memmove(self->buffer, self->buffer + 1, (BUFFERED - 1) * sizeof *self->buffer);
            self->buffered--;
        }
        self->buffer[self->buffered++] = (wire_sample){
            t_us, reading->value.number, (uint16_t)signal, link_is_up(self->link) ? 0 : BUFFERED_FLAG};
        self->sent[signal] = reading->value.number;
        self->sent_us[signal] = t_us;
    }
}

static void flush(agent *self)
{
    unsigned char data[MESSAGE];
    wire out = {data, sizeof data, 0, 0};
    if (self->buffered == 0 || !link_is_up(self->link)) { return; }
    wire_frame(&out, device_vocabulary, self->id, self->buffer, self->buffered);
    if (!out.is_full && link_say(self->link, "frame", out.data, out.length) == 0) { self->buffered = 0; }
}

/* Say what is due: a beat for each new connection and every 5 s, jittered, then the readings. */
static void speak(agent *self, int64_t now_us)
{
    unsigned connections = link_connections(self->link);
    listen_to(self, now_us);
    if (connections != self->connections) {
        orders_disconnected(&self->orders);
        orders_connected(&self->orders, now_us);
    }
    if (connections != self->connections || now_us >= self->beat_due_us) {
        self->connections = connections;
        self->beat_due_us = now_us + (int64_t)(BEAT_US * (0.9 + 0.2 * rand() / RAND_MAX));
        beat(self);
    }
    flush(self);
}

/* Let time pass until the trace's moment has come; the agent goes on speaking meanwhile. */
static void wait_until(agent *self, int64_t due_us)
{
    for (int64_t now_us = clock_us(CLOCK_MONOTONIC); now_us < due_us; now_us = clock_us(CLOCK_MONOTONIC)) {
        int64_t step_us = due_us - now_us < 20000 ? due_us - now_us : 20000;
        struct timespec step = {0, (long)step_us * 1000};
        speak(self, now_us);
        nanosleep(&step, 0);
    }
}

/* What the policies say, and whether the ground lets it be. */
static void decide(agent *self, const device *readings, const trace_row *row, device_decision *decision)
{
    device_decide(readings, row->action, row->parameters, row->t_us, decision);
    const char *why = orders_denial(&self->orders, row->action_name, row->action->is_failsafe,
                                    clock_us(CLOCK_MONOTONIC));
    if (why != 0) { decision->verdict = DEVICE_DENY; }
    if (decision->verdict == DEVICE_ALLOW) { device_commit(row->action, row->parameters, row->t_us); }
    static const char *const words[] = {"deny", "limit", "allow"};
    record(self, words[decision->verdict], row->action_name, why ? why : "policy");
}

/* Whom it obeys, and what it remembers; without keys nobody commands it. */
static int prepare(agent *self, const char *fleet)
{
    const char *trust = getenv("DEVICE_TRUST"), *path = getenv("DEVICE_LEDGER");
    if (sodium_init() < 0) { return -1; }
    if (trust != 0 && orders_trust(&self->orders, trust) != 0) {
        fprintf(stderr, "no keys in `%s`\n", trust);
        return -1;
    }
    orders_begin(&self->orders, fleet, self->id, getenv("DEVICE_STATE"), self->boot, clock_us(CLOCK_MONOTONIC));
    self->has_ledger = path != 0;
    if (self->has_ledger && ledger_open(&self->ledger, path, LEDGER_BYTES) != 0) {
        fprintf(stderr, "`%s` cannot be written\n", path);
        return -1;
    }
    return 0;
}

static int fly(agent *self, const char *path, double pace)
{
    static device readings;
    trace rows;
    trace_row row;
    device_decision decision;
    int64_t begun_us = clock_us(CLOCK_MONOTONIC), first_us = INT64_MIN;
    device_start(&readings);
    int found = trace_open(&rows, path) == 0 ? 1 : -1;
    while (found > 0 && (found = trace_next(&rows, &readings, &row)) > 0) {
        if (first_us == INT64_MIN) { first_us = row.t_us; }
        wait_until(self, begun_us + (int64_t)((double)(row.t_us - first_us) / pace));
        sense(self, &readings, clock_us(CLOCK_REALTIME));
        if (row.action_name[0] != '\0') {
            decide(self, &readings, &row, &decision);
            trace_print(stdout, &row, &decision);
            fflush(stdout);
            if (decision.verdict != DEVICE_ALLOW) { tell_veto(self, &row, &decision); }
        }
        speak(self, clock_us(CLOCK_MONOTONIC));
    }
    trace_close(&rows);
    return found < 0 ? 2 : 0;
}

int main(int argc, char **argv)
{
    static agent self;
    const char *password = getenv("DEVICE_PASSWORD");
    if (argc < 6 || argc > 7 || password == 0) {
        fprintf(stderr, "usage: DEVICE_PASSWORD=... %s HOST PORT FLEET ID TRACE.csv [PACE]\n", argv[0]);
        return 2;
    }
    double pace = argc == 7 ? strtod(argv[6], 0) : 1.0;
    if (!(pace > 0.0 && pace < 1e6)) {
        fprintf(stderr, "PACE must be above 0\n");
        return 2;
    }
    self.id = argv[4];
    self.life = clock_us(CLOCK_REALTIME) / 1000000;
    srand((unsigned)(clock_us(CLOCK_REALTIME) ^ clock_us(CLOCK_MONOTONIC)));
    FILE *boot = fopen("/proc/sys/kernel/random/boot_id", "r");
    if (boot == 0 || fscanf(boot, "%63s", self.boot) != 1) { strcpy(self.boot, "unknown"); }
    if (boot != 0) { fclose(boot); }
    if (prepare(&self, argv[3]) != 0) { return 2; }
    self.link = link_open(argv[1], atoi(argv[2]), argv[3], self.id, password);
    if (self.link == 0) { return 2; }
    int code = fly(&self, argv[5], pace);
    link_close(self.link);
    if (self.has_ledger) { ledger_close(&self.ledger); }
    return code;
}
