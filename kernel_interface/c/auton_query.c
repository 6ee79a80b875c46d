/* Ask a server of the AUTON kernel's questions, and print its replies:
 *
 *     auton_query SOCKET query TEXT
 *     auton_query SOCKET command SUB_COMMAND TEXT      (a number, such as 0x0100)
 *     auton_query SOCKET discovered DEVICE
 *
 * In the place of SOCKET, --tcp HOST PORT TOKEN_FILE asks a server on TCP.
 *
 * A result is printed as "intent STATUS JSON", one a line. Exit status: 0 when the answer is there, 1 when the server
 * cannot be reached or refuses the request, 2 for a wrong command line.
 *
 * Build: cc -std=c11 -Wall -Wextra -Werror -o auton_query auton_query.c */

#define _POSIX_C_SOURCE 200809L

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
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
                    "       auton_query SOCKET discovered DEVICE\n"
                    "--tcp HOST PORT TOKEN_FILE may stand for SOCKET\n");
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

/* Receive one reply: its header, and its payload of at most AUTON_MAX_PAYLOAD bytes; 0, or 1 after a complaint. */
static int receive(int peer, struct auton_header *header, char *payload)
{
    if (read_all(peer, header, sizeof *header) < 0)
        return complain("no answer", strerror(errno));
    if (header->magic != AUTON_MAGIC || header->length > AUTON_MAX_PAYLOAD)
        return complain("no answer", "the server does not speak this format");
    if (read_all(peer, payload, header->length) < 0)
        return complain("no answer", strerror(errno));
    if (header->type == AUTON_ERROR && header->length >= sizeof(struct auton_error_head)) {
        struct auton_error_head head;
        memcpy(&head, payload, sizeof head);
        fprintf(stderr, "error: refused (%d): %.*s\n", (int)head.code, (int)(header->length - sizeof head),
                payload + sizeof head);
        return 1;
    }
    return 0;
}

/* Receive one reply and print it; 0 for a result, 1 for anything else. */
static int print_reply(int peer)
{
    struct auton_header header;
    struct auton_result result;
    static char payload[AUTON_MAX_PAYLOAD];

    if (receive(peer, &header, payload))
        return 1;
    if (header.type != AUTON_SLM_RESULT || header.length != sizeof result)
        return complain("no answer", "a message of another kind came");
    memcpy(&result, payload, sizeof result);
    if (result.data_len > AUTON_TEXT_BYTES)
        return complain("no answer", "a text is longer than its place");
    printf("%u %d %.*s\n", (unsigned)result.intent, (int)result.status, (int)result.data_len, result.data);
    return 0;
}

/* Show the token that a file holds, which is the first thing that a server on TCP wants; 0, or 1 after a complaint. */
static int show_token(int peer, const char *path)
{
    static char token[AUTON_MAX_PAYLOAD], payload[AUTON_MAX_PAYLOAD];
    struct auton_header header;
    FILE *file = fopen(path, "rb");
    size_t size;

    if (!file)
        return complain(path, strerror(errno));
    size = fread(token, 1, sizeof token, file);
    fclose(file);
    while (size > 0 && isspace((unsigned char)token[size - 1]))
        size--;
    if (send_message(peer, AUTON_TEXT, token, size) < 0)
        return complain("no answer", strerror(errno));
    if (receive(peer, &header, payload))
        return 1;
    return header.type == AUTON_ACK ? 0 : complain("no answer", "a message of another kind came");
}

/* Make a socket with time-outs and connect it; -1 with errno set when that fails. */
static int connect_socket(int family, const struct sockaddr *address, socklen_t size)
{
    struct timeval patience = {.tv_sec = PATIENCE};
    int peer = socket(family, SOCK_STREAM, 0);

    if (peer < 0)
        return -1;
    if (setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0
        || setsockopt(peer, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0
        || connect(peer, address, size) < 0) {
        int reason = errno;
        close(peer);
        errno = reason;
        return -1;
    }
    return peer;
}

static int connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    return connect_socket(AF_UNIX, (const struct sockaddr *)&address, sizeof address);
}

static int connect_tcp(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found, *at;
    int peer = -1;

    if (getaddrinfo(host, port, &hints, &found) != 0) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    for (at = found; at && peer < 0; at = at->ai_next)
        peer = connect_socket(at->ai_family, at->ai_addr, at->ai_addrlen);
    freeaddrinfo(found);
    return peer;
}

int main(int argc, char **argv)
{
    static struct auton_command command; /* zeroed: what a text does not fill is NUL */
    const char *text, *server = NULL, *port = NULL, *token_file = NULL;
    const void *payload;
    size_t size;
    uint32_t type;
    int replies = 1, failed = 0, peer;

    if (argc > 5 && strcmp(argv[1], "--tcp") == 0) {
        server = argv[2];
        port = argv[3];
        token_file = argv[4];
        argc -= 3; /* what follows lies as it does after SOCKET */
        argv += 3;
    }
    if (argc < 4)
        return usage();
    if (!token_file)
        server = argv[1];
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
    peer = token_file ? connect_tcp(server, port) : connect_unix(server);
    if (peer < 0)
        return complain(server, strerror(errno));
    if (token_file)
        failed = show_token(peer, token_file);
    if (!failed && send_message(peer, type, payload, size) < 0)
        failed = complain(server, strerror(errno));
    while (!failed && replies-- > 0)
        failed = print_reply(peer);
    close(peer);
    return failed;
}
