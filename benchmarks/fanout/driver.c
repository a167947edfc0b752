/*
 * How many deliveries a second does a server make of what is published to one topic, and how late are they?
 *
 *   driver PROTOCOL HOST PORT --subscribers N --in-flight K [--size B] [--seconds S --warmup W]
 *          [--stalled M] [--messages COUNT --check C]
 *
 * One thread, epoll: a publisher and N subscribers of one server. PROTOCOL is redis, nats, ours, websocket or bare.
 *
 * - A message is B bytes, and begins with its number in 16 digits. Each subscriber must get 0, 1, 2 ...: a number that
 *   is left out counts as lost, one that comes again as twice. What a protocol says beside that is not looked at.
 * - The publisher has at most K messages published that not all N subscribers have. What it may publish at a turn's end
 *   leaves in one send.
 * - A latency is from just before that send to the read that brought the delivery's last byte.
 * - M further subscribers subscribe and never read. Their sockets take a few kilobytes only, so that what is sent to
 *   them soon waits in the server. The warm-up is then as long as that needs.
 *
 * With --seconds, what happens after the warm-up is measured. With --messages exactly so many are published, and the
 * driver stops twice, writes a line (`subscribed`, then `published`) and goes on when it can read one, so that the
 * harness can look at the server. The first C of those that did not read are then read to the end, and must get
 * everything in order, too.
 *
 * One JSON line on stdout tells the result; the exit code is 0 if all was delivered once and in order, 1 if not, 2 if
 * the driver could not do its work.
 *
 * Not here: the protocols (protocols.h), and what a server costs: the harness reads that from the kernel.
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

#include "../measuring.h"
#include "protocols.h"

enum {
    MAX_EVENTS = 1024,
    DIGITS = 16,           /* of a message's number, at its beginning */
    AT_ONCE = 64,          /* connections that are not confirmed: a burst would overflow a backlog, Redis' is 511 */
    PATIENCE_SECONDS = 5,  /* without a delivery: what has not come is lost */
    STOPPED_SECONDS = 60,  /* the same in a run that stops twice: thousands that do not read take the server's time */
    READ_SIZE = 256 * 1024,
    BEHIND_AFTER = 4000,   /* messages: 600 KB of ours. The kernel takes 100, a connection 256; 1,000 may wait */
    STALLED_BUFFER = 4096, /* of a subscriber that does not read */
    STALLED_SEGMENT = 536, /* bytes: with loopback's own, 64 KB, the server's send buffer grows to 2.5 MB */
};

typedef struct {
    int fd;
    bool ready;
    Role role;
    uint64_t expected;   /* the number of the message that comes next */
    uint8_t *rest;       /* of a frame whose end has not come */
    size_t rest_length, rest_capacity;
} Conn;

static const Protocol *protocol;
static struct sockaddr_in target;
static int epoll_fd;
static uint32_t subscribers, stalled, in_flight = 1;

/* --- what is published, and who has it ------------------------------------------------------------------- */

/* A message that not all subscribers have. They get messages in order, so the one published first is complete first:
 * a ring of `in_flight` places holds all of them, message n at n modulo that. */
typedef struct { uint64_t sent_at; uint32_t missing; } Flight;

static Flight *flights;
static uint64_t published, completed, deliveries, delivered_bytes;
static uint64_t lost, twice, unknown, closed;
static uint32_t stalled_closed; /* of those that do not read, how many the server has reset */
static uint64_t progress_at;    /* when something was last delivered or confirmed */
static bool measuring, stopping;

static void has_it(uint64_t n)
{
    if (!--flights[n % in_flight].missing) completed++;
}

/* A subscriber that read has got message n. One that did not read has no part in what is in flight. */
static void take(Conn *c, uint64_t n, uint64_t now)
{
    if (n >= published) {
        unknown++;
        return;
    }
    if (n < c->expected) {
        twice++;
        return;
    }
    for (; c->expected < n; c->expected++) {
        lost++;
        if (c->role == SUBSCRIBER) has_it(c->expected); /* it will not come: the others go on */
    }
    c->expected = n + 1;
    if (c->role != SUBSCRIBER) return;
    if (measuring) record(now - flights[n % in_flight].sent_at);
    has_it(n);
}

