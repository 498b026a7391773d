#define _POSIX_C_SOURCE 200809L
#include "orders.h"

#include <fcntl.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { KEY_ID = 8, NEEDED = 2, PATH = 512 };
static const char MAGIC[8] = "RSORD1";

static int compare(orders_position a, orders_position b)
{
    if (a.epoch != b.epoch) { return a.epoch < b.epoch ? -1 : 1; }
    return a.generation == b.generation ? 0 : a.generation < b.generation ? -1 : 1;
}

static orders_position position_of(cbor *from)
{
    orders_position found = {0, 0};
    if (cbor_array(from) != 2) { from->is_bad = 1; }
    found.epoch = cbor_number(from);
    found.generation = cbor_number(from);
    return found;
}

/* ---- what is on the disk ------------------------------------------------------------------------------ */

static void digest_of(const orders_saved *saved, unsigned char out[32])
{
    crypto_hash_sha256(out, (const unsigned char *)saved, sizeof *saved);
}

static int write_whole(int file, const orders_saved *saved)
{
    unsigned char digest[32];
    digest_of(saved, digest);
    return write(file, MAGIC, sizeof MAGIC) == (ssize_t)sizeof MAGIC
        && write(file, digest, sizeof digest) == (ssize_t)sizeof digest
        && write(file, saved, sizeof *saved) == (ssize_t)sizeof *saved && fsync(file) == 0;
}

/* Write beside the old one, sync, rename, sync the folder: a power cut leaves one or the other, whole. */
static int keep(const orders *self, const orders_saved *saved)
{
    char fresh[PATH], folder[PATH];
    if (self->path == 0) { return 1; }
    if (snprintf(fresh, PATH, "%s.new", self->path) >= PATH) { return 0; }
    int file = open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    int is_written = file >= 0 && write_whole(file, saved);
    if (file >= 0 && close(file) != 0) { is_written = 0; }
    if (!is_written || rename(fresh, self->path) != 0) { return 0; }
    strcpy(folder, self->path);
    char *slash = strrchr(folder, '/');
    if (slash == 0) { strcpy(folder, "."); } else { slash[slash == folder] = '\0'; }
    int place = open(folder, O_RDONLY);
    int is_there = place >= 0 && fsync(place) == 0;
    if (place >= 0) { close(place); }
    return is_there;
}

static int read_back(const char *path, orders_saved *saved)
{
    unsigned char digest[32], found[32];
    char magic[sizeof MAGIC];
    FILE *file = path == 0 ? 0 : fopen(path, "rb");
    if (file == 0) { return 0; }
    int is_whole = fread(magic, sizeof magic, 1, file) == 1 && fread(digest, sizeof digest, 1, file) == 1
                && fread(saved, sizeof *saved, 1, file) == 1;
    fclose(file);
    if (!is_whole || memcmp(magic, MAGIC, sizeof magic) != 0) { return 0; }
    digest_of(saved, found);
    return memcmp(digest, found, sizeof digest) == 0;
}

int orders_trust(orders *self, const char *keys_path)
{
    char role[12], text[65];
    FILE *file = fopen(keys_path, "r");
    if (sodium_init() < 0 || file == 0) { return -1; }
    while (self->key_count < ORDERS_KEYS && fscanf(file, "%11s %64s", role, text) == 2) {
        cose_key *key = &self->keys[self->key_count];
        size_t length = 0;
        if (sodium_hex2bin(key->key, 32, text, 64, 0, &length, 0) != 0 || length != 32) { continue; }
        strcpy(key->role, role);
        self->key_count++;
    }
    fclose(file);
    return self->key_count > 0 ? 0 : -1;
}

void orders_begin(orders *self, const char *fleet, const char *agent, const char *path, const char *boot,
                  int64_t now_us)
{
    self->fleet = fleet;
    self->agent = agent;
    self->path = path;
    snprintf(self->scopes[0], ORDERS_SCOPE, "fleet");
    snprintf(self->scopes[1], ORDERS_SCOPE, "agent-%s", agent);
    if (!read_back(path, &self->saved)) { memset(&self->saved, 0, sizeof self->saved); }
    int is_same_boot = strncmp(self->saved.boot, boot, sizeof self->saved.boot - 1) == 0;
    if (!is_same_boot) {
        for (int i = 0; i < ORDERS_SCOPES; i++) { /* nothing tells how long the device was off */
            self->saved.held[i].is_proven = 0;
            self->saved.held[i].since_us = now_us;
        }
    }
    for (int i = 0; i < ORDERS_SCOPES; i++) {
        if (self->saved.held[i].position.epoch > self->epoch) { self->epoch = self->saved.held[i].position.epoch; }
    }
    snprintf(self->saved.boot, sizeof self->saved.boot, "%s", boot);
    if (!is_same_boot) { keep(self, &self->saved); } /* what began to run out goes on over the next restart */
}

