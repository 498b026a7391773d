/* A trace: rows of readings and requests, as a CSV file; docs/guide/devices.md describes it. */
#ifndef TRACE_H
#define TRACE_H

#include <stdio.h>

#include "device.h"

#define TRACE_COLUMNS 128

typedef struct {
    FILE *file;
    const char *path;
    char *line, *heading;
    size_t room;
    int number, columns;
    const char *names[TRACE_COLUMNS];
    char *cells[TRACE_COLUMNS];
} trace;

/* One row: when, which action ("" for none), what it is asked for with. */
typedef struct { const char *when; int64_t t_us; const device_action *action; const char *action_name;
                 device_value parameters[DEVICE_INPUTS]; } trace_row;

/* All say what is wrong on stderr. `trace_open` gives 0 or -1; `trace_next` 1, 0 at the end, -1. */
int trace_open(trace *self, const char *path);
int trace_next(trace *self, device *readings, trace_row *row);
void trace_close(trace *self);

/* Print `<t_s> <action> <verdict> [<parameter>=<low>..<high>]...`, and a line's end. */
void trace_print(FILE *out, const trace_row *row, const device_decision *decision);

#endif
