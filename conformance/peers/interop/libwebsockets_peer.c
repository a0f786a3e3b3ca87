/* libwebsockets as the program at the other end: libwebsockets_peer client|server, with the commands of ../../interop.py.
   A thread reads the commands. Everything else happens on the thread that runs the library's loop. */
#include <libwebsockets.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The protocol of connections without a subprotocol. */
#define FIRST "peer"

struct command {
    char *line;
    struct command *next;
};

static struct command *commands, **commands_end = &commands;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct lws_context *context;
/* The connection that the commands are for, and the message that it receives. */
static struct lws *current;
static unsigned char *message;
static size_t message_size;
static char close_code[8], close_reason[126];
static size_t close_reason_size;

/* Prints a word and the bytes in hexadecimal. */
static void report(const char *word, const unsigned char *data, size_t size)
{
    printf("%s %s", word, size ? "" : "-");
    for (size_t i = 0; i < size; i++)
        printf("%02x", data[i]);
    printf("\n");
    fflush(stdout);
}

/* Returns the bytes of a word in hexadecimal, with the space before them that the library needs. */
static unsigned char *from_hex(const char *word, size_t *size)
{
    unsigned char *data = malloc(LWS_PRE + strlen(word) / 2 + 1);
    *size = 0;
    for (; word[0] != '-' && word[0] && word[1]; word += 2) {
        char digits[3] = {word[0], word[1], 0};
        data[LWS_PRE + (*size)++] = (unsigned char)strtoul(digits, NULL, 16);
    }
    return data;
}

static char *next_line(void)
{
    pthread_mutex_lock(&lock);
    struct command *first = commands;
    char *line = NULL;
    if (first) {
        line = first->line;
        commands = first->next;
        if (!commands)
            commands_end = &commands;
        free(first);
    }
    pthread_mutex_unlock(&lock);
    return line;
}

static void *read_commands(void *unused)
{
    char *line = NULL;
    size_t space = 0;
    while (getline(&line, &space, stdin) > 0) {
        struct command *last = malloc(sizeof *last);
        line[strcspn(line, "\n")] = 0;
        last->line = strdup(line);
        last->next = NULL;
        pthread_mutex_lock(&lock);
        *commands_end = last;
        commands_end = &last->next;
        pthread_mutex_unlock(&lock);
        lws_cancel_service(context);
    }
    (void)unused;
    exit(0);
}

static const struct lws_extension extensions[] = {
    {"permessage-deflate", lws_extension_callback_pm_deflate, "permessage-deflate; client_no_context_takeover"},
    {NULL, NULL, NULL},
};

static void start_connection(char *arguments, struct lws_vhost *vhosts[2])
{
    struct lws_client_connect_info info = {0};
    char *port = strtok(arguments, " "), *subprotocols = strtok(NULL, " "), *deflate = strtok(NULL, " ");
    info.context = context;
    info.vhost = vhosts[strcmp(deflate, "deflate") == 0];
    info.address = info.host = "127.0.0.1";
    info.port = atoi(port);
    info.path = "/";
    info.protocol = strcmp(subprotocols, "-") == 0 ? NULL : subprotocols;
    if (!lws_client_connect_via_info(&info))
        printf("error no connection\n");
    fflush(stdout);
}

/* Obeys a command on the open connection, when it can write. Returns nonzero if it is to end. */
static int obey(struct lws *wsi, char *line)
{
    char *name = strtok(line, " "), *word = strtok(NULL, " ");
    size_t size;
    if (strcmp(name, "close") == 0) {
        int code = atoi(word);
        unsigned char *reason = from_hex(strtok(NULL, " "), &size);
        lws_close_reason(wsi, code, reason + LWS_PRE, size);
        free(reason);
        return -1;
    }
    if (strcmp(name, "raw") == 0) {
        unsigned char *data = from_hex(word, &size);
        ssize_t written = write(lws_get_socket_fd(wsi), data + LWS_PRE, size);
        free(data);
        return written == (ssize_t)size ? 0 : -1;
    }
    int kind = strcmp(name, "ping") == 0 ? LWS_WRITE_PING : strcmp(name, "text") == 0 ? LWS_WRITE_TEXT : LWS_WRITE_BINARY;
    for (int first = 1; word; first = 0) {
        char *next = strtok(NULL, " ");
        /* While a message is compressed, the library uses it after lws_write has returned. */
        static unsigned char *data;
        free(data);
        data = from_hex(word, &size);
        int flags = (first ? kind : LWS_WRITE_CONTINUATION) | (next ? LWS_WRITE_NO_FIN : 0);
        int written = lws_write(wsi, data + LWS_PRE, size, flags);
        if (written < (int)size) {
            printf("error lws_write returned %d\n", written);
            fflush(stdout);
        }
        word = next;
    }
    return 0;
}

