/* agent HOST PORT FLEET ID TRACE.csv [PACE]: an agent that decides by itself and tells the ground over MQTT.
 *
 * The password is in the environment, DEVICE_PASSWORD. The trace stands for the sensors and for what the
 * mission asks; replace `trace_next` by your drivers. Its time runs PACE times as fast as the clock's.
 * Each decision is made here and now, whether the link is up or not, and printed as `decide` prints it.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "device_table.h"
#include "link.h"
#include "trace.h"
#include "wire.h"

#ifndef BEAT_US
#define BEAT_US 5000000 /* as the ground expects it: `ripstop up --beat` */
#endif
enum { SILENCE_US = 20000000, BUFFERED = 512, MESSAGE = 16384, BUFFERED_FLAG = 2 };
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

/* `Beat` of docs/reference/wire.md: no intent is obeyed here, no release is known, no ledger is kept. */
static void beat(agent *self)
{
    unsigned char data[MESSAGE], nonce[8];
    wire out = {data, sizeof data, 0, 0};
    for (int i = 0; i < 8; i++) { nonce[i] = (unsigned char)(rand() >> 4); }
    wire_array(&out, 10);
    wire_text(&out, self->id);
    wire_text(&out, self->boot);
    wire_number(&out, self->life);
    wire_number(&out, ++self->beats);
    wire_bytes(&out, nonce, sizeof nonce);
    wire_array(&out, 2);
    wire_number(&out, 0);
    wire_number(&out, 0);
    wire_number(&out, 0);
    wire_text(&out, "closed");
    wire_number(&out, 0);
    wire_bytes(&out, "", 0);
    say(self, "beat", &out);
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

static int fly(agent *self, const char *path, double pace)
{
    static device readings;
    trace rows;
    trace_row row;
    device_decision decision;
    int64_t begun_us = clock_us(CLOCK_MONOTONIC), first_us = INT64_MIN;
    int found = trace_open(&rows, path) == 0 ? 1 : -1;
    while (found > 0 && (found = trace_next(&rows, &readings, &row)) > 0) {
        if (first_us == INT64_MIN) { first_us = row.t_us; }
        wait_until(self, begun_us + (int64_t)((double)(row.t_us - first_us) / pace));
        sense(self, &readings, clock_us(CLOCK_REALTIME));
        if (row.action_name[0] != '\0') {
            device_decide(&readings, row.action, row.parameters, row.t_us, &decision);
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
    self.link = link_open(argv[1], atoi(argv[2]), argv[3], self.id, password);
    if (self.link == 0) { return 2; }
    int code = fly(&self, argv[5], pace);
    link_close(self.link);
    return code;
}
