/*
 * How fast is that server, really?
 *
 * A load generator that is never the bottleneck: one thread, epoll, no allocation per request.
 * A generator slower than the server would measure itself.
 *
 *   generator HOST PORT --connections C --depth P --seconds S --warmup W --requests FILE [--oneshot]
 *
 * FILE holds variants, each three times a little-endian u32 length and so many bytes: the request's
 * frame, the reply's content as it must be, and a text that must stand in the reply's header.
 * Every connection sends one request, and once its first reply has come keeps P in flight (a
 * client pipelines only after keep-alive was granted). With --oneshot every request has a
 * connection of its own, read to its end.
 *
 * Every reply is checked: frame, content byte for byte, header text. One JSON line on stdout
 * tells the result; the exit code is 0 if every reply was right.
 *
 * Times are from a request's send to its reply's last byte (measuring.h).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "measuring.h"

enum { MAX_EVENTS = 1024, DRAIN_SECONDS = 5 };

typedef struct { uint8_t *bytes; uint32_t length; } Blob;
typedef struct { Blob request, content, header_text; } Variant;

typedef struct {
    int fd;
    bool granted;             /* the first reply has come: pipelining may begin */
    uint32_t next;            /* variant to send next */
    uint32_t expect;          /* variant whose reply comes next */
    uint32_t in_flight;
    uint64_t *sent_at;        /* ring of `depth` times */
    uint32_t ring_head, ring_tail;
    uint32_t out_variant;     /* a request that the kernel took only part of */
    size_t out_done;          /* 0: none under way */
    uint8_t *in;              /* reply bytes not yet consumed */
    size_t in_length, in_capacity;
    uint64_t replies;         /* in the measured window */
    bool wants_write;
    bool connecting;
} Conn;

static Variant *variants;
static uint32_t variant_count;
static uint32_t depth = 1;
static bool oneshot;
static int epoll_fd;
static struct sockaddr_in target;

static bool measuring, stopping;
static uint64_t total;
static uint64_t bad_frame, wrong_content, wrong_header, connection_errors, closed_early, unanswered;

/* --- the requests --------------------------------------------------------------------------- */

static Blob read_blob(FILE *file, bool *ended)
{
    Blob blob = {0};
    uint8_t raw[4];
    if (fread(raw, 1, 4, file) != 4) {
        *ended = true;
        return blob;
    }
    blob.length = (uint32_t)raw[0] | (uint32_t)raw[1] << 8 | (uint32_t)raw[2] << 16 | (uint32_t)raw[3] << 24;
    blob.bytes = malloc(blob.length + 1);
    if (!blob.bytes || fread(blob.bytes, 1, blob.length, file) != blob.length) die("requests file");
    blob.bytes[blob.length] = 0;
    return blob;
}

static void read_variants(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) die(path);
    for (;;) {
        bool ended = false;
        Variant v;
        v.request = read_blob(file, &ended);
        if (ended) break;
        v.content = read_blob(file, &ended);
        v.header_text = read_blob(file, &ended);
        variants = realloc(variants, (variant_count + 1) * sizeof *variants);
        variants[variant_count++] = v;
    }
    fclose(file);
    if (!variant_count) {
        fprintf(stderr, "%s holds no request\n", path);
        exit(2);
    }
}

/* --- one connection --------------------------------------------------------------------------- */

static void watch(Conn *c, int operation, bool write)
{
    struct epoll_event event = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(epoll_fd, operation, c->fd, &event) < 0) die("epoll_ctl");
    c->wants_write = write;
}

static void open_connection(Conn *c)
{
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) die("socket");
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->granted = false;
    c->in_flight = 0;
    c->ring_head = c->ring_tail = 0;
    c->out_done = 0;
    c->in_length = 0;
    if (connect(c->fd, (struct sockaddr *)&target, sizeof target) < 0 && errno != EINPROGRESS) {
        connection_errors++;
        close(c->fd);
        c->fd = -1;
        return;
    }
    c->connecting = true;
    watch(c, EPOLL_CTL_ADD, true);
}

static void close_connection(Conn *c)
{
    close(c->fd);
    c->fd = -1;
}

