/*
 * How does each server want to be told to subscribe and to publish, and where does a delivery end?
 *
 * Part of driver.c. Each protocol is three functions, and as much of it as these need: how a connection begins, the
 * frame of a message, and the first frame of what has come. Of a frame its end and the message in it are found, nothing
 * else is looked at; what is not known here is BROKEN, and ends the run.
 *
 * Not here: sockets, and whether the right message came.
 */
#ifndef PROTOCOLS_H
#define PROTOCOLS_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOPIC "fanout"

enum { AROUND = 512 }; /* bytes that a protocol puts around a message, at most */

static size_t size = 100;              /* of a message */
static uint64_t messages = UINT64_MAX; /* to be published; with --messages fewer */

typedef enum {
    PARTIAL,  /* the frame's end has not come */
    BROKEN,   /* an error, or not this protocol */
    READY,    /* what the connection was opened with is confirmed */
    DELIVERY,
    OTHER,
} Kind;

typedef struct {
    Kind kind;
    size_t length;        /* of the frame */
    const uint8_t *text;  /* the message of a delivery: `size` bytes */
} Frame;

typedef enum { PUBLISHER, SUBSCRIBER, STALLED } Role;

/* What differs between servers. `opening` writes what a connection begins with, `publish` a message in its frame; both
 * return how many bytes that are. `next` looks at the first frame of what has come. */
typedef struct {
    const char *name;
    size_t (*opening)(uint8_t *to, Role role);
    size_t (*publish)(uint8_t *to, const uint8_t *text);
    Frame (*next)(const uint8_t *at, size_t length);
} Protocol;

/* --- frames: what the protocols have in common ------------------------------------------------- */

static const Frame PARTIAL_FRAME = {.kind = PARTIAL}, BROKEN_FRAME = {.kind = BROKEN};

/* A delivery that begins with `head` bytes of the protocol and ends with `tail`, once all of it has come. */
static Frame delivery(const uint8_t *at, size_t length, size_t head, size_t text, size_t tail)
{
    if (text != size) return BROKEN_FRAME;
    if (length < head + text + tail) return PARTIAL_FRAME;
    return (Frame){DELIVERY, head + text + tail, at + head};
}

/* Bytes to the first line's end, that included; 0 if it has not come. */
static size_t line(const uint8_t *at, size_t length)
{
    const uint8_t *end = memchr(at, '\n', length);
    return end ? (size_t)(end - at) + 1 : 0;
}

static size_t number(const uint8_t *at)
{
    return strtoul((const char *)at, NULL, 10); /* a line's end follows */
}

static bool begins(const uint8_t *at, size_t length, const char *text)
{
    size_t wanted = strlen(text);
    return length >= wanted && !memcmp(at, text, wanted);
}

static size_t put(uint8_t *to, const void *from, size_t length)
{
    memcpy(to, from, length);
    return length;
}

/* --- Redis: RESP ----------------------------------------------------------------------------------- */

#define RESP_TOPIC "$6\r\n" TOPIC "\r\n"

static size_t redis_opening(uint8_t *to, Role role)
{
    return (size_t)sprintf((char *)to, role == PUBLISHER ? "PING\r\n" : "*2\r\n$9\r\nSUBSCRIBE\r\n" RESP_TOPIC);
}

static size_t redis_publish(uint8_t *to, const uint8_t *text)
{
    size_t length = (size_t)sprintf((char *)to, "*3\r\n$7\r\nPUBLISH\r\n" RESP_TOPIC "$%zu\r\n", size);
    length += put(to + length, text, size);
    return length + put(to + length, "\r\n", 2);
}

