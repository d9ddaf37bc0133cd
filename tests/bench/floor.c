/* What the kernel needs at least: fans JPEGs from stdin out to HTTP viewers, with one epoll loop and nothing else.
 *
 * floor send | floor sendfile. Prints the port it listens on. Cuts on FF D9, knows no paths, checks nothing: a yardstick
 * for the agent's fan-out, not a server. The rules are the agent's: at most one part under way per viewer, who is late
 * skips frames, the newest wins.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MOST_VIEWERS = 1024, MOST_PARTS = 64, LARGEST = 1 << 20, EVENTS = 256, PIPE = 1 << 20 };

static const char opening[] = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=f\r\n\r\n--f\r\n";

struct part {
    char *bytes;
    int fd;
    int holders;
    size_t size;
};
struct viewer {
    int fd;
    struct part *part;
    size_t sent;
    struct viewer *next;
};

static struct viewer *gone;
static struct part parts[MOST_PARTS];
static struct viewer *viewers[MOST_VIEWERS];
static int viewer_count, from_files, epoll_fd;

static void watch(int fd, void *who, unsigned events, int how) {
    struct epoll_event event = {.events = events, .data.ptr = who};
    epoll_ctl(epoll_fd, how, fd, &event);
}

static void release(struct part *part) {
    if (--part->holders == 0 && from_files && ftruncate(part->fd, 0) == 0)
        lseek(part->fd, 0, SEEK_SET);
}

static void leave(struct viewer *viewer) {
    for (int i = 0; i < viewer_count; i++)
        if (viewers[i] == viewer)
            viewers[i] = viewers[--viewer_count];
    if (viewer->part)
        release(viewer->part);
    close(viewer->fd);
    /* Events of the same batch may still name it: freed when they are done with. */
    viewer->fd = -1;
    viewer->next = gone;
    gone = viewer;
}

/* Returns 0 if the viewer has gone. */
static int push(struct viewer *viewer, struct part *part, size_t from) {
    size_t sent = from;
    off_t offset = (off_t)from;
    ssize_t count = from_files ? sendfile(viewer->fd, part->fd, &offset, part->size - from)
                               : send(viewer->fd, part->bytes + from, part->size - from, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN) {
        leave(viewer);
        return 0;
    }
    if (count > 0)
        sent += (size_t)count;
    viewer->sent = sent;
    if (sent < part->size && !viewer->part) {
        viewer->part = part;
        part->holders++;
        watch(viewer->fd, viewer, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
    } else if (sent == part->size && viewer->part) {
        viewer->part = NULL;
        release(part);
        watch(viewer->fd, viewer, EPOLLIN, EPOLL_CTL_MOD);
    }
    return 1;
}

static void publish(const char *jpeg, size_t size) {
    struct part *part = NULL;
    for (int i = 0; i < MOST_PARTS && !part; i++)
        if (!parts[i].holders)
            part = &parts[i];
    if (!part)
        return;
    char header[160];
    int length = snprintf(header, sizeof header, "Content-Type: image/jpeg\r\nContent-Length: %zu\r\n\r\n", size);
    struct iovec pieces[] = {{header, (size_t)length}, {(char *)jpeg, size}, {"\r\n--f\r\n", 7}};
    part->size = (size_t)length + size + 7;
    part->holders = 1;
    if (from_files) {
        if (part->fd <= 0)
            part->fd = memfd_create("frame", MFD_CLOEXEC);
        if (writev(part->fd, pieces, 3) != (ssize_t)part->size)
            exit(1);
    } else {
        if (!part->bytes)
            part->bytes = malloc(LARGEST + 512);
        size_t at = 0;
        for (int i = 0; i < 3; at += pieces[i++].iov_len)
            memcpy(part->bytes + at, pieces[i].iov_base, pieces[i].iov_len);
    }
    for (int i = 0; i < viewer_count;)
        i += viewers[i]->part ? 1 : push(viewers[i], part, 0);
    release(part);
}

static void read_frames(void) {
    static char buffer[2 * LARGEST];
    static size_t filled, looked;
    ssize_t count = read(0, buffer + filled, sizeof buffer - filled);
    if (count <= 0 && !(count < 0 && errno == EAGAIN))
        exit(0);
    filled += count > 0 ? (size_t)count : 0;
    for (char *end; (end = memmem(buffer + looked, filled - looked, "\xff\xd9", 2));) {
        size_t size = (size_t)(end - buffer) + 2;
        publish(buffer, size);
        memmove(buffer, buffer + size, filled - size);
        filled -= size;
        looked = 0;
    }
    looked = filled ? filled - 1 : 0;
}

static void welcome(int listener) {
    int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct viewer *viewer = calloc(1, sizeof *viewer);
    if (fd < 0 || !viewer || viewer_count == MOST_VIEWERS)
        exit(1);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    viewer->fd = fd;
    if (send(fd, opening, sizeof opening - 1, MSG_NOSIGNAL) != sizeof opening - 1)
        exit(1);
    viewers[viewer_count++] = viewer;
    watch(fd, viewer, EPOLLIN, EPOLL_CTL_ADD);
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    static char said[4096];
    from_files = argc > 1 && !strcmp(argv[1], "sendfile");
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 512))
        return 1;
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    fcntl(0, F_SETPIPE_SZ, PIPE);
    fcntl(0, F_SETFL, O_NONBLOCK);
    watch(0, parts, EPOLLIN, EPOLL_CTL_ADD);
    watch(listener, &listener, EPOLLIN, EPOLL_CTL_ADD);
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct viewer *viewer = events[i].data.ptr;
            if (events[i].data.ptr == parts)
                read_frames();
            else if (events[i].data.ptr == &listener)
                welcome(listener);
            else if (viewer->fd < 0)
                continue;
            else if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && recv(viewer->fd, said, sizeof said, 0) <= 0)
                leave(viewer);
            else if ((events[i].events & EPOLLOUT) && viewer->part)
                push(viewer, viewer->part, viewer->sent);
        }
        for (struct viewer *next; gone; gone = next) {
            next = gone->next;
            free(gone);
        }
    }
}
