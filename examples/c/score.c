/* score < READINGS: a line of "t_us value" each, answered by its score. `score N` times N made-up readings. */
#define _POSIX_C_SOURCE 200809L
#include "monitor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void time_it(int64_t count)
{
    enum { MADE = 4096 };
    static float values[MADE];
    float sum = 0.0f;
    monitor watched = {0};
    for (int i = 0; i < MADE; i++) { values[i] = 50.0f + 0.6f * (float)rand() / (float)RAND_MAX; }
    double begun_ns = cpu_ns();
    for (int64_t i = 0; i < count; i++) {
        sum += monitor_observe(&watched, values[i % MADE], i * INT64_C(60000000));
    }
    double each_ns = (cpu_ns() - begun_ns) / (double)count;
    printf("%.2f ns a reading, %zu bytes (scores add up to %g)\n", each_ns, sizeof watched, (double)sum);
}

int main(int argc, char **argv)
{
    monitor watched = {0};
    int64_t t_us;
    float value;
    if (argc > 1) {
        time_it(strtoll(argv[1], 0, 10));
        return 0;
    }
    while (scanf("%" SCNd64 " %f", &t_us, &value) == 2) {
        printf("%.9g\n", (double)monitor_observe(&watched, value, t_us));
    }
    return 0;
}
