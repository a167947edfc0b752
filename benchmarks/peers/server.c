/*
 * What is the limit?
 *
 *   server HOST PORT
 *
 * The same protocol in C on epoll: one thread, level-triggered, one recv and one send per readable
 * connection. What it does per request is the honest work: the prefix, the header as JSON (its
 * content-length, content-type, connection and id, whatever else stands there and in whatever
 * order), the content as JSON (action and value), the value decoded and encoded again. Partial
 * reads, pipelining and partial writes are handled.
 *
 * What it does not do: encodings other than UTF-8, checks that the bytes are valid UTF-8, numbers
 * other than as they were written, search for anything but a string, timeouts, error replies for
 * broken frames (it closes). All of that could only cost it time.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_EVENTS = 1024, BACKLOG = 4096, MAX_DEPTH = 64, READ_SIZE = 256 * 1024 };

typedef struct { uint8_t *bytes; size_t length, capacity; } Buffer;
typedef struct { const uint8_t *at, *end; } Span;

typedef struct {
    int fd;
    bool persistent, granted, finished;
    size_t need;     /* bytes the message in `in` must have before another look is worth while */
    Buffer in;       /* an incomplete message; no memory while there is none */
    Buffer unsent;   /* what the kernel refused, from unsent_at on */
    size_t unsent_at;
} Conn;

static uint8_t input[READ_SIZE]; /* most reads begin and end with whole messages: one for all */
static Buffer output, content;   /* of the read that is being served */
static int epoll_fd;

static void die(const char *what) { perror(what); exit(1); }

/* --- buffers ------------------------------------------------------------------------------- */

static void reserve(Buffer *b, size_t more)
{
    if (b->length + more <= b->capacity) return;
    size_t capacity = b->capacity ? b->capacity : 4096;
    while (capacity < b->length + more) capacity *= 2;
    if (!(b->bytes = realloc(b->bytes, capacity))) die("realloc");
    b->capacity = capacity;
}

static void append(Buffer *b, const void *bytes, size_t length)
{
    reserve(b, length);
    memcpy(b->bytes + b->length, bytes, length);
    b->length += length;
}

static void append_text(Buffer *b, const char *text) { append(b, text, strlen(text)); }

static void append_byte(Buffer *b, uint8_t byte) { append(b, &byte, 1); }

static void append_number(Buffer *b, size_t number)
{
    uint8_t digits[20], *at = digits + sizeof digits;
    do *--at = (uint8_t)('0' + number % 10); while (number /= 10);
    append(b, at, (size_t)(digits + sizeof digits - at));
}

static void release(Buffer *b) { free(b->bytes); *b = (Buffer){0}; }

/* --- JSON: read, and write again as Python's json.dumps(ensure_ascii=False) does ------------ */

static void skip_space(Span *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\t' || *s->at == '\r')) s->at++;
}

static bool take(Span *s, uint8_t byte)
{
    skip_space(s);
    if (s->at == s->end || *s->at != byte) return false;
    s->at++;
    return true;
}

static bool hex4(Span *s, unsigned *value)
{
    if (s->end - s->at < 4) return false;
    *value = 0;
    for (int i = 0; i < 4; i++) {
        unsigned c = *s->at++, lower = c | 32;
        if (c >= '0' && c <= '9') *value = *value << 4 | (c - '0');
        else if (lower >= 'a' && lower <= 'f') *value = *value << 4 | (lower - 'a' + 10);
        else return false;
    }
    return true;
}

static void append_utf8(Buffer *b, unsigned c)
{
    if (c < 0x80) { append_byte(b, (uint8_t)c); return; }
    if (c < 0x800) { append_byte(b, (uint8_t)(0xC0 | c >> 6)); }
    else {
        if (c < 0x10000) append_byte(b, (uint8_t)(0xE0 | c >> 12));
        else {
            append_byte(b, (uint8_t)(0xF0 | c >> 18));
            append_byte(b, (uint8_t)(0x80 | (c >> 12 & 63)));
        }
        append_byte(b, (uint8_t)(0x80 | (c >> 6 & 63)));
    }
    append_byte(b, (uint8_t)(0x80 | (c & 63)));
}

