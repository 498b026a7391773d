/* The monitor of one signal, as `ripstop.agent.Monitor()` has it with no declared range: a score, and no heap.
 *
 * The score ranks readings: 1 is what a rare and real anomaly reaches. src/ripstop/agent/detect/monitor.py and
 * day.py have the theory and where the constants come from; the tests hold this to them. Sampling is taken to be
 * regular: after a pause the Python class forgets faster.
 *
 * It takes 64 bytes while it runs. So the ends of ranges are half-long floats (the upper half of a single one),
 * counted from the first reading and rounded outward: what lies outside by less than 2^-7 of that is no news.
 */
#ifndef MONITOR_H
#define MONITOR_H

#include <stdint.h>

enum { MONITOR_PARTS = 6 };

typedef struct {
    uint32_t count;
    int8_t parts[MONITOR_PARTS], exponent; /* what the fast mean was when that part of the day ended, in steps */
    uint8_t seen : 4, far : 4;             /* how many parts have ended; readings that were far, up to 15 each */
    uint32_t turn;                         /* which part of a day since 1970 comes next */
    float level, variance, fast, slow, unrest, peak, anchor, greatest;
    uint8_t looked, looks;    /* what was read at the last look, hashed; looks that found it still: longest, now */
    uint16_t low[3], high[4]; /* where the value, the fast and the slow mean, and the unrest (from 0) have been */
} monitor;

/* From here on squares are no numbers any more. */
#define MONITOR_BEYOND 1e18f

/* Take a reading sensed at t_us; give its score. Begin with a monitor of zeros. What is no number, infinite or
   beyond MONITOR_BEYOND is not learned, and its score is infinite. */
float monitor_observe(monitor *self, float value, int64_t t_us);

#endif
