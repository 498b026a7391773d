#include "monitor.h"

#include <math.h>
#include <string.h>

enum { UNKNOWN = -128, MOST_CODE = 127, FORGET_EVERY = 1024, MOST_SEEN = 15, FIRST_TESTED = 3 };
enum { LOOK_EVERY = 16, USUAL_LOOKS = 4, MOST_LOOKS = 15, GLITCHES = 7, MOST_FAR = 15, LET_OFF_EVERY = 64 };
static const float STILL_WEIGHT = 15.0f, NEAR_SHARE = 0.03f;
static const int64_t PART_US = INT64_C(86400000000) / MONITOR_PARTS;
static const float LEVEL_GAIN = 0.0081f, FAST_GAIN = 0.066f, SLOW_GAIN = 0.011f, MATURE = 3800.0f, CLIP = 2.3f;
static const float WEIGHTS[4] = {40.0f, 48.0f, 72.0f, 65.0f}; /* of news of the value, the two means, the unrest */
static const float LEVEL_WEIGHT = 0.26f, DAY_WEIGHT = 22.0f, DAY_GAIN = 0.29f, DAY_CLIP = 4.0f, DAY_STEPS = 16.0f;
static const float FAR = 100.0f, WILD = 4.0f, FLOOR_SHARE = 0.01f, RANGE_FLOOR = 0.05f, TINY = 1e-9f, SMALL_SAMPLE = 8.0f;
static const float PEAK_BASE = 6.0f, PEAK_DECAY = 0.002f, PEAK_GAIN = 0.5f, MOST_SIGMA = 1000.0f, FORGET = 0.01f;

static float greater(float a, float b) { return a > b ? a : b; }