/* Send as much as may be in flight; consecutive small requests leave in one send. */
static void pump(Conn *c)
{
    static uint8_t joined[256 * 1024];
    uint32_t allowed = c->granted && !oneshot ? depth : 1;
    for (;;) {
        if (c->out_done) { /* finish the one under way */
            Blob *r = &variants[c->out_variant].request;
            ssize_t n = send(c->fd, r->bytes + c->out_done, r->length - c->out_done, MSG_NOSIGNAL);
            if (n < 0) break;
            c->out_done += (size_t)n;
            if (c->out_done < r->length) break;
            c->out_done = 0;
            continue;
        }
        if (stopping || c->in_flight >= allowed || (oneshot && c->granted)) {
            if (c->wants_write) watch(c, EPOLL_CTL_MOD, false);
            return;
        }
        size_t length = 0;
        uint32_t count = 0, v = c->next;
        while (c->in_flight + count < allowed && variants[v].request.length <= sizeof joined - length) {
            memcpy(joined + length, variants[v].request.bytes, variants[v].request.length);
            length += variants[v].request.length;
            count++;
            v = v + 1 == variant_count ? 0 : v + 1;
        }
        uint64_t now = now_ns();
        ssize_t n;
        if (count) {
            n = send(c->fd, joined, length, MSG_NOSIGNAL);
        } else { /* larger than the join buffer */
            n = send(c->fd, variants[c->next].request.bytes, variants[c->next].request.length, MSG_NOSIGNAL);
        }
        if (n <= 0) break;
        size_t left = (size_t)n;
        while (left) { /* whole ones are in flight; of the last perhaps a part */
            Blob *r = &variants[c->next].request;
            c->sent_at[c->ring_head] = now;
            c->ring_head = c->ring_head + 1 == depth ? 0 : c->ring_head + 1;
            c->in_flight++;
            uint32_t this = c->next;
            c->next = c->next + 1 == variant_count ? 0 : c->next + 1;
            if (left < r->length) {
                c->out_variant = this;
                c->out_done = left;
                left = 0;
            } else {
                left -= r->length;
            }
        }
        if (oneshot) c->granted = true; /* one only */
    }
    if (errno == EAGAIN) {
        if (!c->wants_write) watch(c, EPOLL_CTL_MOD, true);
        return;
    }
    connection_errors++;
    close_connection(c);
}

/* The content-length of a header, or -1. */
static int64_t content_length(const uint8_t *header, size_t length)
{
    static const char name[] = "\"content-length\"";
    const uint8_t *at = memmem(header, length, name, sizeof name - 1);
    if (!at) return -1;
    const uint8_t *end = header + length;
    at += sizeof name - 1;
    while (at < end && (*at == ' ' || *at == ':')) at++;
    int64_t value = -1;
    while (at < end && *at >= '0' && *at <= '9') value = (value < 0 ? 0 : value) * 10 + (*at++ - '0');
    return value;
}

/* Check and take the whole replies at the front; returns false if the framing is lost. */
static bool take_replies(Conn *c, uint64_t now)
{
    size_t at = 0;
    while (c->in_length - at >= 2) {
        size_t header = (size_t)c->in[at] << 8 | c->in[at + 1];
        if (c->in_length - at < 2 + header) break;
        int64_t length = content_length(c->in + at + 2, header);
        if (length < 0 || !c->in_flight) {
            bad_frame++;
            return false;
        }
        if (c->in_length - at < 2 + header + (size_t)length) {
            size_t whole = 2 + header + (size_t)length;
            if (whole > c->in_capacity) {
                c->in_capacity = whole + 65536;
                c->in = realloc(c->in, c->in_capacity);
            }
            break;
        }
        Variant *v = &variants[c->expect];
        if ((size_t)length != v->content.length || memcmp(c->in + at + 2 + header, v->content.bytes, (size_t)length))
            wrong_content++;
        if (v->header_text.length && !memmem(c->in + at + 2, header, v->header_text.bytes, v->header_text.length))
            wrong_header++;
        c->expect = c->expect + 1 == variant_count ? 0 : c->expect + 1;
        uint64_t took = now - c->sent_at[c->ring_tail];
        c->ring_tail = c->ring_tail + 1 == depth ? 0 : c->ring_tail + 1;
        c->in_flight--;
        total++;
        if (measuring) {
            c->replies++;
            record(took);
        }
        at += 2 + header + (size_t)length;
    }
    if (at) {
        memmove(c->in, c->in + at, c->in_length - at);
        c->in_length -= at;
    }
    return true;
}

static void readable(Conn *c)
{
    if (c->in_capacity - c->in_length < 65536) {
        c->in_capacity = c->in_capacity ? c->in_capacity * 2 : 131072;
        c->in = realloc(c->in, c->in_capacity);
    }
    ssize_t n = recv(c->fd, c->in + c->in_length, c->in_capacity - c->in_length, 0);
    if (n < 0) {
        if (errno == EAGAIN) return;
        connection_errors++;
        close_connection(c);
        return;
    }
    if (n == 0) {
        if (!oneshot || c->in_flight) closed_early++;
        close_connection(c);
        if (oneshot && !stopping) open_connection(c);
        return;
    }
    c->in_length += (size_t)n;
    if (!take_replies(c, now_ns())) {
        close_connection(c);
        return;
    }
    if (!oneshot) {
        c->granted = true;
        if (!c->wants_write) pump(c);
    }
}

/* Requests that are on their way. */
static uint64_t awaited(const Conn *all, unsigned connections)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < connections; i++)
        if (all[i].fd >= 0) count += all[i].in_flight;
    return count;
}