static void receive(struct lws *wsi, const void *data, size_t size)
{
    if (lws_is_first_fragment(wsi))
        message_size = 0;
    message = realloc(message, message_size + size + 1);
    memcpy(message + message_size, data, size);
    message_size += size;
    if (lws_is_final_fragment(wsi))
        report(lws_frame_is_binary(wsi) ? "binary" : "text", message, message_size);
}

static int callback(struct lws *wsi, enum lws_callback_reasons why, void *user, void *data, size_t size)
{
    static struct lws_vhost *vhosts[2];
    static char name[64];
    char *line, path[64] = "/";
    (void)user;
    switch (why) {
    case LWS_CALLBACK_PROTOCOL_INIT:
        vhosts[strcmp(lws_get_vhost_name(lws_get_vhost(wsi)), "deflate") == 0] = lws_get_vhost(wsi);
        break;
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        if (current)
            lws_callback_on_writable(current);
        else if ((line = next_line())) {
            if (strncmp(line, "connect ", 8) == 0)
                start_connection(line + 8, vhosts);
            free(line);
        }
        break;
    case LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH:
        /* Later, a client cannot know it any more. */
        if (lws_hdr_copy(wsi, name, sizeof name, WSI_TOKEN_PROTOCOL) < 1)
            strcpy(name, "-");
        break;
    case LWS_CALLBACK_ESTABLISHED:
        lws_hdr_copy(wsi, path, sizeof path, WSI_TOKEN_GET_URI);
        snprintf(name, sizeof name, "%s", lws_get_protocol(wsi)->name);
        if (strcmp(name, FIRST) == 0)
            strcpy(name, "-");
        /* fall through */
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        current = wsi;
        strcpy(close_code, "?");
        close_reason_size = 0;
        printf("open %s %s\n", path, name);
        fflush(stdout);
        lws_callback_on_writable(wsi);
        break;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        printf("error %s\n", data ? (char *)data : "no connection");
        fflush(stdout);
        break;
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_CLIENT_RECEIVE:
        receive(wsi, data, size);
        break;
    case LWS_CALLBACK_RECEIVE_PONG:
    case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
        report("pong", data, size);
        break;
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        if (!(line = next_line()))
            break;
        int end = obey(wsi, line);
        free(line);
        lws_callback_on_writable(wsi);
        return end;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        if (size >= 2) {
            const unsigned char *bytes = data;
            snprintf(close_code, sizeof close_code, "%d", bytes[0] << 8 | bytes[1]);
            close_reason_size = size - 2;
            memcpy(close_reason, bytes + 2, close_reason_size);
        }
        break;
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_CLIENT_CLOSED:
        if (wsi != current)
            break;
        current = NULL;
        printf("closed %s", close_code);
        report("", (unsigned char *)close_reason, close_reason_size);
        break;
    default:
        break;
    }
    return 0;
}

/* Adds a server on the port, or a client without one. */
static struct lws_vhost *vhost(const char *name, int port, int deflate)
{
    static const struct lws_protocols protocols[] = {
        {.name = FIRST, .callback = callback, .rx_buffer_size = 65536},
        {.name = "chat", .callback = callback, .rx_buffer_size = 65536},
        {0},
    };
    struct lws_context_creation_info info = {0};
    info.port = port;
    info.iface = "127.0.0.1";
    info.vhost_name = name;
    info.protocols = protocols;
    info.extensions = deflate ? extensions : NULL;
    return lws_create_vhost(context, &info);
}

int main(int argc, char **argv)
{
    struct lws_context_creation_info info = {0};
    pthread_t reader;
    int server = argc > 1 && strcmp(argv[1], "server") == 0;
    lws_set_log_level(LLL_ERR, NULL);
    info.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
    context = lws_create_context(&info);
    if (!context)
        return 1;
    if (server) {
        struct lws_vhost *listening = vhost("server", 0, 1);
        if (!listening)
            return 1;
        printf("listening %d\n", lws_get_vhost_listen_port(listening));
        fflush(stdout);
    } else if (!vhost("plain", CONTEXT_PORT_NO_LISTEN, 0) || !vhost("deflate", CONTEXT_PORT_NO_LISTEN, 1)) {
        return 1;
    }
    if (pthread_create(&reader, NULL, read_commands, NULL))
        return 1;
    while (lws_service(context, 0) >= 0)
        continue;
    return 0;
}