/* The string's text, decoded, is appended to `b`. */
static bool read_string(Span *s, Buffer *b)
{
    if (!take(s, '"')) return false;
    for (;;) {
        const uint8_t *from = s->at;
        while (s->at < s->end && *s->at != '"' && *s->at != '\\' && *s->at >= 32) s->at++;
        append(b, from, (size_t)(s->at - from));
        if (s->at == s->end || *s->at < 32) return false;
        if (*s->at++ == '"') return true;
        if (s->at == s->end) return false;
        static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
        uint8_t name = *s->at++;
        const char *found = name ? strchr(names, name) : NULL;
        if (found) { append_byte(b, (uint8_t)meanings[found - names]); continue; }
        unsigned c, low;
        if (name != 'u' || !hex4(s, &c)) return false;
        if (c >> 10 == 0x36 && s->end - s->at >= 6 && s->at[0] == '\\' && s->at[1] == 'u') {
            s->at += 2;
            if (!hex4(s, &low) || low >> 10 != 0x37) return false;
            c = 0x10000 + ((c & 0x3FF) << 10) + (low & 0x3FF);
        }
        append_utf8(b, c);
    }
}

static void write_escaped(Buffer *b, const uint8_t *text, size_t length)
{
    for (const uint8_t *end = text + length; text < end;) {
        const uint8_t *from = text;
        while (text < end && *text != '"' && *text != '\\' && *text >= 32) text++;
        append(b, from, (size_t)(text - from));
        if (text == end) return;
        static const char meanings[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
        const char *found = *text ? strchr(meanings, *text) : NULL;
        char escape[7];
        if (found) snprintf(escape, sizeof escape, "\\%c", names[found - meanings]);
        else snprintf(escape, sizeof escape, "\\u%04x", *text);
        append_text(b, escape);
        text++;
    }
}

/* One value, read and (if `b`) written again. */
static bool copy_value(Span *s, Buffer *b, unsigned depth)
{
    static Buffer text;
    skip_space(s);
    if (s->at == s->end || depth > MAX_DEPTH) return false;
    uint8_t first = *s->at;
    if (first == '"') {
        text.length = 0;
        if (!read_string(s, &text)) return false;
        if (!b) return true;
        append_byte(b, '"');
        write_escaped(b, text.bytes, text.length);
        append_byte(b, '"');
        return true;
    }
    if (first == '{' || first == '[') {
        uint8_t last = first == '{' ? '}' : ']';
        s->at++;
        if (b) append_byte(b, first);
        if (!take(s, last)) {
            for (bool more = true; more; more = take(s, ',')) {
                if (b && b->bytes[b->length - 1] != first) append(b, ", ", 2);
                if (first == '{') {
                    if (skip_space(s), s->at == s->end || *s->at != '"' || !copy_value(s, b, depth + 1)) return false;
                    if (!take(s, ':')) return false;
                    if (b) append(b, ": ", 2);
                }
                if (!copy_value(s, b, depth + 1)) return false;
            }
            if (!take(s, last)) return false;
        }
        if (b) append_byte(b, last);
        return true;
    }
    const uint8_t *from = s->at;
    while (s->at < s->end && !strchr(",]} \n\t\r", *s->at)) s->at++;
    if (b) append(b, from, (size_t)(s->at - from));
    return s->at > from;
}

/* The next name of an object and where its value stands; `false` at the object's end. */
static bool next_member(Span *s, Buffer *name, Span *value, bool *first, bool *broken)
{
    if (take(s, '}')) return false;
    *broken = true;
    if (!*first && !take(s, ',')) return false;
    *first = false;
    name->length = 0;
    if (!read_string(s, name) || !take(s, ':')) return false;
    skip_space(s);
    value->at = s->at;
    if (!copy_value(s, NULL, 0)) return false;
    value->end = s->at;
    *broken = false;
    return true;
}

static bool is(const Buffer *b, const char *text)
{
    size_t length = strlen(text);
    return b->length == length && !memcmp(b->bytes, text, length);
}

static bool string_of(Span value, Buffer *b) { b->length = 0; return read_string(&value, b); }

/* --- the protocol --------------------------------------------------------------------------- */

typedef struct { size_t length; bool is_json, is_echo, keep_alive, close; Span id; } Header;

static bool read_header(Span s, Header *header)
{
    static Buffer name, text;
    Span value;
    bool first = true, broken = false, has_length = false, has_type = false;
    *header = (Header){0};
    if (!take(&s, '{')) return false;
    while (next_member(&s, &name, &value, &first, &broken)) {
        if (is(&name, "content-length")) {
            for (const uint8_t *at = value.at; at < value.end; at++) {
                if (*at < '0' || *at > '9' || header->length > SIZE_MAX / 100) return false;
                header->length = header->length * 10 + (size_t)(*at - '0');
            }
            has_length = true;
        } else if (is(&name, "content-type")) {
            if (!string_of(value, &text)) return false;
            header->is_json = is(&text, "text/json");
            header->is_echo = is(&text, "binary/echo");
            has_type = true;
        } else if (is(&name, "connection")) {
            if (!string_of(value, &text)) return false;
            header->keep_alive = is(&text, "keep-alive");
            header->close = is(&text, "close");
        } else if (is(&name, "id")) {
            header->id = value;
        }
    }
    return !broken && has_length && has_type;
}

static void reply(Conn *c, const Header *request, const char *type, const char *encoding, const void *bytes, size_t length)
{
    size_t start = output.length;
    append(&output, "\0\0", 2);
    append_text(&output, "{\"byteorder\": \"little\", \"content-type\": \"");
    append_text(&output, type);
    append_text(&output, "\", \"content-encoding\": \"");
    append_text(&output, encoding);
    append_text(&output, "\", \"content-length\": ");
    append_number(&output, length);
    if (c->finished && c->persistent) append_text(&output, ", \"connection\": \"close\"");
    else if (c->persistent && !c->granted) append_text(&output, ", \"connection\": \"keep-alive\"");
    c->granted = c->persistent;
    if (request->id.at) {
        Span id = request->id;
        append_text(&output, ", \"id\": ");
        copy_value(&id, &output, 0);
    }
    append_byte(&output, '}');
    size_t header = output.length - start - 2;
    output.bytes[start] = (uint8_t)(header >> 8);
    output.bytes[start + 1] = (uint8_t)header;
    append(&output, bytes, length);
}

static bool search(Span value)
{
    static const char *const entries[][2] = {
        {"morpheus", "Follow the white rabbit. \xF0\x9F\x90\xB0"},
        {"ring", "In the caves beneath the Misty Mountains. \xF0\x9F\x92\x8D"},
        {"\xF0\x9F\x90\xB6", "\xF0\x9F\x90\xBE Playing ball! \xF0\x9F\x8F\x90"}};
    static Buffer text;
    if (!string_of(value, &text)) return false;
    append_text(&content, "{\"result\": \"");
    for (size_t i = 0; i < 3; i++)
        if (is(&text, entries[i][0])) {
            append_text(&content, entries[i][1]);
            append_text(&content, "\"}");
            return true;
        }
    append_text(&content, "No match for '");
    write_escaped(&content, text.bytes, text.length);
    append_text(&content, "'.\"}");
    return true;
}

static bool answer(Span s)
{
    static Buffer name, action;
    Span value = {0}, member;
    bool first = true, broken = false, has_action = false;
    content.length = 0;
    if (!take(&s, '{')) return false;
    while (next_member(&s, &name, &member, &first, &broken)) {
        if (is(&name, "action")) has_action = string_of(member, &action);
        else if (is(&name, "value")) value = member;
    }
    if (broken || !has_action) return false;
    if (is(&action, "search")) return value.at && search(value);
    if (is(&action, "echo")) {
        append_text(&content, "{\"result\": ");
        if (value.at) copy_value(&value, &content, 0);
        else append_text(&content, "null");
        append_byte(&content, '}');
        return true;
    }
    append_text(&content, "{\"result\": \"Error: invalid action '");
    write_escaped(&content, action.bytes, action.length);
    append_text(&content, "'.\", \"error\": {\"code\": \"unknown-action\", \"message\": \"invalid action '");
    write_escaped(&content, action.bytes, action.length);
    append_text(&content, "'.\"}}");
    return true;
}

/* Serve the whole messages; returns how many bytes were taken, or -1 if the framing is lost. */
static ssize_t serve(Conn *c, const uint8_t *bytes, size_t length)
{
    size_t at = 0;
    while (at < length && !c->finished) {
        size_t left = length - at, start = 2;
        Header header;
        c->need = start;
        if (left < c->need) break;
        c->need = start += (size_t)bytes[at] << 8 | bytes[at + 1];
        if (left < c->need) break;
        if (!read_header((Span){bytes + at + 2, bytes + at + start}, &header)) return -1;
        c->need = start + header.length;
        if (left < c->need) break;
        c->persistent |= header.keep_alive;
        c->finished = header.close || !c->persistent;
        const uint8_t *body = bytes + at + start;
        if (header.is_json) {
            if (!answer((Span){body, body + header.length})) return -1;
            reply(c, &header, "text/json", "utf-8", content.bytes, content.length);
        } else if (header.is_echo) {
            reply(c, &header, "binary/echo", "binary", body, header.length);
        } else {
            content.length = 0;
            append_text(&content, "First 10 bytes of request: ");
            append(&content, body, header.length < 10 ? header.length : 10);
            reply(c, &header, "binary/custom-server-binary-type", "binary", content.bytes, content.length);
        }
        at += c->need;
    }
    return (ssize_t)at;
}

/* --- connections ---------------------------------------------------------------------------- */

static void watch(Conn *c, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll_fd, operation, c->fd, &event) < 0) die("epoll_ctl");
}