/* ---- beats and ticks ---------------------------------------------------------------------------------- */

void orders_connected(orders *self, int64_t now_us)
{
    self->connected_us = now_us;
    self->has_round_trip = 0;
}

void orders_disconnected(orders *self)
{
    self->has_round_trip = 0;
    for (int i = 0; i < ORDERS_SCOPES; i++) { self->waiting[i].length = 0; }
}

void orders_beat(orders *self, const unsigned char nonce[8], int64_t now_us)
{
    unsigned at = self->beat_count++ % ORDERS_BEATS;
    memcpy(self->beats[at].nonce, nonce, sizeof self->beats[at].nonce);
    self->beats[at].sent_us = now_us;
}

/* When the beat was sent whose nonce this is; -1 where it is none of ours. */
static int64_t sent_us(const orders *self, slice nonce)
{
    unsigned count = self->beat_count < ORDERS_BEATS ? self->beat_count : ORDERS_BEATS;
    for (unsigned i = 0; i < count; i++) {
        if (nonce.length == 8 && memcmp(self->beats[i].nonce, nonce.data, 8) == 0) {
            return self->beats[i].sent_us;
        }
    }
    return -1;
}

static const char *take_tick(orders *self, slice data)
{
    cose_envelope sealed;
    const char *code = cose_open(self->keys, self->key_count, self->fleet, "tick", data, &sealed);
    if (code != 0) { return code; }
    cbor body = cbor_of(sealed.body);
    int64_t number = cbor_array(&body) == 4 ? cbor_number(&body) : -1, echoed_us = -1;
    orders_position position = position_of(&body);
    cbor_number(&body);
    for (size_t left = cbor_map(&body); left > 0; left--) {
        slice whose = cbor_text(&body), nonce = cbor_bytes(&body);
        if (slice_is(whose, self->agent)) { echoed_us = sent_us(self, nonce); }
    }
    if (!cbor_is_done(&body)) { return "W0102"; }
    if (position.epoch != sealed.epoch || number != sealed.tick) { return "W0505"; }
    if (position.epoch < self->epoch) { return "W0503"; }
    if (self->tick_count > 0) {
        unsigned last = (self->tick_count - 1) % ORDERS_BEATS;
        orders_position before = {self->ticks[last].epoch, self->ticks[last].number};
        if (compare((orders_position){position.epoch, number}, before) <= 0) { return 0; }
    }
    self->epoch = position.epoch;
    if (echoed_us < 0) { return 0; }
    unsigned at = self->tick_count++ % ORDERS_BEATS;
    self->ticks[at].epoch = position.epoch;
    self->ticks[at].number = number;
    self->ticks[at].sent_us = echoed_us;
    if (echoed_us >= self->connected_us) { self->has_round_trip = 1; }
    return 0;
}

/* When the beat was sent before which an intent that cites this tick cannot have been issued; -1 for unknown. */
static int64_t proof(const orders *self, int64_t epoch, int64_t tick)
{
    unsigned count = self->tick_count < ORDERS_BEATS ? self->tick_count : ORDERS_BEATS;
    for (unsigned back = 1; back <= count; back++) {
        unsigned at = (self->tick_count - back) % ORDERS_BEATS;
        orders_position known = {self->ticks[at].epoch, self->ticks[at].number};
        if (compare(known, (orders_position){epoch, tick}) <= 0) {
            return known.epoch == epoch ? self->ticks[at].sent_us : -1;
        }
    }
    return -1;
}

/* ---- intents ------------------------------------------------------------------------------------------ */

typedef struct { slice scope, content, mitigations; orders_position position; int64_t tick; } intent;

/* `content` is all but who says it when: the release, the mitigations, the topologies. */
static int read_intent(slice body, intent *out)
{
    cbor from = cbor_of(body);
    int is_whole = cbor_array(&from) == 6;
    out->scope = cbor_text(&from);
    out->position = position_of(&from);
    out->tick = cbor_number(&from);
    out->content = (slice){from.at, (size_t)(from.end - from.at)};
    is_whole = is_whole && cbor_array(&from) == 3;
    cbor_number(&from);
    cbor_text(&from);
    cbor_text(&from);
    out->mitigations = (slice){from.at, (size_t)(from.end - from.at)};
    return is_whole && !from.is_bad;
}

typedef struct { slice policy, silence; double lease_s, hold_s; int is_ours; } mitigation;

