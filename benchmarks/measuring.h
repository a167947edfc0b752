/*
 * What do the C programs that load a server share? Clocks, and where latencies are counted.
 *
 * Included by one source file each, so that every program is still compiled from one command. Latencies go into a
 * log-linear histogram: 128 slots for each power of two, so a value is known to 1/128 of it, and recording one is an
 * index and an addition.
 *
 * Not here: sockets, and what is measured.
 */
#ifndef MEASURING_H
#define MEASURING_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

enum { SUB_BITS = 7, SUB = 1 << SUB_BITS, BUCKETS = 48 };
static uint64_t histogram[BUCKETS * SUB];
static uint64_t measured; /* values in it */
static uint64_t slowest;

static unsigned slot_of(uint64_t ns)
{
    if (ns < SUB) return (unsigned)ns;
    unsigned shift = 63 - (unsigned)__builtin_clzll(ns) - SUB_BITS;
    unsigned slot = ((shift + 1) << SUB_BITS) + (unsigned)((ns >> shift) - SUB);
    return slot < BUCKETS * SUB ? slot : BUCKETS * SUB - 1;
}

static double value_of(unsigned slot)
{
    if (slot < SUB) return slot;
    unsigned shift = (slot >> SUB_BITS) - 1;
    return (double)(((uint64_t)(slot & (SUB - 1)) + SUB) << shift);
}

static void record(uint64_t ns)
{
    measured++;
    histogram[slot_of(ns)]++;
    if (ns > slowest) slowest = ns;
}

static double percentile(double p)
{
    uint64_t wanted = (uint64_t)(p / 100.0 * (double)measured + 0.999999), seen = 0;
    for (unsigned slot = 0; slot < BUCKETS * SUB; slot++)
        if ((seen += histogram[slot]) >= wanted && seen) return value_of(slot);
    return 0;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* As many descriptors as the hard limit allows. */
static void raise_descriptor_limit(void)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

static void die(const char *what)
{
    perror(what);
    exit(2);
}

#endif
