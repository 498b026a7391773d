#include "device.h"

#include <math.h>
#include <string.h>

enum { FOREVER = -1 };

static int find(const device_spec *specs, int count, const char *name)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(specs[i].name, name) == 0) { return i; }
    }
    return -1;
}

int device_signal(const char *name) { return find(device_known.signals, device_known.signal_count, name); }

int device_parameter(const device_action *action, const char *name)
{
    return find(action->parameters, action->parameter_count, name);
}

const device_action *device_find(const char *action)
{
    const device_action *other = device_known.actions;
    for (int i = 0; i < device_known.action_count; i++) {
        if (strcmp(device_known.actions[i].name, action) == 0) { return &device_known.actions[i]; }
        if (device_known.actions[i].name[0] == '\0') { other = &device_known.actions[i]; }
    }
    return other;
}

static int is_listed(const device_spec *spec, const char *text)
{
    for (const char *const *each = spec->values; each != 0 && *each != 0; each++) {
        if (strcmp(*each, text) == 0) { return 1; }
    }
    return spec->values == 0;
}

/* Give a value as policies see it: what cannot be used is DEVICE_INVALID. */
static device_value usable(const device_spec *spec, const device_value *given)
{
    device_value value = *given;
    int is_numeric = value.kind == DEVICE_NUMBER || value.kind == DEVICE_BOOLEAN;
    if (value.kind == DEVICE_ABSENT || value.kind == DEVICE_NULL) { return value; }
    if (value.kind == DEVICE_NUMBER && !isfinite(value.number)) { value.kind = DEVICE_INVALID; }
    switch (spec->kind) {
    case DEVICE_ANY:
        break;
    case DEVICE_NUMBER:
        if (value.kind == DEVICE_BOOLEAN) { value.kind = DEVICE_NUMBER; }
        if (!is_numeric || !(value.number >= spec->low && value.number <= spec->high)) {
            value.kind = DEVICE_INVALID;
        }
        break;
    case DEVICE_TEXT:
        if (value.kind != DEVICE_TEXT || !is_listed(spec, value.text)) { value.kind = DEVICE_INVALID; }
        break;
    default:
        if (value.kind != spec->kind) { value.kind = DEVICE_INVALID; }
    }
    return value;
}

static int is_bad(const device_value *value)
{
    return value->kind == DEVICE_ABSENT || value->kind == DEVICE_NULL || value->kind == DEVICE_INVALID;
}

static double text_code(const device_text *texts, int count, const char *text)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(texts[i].text, text) == 0) { return texts[i].code; }
    }
    return -1.0;
}

static double numbered(const device_text *texts, int text_count, const device_input *input, const device_value *value)
{
    switch (input->look) {
    case DEVICE_LOOK_PRESENT:
        return value->kind != DEVICE_ABSENT;
    case DEVICE_LOOK_GIVEN:
        return value->kind != DEVICE_ABSENT && value->kind != DEVICE_NULL;
    case DEVICE_LOOK_FILLED:
        return value->kind != DEVICE_ABSENT && value->kind != DEVICE_NULL
               && !(value->kind == DEVICE_TEXT && value->text[0] == '\0');
    default:
        break;
    }
    if (input->held == DEVICE_TEXT) { return value->kind == DEVICE_TEXT ? text_code(texts, text_count, value->text) : NAN; }
    if (value->kind == DEVICE_BOOLEAN && (input->held == DEVICE_BOOLEAN || !input->is_strict)) {
        return value->number;
    }
    return value->kind == DEVICE_NUMBER && input->held == DEVICE_NUMBER ? value->number : NAN;
}

/* Tell the policies' memory of one sample, as the numbers that it comes as. */
static void remember(int signal, const device_value *value, int64_t t_us)
{
    double numbers[DEVICE_INPUTS] = {0.0};
    const device_memory *memory = device_known.memory;
    int bit = memory->bits[signal];
    for (int i = 0; i < memory->sample_count && bit >= 0; i++) {
        const device_input *input = &memory->samples[i];
        if (input->source == signal) { numbers[i] = numbered(memory->texts, memory->text_count, input, value); }
    }
    memory->observe(numbers, bit, t_us);
}