static void read_mitigation(cbor *from, const char *agent, mitigation *out)
{
    if (cbor_array(from) != 9) { from->is_bad = 1; }
    for (int i = 0; i < 3; i++) { cbor_text(from); }
    out->is_ours = 0;
    for (size_t left = cbor_array(from); left > 0; left--) { out->is_ours |= slice_is(cbor_text(from), agent); }
    out->policy = cbor_text(from);
    out->lease_s = cbor_double(from);
    out->silence = cbor_text(from);
    out->hold_s = cbor_double(from);
    cbor_number(from);
}

static int opened(const orders *self, const orders_held *held, cose_envelope *sealed, intent *read)
{
    slice data = {held->data, held->length};
    return held->length > 0
        && cose_open(self->keys, self->key_count, self->fleet, "intent", data, sealed) == 0
        && read_intent(sealed->body, read);
}

/* Read all of it; say whether it is sound, and whether a lease in it is on this agent. */
static int read_leases(const orders *self, const intent *made, int *names_us)
{
    cbor from = cbor_of(made->mitigations);
    mitigation each;
    *names_us = 0;
    for (size_t left = cbor_array(&from); left > 0; left--) {
        read_mitigation(&from, self->agent, &each);
        *names_us |= each.is_ours;
    }
    for (size_t left = cbor_array(&from); left > 0; left--) { /* topologies: a device has no peers */
        if (cbor_array(&from) != 7) { from.is_bad = 1; }
        for (int i = 0; i < 2; i++) { cbor_text(&from); }
        for (size_t members = cbor_array(&from); members > 0; members--) {
            *names_us |= slice_is(cbor_text(&from), self->agent);
        }
        for (int i = 0; i < 2; i++) { cbor_text(&from); }
        cbor_double(&from);
        cbor_text(&from);
    }
    return cbor_is_done(&from);
}

static void hold(orders_held *held, slice data, orders_position position, int64_t since_us)
{
    memcpy(held->data, data.data, data.length);
    held->length = (uint32_t)data.length;
    held->position = position;
    held->since_us = since_us;
    held->is_proven = 1;
}

/* INVARIANT: persisted before it holds; a crash in between leaves the earlier one in force. */
static orders_answer accept(orders *self, int scope, slice data, const intent *made, int64_t since_us)
{
    orders_answer answer = {0, "", "", made->position};
    cose_envelope sealed;
    intent before;
    const orders_held *held = &self->saved.held[scope];
    int is_news = !held->is_proven || !opened(self, held, &sealed, &before)
               || !slice_same(before.content, made->content);
    self->next = self->saved;
    hold(&self->next.held[scope], data, made->position, since_us);
    strcpy(answer.scope, self->scopes[scope]);
    if (!keep(self, &self->next)) {
        answer.code = "disk";
        answer.status = "refused";
        return answer;
    }
    self->saved = self->next;
    if (made->position.epoch > self->epoch) { self->epoch = made->position.epoch; }
    if (compare(self->waiting[scope].position, made->position) <= 0) { self->waiting[scope].length = 0; }
    answer.status = is_news ? "applied" : "";
    return answer;
}

static orders_answer refused(const char *code, const char *scope, orders_position position)
{
    orders_answer answer = {code, "", "", position};
    int is_answered = scope[0] != '\0' && strcmp(code, "W0501") != 0;
    if (is_answered) { answer.status = strcmp(code, "W0503") == 0 ? "superseded" : "refused"; }
    strcpy(answer.scope, scope);
    return answer;
}

static orders_answer take_intent(orders *self, slice data, int64_t now_us)
{
    cose_envelope sealed;
    intent made;
    const char *code = cose_open(self->keys, self->key_count, self->fleet, "intent", data, &sealed);
    orders_position none = {0, 0};
    int names_us;
    if (code == 0 && !(read_intent(sealed.body, &made) && read_leases(self, &made, &names_us))) { code = "W0102"; }
    if (code != 0) { return refused(code, "", none); }
    if (!slice_same(made.scope, sealed.scope) || made.position.epoch != sealed.epoch
        || made.position.generation != sealed.generation || made.tick != sealed.tick
        || data.length > ORDERS_INTENT) {
        return refused("W0505", "", none);
    }
    int scope = slice_is(made.scope, self->scopes[0]) ? 0 : slice_is(made.scope, self->scopes[1]) ? 1 : -1;
    if (scope < 0) { return refused("W0504", "", made.position); }
    const orders_held *held = &self->saved.held[scope];
    const char *name = self->scopes[scope];
    if (!self->has_round_trip) { return refused("W0501", name, made.position); }
    int order = held->length > 0 ? compare(made.position, held->position) : 1;
    if (made.position.epoch < self->epoch || order < 0) { return refused("W0503", name, made.position); }
    int64_t since_us = proof(self, made.position.epoch, made.tick);
    if (order == 0 && !slice_same(data, (slice){held->data, held->length})) {
        return refused("W0506", name, made.position);
    }
    if (order == 0 && (held->is_proven || since_us < 0)) { return refused("", "", made.position); }
    if (since_us >= 0) { return accept(self, scope, data, &made, since_us); }
    orders_held *waiting = &self->waiting[scope];
    if (waiting->length == 0 || compare(made.position, waiting->position) > 0) {
        hold(waiting, data, made.position, now_us);
    }
    return refused("", "", made.position);
}