static float whole(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The least half-long float that is no less. */
static uint16_t half_above(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t half = (uint16_t)(bits >> 16);
    return (uint16_t)(half + (whole(half) < value));
}

static float high(const monitor *self, int which) { return whole(self->high[which]) + (which < 3 ? self->anchor : 0.0f); }
static float low(const monitor *self, int which) { return self->anchor - whole(self->low[which]); }
static void set_high(monitor *self, int which, float value)
{
    self->high[which] = half_above(value - (which < 3 ? self->anchor : 0.0f));
}
static void set_low(monitor *self, int which, float value) { self->low[which] = half_above(self->anchor - value); }

static void begin_days(monitor *self, float anchor)
{
    self->anchor = anchor;
    self->exponent = 0;
    self->seen = 0;
    self->greatest = 0.0f;
    for (int i = 0; i < MONITOR_PARTS; i++) { self->parts[i] = UNKNOWN; }
}

static float first(monitor *self, float value, int64_t t_us)
{
    *self = (monitor){0};
    self->count = 1;
    self->level = self->fast = self->slow = value;
    self->peak = PEAK_BASE;
    self->turn = (uint32_t)(t_us / PART_US) + 1;
    begin_days(self, value);
    return 0.0f;
}

/* Begin anew, once, where of the first three readings two agree and the third is wild beside them. */
static int has_begun_wild(monitor *self, float value, int64_t t_us)
{
    float one = self->anchor, two = 2.0f * self->fast - one; /* of two readings the fast mean is the middle */
    float least = fminf(fminf(one, two), value), most = fmaxf(fmaxf(one, two), value), wide = most - least;
    float middle = fmaxf(fminf(one, two), fminf(fmaxf(one, two), value));
    if (self->far > GLITCHES || !(fminf(middle - least, most - middle) * WILD < wide && wide > fabsf(middle))) { return 0; }
    first(self, middle, t_us);
    self->far = GLITCHES + 1;
    return 1;
}

/* Keep a part's mean in a byte; where that does not reach, the step doubles for all parts. */
static void keep(monitor *self, int part, float target)
{
    float steps = ldexpf(target - self->anchor, -self->exponent);
    int grown = 0;
    if (frexpf(steps / MOST_CODE, &grown) == 0.0f || grown < 0) { grown = 0; }
    if (!isfinite(steps) || self->exponent + grown > 127) {
        begin_days(self, target);
        return;
    }
    self->exponent = (int8_t)(self->exponent + grown);
    for (int i = 0; grown > 0 && i < MONITOR_PARTS; i++) {
        if (self->parts[i] != UNKNOWN) { self->parts[i] = (int8_t)nearbyintf(ldexpf(self->parts[i], -grown)); }
    }
    self->parts[part] = (int8_t)nearbyintf(ldexpf(steps, -grown));
}

/* A part of the day has ended: give the news of its mean, as a share of twice the greatest error there was. */
static float end_of_part(monitor *self, int part, float usual, float wide)
{
    float news = 0.0f, target = self->fast;
    int step = 0;
    if (self->seen == 0) {
        frexpf(usual / DAY_STEPS, &step);
        self->exponent = (int8_t)(step < -126 ? -126 : step > 127 ? 127 : step);
    }
    if (self->parts[part] != UNKNOWN) {
        float expected = self->anchor + ldexpf(self->parts[part], self->exponent);
        float error = self->fast - expected, limit = DAY_CLIP * usual;
        if (fabsf(error) > self->greatest) {
            if (self->seen >= 2 * MONITOR_PARTS) {
                news = (fabsf(error) - self->greatest) / greater(2.0f * self->greatest, wide);
            }
            self->greatest = fabsf(error);
        }
        target = expected + DAY_GAIN * fmaxf(-limit, fminf(limit, error));
    }
    keep(self, part, target);
    self->seen = (uint8_t)(self->seen < MOST_SEEN ? self->seen + 1 : MOST_SEEN);
    return DAY_WEIGHT * news;
}

static float turn(monitor *self, uint32_t now, float usual, float wide)
{
    uint32_t ended = self->turn;
    self->turn = now + 1;
    if (now > ended) { /* it was not seen whole */
        self->turn++;
        return 0.0f;
    }
    return end_of_part(self, (int)((ended - 1) % MONITOR_PARTS), usual, wide);
}

/* How far a statistic is outside of where it has been, as a share of that; and let it have been there. */
static float beyond(monitor *self, int which, float value, float wide)
{
    float least = low(self, which), most = high(self, which), news = (value - most) / greater(most - least, wide);
    if (value > most) {
        set_high(self, which, value);
    } else {
        news = (least - value) / greater(most - least, wide);
        set_low(self, which, value);
    }
    return WEIGHTS[which] * news;
}

static uint8_t hashed(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits *= UINT32_C(2654435769); /* Knuth, TAOCP 3, 6.4: multiplicative hashing */
    return (uint8_t)(bits >> 24);
}

/* How much longer the signal has stood still than ever before, as a share of that. */
static float look(monitor *self, float value, float deviation)
{
    int longest = self->looks >> 4, still = self->looks & 15, before = longest;
    uint8_t hash = hashed(value);
    int is_still = hash == self->looked && fabsf(value - self->fast) < NEAR_SHARE * deviation;
    still = !is_still ? 0 : still < MOST_LOOKS ? still + 1 : MOST_LOOKS;
    if (still > longest) { longest = still; }
    self->looked = hash;
    self->looks = (uint8_t)(longest << 4 | still);
    return STILL_WEIGHT * (float)(longest - before) / (float)(before > USUAL_LOOKS ? before : USUAL_LOOKS);
}

static void forget(monitor *self)
{
    for (int i = 0; i < 3; i++) {
        set_low(self, i, low(self, i) + FORGET * (self->level - low(self, i)));
        set_high(self, i, high(self, i) + FORGET * (self->level - high(self, i)));
    }
    set_high(self, 3, (1.0f - FORGET) * high(self, 3));
    self->greatest *= 1.0f - FORGET;
}

float monitor_observe(monitor *self, float value, int64_t t_us)
{
    if (!(fabsf(value) < MONITOR_BEYOND)) { return INFINITY; }
    if (self->count == 0) { return first(self, value, t_us); }
    if (self->count == 2 && has_begun_wild(self, value, t_us)) { return 0.0f; }
    float n = (float)self->count, fresh = 1.0f / (n + 1.0f);
    float away = value - self->level, distance = fabsf(away), magnitude = fabsf(self->level);
    float floor = greater(FLOOR_SHARE * magnitude, TINY), wide = RANGE_FLOOR * magnitude + TINY;
    float deviation = sqrtf(self->variance), usual = greater(deviation, floor);
    float sigma = fminf(distance / greater(deviation * (1.0f + SMALL_SAMPLE / n), floor), MOST_SIGMA);
    uint32_t part = (uint32_t)(t_us / PART_US);
    float news = part >= self->turn ? turn(self, part, usual, wide) : 0.0f;
    float gain = greater(FAST_GAIN, fresh), before = self->level;
    self->fast += gain * (value - self->fast);
    self->unrest += gain * (distance - self->unrest);
    self->slow += greater(SLOW_GAIN, fresh) * (value - self->slow);
    if (value > high(self, 0) || value < low(self, 0)) { news += beyond(self, 0, value, wide); }
    if (self->fast > high(self, 1) || self->fast < low(self, 1)) { news += beyond(self, 1, self->fast, wide); }
    if (self->slow > high(self, 2) || self->slow < low(self, 2)) { news += beyond(self, 2, self->slow, wide); }
    if (self->unrest > high(self, 3)) {
        news += WEIGHTS[3] * (self->unrest - high(self, 3)) / greater(high(self, 3), wide);
        set_high(self, 3, self->unrest);
    }
    if (self->count % LOOK_EVERY == 0) { news += look(self, value, deviation); }
    float score = self->count < FIRST_TESTED ? 0.0f : LEVEL_WEIGHT * sigma / self->peak + news * n / (n + MATURE);
    float limit = CLIP * usual;
    if (distance > FAR * usual) {
        if (self->far < MOST_FAR) { self->far++; }
        if (self->far > GLITCHES) { limit *= sqrtf(distance / usual / FAR); }
    }
    float clipped = distance > limit ? copysignf(limit, away) : away;
    gain = greater(LEVEL_GAIN, fresh);
    self->level += gain * clipped;
    self->variance = (1.0f - gain) * (self->variance + gain * clipped * clipped);
    self->peak += PEAK_DECAY * (PEAK_BASE - self->peak);
    if (sigma > self->peak) { self->peak += PEAK_GAIN * (sigma - self->peak); }
    if (self->count % FORGET_EVERY == 0) {
        float level = self->level;
        self->level = before;
        forget(self);
        self->level = level;
    }
    if (self->count % LET_OFF_EVERY == 0 && self->far > 0) { self->far--; }
    self->count++;
    return score;
}