static void turn(int timeout_ms)
{
    struct epoll_event events[MAX_EVENTS];
    int n = epoll_wait(epoll_fd, events, MAX_EVENTS, timeout_ms);
    for (int i = 0; i < n; i++) {
        Conn *c = events[i].data.ptr;
        if (c->fd < 0) continue;
        if (c->connecting) {
            int code = 0;
            socklen_t size = sizeof code;
            getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &code, &size);
            if (code || !(events[i].events & EPOLLOUT)) {
                connection_errors++;
                close_connection(c);
                continue;
            }
            c->connecting = false;
            pump(c);
            continue;
        }
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(c);
        if (c->fd >= 0 && c->wants_write && (events[i].events & EPOLLOUT)) pump(c);
    }
}

int main(int argc, char **argv)
{
    unsigned connections = 1;
    double seconds = 1, warmup = 0.2;
    const char *requests = NULL;
    if (argc < 3) {
        fprintf(stderr, "usage: generator HOST PORT --connections C --depth P --seconds S --warmup W --requests FILE"
                        " [--oneshot]\n");
        return 2;
    }
    for (int i = 3; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(argv[i], "--oneshot")) { oneshot = true; continue; }
        if (!strcmp(argv[i], "--connections")) connections = (unsigned)atoi(value);
        else if (!strcmp(argv[i], "--depth")) depth = (uint32_t)atoi(value);
        else if (!strcmp(argv[i], "--seconds")) seconds = atof(value);
        else if (!strcmp(argv[i], "--warmup")) warmup = atof(value);
        else if (!strcmp(argv[i], "--requests")) requests = value;
        else { fprintf(stderr, "unknown option %s\n", argv[i]); return 2; }
        i++;
    }
    if (!requests || !connections || !depth) {
        fprintf(stderr, "--requests, and at least one connection and a depth of one, are needed\n");
        return 2;
    }
    read_variants(requests);
    target.sin_family = AF_INET;
    target.sin_port = htons((uint16_t)atoi(argv[2]));
    if (inet_pton(AF_INET, argv[1], &target.sin_addr) != 1) {
        fprintf(stderr, "HOST must be an IPv4 address\n");
        return 2;
    }
    raise_descriptor_limit();
    epoll_fd = epoll_create1(0);

    Conn *all = calloc(connections, sizeof *all);
    for (unsigned i = 0; i < connections; i++) {
        all[i].sent_at = calloc(depth, sizeof(uint64_t));
        all[i].next = all[i].expect = i % variant_count;
        open_connection(&all[i]);
        if (i % 256 == 255) turn(0); /* serve what is there: a burst would overflow small backlogs */
    }

    uint64_t begin = now_ns(), from = begin + (uint64_t)(warmup * 1e9);
    while (now_ns() < from) turn(10);
    uint64_t start = now_ns(), until = start + (uint64_t)(seconds * 1e9);
    double cpu = cpu_seconds();
    measuring = true;
    /* Until there is a reply: on a busy machine a short window may pass without one, and that is no figure. */
    uint64_t late = until + (uint64_t)DRAIN_SECONDS * 1000000000u;
    while (now_ns() < until || (!measured && now_ns() < late && awaited(all, connections))) turn(10);
    measuring = false;
    uint64_t end = now_ns();
    cpu = cpu_seconds() - cpu;

    stopping = true;
    uint64_t give_up = now_ns() + (uint64_t)DRAIN_SECONDS * 1000000000u;
    while ((unanswered = awaited(all, connections)) && now_ns() <= give_up) turn(10);
    unsigned starved = 0;
    for (unsigned i = 0; i < connections; i++)
        if (!all[i].replies) starved++;

    double wall = (double)(end - start) / 1e9;
    printf("{\"requests\": %llu, \"seconds\": %.6f, \"rate\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, "
           "\"starved\": %u, \"errors\": {\"bad_frame\": %llu, \"wrong_content\": %llu, \"wrong_header\": %llu, "
           "\"connection\": %llu, \"closed_early\": %llu, \"unanswered\": %llu}, \"total_requests\": %llu, "
           "\"cpu_fraction\": %.3f, \"window\": [%.6f, %.6f]}\n",
           (unsigned long long)measured, wall, (double)measured / wall, percentile(50) / 1e3, percentile(99) / 1e3,
           (double)slowest / 1e3, starved, (unsigned long long)bad_frame, (unsigned long long)wrong_content,
           (unsigned long long)wrong_header, (unsigned long long)connection_errors, (unsigned long long)closed_early,
           (unsigned long long)unanswered, (unsigned long long)total, cpu / wall, (double)start / 1e9,
           (double)end / 1e9);
    return bad_frame || wrong_content || wrong_header || connection_errors || closed_early || unanswered ? 1 : 0;
}
