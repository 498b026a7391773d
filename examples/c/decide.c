/* decide TRACE.csv: print one decision a line, for each row of the trace that asks for an action. */
#include "device_table.h"
#include "trace.h"

int main(int argc, char **argv)
{
    static device readings;
    trace rows;
    trace_row row;
    device_decision decision;
    int found;
    if (argc != 2) {
        fprintf(stderr, "usage: %s TRACE.csv\n", argv[0]);
        return 2;
    }
    found = trace_open(&rows, argv[1]) == 0 ? 1 : -1;
    while (found > 0 && (found = trace_next(&rows, &readings, &row)) > 0) {
        if (row.action_name[0] != '\0') {
            device_decide(&readings, row.action, row.parameters, row.t_us, &decision);
            trace_print(stdout, &row, &decision);
        }
    }
    trace_close(&rows);
    return found < 0 ? 2 : 0;
}