static void write_number(uint8_t *text, uint64_t n)
{
    for (int i = DIGITS; i--; n /= 10) text[i] = (uint8_t)('0' + n % 10);
}

static uint64_t read_number(const uint8_t *text)
{
    uint64_t n = 0;
    for (int i = 0; i < DIGITS; i++) {
        if (text[i] < '0' || text[i] > '9') return UINT64_MAX;
        n = n * 10 + (uint64_t)(text[i] - '0');
    }
    return n;
}

/* --- connections ------------------------------------------------------------------------------------------ */

static Conn *all; /* the publisher, the subscribers, those that do not read */
static uint32_t opened, confirmed;

static void watch(Conn *c, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll_fd, operation, c->fd, &event) < 0) die("epoll_ctl");
}

static void confirm(Conn *c)
{
    if (c->ready) return;
    c->ready = true;
    confirmed++;
    progress_at = now_ns();
    if (c->role == STALLED) watch(c, EPOLL_CTL_MOD, 0); /* from here on only its end is heard of */
}

static void open_connection(Conn *c, Role role)
{
    static uint8_t opening[2 * AROUND];
    int one = 1, buffer = STALLED_BUFFER, segment = STALLED_SEGMENT;
    c->role = role;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0) die("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (role == STALLED) {
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
        setsockopt(c->fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
    }
    if (connect(c->fd, (struct sockaddr *)&target, sizeof target) < 0) die("connect");
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
    opened++;
    size_t length = protocol->opening(opening, role);
    if (send(c->fd, opening, length, MSG_NOSIGNAL) != (ssize_t)length) die("send");
    if (!length) confirm(c);
}

static void close_connection(Conn *c)
{
    if (c->role == STALLED && c->ready) stalled_closed++;
    else closed++;
    close(c->fd);
    c->fd = -1;
}

static void broken(const uint8_t *at, size_t length)
{
    fprintf(stderr, "the server sent: ");
    for (size_t i = 0; i < length && i < 300; i++) fputc(at[i] < ' ' || at[i] > '~' ? '?' : at[i], stderr);
    fputc('\n', stderr);
    exit(2);
}

/* Take all whole frames; returns how many bytes they were. */
static size_t take_frames(Conn *c, const uint8_t *in, size_t length, uint64_t now)
{
    size_t at = 0;
    while (at < length) {
        Frame frame = protocol->next(in + at, length - at);
        if (frame.kind == PARTIAL) break;
        if (frame.kind == BROKEN) broken(in + at, length - at);
        if (frame.kind == READY) confirm(c);
        if (frame.kind == DELIVERY) {
            take(c, read_number(frame.text), now);
            progress_at = now;
            deliveries++;
            delivered_bytes += frame.length;
        }
        at += frame.length;
    }
    return at;
}

/* One buffer serves all connections: only a frame that was cut is copied, into what belongs to its connection. */
static void readable(Conn *c)
{
    static uint8_t in[READ_SIZE + 1]; /* a zero follows whatever comes, where a number is read */
    if (c->rest_length) memcpy(in, c->rest, c->rest_length);
    ssize_t n = recv(c->fd, in + c->rest_length, READ_SIZE - c->rest_length, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
        close_connection(c);
        return;
    }
    size_t length = c->rest_length + (size_t)n;
    in[length] = 0;
    size_t taken = take_frames(c, in, length, now_ns());
    c->rest_length = length - taken;
    if (c->rest_length > c->rest_capacity) {
        c->rest_capacity = c->rest_length + AROUND;
        if (!(c->rest = realloc(c->rest, c->rest_capacity))) die("realloc");
    }
    if (c->rest_length) memcpy(c->rest, in + taken, c->rest_length);
}

