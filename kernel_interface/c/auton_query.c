/* Ask a server of the AUTON kernel's questions, and print its replies:
 *
 *     auton_query SOCKET query TEXT
 *     auton_query SOCKET command SUB_COMMAND TEXT      (a number, such as 0x0100)
 *     auton_query SOCKET discovered DEVICE
 *
 * A result is printed as "intent STATUS JSON", one a line. Exit status: 0 when the answer is there, 1 when the server
 * cannot be reached or refuses the request, 2 for a wrong command line.
 *
 * Build: cc -std=c11 -Wall -Wextra -Werror -o auton_query auton_query.c */

#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "auton_ipc.h"

/* Seconds to wait for an answer; a model may take five. */
#define PATIENCE 30

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "error: %s: %s\n", what, why);
    return 1;
}

static int usage(void)
{
    fprintf(stderr, "usage: auton_query SOCKET query TEXT\n"
                    "       auton_query SOCKET command SUB_COMMAND TEXT\n"
                    "       auton_query SOCKET discovered DEVICE\n");
    return 2;
}

static int write_all(int peer, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t written = send(peer, at, size, MSG_NOSIGNAL);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return -1;
        at += written;
        size -= (size_t)written;
    }
    return 0;
}

/* Read exactly size bytes; -1 with errno set when they do not come. */
static int read_all(int peer, void *data, size_t size)
{
    char *at = data;
    while (size > 0) {
        ssize_t got = read(peer, at, size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            errno = ECONNRESET;
        if (got <= 0)
            return -1;
        at += got;
        size -= (size_t)got;
    }
    return 0;
}

/* Send a message as one frame; size is at most AUTON_MAX_PAYLOAD. */
static int send_message(int peer, uint32_t type, const void *payload, size_t size)
{
    static char frame[sizeof(struct auton_header) + AUTON_MAX_PAYLOAD];
    struct auton_header header = {
        .magic = AUTON_MAGIC,
        .type = type,
        .sender = (uint64_t)getpid(),
        .receiver = 1,
        .length = (uint32_t)size,
        .sequence = 1,
        .flags = AUTON_SLM_CHAN | AUTON_REPLY_REQ,
    };

    memcpy(frame, &header, sizeof header);
    memcpy(frame + sizeof header, payload, size);
    return write_all(peer, frame, sizeof header + size);
}

/* Receive one reply and print it; 0 for a result, 1 for anything else. */
static int print_reply(int peer)
{
    struct auton_header header;
    static char payload[AUTON_MAX_PAYLOAD];

    if (read_all(peer, &header, sizeof header) < 0)
        return complain("no answer", strerror(errno));
    if (header.magic != AUTON_MAGIC || header.length > AUTON_MAX_PAYLOAD)
        return complain("no answer", "the server does not speak this format");
    if (read_all(peer, payload, header.length) < 0)
        return complain("no answer", strerror(errno));
    if (header.type == AUTON_SLM_RESULT && header.length == sizeof(struct auton_result)) {
        struct auton_result result;
        memcpy(&result, payload, sizeof result);
        if (result.data_len > AUTON_TEXT_BYTES)
            return complain("no answer", "a text is longer than its place");
        printf("%u %d %.*s\n", (unsigned)result.intent, (int)result.status, (int)result.data_len, result.data);
        return 0;
    }
    if (header.type == AUTON_ERROR && header.length >= sizeof(struct auton_error_head)) {
        struct auton_error_head head;
        memcpy(&head, payload, sizeof head);
        fprintf(stderr, "error: refused (%d): %.*s\n", (int)head.code, (int)(header.length - sizeof head),
                payload + sizeof head);
        return 1;
    }
    return complain("no answer", "a message of another kind came");
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE};
    int peer;

    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    peer = socket(AF_UNIX, SOCK_STREAM, 0);
    if (peer < 0)
        return -1;
    if (setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0
        || connect(peer, (struct sockaddr *)&address, sizeof address) < 0) {
        int reason = errno;
        close(peer);
        errno = reason;
        return -1;
    }
    return peer;
}

int main(int argc, char **argv)
{
    static struct auton_command command; /* zeroed: what a text does not fill is NUL */
    const char *text;
    const void *payload;
    size_t size;
    uint32_t type;
    int replies = 1, failed = 0, peer;

    if (argc < 4)
        return usage();
    text = argv[argc - 1];
    payload = text;
    size = strlen(text);
    if (argc == 4 && strcmp(argv[2], "query") == 0) {
        type = AUTON_SLM_QUERY;
    } else if (argc == 4 && strcmp(argv[2], "discovered") == 0) {
        type = AUTON_DEV_DISCOVERED;
        replies = 2; /* what it is, and which driver it needs */
    } else if (argc == 5 && strcmp(argv[2], "command") == 0) {
        char *end;
        unsigned long number = strtoul(argv[3], &end, 0);
        if (*argv[3] == '\0' || *end != '\0' || number > 0xFFFF)
            return usage();
        if (size > AUTON_TEXT_BYTES)
            return complain(argv[3], "the text is longer than 3840 bytes");
        type = AUTON_SLM_COMMAND;
        command.intent = (uint32_t)(number >> 8);
        command.sub_command = (uint32_t)number;
        memcpy(command.args, text, size);
        command.args_len = (uint32_t)size;
        payload = &command;
        size = sizeof command;
    } else {
        return usage();
    }
    if (size > AUTON_MAX_PAYLOAD)
        return complain(argv[2], "the text is longer than 4096 bytes");
    peer = connect_to(argv[1]);
    if (peer < 0)
        return complain(argv[1], strerror(errno));
    if (send_message(peer, type, payload, size) < 0)
        failed = complain(argv[1], strerror(errno));
    while (!failed && replies-- > 0)
        failed = print_reply(peer);
    close(peer);
    return failed;
}
