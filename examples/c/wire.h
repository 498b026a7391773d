/* What a device says, byte by byte: docs/reference/wire.md. Just enough of CBOR and of telemetry frames. */
#ifndef WIRE_H
#define WIRE_H

#include <stddef.h>
#include <stdint.h>

typedef struct { unsigned char *data; size_t room, length; int is_full; } wire;
typedef struct { int64_t t_us; double value; uint16_t signal; uint32_t flags; } wire_sample;

/* CBOR, each number in its shortest form. */
void wire_array(wire *self, uint64_t count);
void wire_map(wire *self, uint64_t count);
void wire_text(wire *self, const char *text);
void wire_bytes(wire *self, const void *data, size_t length);
void wire_number(wire *self, int64_t number);

/* A telemetry frame of one agent. */
void wire_frame(wire *self, const unsigned char vocabulary[32], const char *agent,
                const wire_sample *samples, uint32_t count);

#endif
