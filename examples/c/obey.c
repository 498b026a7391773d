/* obey FLEET AGENT KEYS [STATE]: what the ground commands, line by line, to try `orders` without a link.
 *
 * Reads lines of a word, a time in microseconds and an argument, and answers each with one line:
 *   connected T, disconnected T, beat T NONCE, tick|intent|stop T BYTES (hexadecimal), ask T ACTION,
 *   failsafe T ACTION, ripe T PATIENCE, obeyed T
 */
#include "orders.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 65536 };

static void show(const orders_answer *answer)
{
    printf("%s %s %s %" PRId64 " %" PRId64 "\n", answer->code ? answer->code : "-",
           answer->status[0] ? answer->status : "-", answer->scope[0] ? answer->scope : "-",
           answer->position.epoch, answer->position.generation);
}

static void obey(orders *self, const char *word, int64_t t_us, const char *argument)
{
    static unsigned char data[LINE / 2];
    size_t length = 0;
    orders_answer answer = {0, "", "", {0, 0}};
    int is_question = strcmp(word, "ask") == 0 || strcmp(word, "failsafe") == 0;
    if (is_question) {
        const char *why = orders_denial(self, argument, word[0] == 'f', t_us);
        printf("%s\n", why ? why : "-");
        return;
    }
    if (strcmp(word, "connected") == 0) { orders_connected(self, t_us); }
    if (strcmp(word, "disconnected") == 0) { orders_disconnected(self); }
    if (strcmp(word, "obeyed") == 0) { answer.position = orders_obeyed(self); }
    if (strcmp(word, "ripe") == 0) { orders_ripe(self, t_us, strtoll(argument, 0, 10), &answer); }
    sodium_hex2bin(data, sizeof data, argument, strlen(argument), 0, &length, 0);
    if (strcmp(word, "beat") == 0 && length == 8) { orders_beat(self, data, t_us); }
    if (strcmp(word, "tick") == 0 || strcmp(word, "intent") == 0 || strcmp(word, "stop") == 0) {
        answer = orders_take(self, word, (slice){data, length}, t_us);
    }
    show(&answer);
}

int main(int argc, char **argv)
{
    static orders self;
    static char line[LINE], word[16], argument[LINE];
    int64_t t_us;
    if (argc < 4 || argc > 5 || orders_trust(&self, argv[3]) != 0) {
        fprintf(stderr, "usage: %s FLEET AGENT KEYS [STATE]\n", argv[0]);
        return 2;
    }
    const char *boot = getenv("BOOT_ID");
    const char *began = getenv("BEGAN_US");
    orders_begin(&self, argv[1], argv[2], argc == 5 ? argv[4] : 0, boot ? boot : "boot",
                 began ? strtoll(began, 0, 10) : 0);
    while (fgets(line, sizeof line, stdin) != 0) {
        argument[0] = '\0';
        if (sscanf(line, "%15s %" SCNd64 " %65535s", word, &t_us, argument) < 2) { return 2; }
        obey(&self, word, t_us, argument);
        fflush(stdout);
    }
    return 0;
}
