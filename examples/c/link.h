/* The link to the ground, over MQTT 3.1.1, in a thread of its own: nobody who decides ever waits for it.
 *
 * It comes back by itself for ever. Each wait is drawn from 0 up to a ceiling that doubles from 0.1 s to 30 s
 * ("full jitter"), so that a fleet whose server restarts does not come back in one wave. What is said while it
 * is down is dropped; the caller keeps what must not be.
 */
#ifndef LINK_H
#define LINK_H

#include <stddef.h>

typedef struct link link_t;

/* Connect in the background; NULL (and a word on stderr) where that cannot even begin. */
link_t *link_open(const char *host, int port, const char *fleet, const char *agent, const char *password);

int link_is_up(const link_t *self);
unsigned link_connections(const link_t *self); /* how often it has come up */

/* Publish on `ripstop/<fleet>/<topic>/<agent>`, at most once; 0 where it went out. */
int link_say(link_t *self, const char *topic, const void *data, size_t length);

/* The next message of the ground: "tick", "intent" or "stop" in `topic`, its length; 0 where there is none.
 *
 * What comes faster than it is taken pushes the oldest out: everything is said again.
 */
size_t link_hear(link_t *self, char topic[16], void *data, size_t room);

/* Say goodbye and let go. */
void link_close(link_t *self);

#endif