int orders_ripe(orders *self, int64_t now_us, int64_t patience_us, orders_answer *answer)
{
    for (int scope = 0; scope < ORDERS_SCOPES; scope++) {
        static orders_held taken;
        cose_envelope sealed;
        intent made;
        orders_held *waiting = &self->waiting[scope];
        if (!opened(self, waiting, &sealed, &made)) { continue; }
        int64_t since_us = proof(self, made.position.epoch, made.tick);
        if (since_us < 0 && now_us - waiting->since_us <= patience_us) { continue; }
        taken = *waiting;
        waiting->length = 0;
        if (since_us < 0) {
            *answer = refused("W0502", self->scopes[scope], taken.position);
        } else {
            opened(self, &taken, &sealed, &made);
            *answer = accept(self, scope, (slice){taken.data, taken.length}, &made, since_us);
        }
        return 1;
    }
    return 0;
}

orders_position orders_obeyed(const orders *self)
{
    orders_position found = {0, 0};
    for (int scope = 0; scope < ORDERS_SCOPES; scope++) {
        cose_envelope sealed;
        intent made;
        const orders_held *held = &self->saved.held[scope];
        if (!opened(self, held, &sealed, &made)) { continue; }
        int names_us;
        read_leases(self, &made, &names_us);
        int is_claimed = held->is_proven || !names_us;
        if (is_claimed && compare(held->position, found) > 0) { found = held->position; }
    }
    return found;
}

/* ---- the stop switch ---------------------------------------------------------------------------------- */

static int is_name(slice id) { return id.length > 0 && id.length < ORDERS_NAME; }

static int find(const orders_latch *latches, uint32_t count, slice id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (slice_is(id, latches[i].id)) { return (int)i; }
    }
    return -1;
}

static const char *lift(orders *self, slice data)
{
    cose_envelope sealed;
    const char *code = cose_open(self->keys, self->key_count, self->fleet, "lift", data, &sealed);
    if (code != 0) { return code; }
    cbor body = cbor_of(sealed.body);
    int is_whole = cbor_array(&body) == 2;
    slice id = cbor_text(&body);
    cbor_text(&body);
    if (!is_whole || !cbor_is_done(&body)) { return "W0102"; }
    int at = find(self->saved.latches, self->saved.latch_count, id);
    if (at < 0 && find(self->saved.lifted, self->saved.lifted_count, id) >= 0) {
        return 0; /* what is gone already needs no more signatures */
    }
    if (at < 0) { return "W0904"; }
    self->next = self->saved;
    orders_latch *latch = &self->next.latches[at];
    if (!latch->is_signed) {
        latch->is_signed = 1;
        memcpy(latch->by, sealed.signer->key, KEY_ID);
    } else if (memcmp(latch->by, sealed.signer->key, KEY_ID) == 0) {
        return 0; /* the same key again is no second one */
    } else {
        if (self->next.lifted_count == ORDERS_LIFTED) {
            int64_t issued_us = self->next.lifted[0].issued_us;
            if (issued_us > self->next.old_us) { self->next.old_us = issued_us; }
            memmove(self->next.lifted, self->next.lifted + 1, (ORDERS_LIFTED - 1) * sizeof *latch);
            self->next.lifted_count--;
        }
        self->next.lifted[self->next.lifted_count++] = *latch;
        uint32_t behind = --self->next.latch_count - (uint32_t)at;
        memmove(latch, latch + 1, behind * sizeof *latch);
    }
    if (!keep(self, &self->next)) { return "disk"; }
    self->saved = self->next;
    return 0;
}