static void close_connection(Conn *c)
{
    close(c->fd);
    release(&c->in);
    release(&c->unsent);
    free(c);
}

static void send_output(Conn *c)
{
    /* The last reply waits for the FIN, and leaves in one packet with it. */
    ssize_t sent = send(c->fd, output.bytes, output.length, MSG_NOSIGNAL | (c->finished ? MSG_MORE : 0));
    if (sent < 0 && errno != EAGAIN) { close_connection(c); return; }
    if (sent < 0) sent = 0;
    if ((size_t)sent < output.length) { /* reading waits until they have taken it */
        c->unsent = output;
        c->unsent_at = (size_t)sent;
        output = (Buffer){0};
        watch(c, EPOLL_CTL_MOD, EPOLLOUT);
    } else if (c->finished) {
        close_connection(c);
    }
}

static void writable(Conn *c)
{
    ssize_t sent = send(c->fd, c->unsent.bytes + c->unsent_at, c->unsent.length - c->unsent_at, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) return;
    if (sent >= 0 && (c->unsent_at += (size_t)sent) < c->unsent.length) return;
    if (sent < 0 || c->finished) { close_connection(c); return; }
    release(&c->unsent);
    watch(c, EPOLL_CTL_MOD, EPOLLIN);
}

static void readable(Conn *c)
{
    uint8_t *into = input;
    size_t room = sizeof input;
    if (c->in.length) { /* the rest of a message that has begun, and no more if it is a large one */
        size_t rest = c->need - c->in.length;
        reserve(&c->in, room = rest > READ_SIZE ? rest : READ_SIZE);
        into = c->in.bytes + c->in.length;
    }
    ssize_t n = recv(c->fd, into, room, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) { close_connection(c); return; }
    uint8_t *bytes = input;
    size_t length = (size_t)n;
    if (c->in.length) {
        length = c->in.length += (size_t)n;
        if (length < c->need) return;
        bytes = c->in.bytes;
    }
    output.length = 0;
    ssize_t taken = serve(c, bytes, length);
    if (taken < 0) { close_connection(c); return; }
    size_t left = c->finished ? 0 : length - (size_t)taken;
    Buffer used = c->in;
    c->in = (Buffer){0};
    if (left) {
        reserve(&c->in, c->need);
        append(&c->in, bytes + taken, left);
    }
    release(&used);
    if (output.length) send_output(c);
}

static void accept_connections(int listener)
{
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        Conn *c = calloc(1, sizeof *c);
        if (!c) die("calloc");
        c->fd = fd;
        watch(c, EPOLL_CTL_ADD, EPOLLIN);
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    if (argc != 3 || inet_pton(AF_INET, argv[1], &address.sin_addr) != 1) {
        fprintf(stderr, "usage: server HOST PORT (HOST an IPv4 address)\n");
        return 2;
    }
    address.sin_port = htons((uint16_t)atoi(argv[2]));
    mallopt(M_MMAP_THRESHOLD, 64 << 20); /* large buffers come and go: have them from memory that is mapped already */
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* the accepted inherit it */
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0) die("bind");
    if (listen(listener, BACKLOG) < 0) die("listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    epoll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[MAX_EVENTS];
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) < 0) die("epoll_ctl");
    fprintf(stderr, "Listening on %s:%d\n", argv[1], ntohs(address.sin_port));
    for (;;) {
        int n = epoll_wait(epoll_fd, events, MAX_EVENTS, -1);
        for (int i = 0; i < n; i++) {
            Conn *c = events[i].data.ptr;
            if (!c) accept_connections(listener);
            else if (c->unsent.length) writable(c);
            else readable(c);
        }
    }
}
