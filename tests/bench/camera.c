/* A camera for peers of fanout.py that read nothing but V4L2: a library to preload, by which /dev/zero becomes one.
 * What it delivers are the JPEGs written into the pipe on stdin, cut on FF D9 and otherwise as they came.
 *
 * Knows what uStreamer 4 and 6 and mjpg-streamer's input_uvc ask for: MJPEG at any resolution, and buffers that are
 * mapped, and that one thread dequeues. The read that dequeues a buffer fills it: the pipe's one copy, which counts as
 * the server's own, as with every other server. Whatever port the server binds, it gets a free one, which is printed
 * once the server listens and wants pictures.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_BUFFERS = 8, LARGEST = 1 << 20 };

static int camera = -1;
static char *buffers[MOST_BUFFERS], early[LARGEST];
static size_t early_count;
static unsigned queued[MOST_BUFFERS], queued_count;
static atomic_int port, steps;

static void step(void) {
    if (atomic_fetch_add(&steps, 1) == 1)
        dprintf(STDOUT_FILENO, "%d\n", atomic_load(&port));
}

/* Returns the size of the frame, 0 when the pipe has ended. What was read beyond it is for the next. */
static size_t receive(char *jpeg) {
    size_t filled = early_count, looked = 0;
    memcpy(jpeg, early, filled);
    for (;;) {
        char *end = memmem(jpeg + looked, filled - looked, "\xff\xd9", 2);
        if (end) {
            size_t size = (size_t)(end - jpeg) + 2;
            early_count = filled - size;
            memcpy(early, jpeg + size, early_count);
            return size;
        }
        looked = filled ? filled - 1 : 0;
        ssize_t count = read(camera, jpeg + filled, LARGEST - filled);
        if (count <= 0)
            return 0;
        filled += (size_t)count;
    }
}

static int fail(int why) {
    errno = why;
    return -1;
}

static int dequeue(struct v4l2_buffer *buffer) {
    struct pollfd pipe = {.fd = camera, .events = POLLIN};
    if (!queued_count || (!early_count && !poll(&pipe, 1, 0)))
        return fail(EAGAIN);
    struct timespec now;
    unsigned index = queued[0];
    size_t size = receive(buffers[index]);
    if (!size)
        return fail(ENODEV);
    memmove(queued, queued + 1, --queued_count * sizeof *queued);
    clock_gettime(CLOCK_MONOTONIC, &now);
    buffer->index = index;
    buffer->bytesused = (unsigned)size;
    buffer->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    buffer->timestamp.tv_sec = now.tv_sec;
    buffer->timestamp.tv_usec = now.tv_nsec / 1000;
    return 0;
}

static int answer(unsigned long request, void *what) {
    struct v4l2_capability *capability = what;
    struct v4l2_format *format = what;
    struct v4l2_requestbuffers *wanted = what;
    struct v4l2_buffer *buffer = what;
    switch (request) {
    case VIDIOC_QUERYCAP:
        capability->capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        return 0;
    case VIDIOC_S_FMT:
        format->fmt.pix.sizeimage = LARGEST;
        return format->fmt.pix.pixelformat == V4L2_PIX_FMT_MJPEG ? 0 : fail(EINVAL);
    case VIDIOC_REQBUFS:
        if (wanted->count > MOST_BUFFERS)
            wanted->count = MOST_BUFFERS;
        queued_count = 0;
        return 0;
    case VIDIOC_QUERYBUF:
        buffer->length = LARGEST;
        buffer->m.offset = buffer->index * LARGEST;
        return 0;
    case VIDIOC_QBUF:
        queued[queued_count++] = buffer->index;
        return 0;
    case VIDIOC_DQBUF:
        return dequeue(buffer);
    case VIDIOC_STREAMON:
        step();
        return 0;
    case VIDIOC_S_INPUT:
    case VIDIOC_STREAMOFF:
        return 0;
    }
    return fail(ENOTTY);
}

int ioctl(int fd, unsigned long request, ...) {
    int (*real)(int, unsigned long, ...) = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    va_list rest;
    va_start(rest, request);
    void *what = va_arg(rest, void *);
    va_end(rest);
    /* Some callers keep requests in an int, whose sign then fills the upper half. */
    return fd == camera && fd >= 0 ? answer((unsigned)request, what) : real(fd, request, what);
}

int open(const char *path, int flags, ...) {
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    /* Not opened for reading and writing, as asked: it would be ready for writing, which a camera never is. */
    return strcmp(path, "/dev/zero") ? real(path, flags, mode) : (camera = dup(STDIN_FILENO));
}

void *mmap(void *where, size_t size, int protection, int flags, int fd, off_t offset) {
    void *(*real)(void *, size_t, int, int, int, off_t) =
        (void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, "mmap");
    if (fd < 0 || fd != camera)
        return real(where, size, protection, flags, fd, offset);
    return buffers[offset / LARGEST] = real(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int bind(int fd, const struct sockaddr *address, socklen_t length) {
    int (*real)(int, const struct sockaddr *, socklen_t) =
        (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "bind");
    if (address->sa_family != AF_INET)
        return real(fd, address, length);
    struct sockaddr_in any = *(const struct sockaddr_in *)address;
    any.sin_port = 0;
    return real(fd, (const struct sockaddr *)&any, sizeof any);
}

int listen(int fd, int backlog) {
    int (*real)(int, int) = (int (*)(int, int))dlsym(RTLD_NEXT, "listen");
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    if (real(fd, backlog))
        return -1;
    getsockname(fd, (struct sockaddr *)&address, &length);
    atomic_store(&port, ntohs(address.sin_port));
    step();
    return 0;
}