/* Publish what may be published. What the kernel does not take at once goes before anything else. */
static void publish(void)
{
    static uint8_t *out, *text;
    static size_t out_length, out_done;
    static bool waiting; /* for room */
    Conn *publisher = &all[0];
    if (!out) {
        out = malloc(in_flight * (AROUND + 2 * size));
        text = malloc(size + 1);
        if (!out || !text) die("malloc");
        memset(text, 'x', size);
    }
    if (out_done == out_length) {
        out_length = out_done = 0;
        uint64_t now = now_ns();
        while (!stopping && published < messages && published - completed < in_flight) {
            write_number(text, published);
            out_length += protocol->publish(out + out_length, text);
            flights[published++ % in_flight] = (Flight){now, subscribers};
        }
        if (!out_length) return;
    }
    ssize_t n = send(publisher->fd, out + out_done, out_length - out_done, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        close_connection(publisher);
        return;
    }
    if (n > 0) out_done += (size_t)n;
    if (waiting == (out_done < out_length)) return;
    waiting = !waiting;
    watch(publisher, EPOLL_CTL_MOD, EPOLLIN | (waiting ? EPOLLOUT : 0));
}

static void turn(int timeout_ms)
{
    struct epoll_event events[MAX_EVENTS];
    int n = epoll_wait(epoll_fd, events, MAX_EVENTS, timeout_ms);
    for (int i = 0; i < n; i++) {
        Conn *c = events[i].data.ptr;
        if (c->role == STALLED && c->ready && !(events[i].events & EPOLLIN)) close_connection(c); /* HUP or ERR */
        else if (events[i].events != EPOLLOUT) readable(c);
    }
    if (confirmed == 1 + subscribers + stalled && all[0].fd >= 0) publish();
}

/* --- a run ------------------------------------------------------------------------------------------------- */

/* Has nothing come for too long? */
static bool stuck(void)
{
    uint64_t patience = messages == UINT64_MAX ? PATIENCE_SECONDS : STOPPED_SECONDS;
    return now_ns() > progress_at + patience * 1000000000u;
}

/* Subscribers that do not read count from where they are behind: that is messages, not seconds. */
static bool warming(uint64_t from)
{
    return now_ns() < from || (stalled && published < BEHIND_AFTER);
}

static void open_all(void)
{
    uint32_t count = 1 + subscribers + stalled;
    progress_at = now_ns();
    stopping = true; /* nothing is published yet */
    for (uint32_t i = 0; i < count; i++) {
        open_connection(&all[i], i == 0 ? PUBLISHER : i <= subscribers ? SUBSCRIBER : STALLED);
        while ((opened - confirmed >= AT_ONCE || opened == count) && confirmed < opened) {
            turn(10);
            if (stuck() || closed) {
                fprintf(stderr, "only %u of %u connections were confirmed\n", confirmed, count);
                exit(2);
            }
        }
    }
    stopping = false;
    progress_at = now_ns();
}

/* Say how far we are, and wait until the harness has looked. */
static void stop_at(const char *where)
{
    char line[16];
    printf("%s\n", where);
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) exit(2);
    progress_at = now_ns();
}

/* How many of those that do not read has the server ended? Its end waits behind what it sent before, so that only its
 * own side of the connection knows, as FIN_WAIT1 (4); one that was reset has been closed here already. */
static uint32_t count_cut(void)
{
    char line[512];
    unsigned port, state;
    uint32_t count = stalled_closed;
    FILE *file = fopen("/proc/net/tcp", "r");
    if (!file) die("/proc/net/tcp");
    while (fgets(line, sizeof line, file))
        if (sscanf(line, " %*u: %*x:%x %*x:%*x %x", &port, &state) == 2 && port == ntohs(target.sin_port) && state == 4)
            count++;
    fclose(file);
    return count;
}

static void publish_all(uint32_t check)
{
    stop_at("subscribed");
    while (completed < messages && !closed && !stuck()) turn(10);
    stop_at("published");
    uint32_t first = 1 + subscribers, end = first + (check < stalled ? check : stalled);
    for (uint32_t i = first; i < end; i++) {
        if (all[i].fd >= 0) watch(&all[i], EPOLL_CTL_MOD, EPOLLIN);
    }
    for (uint32_t i = first; i < end; i++) {
        while (all[i].fd >= 0 && all[i].expected < published && !stuck()) turn(10);
        lost += published - all[i].expected;
    }
}