void device_start(device *self)
{
    memset(self, 0, sizeof *self);
    if (device_known.memory != 0) { device_known.memory->start(); }
}

void device_pass(int64_t t_us)
{
    static const double nothing[DEVICE_INPUTS] = {0.0};
    if (device_known.memory != 0) { device_known.memory->observe(nothing, -1, t_us); }
}

void device_observe(device *self, int signal, const device_value *value, int64_t t_us)
{
    if (signal < 0 || value->kind == DEVICE_ABSENT) { return; }
    const device_spec *spec = &device_known.signals[signal];
    device_reading *reading = &self->readings[signal];
    device_value sensed = usable(spec, value);
    if (device_known.memory != 0) { remember(signal, &sensed, t_us); }
    if (reading->is_known && t_us < reading->t_us) { return; }
    reading->is_known = 1;
    reading->t_us = t_us;
    reading->value = sensed;
    if (!is_bad(&reading->value)) {
        reading->until_us = spec->max_age_us < 0 ? FOREVER : t_us + spec->max_age_us;
        reading->valid = reading->value;
        reading->valid_us = t_us;
        reading->has_valid = 1;
    }
}

static device_value look(const device *self, const device_action *action, const device_input *input,
                         const device_value *parameters, int64_t t_us)
{
    static const device_value absent = {DEVICE_ABSENT, 0.0, ""};
    if (input->is_parameter) { return usable(&action->parameters[input->source], &parameters[input->source]); }
    const device_reading *reading = &self->readings[input->source];
    device_value value = reading->is_known ? reading->value : absent;
    if (!is_bad(&value) && reading->until_us != FOREVER && reading->until_us < t_us) { value.kind = DEVICE_INVALID; }
    if (is_bad(&value) && input->last_valid_us >= 0 && reading->has_valid
        && t_us - reading->valid_us <= input->last_valid_us) {
        return reading->valid;
    }
    return value;
}

/* A cost as it was given; what is no finite number cannot be paid. */
static double cost_of(const device_value *given)
{
    return given->kind == DEVICE_NUMBER && isfinite(given->number) ? given->number : NAN;
}

void device_decide(const device *self, const device_action *action, const device_value *parameters,
                   int64_t t_us, device_decision *out)
{
    double numbers[DEVICE_INPUTS];
    memset(out, 0, sizeof *out);
    out->verdict = action->verdict;
    if (action->decide == 0) { return; }
    for (int i = 0; i < action->input_count; i++) {
        const device_input *input = &action->inputs[i];
        if (input->look == DEVICE_LOOK_NOW) {
            numbers[i] = (double)t_us / 1e6;
        } else if (input->look == DEVICE_LOOK_BOUNDED) { /* as it was given: a limit judges it itself */
            const device_value *given = &parameters[input->source];
            int is_numeric = given->kind == DEVICE_NUMBER || given->kind == DEVICE_BOOLEAN;
            numbers[i] = is_numeric ? given->number : NAN;
        } else if (input->look == DEVICE_LOOK_COST) {
            numbers[i] = cost_of(&parameters[input->source]);
        } else {
            device_value value = look(self, action, input, parameters, t_us);
            numbers[i] = numbered(action->texts, action->text_count, input, &value);
        }
    }
    action->decide(numbers, t_us, out);
}

int device_commit(const device_action *action, const device_value *parameters, int64_t t_us)
{
    double costs[DEVICE_INPUTS] = {0.0};
    if (action->commit == 0) { return 1; }
    for (int i = 0; i < action->cost_count; i++) { costs[i] = cost_of(&parameters[action->costs[i]]); }
    return action->commit(costs, t_us);
}

size_t device_snapshot_bytes(void) { return device_known.memory == 0 ? 0 : device_known.memory->snapshot_bytes; }

void device_save(uint8_t *bytes)
{
    if (device_known.memory != 0) { device_known.memory->save(bytes); }
}

int device_restore(const uint8_t *bytes, size_t count)
{
    return device_known.memory == 0 ? count == 0 : device_known.memory->restore(bytes, count);
}
