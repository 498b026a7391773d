#define _DEFAULT_SOURCE
#include "link.h"

#include <mosquitto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { KEEPALIVE_S = 10, STEP_MS = 200, TOPIC_LENGTH = 256, HEARD = 16, MESSAGE = 16384 };
static const double RETRY_S = 0.1, RETRY_MAX_S = 30.0;

struct link {
    struct mosquitto *client;
    const char *host, *fleet, *agent;
    int port;
    pthread_t thread;
    atomic_int is_up, is_closing;
    atomic_uint connections;
    pthread_mutex_t lock; /* of what was heard and not taken yet */
    struct { char topic[16]; size_t length; unsigned char data[MESSAGE]; } heard[HEARD];
    unsigned first, count;
};

static void topic_of(const link_t *self, const char *topic, char *out)
{
    snprintf(out, TOPIC_LENGTH, "ripstop/%s/%s/%s", self->fleet, topic, self->agent);
}

/* What the ground says to this device: `ripstop/<fleet>/<topic>[/<scope>]`. */
static void listen_to(link_t *self)
{
    char name[TOPIC_LENGTH];
    static const char *const topics[] = {"tick", "stop", "intent/fleet"};
    for (int i = 0; i < 3; i++) {
        snprintf(name, TOPIC_LENGTH, "ripstop/%s/%s", self->fleet, topics[i]);
        mosquitto_subscribe(self->client, 0, name, 0);
    }
    snprintf(name, TOPIC_LENGTH, "ripstop/%s/intent/agent-%s", self->fleet, self->agent);
    mosquitto_subscribe(self->client, 0, name, 0);
}

static void on_message(struct mosquitto *client, void *given, const struct mosquitto_message *message)
{
    link_t *self = given;
    (void)client;
    char topic[16];
    size_t length = (size_t)message->payloadlen, prefix = strlen("ripstop/") + strlen(self->fleet) + 1;
    if (length == 0 || length > MESSAGE || strlen(message->topic) <= prefix) { return; }
    if (sscanf(message->topic + prefix, "%15[a-z]", topic) != 1) { return; }
    pthread_mutex_lock(&self->lock);
    if (self->count == HEARD) {
        self->first = (self->first + 1) % HEARD;
        self->count--;
    }
    unsigned at = (self->first + self->count++) % HEARD;
    strcpy(self->heard[at].topic, topic);
    self->heard[at].length = length;
    memcpy(self->heard[at].data, message->payload, length);
    pthread_mutex_unlock(&self->lock);
}

size_t link_hear(link_t *self, char topic[16], void *data, size_t room)
{
    size_t length = 0;
    pthread_mutex_lock(&self->lock);
    if (self->count > 0) {
        strcpy(topic, self->heard[self->first].topic);
        length = self->heard[self->first].length;
        if (length <= room) { memcpy(data, self->heard[self->first].data, length); }
        self->first = (self->first + 1) % HEARD;
        self->count--;
    }
    pthread_mutex_unlock(&self->lock);
    return length <= room ? length : 0;
}

static void on_connect(struct mosquitto *client, void *given, int code)
{
    link_t *self = given;
    (void)client;
    if (code != 0) {
        fprintf(stderr, "link refused: %s\n", mosquitto_connack_string(code));
        return;
    }
    listen_to(self);
    atomic_fetch_add(&self->connections, 1);
    atomic_store(&self->is_up, 1);
    fprintf(stderr, "link up\n");
}

static void on_disconnect(struct mosquitto *client, void *given, int code)
{
    link_t *self = given;
    (void)client;
    if (atomic_exchange(&self->is_up, 0) != 0 && code != 0) { fprintf(stderr, "link down\n"); }
}

/* Wait for a time drawn from 0 up to the ceiling; the ceiling doubles with each failure. */
static void back_off(const link_t *self, unsigned failures)
{
    uint32_t drawn = UINT32_MAX;
    double ceiling_s = RETRY_S;
    while (failures-- > 0 && ceiling_s < RETRY_MAX_S) { ceiling_s *= 2.0; }
    if (ceiling_s > RETRY_MAX_S) { ceiling_s = RETRY_MAX_S; }
    if (getrandom(&drawn, sizeof drawn, 0) != sizeof drawn) { drawn = UINT32_MAX; }
    double wait_s = ceiling_s * (double)drawn / (double)UINT32_MAX;
    for (; wait_s > 0.0 && !atomic_load(&self->is_closing); wait_s -= 0.1) {
        double step_s = wait_s < 0.1 ? wait_s : 0.1;
        struct timespec step = {0, (long)(step_s * 1e9)};
        nanosleep(&step, 0);
    }
}

static void *stay_connected(void *given)
{
    link_t *self = given;
    unsigned failures = 0, known = 0;
    while (!atomic_load(&self->is_closing)) {
        int code = mosquitto_connect(self->client, self->host, self->port, KEEPALIVE_S);
        while (code == MOSQ_ERR_SUCCESS && !atomic_load(&self->is_closing)) {
            code = mosquitto_loop(self->client, STEP_MS, 1);
        }
        unsigned connections = atomic_load(&self->connections);
        failures = connections == known ? failures + 1 : 0;
        known = connections;
        if (!atomic_load(&self->is_closing)) { back_off(self, failures); }
    }
    return 0;
}

link_t *link_open(const char *host, int port, const char *fleet, const char *agent, const char *password)
{
    char gone[TOPIC_LENGTH];
    link_t *self = calloc(1, sizeof *self);
    if (self == 0) { return 0; }
    mosquitto_lib_init();
    self->host = host;
    self->port = port;
    self->fleet = fleet;
    self->agent = agent;
    pthread_mutex_init(&self->lock, 0);
    self->client = mosquitto_new(agent, true, self);
    topic_of(self, "gone", gone);
    if (self->client == 0 || mosquitto_threaded_set(self->client, true) != 0
        || mosquitto_username_pw_set(self->client, agent, password) != 0
        || mosquitto_will_set(self->client, gone, 0, "", 0, false) != 0) {
        fprintf(stderr, "no MQTT client for `%s`\n", agent);
        free(self);
        return 0;
    }
    mosquitto_connect_callback_set(self->client, on_connect);
    mosquitto_message_callback_set(self->client, on_message);
    mosquitto_disconnect_callback_set(self->client, on_disconnect);
    if (pthread_create(&self->thread, 0, stay_connected, self) != 0) {
        mosquitto_destroy(self->client);
        free(self);
        return 0;
    }
    return self;
}

int link_is_up(const link_t *self) { return atomic_load(&self->is_up); }
unsigned link_connections(const link_t *self) { return atomic_load(&self->connections); }

int link_say(link_t *self, const char *topic, const void *data, size_t length)
{
    char name[TOPIC_LENGTH];
    if (!link_is_up(self)) { return MOSQ_ERR_NO_CONN; }
    topic_of(self, topic, name);
    return mosquitto_publish(self->client, 0, name, (int)length, data, 0, false);
}

void link_close(link_t *self)
{
    link_say(self, "gone", "", 0);
    struct timespec moment = {0, STEP_MS * 1000000L};
    nanosleep(&moment, 0); /* the thread writes what was said */
    mosquitto_disconnect(self->client);
    atomic_store(&self->is_closing, 1);
    pthread_join(self->thread, 0);
    mosquitto_destroy(self->client);
    mosquitto_lib_cleanup();
    pthread_mutex_destroy(&self->lock);
    free(self);
}
