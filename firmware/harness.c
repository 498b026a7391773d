/* Runs a policy over a trace on a Cortex-M3: rows of doubles in, rows of words out, through semihosting.
 *
 * `glue.h` is generated: INPUTS and WORDS, and `evaluate`, which calls the policy.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "glue.h"

enum { SYS_OPEN = 0x01, SYS_WRITE = 0x05, SYS_READ = 0x06, SYS_EXIT = 0x18 };
enum { MODE_READ = 1, MODE_WRITE = 5, STOPPED = 0x20026 };

extern uint32_t data_start, data_end, data_load, bss_start, bss_end, stack_top;

static int32_t host(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return (int32_t)r0;
}

static int32_t host_open(const char *name, uint32_t mode)
{
    const uint32_t block[3] = {(uint32_t)name, mode, strlen(name)};
    return host(SYS_OPEN, block);
}

/* Gives how many bytes were not moved. */
static int32_t host_move(uint32_t operation, int32_t file, void *bytes, uint32_t size)
{
    const uint32_t block[3] = {(uint32_t)file, (uint32_t)bytes, size};
    return host(operation, block);
}

static void run(void)
{
    double in[INPUTS];
    uint32_t out[WORDS];
    const int32_t from = host_open("trace.bin", MODE_READ);
    const int32_t to = host_open("found.bin", MODE_WRITE);

    while (host_move(SYS_READ, from, in, sizeof in) == 0) {
        memset(out, 0, sizeof out);
        evaluate(in, out);
        host_move(SYS_WRITE, to, out, sizeof out);
    }
}

void reset(void);
void reset(void)
{
    const uint32_t *load = &data_load;

    for (uint32_t *word = &data_start; word < &data_end; word++) {
        *word = *load++;
    }
    for (uint32_t *word = &bss_start; word < &bss_end; word++) {
        *word = 0;
    }
    run();
    host(SYS_EXIT, (const void *)STOPPED);
    for (;;) {
    }
}

struct vectors {
    const void *stack;
    void (*reset)(void);
};

__attribute__((section(".vectors"), used)) static const struct vectors vectors = {&stack_top, reset};