static const char *take_stop(orders *self, slice data)
{
    cose_envelope sealed;
    const char *code = cose_open(self->keys, self->key_count, self->fleet, "stop", data, &sealed);
    if (code != 0) { return strcmp(code, "W0206") == 0 ? lift(self, data) : code; }
    cbor body = cbor_of(sealed.body);
    int is_whole = cbor_array(&body) == 4;
    slice id = cbor_text(&body), scope = cbor_text(&body);
    cbor_text(&body);
    int64_t issued_us = cbor_number(&body);
    if (!is_whole || !cbor_is_done(&body)) { return "W0102"; }
    int is_local = id.length >= 6 && memcmp(id.data, "local-", 6) == 0;
    if (!slice_same(scope, sealed.scope) || !is_name(id) || is_local) { return "W0902"; }
    if (!slice_is(scope, self->scopes[0]) && !slice_is(scope, self->scopes[1])) { return "W0504"; }
    if (find(self->saved.latches, self->saved.latch_count, id) >= 0) { return 0; }
    if (issued_us <= self->saved.old_us || find(self->saved.lifted, self->saved.lifted_count, id) >= 0) {
        return "W0901";
    }
    if (self->saved.latch_count == ORDERS_LATCHES) { return "W0903"; }
    orders_latch *latch = &self->saved.latches[self->saved.latch_count++];
    memset(latch, 0, sizeof *latch);
    memcpy(latch->id, id.data, id.length);
    latch->issued_us = issued_us;
    return keep(self, &self->saved) ? 0 : "disk"; /* a stop holds also where it cannot be kept */
}

orders_answer orders_take(orders *self, const char *topic, slice data, int64_t now_us)
{
    orders_position none = {0, 0};
    const char *code = 0;
    if (strcmp(topic, "intent") == 0) {
        orders_answer answer = take_intent(self, data, now_us);
        if (answer.code != 0 && answer.code[0] == '\0') { answer.code = 0; }
        return answer;
    }
    if (strcmp(topic, "tick") == 0) { code = take_tick(self, data); }
    if (strcmp(topic, "stop") == 0) { code = take_stop(self, data); }
    return (orders_answer){code, "", "", none};
}

/* ---- what holds now ----------------------------------------------------------------------------------- */

static const unsigned char *behind_string(const unsigned char *at, const unsigned char *end)
{
    for (at++; at < end && *at != '"'; at++) { at += *at == '\\'; }
    return at < end ? at + 1 : end;
}

/* Whether a policy in canonical JSON guards an action; one that cannot be read guards everything. */
static int guards(slice policy, const char *action)
{
    const unsigned char *at = policy.data, *end = at + policy.length;
    int depth = 0;
    while (at < end) {
        if (*at == '"') {
            const unsigned char *next = behind_string(at, end);
            static const char key[] = "\"guards\":[";
            size_t length = sizeof key - 1;
            if (depth == 1 && (size_t)(end - at) > length && memcmp(at, key, length) == 0) {
                for (at += length; at < end && *at == '"'; at = next + (next < end && *next == ',')) {
                    next = behind_string(at, end);
                    slice name = {at + 1, (size_t)(next - at - 2)};
                    if (slice_is(name, action) || memchr(name.data, '\\', name.length) != 0) { return 1; }
                }
                return at >= end || *at != ']';
            }
            at = next;
            continue;
        }
        depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
        at++;
    }
    return 1;
}

/* How a mitigation stands, as agent/standing.py says: 0 over, 1 its policy holds, 2 silence has tightened it. */
static int standing(const mitigation *each, const orders_held *held, int64_t now_us)
{
    double end_us = (double)held->since_us + (held->is_proven ? nearbyint(each->lease_s * 1e6) : 0.0);
    if ((double)now_us < end_us) { return 1; }
    if (slice_is(each->silence, "revert")) { return 0; }
    if (each->hold_s > 0.0 && (double)now_us >= end_us + nearbyint(each->hold_s * 1e6)) { return 0; }
    return slice_is(each->silence, "hold") ? 1 : 2;
}

const char *orders_denial(const orders *self, const char *action, int is_failsafe, int64_t now_us)
{
    const char *why = 0;
    if (is_failsafe) { return 0; }
    if (self->saved.latch_count > 0) { return "stop"; }
    for (int scope = 0; scope < ORDERS_SCOPES; scope++) {
        cose_envelope sealed;
        intent made;
        mitigation each;
        if (!opened(self, &self->saved.held[scope], &sealed, &made)) { continue; }
        cbor from = cbor_of(made.mitigations);
        for (size_t left = cbor_array(&from); left > 0; left--) {
            read_mitigation(&from, self->agent, &each);
            int how = each.is_ours ? standing(&each, &self->saved.held[scope], now_us) : 0;
            if (how == 2) { return "silence"; }
            if (how == 1 && each.policy.length > 0 && guards(each.policy, action)) { why = "mitigation"; }
        }
    }
    return why;
}