static Frame redis_next(const uint8_t *at, size_t length)
{
    static const char message[] = "*3\r\n$7\r\nmessage\r\n" RESP_TOPIC "$";
    static const char subscribed[] = "*3\r\n$9\r\nsubscribe\r\n" RESP_TOPIC ":1\r\n";
    if (begins(at, length, message)) {
        size_t head = sizeof message - 1, rest = line(at + head, length - head);
        return rest ? delivery(at, length, head + rest, number(at + head), 2) : PARTIAL_FRAME;
    }
    if (at[0] == '*') {
        if (begins(at, length, subscribed)) return (Frame){READY, sizeof subscribed - 1, NULL};
        return length < sizeof subscribed - 1 ? PARTIAL_FRAME : BROKEN_FRAME;
    }
    size_t whole = line(at, length);
    if (!whole) return PARTIAL_FRAME;
    if (at[0] == '+') return (Frame){READY, whole, NULL}; /* PONG */
    if (at[0] == ':') return (Frame){OTHER, whole, NULL}; /* to how many a message goes */
    return BROKEN_FRAME;
}

/* --- NATS: lines ----------------------------------------------------------------------------------- */

static size_t nats_opening(uint8_t *to, Role role)
{
    return (size_t)sprintf((char *)to, "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n%sPING\r\n",
                           role == PUBLISHER ? "" : "SUB " TOPIC " 1\r\n");
}

static size_t nats_publish(uint8_t *to, const uint8_t *text)
{
    size_t length = (size_t)sprintf((char *)to, "PUB " TOPIC " %zu\r\n", size);
    length += put(to + length, text, size);
    return length + put(to + length, "\r\n", 2);
}

static Frame nats_next(const uint8_t *at, size_t length)
{
    static const char message[] = "MSG " TOPIC " 1 ";
    size_t first = line(at, length);
    if (!first) return PARTIAL_FRAME;
    if (begins(at, length, message)) return delivery(at, length, first, number(at + sizeof message - 1), 2);
    if (begins(at, length, "PONG")) return (Frame){READY, first, NULL};
    /* A PING is not answered: the server waits for its answer for minutes, longer than a run. */
    if (begins(at, length, "INFO") || begins(at, length, "PING")) return (Frame){OTHER, first, NULL};
    return BROKEN_FRAME;
}

/* --- ours: docs/look-up/wire.md and push.md ------------------------------------------------------------ */

static size_t request(uint8_t *to, const char *content)
{
    size_t length = strlen(content);
    int header = sprintf((char *)to + 2, "{\"byteorder\": \"little\", \"content-type\": \"text/json\", "
                         "\"content-encoding\": \"utf-8\", \"content-length\": %zu, \"connection\": \"keep-alive\"}",
                         length);
    to[0] = (uint8_t)(header >> 8);
    to[1] = (uint8_t)header;
    return 2 + (size_t)header + put(to + 2 + header, content, length);
}

/* A subscriber that does not read stays one: of what would be too much the oldest is dropped, and with --messages
 * nothing is too much. The publisher asks for anything at all: it may pipeline once it was answered. */
static size_t our_opening(uint8_t *to, Role role)
{
    char content[AROUND];
    if (role == PUBLISHER) return request(to, "{\"action\": \"topics\"}");
    if (role == SUBSCRIBER) return request(to, "{\"action\": \"subscribe\", \"topic\": \"" TOPIC "\"}");
    sprintf(content, "{\"action\": \"subscribe\", \"topic\": \"" TOPIC "\", \"slow\": \"oldest\", \"limit\": %llu}",
            messages == UINT64_MAX ? 1000 : (unsigned long long)messages);
    return request(to, content);
}

static size_t our_publish(uint8_t *to, const uint8_t *text)
{
    char content[AROUND + size];
    sprintf(content, "{\"action\": \"publish\", \"topic\": \"" TOPIC "\", \"value\": \"%.*s\"}", (int)size,
            (const char *)text);
    return request(to, content);
}

