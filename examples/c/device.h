/* Readings and decisions on a device: what stands between sensors and a compiled policy.
 *
 * The table of what the policies look at comes from device_table.py. No heap; `device` holds everything.
 * A reading is usable until its max age is over; one that is absent, null, of another kind, outside its range,
 * not finite or stale reaches the policy as NaN, which no policy takes for "the rule did not match".
 * What temporal operators and budgets remember the compiled policies keep by themselves, once for a program.
 */
#ifndef DEVICE_H
#define DEVICE_H

#include <stddef.h>
#include <stdint.h>

#ifndef DEVICE_SIGNALS
#define DEVICE_SIGNALS 64
#endif
#ifndef DEVICE_INPUTS
#define DEVICE_INPUTS 64
#endif
#ifndef DEVICE_BOUNDED
#define DEVICE_BOUNDED 8
#endif
#define DEVICE_TEXT_LENGTH 256 /* the texts of policies are shorter */

typedef enum { DEVICE_ABSENT, DEVICE_NULL, DEVICE_NUMBER, DEVICE_BOOLEAN, DEVICE_TEXT, DEVICE_ANY,
               DEVICE_NONE, DEVICE_INVALID } device_kind;
typedef enum { DEVICE_LOOK_VALUE, DEVICE_LOOK_PRESENT, DEVICE_LOOK_GIVEN, DEVICE_LOOK_FILLED,
               DEVICE_LOOK_NOW, DEVICE_LOOK_BOUNDED, DEVICE_LOOK_COST } device_look;
enum { DEVICE_DENY = 0, DEVICE_LIMIT = 1, DEVICE_ALLOW = 2 };

typedef struct { device_kind kind; double number; char text[DEVICE_TEXT_LENGTH]; } device_value;

/* What policies and vocabulary say; ages in microseconds, -1 for none. */
typedef struct { const char *name; device_kind kind; double low, high; int64_t max_age_us;
                 const char *const *values; } device_spec;
typedef struct { int source; device_look look; device_kind held; int is_parameter, is_strict;
                 int64_t last_valid_us; } device_input;
typedef struct { const char *text; int code; } device_text;
typedef struct { int verdict; double low[DEVICE_BOUNDED], high[DEVICE_BOUNDED]; } device_decision;
typedef struct {
    const char *name; /* "" stands for any that is not named */
    int verdict;      /* -1: `decide` says */
    int is_failsafe;  /* always permitted, whatever the ground orders */
    const device_spec *parameters;
    const device_input *inputs;
    const device_text *texts;
    const char *const *bounded;
    int parameter_count, input_count, text_count, bounded_count;
    void (*decide)(const double *numbers, int64_t t_us, device_decision *out);
    int (*commit)(const double *costs, int64_t t_us); /* 0 where nothing is consumed */
    const int *costs;                                 /* the parameters that say how much */
    int cost_count;
} device_action;

/* What the policies remember: a bit for each signal that they watch (-1: they do not), and what it comes as. */
typedef struct {
    void (*start)(void);
    int64_t (*observe)(const double *numbers, int bit, int64_t t_us);
    void (*save)(uint8_t *bytes);
    int (*restore)(const uint8_t *bytes, size_t count);
    size_t snapshot_bytes;
    const int *bits;
    const device_input *samples;
    const device_text *texts;
    int sample_count, text_count;
} device_memory;
typedef struct { const device_spec *signals; int signal_count;
                 const device_action *actions; int action_count;
                 const device_memory *memory; /* 0 where there is nothing to remember */ } device_table;

extern const device_table device_known;
extern const unsigned char device_vocabulary[32];

typedef struct { device_value value, valid; int64_t t_us, until_us, valid_us; int is_known, has_valid; } device_reading;
typedef struct { device_reading readings[DEVICE_SIGNALS]; } device;

/* Give the number of a signal (or of a parameter), -1 where there is none of that name. */
int device_signal(const char *name);
int device_parameter(const device_action *action, const char *name);

/* Give an action, never NULL: one that is not declared has an entry, too. */
const device_action *device_find(const char *action);

/* Forget everything; to be called first. */
void device_start(device *self);

/* Let time go on to t_us, whether or not anything is sensed then: later samples of before count as late. */
void device_pass(int64_t t_us);

/* Take a reading sensed at t_us; an older one than is known is dropped. */
void device_observe(device *self, int signal, const device_value *value, int64_t t_us);

/* Decide at t_us; `parameters` are in the order of the action's, DEVICE_ABSENT where not given. */
void device_decide(const device *self, const device_action *action, const device_value *parameters,
                   int64_t t_us, device_decision *out);

/* Consume what an allowed action takes of the budgets, just before it is done; 0 where that is too much. */
int device_commit(const device_action *action, const device_value *parameters, int64_t t_us);

/* Give what is remembered as `device_snapshot_bytes()` bytes; go on from them (0: they are not of these policies). */
size_t device_snapshot_bytes(void);
void device_save(uint8_t *bytes);
int device_restore(const uint8_t *bytes, size_t count);

#endif
