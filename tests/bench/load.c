/* The viewers of fanout.py, cheap enough not to be what is measured.
 *
 * load PORT PATH VIEWERS SECONDS FRAME_BYTES < A_FRAME. Checks every frame whole against the one given: all bytes but
 * the stamp, which stands behind the first 6 bytes and before the last 2 and must be the same in both places. Says
 * "ready" when it has watched for a second, and after SECONDS more prints what it saw as one line of JSON. Ends with 1
 * when a frame is torn or a connection ends.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD = 6, NUMBER = 16, STAMP = 36, EVENTS = 64, MOST = 2000000 };

struct viewer {
    int fd;
    char *buffer;
    size_t filled, start;
    long first, last, frames;
};

static size_t size;
static char *pattern;
static double latencies_ms[MOST];
static long latency_count;
static int measuring;

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void fail(const char *why) {
    fprintf(stderr, "load: %s\n", why);
    exit(1);
}

static void check(struct viewer *viewer) {
    char *jpeg = viewer->buffer + viewer->start, digits[STAMP + 1] = {0};
    size_t tail = size - STAMP - 2;
    if (memcmp(jpeg, pattern, HEAD) || memcmp(jpeg + HEAD + STAMP, pattern + HEAD + STAMP, tail - HEAD - STAMP) ||
        memcmp(jpeg + HEAD, jpeg + tail, STAMP) || memcmp(jpeg + size - 2, "\xff\xd9", 2))
        fail("a frame is torn");
    if (!measuring) {
        memcpy(digits, jpeg + HEAD, NUMBER);
        viewer->first = viewer->last = atol(digits);
        return;
    }
    memcpy(digits, jpeg + HEAD + NUMBER, STAMP - NUMBER);
    double written_s = strtod(digits, NULL) / 1e9;
    if (latency_count < MOST)
        latencies_ms[latency_count++] = (now_s() - written_s) * 1e3;
    memset(digits, 0, sizeof digits);
    memcpy(digits, jpeg + HEAD, NUMBER);
    viewer->last = atol(digits);
    viewer->frames++;
}

static void receive(struct viewer *viewer) {
    ssize_t count = recv(viewer->fd, viewer->buffer + viewer->filled, 2 * size + 4096 - viewer->filled, 0);
    if (count < 0 && errno == EAGAIN)
        return;
    if (count <= 0)
        fail("a connection has ended");
    viewer->filled += (size_t)count;
    for (;;) {
        if (!viewer->start) {
            char *head = memmem(viewer->buffer, viewer->filled, "\r\n\r\n\xff\xd8", 6);
            if (!head)
                return;
            viewer->start = (size_t)(head - viewer->buffer) + 4;
        }
        size_t end = viewer->start + size;
        if (viewer->filled < end)
            return;
        check(viewer);
        memmove(viewer->buffer, viewer->buffer + end, viewer->filled - end);
        viewer->filled -= end;
        viewer->start = 0;
    }
}

static void watch(int epoll_fd, double seconds) {
    double until = now_s() + seconds;
    for (double left; (left = until - now_s()) > 0;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll_fd, events, EVENTS, (int)(left * 1e3) + 1);
        for (int i = 0; i < count; i++)
            receive(events[i].data.ptr);
    }
}

static int ascending(const void *a, const void *b) {
    double difference = *(const double *)a - *(const double *)b;
    return (difference > 0) - (difference < 0);
}

int main(int argc, char **argv) {
    char request[256];
    if (argc != 6)
        fail("PORT PATH VIEWERS SECONDS FRAME_BYTES");
    int asked = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\nHost: bench\r\n\r\n", argv[2]);
    int count = atoi(argv[3]), epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    double seconds = atof(argv[4]);
    struct viewer *viewers = calloc((size_t)count, sizeof *viewers);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    size = (size_t)atol(argv[5]);
    pattern = malloc(size);
    if (fread(pattern, 1, size, stdin) != size)
        fail("no frame on stdin");
    for (int i = 0; i < count; i++) {
        viewers[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        viewers[i].buffer = malloc(2 * size + 4096);
        if (connect(viewers[i].fd, (struct sockaddr *)&address, sizeof address) ||
            send(viewers[i].fd, request, (size_t)asked, 0) < 0)
            fail("cannot connect");
        fcntl(viewers[i].fd, F_SETFL, O_NONBLOCK);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &viewers[i]};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, viewers[i].fd, &event);
    }
    watch(epoll_fd, 1.0);
    measuring = 1;
    puts("ready");
    fflush(stdout);
    double started_s = now_s();
    watch(epoll_fd, seconds);
    double took_s = now_s() - started_s;
    long delivered = 0, passed = 0;
    for (int i = 0; i < count; i++) {
        delivered += viewers[i].frames;
        passed += viewers[i].last - viewers[i].first;
    }
    qsort(latencies_ms, (size_t)latency_count, sizeof *latencies_ms, ascending);
    printf("{\"delivered\": %ld, \"dropped\": %ld, \"fps\": %.2f, \"p50_ms\": %.4f, \"p99_ms\": %.4f}\n", delivered,
           passed - delivered, (double)delivered / took_s / count, latencies_ms[latency_count / 2],
           latencies_ms[latency_count * 99 / 100]);
}
