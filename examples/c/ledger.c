#define _POSIX_C_SOURCE 200809L
#include "ledger.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 512, PATH = 512, ROOM = 400 };

static void remember(ledger *self, const char *line, size_t length)
{
    unsigned char digest[32];
    crypto_hash_sha256(digest, (const unsigned char *)line, length);
    sodium_bin2hex(self->before, sizeof self->before, digest, sizeof digest);
}

/* Read a file's whole lines; give where the last one ends. */
static long last_line(ledger *self, const char *path)
{
    char line[LINE];
    long whole = 0;
    FILE *file = fopen(path, "r");
    if (file == 0) { return 0; }
    while (fgets(line, sizeof line, file) != 0) {
        size_t length = strlen(line);
        int64_t number;
        if (line[length - 1] != '\n' || sscanf(line, "%" SCNd64, &number) != 1) { break; }
        self->number = number;
        remember(self, line, length);
        whole = ftell(file);
    }
    fclose(file);
    return whole;
}

static void name_before(const ledger *self, char out[PATH]) { snprintf(out, PATH, "%s.1", self->path); }

int ledger_open(ledger *self, const char *path, long bound)
{
    char before[PATH];
    *self = (ledger){.path = path, .bound = bound, .file = -1};
    memset(self->before, '0', 64);
    name_before(self, before);
    last_line(self, before);
    self->length = last_line(self, path);
    self->file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    return self->file >= 0 && ftruncate(self->file, self->length) == 0 ? 0 : -1;
}

static int turn(ledger *self)
{
    char before[PATH];
    name_before(self, before);
    close(self->file);
    if (rename(self->path, before) != 0) {
        self->file = open(self->path, O_WRONLY | O_APPEND);
        return -1;
    }
    self->file = open(self->path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    self->length = 0;
    return self->file >= 0 ? 0 : -1;
}

int ledger_add(ledger *self, int64_t t_us, const char *text)
{
    char line[LINE];
    if (self->file < 0) { return -1; }
    int length = snprintf(line, LINE, "%" PRId64 " %s %" PRId64 " %.*s\n", self->number + 1, self->before, t_us,
                          ROOM, text);
    if (self->length + length > self->bound / 2 && turn(self) != 0) { return -1; }
    ssize_t written = write(self->file, line, (size_t)length);
    if (written != length || fsync(self->file) != 0) {
        if (written > 0 && ftruncate(self->file, self->length) != 0) { /* the next opening cuts it off */ }
        return -1;
    }
    self->number++;
    self->length += length;
    remember(self, line, (size_t)length);
    return 0;
}

void ledger_close(ledger *self)
{
    if (self->file >= 0) { close(self->file); }
    self->file = -1;
}
