#define _POSIX_C_SOURCE 200809L
#include "trace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Whether a cell is a number as JSON writes one, with `nan`, `inf` and `-inf` besides. */
static int is_number(const char *cell)
{
    const char *at = cell + (*cell == '-');
    if (strcmp(cell, "nan") == 0 || strcmp(at, "inf") == 0) { return 1; }
    size_t whole = strspn(at, "0123456789");
    if (whole == 0) { return 0; }
    at += whole;
    if (*at == '.') {
        size_t part = strspn(++at, "0123456789");
        if (part == 0) { return 0; }
        at += part;
    }
    if (*at == 'e' || *at == 'E') {
        at++;
        at += *at == '+' || *at == '-';
        size_t power = strspn(at, "0123456789");
        if (power == 0) { return 0; }
        at += power;
    }
    return *at == '\0';
}

static device_value read_cell(const char *cell)
{
    device_value value = {DEVICE_ABSENT, 0.0, ""};
    if (*cell == '\0') { return value; }
    if (strcmp(cell, "null") == 0) {
        value.kind = DEVICE_NULL;
    } else if (strcmp(cell, "true") == 0 || strcmp(cell, "false") == 0) {
        value.kind = DEVICE_BOOLEAN;
        value.number = *cell == 't';
    } else if (is_number(cell)) {
        value.kind = DEVICE_NUMBER;
        value.number = strtod(cell, 0);
    } else { /* what is cut off is longer than any text of a policy, so it equals none */
        value.kind = DEVICE_TEXT;
        strncpy(value.text, cell, sizeof value.text - 1);
    }
    return value;
}

static int complain(const trace *self, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", self->path, self->number, what);
    return -1;
}

/* Read the next line that is not blank and no comment; 1, or 0 at the end. */
static int read_line(trace *self)
{
    for (;;) {
        ssize_t length = getline(&self->line, &self->room, self->file);
        if (length < 0) { return 0; }
        self->number++;
        while (length > 0 && strchr("\r\n", self->line[length - 1]) != 0) { self->line[--length] = '\0'; }
        if (length > 0 && self->line[0] != '#') { return 1; }
    }
}

static int split(char *line, char **cells)
{
    int count = 0;
    for (char *at = line; count < TRACE_COLUMNS; at++) {
        cells[count++] = at;
        at = strchr(at, ',');
        if (at == 0) { return count; }
        *at = '\0';
    }
    return -1;
}

int trace_open(trace *self, const char *path)
{
    memset(self, 0, sizeof *self);
    self->path = path;
    self->file = fopen(path, "r");
    if (self->file == 0) {
        perror(path);
        return -1;
    }
    if (!read_line(self)) { return complain(self, "is empty"); }
    self->heading = strdup(self->line);
    self->columns = self->heading == 0 ? -1 : split(self->heading, (char **)self->names);
    if (self->columns < 2 || strcmp(self->names[0], "t_s") != 0 || strcmp(self->names[1], "action") != 0) {
        return complain(self, "the first two columns are `t_s` and `action`, then come names");
    }
    return 0;
}

int trace_next(trace *self, device *readings, trace_row *row)
{
    if (!read_line(self)) { return 0; }
    if (split(self->line, self->cells) != self->columns) { return complain(self, "as many cells as names are needed"); }
    if (!is_number(self->cells[0]) || !(fabs(strtod(self->cells[0], 0)) < 9e12)) {
        return complain(self, "`t_s` is seconds since 1970");
    }
    row->when = self->cells[0];
    row->t_us = (int64_t)floor(strtod(self->cells[0], 0) * 1e6 + 0.5);
    row->action_name = self->cells[1];
    row->action = device_find(self->cells[1]);
    memset(row->parameters, 0, sizeof row->parameters);
    int is_asked = self->cells[1][0] != '\0';
    device_pass(row->t_us);
    for (int column = 2; column < self->columns; column++) {
        device_value value = read_cell(self->cells[column]);
        int parameter = is_asked ? device_parameter(row->action, self->names[column]) : -1;
        if (parameter >= 0) {
            row->parameters[parameter] = value;
        } else {
            device_observe(readings, device_signal(self->names[column]), &value, row->t_us);
        }
    }
    return 1;
}

void trace_close(trace *self)
{
    if (self->file != 0) { fclose(self->file); }
    free(self->line);
    free(self->heading);
}

/* Print the shortest decimal that reads back as the same number. */
static void print_number(FILE *out, double number)
{
    char text[32];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, 0) == number) { break; }
    }
    fputs(text, out);
}

void trace_print(FILE *out, const trace_row *row, const device_decision *decision)
{
    static const char *const words[] = {"deny", "limit", "allow"};
    fprintf(out, "%s %s %s", row->when, row->action_name, words[decision->verdict]);
    for (int i = 0; i < row->action->bounded_count && row->action->decide != 0; i++) {
        if (decision->low[i] == -HUGE_VAL && decision->high[i] == HUGE_VAL) { continue; }
        fprintf(out, " %s=", row->action->bounded[i]);
        if (decision->low[i] > -HUGE_VAL) { print_number(out, decision->low[i]); }
        fputs("..", out);
        if (decision->high[i] < HUGE_VAL) { print_number(out, decision->high[i]); }
    }
    fputc('\n', out);
}
