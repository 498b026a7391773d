/* decide TRACE.csv [STATE]: print one decision a line, for each row of the trace that asks for an action.
 *
 * What is allowed is done at once, so it is taken from the budgets. What the policies remember is read from the
 * file STATE first, where it is there, and written to it at the end.
 */
#include "device_table.h"
#include "trace.h"

#include <stdlib.h>

/* Go on from a file; 0 where it holds what other policies remembered, or less. */
static int read_state(const char *path)
{
    size_t count = device_snapshot_bytes();
    uint8_t *bytes = malloc(count + 1);
    FILE *file = fopen(path, "rb");
    int is_taken = file == 0 || (bytes != 0 && device_restore(bytes, fread(bytes, 1, count + 1, file)));
    if (file != 0) { fclose(file); }
    free(bytes);
    return is_taken;
}

static int write_state(const char *path)
{
    size_t count = device_snapshot_bytes();
    uint8_t *bytes = malloc(count + 1);
    FILE *file = fopen(path, "wb");
    if (bytes != 0) { device_save(bytes); }
    int is_written = bytes != 0 && file != 0 && fwrite(bytes, 1, count, file) == count;
    if (file != 0 && fclose(file) != 0) { is_written = 0; }
    free(bytes);
    return is_written;
}

int main(int argc, char **argv)
{
    static device readings;
    trace rows;
    trace_row row;
    device_decision decision;
    int found;
    const char *state = argc == 3 ? argv[2] : 0;
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: %s TRACE.csv [STATE]\n", argv[0]);
        return 2;
    }
    device_start(&readings);
    if (state != 0 && !read_state(state)) {
        fprintf(stderr, "`%s` is not what these policies remember\n", state);
        return 2;
    }
    found = trace_open(&rows, argv[1]) == 0 ? 1 : -1;
    while (found > 0 && (found = trace_next(&rows, &readings, &row)) > 0) {
        if (row.action_name[0] != '\0') {
            device_decide(&readings, row.action, row.parameters, row.t_us, &decision);
            trace_print(stdout, &row, &decision);
            if (decision.verdict == DEVICE_ALLOW) { device_commit(row.action, row.parameters, row.t_us); }
        }
    }
    trace_close(&rows);
    if (found >= 0 && state != 0 && !write_state(state)) {
        fprintf(stderr, "`%s` cannot be written\n", state);
        return 2;
    }
    return found < 0 ? 2 : 0;
}
