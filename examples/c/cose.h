/* What the ground has signed, read strictly: deterministic CBOR (RFC 8949, 4.2.1) and COSE_Sign1 (RFC 9052).
 *
 * docs/reference/wire.md has the layouts. Nothing is copied: a `slice` points into the bytes that were given.
 */
#ifndef COSE_H
#define COSE_H

#include <stddef.h>
#include <stdint.h>

typedef struct { const unsigned char *data; size_t length; } slice;

/* A reader: once something does not fit, `is_bad` stays and whatever is read is empty. */
typedef struct { const unsigned char *at, *end; int is_bad; } cbor;

cbor cbor_of(slice whole);
size_t cbor_array(cbor *self);
size_t cbor_map(cbor *self);
slice cbor_text(cbor *self);
slice cbor_bytes(cbor *self);
int64_t cbor_number(cbor *self);
double cbor_double(cbor *self); /* an integer will do */
int cbor_is_done(const cbor *self); /* read to the end, and all of it sound */
int slice_is(slice self, const char *text);
int slice_same(slice a, slice b);

/* A public key and the one thing it may do: "command", "release" or "stop". */
typedef struct { unsigned char key[32]; char role[12]; } cose_key;

typedef struct {
    slice scope, body;
    int64_t epoch, generation, tick;
    const cose_key *signer;
} cose_envelope;

/* Open an envelope of a type ("tick", "intent", "stop", "lift"); 0, or the code of why not (W01.., W02..). */
const char *cose_open(const cose_key *keys, int count, const char *fleet, const char *type, slice data,
                      cose_envelope *out);

#endif