int main(int argc, char **argv)
{
    double seconds = 1, warmup = 0.2;
    uint32_t check = 0;
    if (argc < 4) {
        fprintf(stderr, "usage: driver PROTOCOL HOST PORT --subscribers N --in-flight K ...\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++)
        if (!strcmp(argv[1], protocols[i].name)) protocol = &protocols[i];
    for (int i = 4; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        if (!strcmp(name, "--subscribers")) subscribers = (uint32_t)atoi(value);
        else if (!strcmp(name, "--in-flight")) in_flight = (uint32_t)atoi(value);
        else if (!strcmp(name, "--stalled")) stalled = (uint32_t)atoi(value);
        else if (!strcmp(name, "--size")) size = (size_t)atoi(value);
        else if (!strcmp(name, "--seconds")) seconds = atof(value);
        else if (!strcmp(name, "--warmup")) warmup = atof(value);
        else if (!strcmp(name, "--messages")) messages = strtoull(value, NULL, 10);
        else if (!strcmp(name, "--check")) check = (uint32_t)atoi(value);
        else { fprintf(stderr, "unknown option %s\n", name); return 2; }
    }
    target.sin_family = AF_INET;
    target.sin_port = htons((uint16_t)atoi(argv[3]));
    if (!protocol || !subscribers || !in_flight || size < DIGITS || size > 0xffff ||
        inet_pton(AF_INET, argv[2], &target.sin_addr) != 1) {
        fprintf(stderr, "a known protocol, an IPv4 address, a subscriber, a message in flight and %d to 65535 bytes of"
                        " it are needed\n", DIGITS);
        return 2;
    }
    raise_descriptor_limit();
    epoll_fd = epoll_create1(0);
    all = calloc(1 + subscribers + stalled, sizeof *all);
    flights = calloc(in_flight, sizeof *flights);
    if (!all || !flights) die("calloc");
    open_all();

    if (messages == UINT64_MAX)
        for (uint64_t from = now_ns() + (uint64_t)(warmup * 1e9); warming(from) && !closed && !stuck();) turn(10);
    uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9);
    double cpu = cpu_seconds();
    measuring = true;
    if (messages != UINT64_MAX) publish_all(check);
    else /* until there is a delivery: on a busy machine a short window may pass without one, and that is no figure */
        while ((now_ns() < end || (!measured && !stuck())) && !closed) turn(10);
    measuring = false;
    end = now_ns();
    cpu = cpu_seconds() - cpu;

    stopping = true;
    while (completed < published && !closed && !stuck()) turn(10);
    for (uint64_t until = now_ns() + 50000000u; now_ns() < until;) turn(10); /* what still comes has come twice */
    for (uint32_t i = 1; i <= subscribers; i++) lost += published - all[i].expected;

    uint32_t cut = stalled ? count_cut() : 0;

    double wall = (double)(end - start) / 1e9;
    printf("{\"deliveries\": %llu, \"rate\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, "
           "\"errors\": {\"lost\": %llu, \"twice\": %llu, \"unknown\": %llu, \"closed\": %llu}, "
           "\"published\": %llu, \"frame_bytes\": %.2f, \"cut\": %u, "
           "\"cpu_fraction\": %.3f, \"window\": [%.6f, %.6f]}\n",
           (unsigned long long)measured, (double)measured / wall, percentile(50) / 1e3, percentile(99) / 1e3,
           (double)slowest / 1e3, (unsigned long long)lost, (unsigned long long)twice, (unsigned long long)unknown,
           (unsigned long long)closed, (unsigned long long)published,
           deliveries ? (double)delivered_bytes / (double)deliveries : 0.0, cut, cpu / wall,
           (double)start / 1e9, (double)end / 1e9);
    return lost || twice || unknown || closed ? 1 : 0;
}
