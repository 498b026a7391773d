#include "cose.h"

#include <math.h>
#include <sodium.h>
#include <string.h>

enum { LONGEST = 16384, KEY_ID = 8, SIGNATURE = 64 };

cbor cbor_of(slice whole) { return (cbor){whole.data, whole.data + whole.length, 0}; }

int cbor_is_done(const cbor *self) { return !self->is_bad && self->at == self->end; }

int slice_is(slice self, const char *text)
{
    return self.length == strlen(text) && memcmp(self.data, text, self.length) == 0;
}

int slice_same(slice a, slice b) { return a.length == b.length && memcmp(a.data, b.data, a.length) == 0; }

static uint64_t bad(cbor *self)
{
    self->is_bad = 1;
    self->at = self->end;
    return 0;
}

static uint64_t big_endian(cbor *self, int size)
{
    uint64_t value = 0;
    if (self->end - self->at < size) { return bad(self); }
    for (int i = 0; i < size; i++) { value = value << 8 | *self->at++; }
    return value;
}

static unsigned peek(const cbor *self) { return self->at < self->end ? *self->at : 0xff; }

/* A head of this major type; its argument must stand in as few bytes as hold it. */
static uint64_t head(cbor *self, unsigned major)
{
    if (self->is_bad || self->at == self->end || *self->at >> 5 != major) { return bad(self); }
    unsigned low = *self->at++ & 31;
    if (low < 24) { return low; }
    if (low > 27) { return bad(self); }
    uint64_t value = big_endian(self, 1 << (low - 24));
    static const uint64_t least[] = {24, 0x100, 0x10000, 0x100000000};
    return self->is_bad || value < least[low - 24] ? bad(self) : value;
}

static slice span(cbor *self, unsigned major)
{
    uint64_t length = head(self, major);
    if (self->is_bad || length > (uint64_t)(self->end - self->at)) {
        bad(self);
        return (slice){(const unsigned char *)"", 0};
    }
    slice found = {self->at, (size_t)length};
    self->at += length;
    return found;
}

slice cbor_bytes(cbor *self) { return span(self, 2); }
slice cbor_text(cbor *self) { return span(self, 3); }

static size_t several(cbor *self, unsigned major)
{
    uint64_t count = head(self, major);
    return count > (uint64_t)(self->end - self->at) ? (size_t)bad(self) : (size_t)count;
}

size_t cbor_array(cbor *self) { return several(self, 4); }
size_t cbor_map(cbor *self) { return several(self, 5); }

int64_t cbor_number(cbor *self)
{
    int is_negative = peek(self) >> 5 == 1;
    uint64_t value = head(self, (unsigned)is_negative);
    if (value > INT64_MAX) { return (int64_t)bad(self); }
    return is_negative ? -1 - (int64_t)value : (int64_t)value;
}

static double half(uint64_t bits)
{
    int exponent = bits >> 10 & 31;
    double fraction = (double)(bits & 0x3ff);
    double value = exponent == 0 ? ldexp(fraction, -24)
                 : exponent == 31 ? (bits & 0x3ff ? (double)NAN : HUGE_VAL)
                 : ldexp(fraction + 1024.0, exponent - 25);
    return bits >> 15 ? -value : value;
}

double cbor_double(cbor *self)
{
    unsigned first = peek(self);
    if (first < 0xf9 || first > 0xfb) { return (double)cbor_number(self); }
    self->at++;
    uint64_t bits = big_endian(self, 2 << (first - 0xf9));
    if (first == 0xf9) { return half(bits); }
    if (first == 0xfa) {
        uint32_t single = (uint32_t)bits;
        float value;
        memcpy(&value, &single, sizeof value);
        return (double)value;
    }
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The parts of a COSE_Sign1 message: tag 18, [{1: -8, 4: key id}, {}, payload, signature]. */
static int take_apart(slice data, slice *protected, slice *key_id, slice *payload, slice *signature)
{
    cbor whole = cbor_of(data);
    if (data.length == 0 || *whole.at++ != 0xd2 || cbor_array(&whole) != 4) { return 0; }
    *protected = cbor_bytes(&whole);
    int is_bare = cbor_map(&whole) == 0;
    *payload = cbor_bytes(&whole);
    *signature = cbor_bytes(&whole);
    cbor header = cbor_of(*protected);
    int is_ours = cbor_map(&header) == 2 && cbor_number(&header) == 1 && cbor_number(&header) == -8
               && cbor_number(&header) == 4;
    *key_id = cbor_bytes(&header);
    return cbor_is_done(&whole) && is_bare && is_ours && cbor_is_done(&header);
}

static size_t put_bytes(unsigned char *out, slice bytes)
{
    size_t length = bytes.length, used = 0;
    if (length < 24) {
        out[used++] = (unsigned char)(0x40 | length);
    } else if (length <= 0xff) {
        out[used++] = 0x58;
    } else {
        out[used++] = 0x59;
        out[used++] = (unsigned char)(length >> 8);
    }
    if (length >= 24) { out[used++] = (unsigned char)length; }
    memcpy(out + used, bytes.data, length);
    return used + length;
}

/* Sig_structure of RFC 9052, 4.4: ["Signature1", protected, h'', payload]. */
static int fits(const cose_key *key, slice protected, slice payload, slice signature)
{
    static unsigned char text[LONGEST + 64];
    if (signature.length != SIGNATURE || protected.length + payload.length > LONGEST) { return 0; }
    memcpy(text, "\x84\x6aSignature1", 12);
    size_t length = 12 + put_bytes(text + 12, protected);
    text[length++] = 0x40;
    length += put_bytes(text + length, payload);
    return crypto_sign_verify_detached(signature.data, text, length, key->key) == 0;
}

static const char *role_of(const char *type)
{
    if (strcmp(type, "stop") == 0) { return "stop"; }
    return strcmp(type, "lift") == 0 || strcmp(type, "bundle") == 0 ? "release" : "command";
}

const char *cose_open(const cose_key *keys, int count, const char *fleet, const char *type, slice data,
                      cose_envelope *out)
{
    slice protected, key_id, payload, signature;
    const cose_key *key = 0;
    if (!take_apart(data, &protected, &key_id, &payload, &signature)) { return "W0201"; }
    for (int i = 0; i < count; i++) {
        if (key_id.length == KEY_ID && memcmp(keys[i].key, key_id.data, KEY_ID) == 0) { key = &keys[i]; }
    }
    if (key == 0) { return "W0202"; }
    if (!fits(key, protected, payload, signature)) { return "W0203"; }
    cbor body = cbor_of(payload);
    int is_known = cbor_array(&body) == 9 && cbor_number(&body) == 1;
    slice kind = cbor_text(&body), whose = cbor_text(&body);
    out->scope = cbor_text(&body);
    slice role = cbor_text(&body);
    out->epoch = cbor_number(&body);
    out->generation = cbor_number(&body);
    out->tick = cbor_number(&body);
    out->body = cbor_bytes(&body);
    out->signer = key;
    if (!is_known || !cbor_is_done(&body)) { return "W0102"; }
    if (!slice_is(kind, type)) { return "W0206"; }
    if (!slice_is(role, key->role) || strcmp(key->role, role_of(type)) != 0) { return "W0204"; }
    return slice_is(whose, fleet) ? 0 : "W0205";
}