static Frame our_next(const uint8_t *at, size_t length)
{
    /* The headers of one topic's messages are alike, but for the content's length, which grows with `seq`: what the
     * last one said is kept, since two searches for each of a million frames would be the driver's largest cost. */
    static uint8_t known[AROUND];
    static size_t known_length, content;
    static bool event;
    if (length < 2) return PARTIAL_FRAME;
    size_t header = (size_t)at[0] << 8 | at[1];
    if (length < 2 + header) return PARTIAL_FRAME;
    if (header != known_length || memcmp(at + 2, known, header)) {
        static const char name[] = "\"content-length\":";
        const uint8_t *found = memmem(at + 2, header, name, sizeof name - 1);
        if (!found || header > sizeof known) return BROKEN_FRAME;
        content = number(found + sizeof name - 1);
        event = memmem(at + 2, header, "\"event\"", 7) != NULL;
        known_length = put(known, at + 2, header);
    }
    size_t whole = 2 + header + content;
    if (length < whole) return PARTIAL_FRAME;
    if (!event) return (Frame){memmem(at + 2 + header, content, "\"error\"", 7) ? BROKEN : READY, whole, NULL};
    /* {"topic": "fanout", "seq": 1, "value": "TEXT"}. A gap is none: the next message shows what is missing. */
    if (content < size + 3 || memcmp(at + whole - 2, "\"}", 2)) return (Frame){OTHER, whole, NULL};
    return (Frame){DELIVERY, whole, at + whole - 2 - size};
}

/* --- WebSocket: RFC 6455 ------------------------------------------------------------------------------- */

/* The server in benchmarks/fanout/peers says "ready", as text, once it has entered a connection in its list. */
enum { WS_TEXT = 0x81, WS_BINARY = 0x82 };

static size_t websocket_opening(uint8_t *to, Role role)
{
    return (size_t)sprintf((char *)to,
                           "GET /%s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                           role == PUBLISHER ? "publish" : "subscribe");
}

static size_t websocket_publish(uint8_t *to, const uint8_t *text)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d}; /* one for all: it hides nothing, but costs its part */
    uint8_t short_head[] = {WS_BINARY, 0x80 | (uint8_t)size};
    uint8_t long_head[] = {WS_BINARY, 0x80 | 126, (uint8_t)(size >> 8), (uint8_t)size};
    size_t length = size < 126 ? put(to, short_head, sizeof short_head) : put(to, long_head, sizeof long_head);
    length += put(to + length, mask, sizeof mask);
    for (size_t i = 0; i < size; i++) to[length + i] = text[i] ^ mask[i % 4];
    return length + size;
}

static Frame websocket_next(const uint8_t *at, size_t length)
{
    if (at[0] == 'H') { /* the answer to the handshake */
        const uint8_t *end = memmem(at, length, "\r\n\r\n", 4);
        if (!end) return PARTIAL_FRAME;
        return begins(at, length, "HTTP/1.1 101") ? (Frame){OTHER, (size_t)(end - at) + 4, NULL} : BROKEN_FRAME;
    }
    if (length < 4) return PARTIAL_FRAME;
    size_t head = at[1] == 126 ? 4 : 2, text = at[1] == 126 ? (size_t)at[2] << 8 | at[3] : at[1];
    if (at[0] == WS_BINARY && at[1] <= 126) return delivery(at, length, head, text, 0);
    if (at[0] != WS_TEXT) return BROKEN_FRAME;
    return length < head + text ? PARTIAL_FRAME : (Frame){READY, head + text, NULL};
}

/* --- the bare loop: four bytes of length, then the message; an empty one subscribes and confirms ----------- */

static size_t bare_opening(uint8_t *to, Role role)
{
    return role == PUBLISHER ? 0 : put(to, "\0\0\0", 4);
}

static size_t bare_publish(uint8_t *to, const uint8_t *text)
{
    uint32_t length = htonl((uint32_t)size);
    return put(to, &length, 4) + put(to + 4, text, size);
}

static Frame bare_next(const uint8_t *at, size_t length)
{
    uint32_t text;
    if (length < 4) return PARTIAL_FRAME;
    memcpy(&text, at, 4);
    return text ? delivery(at, length, 4, ntohl(text), 0) : (Frame){READY, 4, NULL};
}

static const Protocol protocols[] = {
    {"redis", redis_opening, redis_publish, redis_next},
    {"nats", nats_opening, nats_publish, nats_next},
    {"ours", our_opening, our_publish, our_next},
    {"websocket", websocket_opening, websocket_publish, websocket_next},
    {"bare", bare_opening, bare_publish, bare_next},
};

#endif
