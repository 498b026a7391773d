#include "wire.h"

#include <string.h>

static void put(wire *self, const void *data, size_t length)
{
    if (self->is_full || length > self->room - self->length) {
        self->is_full = 1;
        return;
    }
    memcpy(self->data + self->length, data, length);
    self->length += length;
}

static void put_little(wire *self, uint64_t value, int size)
{
    unsigned char octets[8];
    for (int i = 0; i < size; i++) { octets[i] = (unsigned char)(value >> (8 * i)); }
    put(self, octets, (size_t)size);
}

/* RFC 8949, 3: a major type, and its argument in as few bytes as hold it. */
static void put_head(wire *self, unsigned major, uint64_t argument)
{
    int size = argument < 24 ? 0 : argument <= 0xff ? 1 : argument <= 0xffff ? 2 : argument <= 0xffffffff ? 4 : 8;
    unsigned char head[9] = {(unsigned char)(major << 5)};
    static const unsigned char marks[9] = {0, 24, 25, 0, 26, 0, 0, 0, 27};
    head[0] |= size == 0 ? (unsigned char)argument : marks[size];
    for (int i = 0; i < size; i++) { head[1 + i] = (unsigned char)(argument >> (8 * (size - 1 - i))); }
    put(self, head, 1 + (size_t)size);
}

void wire_array(wire *self, uint64_t count) { put_head(self, 4, count); }
void wire_map(wire *self, uint64_t count) { put_head(self, 5, count); }

void wire_text(wire *self, const char *text)
{
    put_head(self, 3, strlen(text));
    put(self, text, strlen(text));
}

void wire_bytes(wire *self, const void *data, size_t length)
{
    put_head(self, 2, length);
    put(self, data, length);
}

void wire_number(wire *self, int64_t number)
{
    if (number >= 0) {
        put_head(self, 0, (uint64_t)number);
    } else {
        put_head(self, 1, (uint64_t)(-1 - number));
    }
}

void wire_frame(wire *self, const unsigned char vocabulary[32], const char *agent,
                const wire_sample *samples, uint32_t count)
{
    put(self, "RSF1", 4);
    put(self, vocabulary, 32);
    put_little(self, 1, 2);
    put_little(self, strlen(agent), 2);
    put(self, agent, strlen(agent));
    put_little(self, count, 4);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bits;
        memcpy(&bits, &samples[i].value, sizeof bits);
        put_little(self, (uint64_t)samples[i].t_us, 8);
        put_little(self, bits, 8);
        put_little(self, 0, 2);
        put_little(self, samples[i].signal, 2);
        put_little(self, samples[i].flags, 4);
    }
}
