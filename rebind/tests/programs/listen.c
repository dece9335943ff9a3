/* listen PORT ADDRESS...: listens on each address, and prints what getsockname() tells of the socket. Greets whoever connects
 * with what getsockname() tells of the connection. An IPv6 address may have "only:" or "both:" before it. Ends when standard
 * input does. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void tell(int socket, char *text, size_t room) {
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    if (getsockname(socket, (struct sockaddr *)&name, &length)) fail("getsockname");
    char ip[INET6_ADDRSTRLEN];
    struct sockaddr_in *v4 = (struct sockaddr_in *)&name;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&name;
    inet_ntop(name.ss_family, name.ss_family == AF_INET ? (void *)&v4->sin_addr : (void *)&v6->sin6_addr, ip, sizeof ip);
    snprintf(text, room, "%s %d\n", ip, ntohs(v4->sin_port));
}

static int listening(const char *address, int port) {
    int only = !strncmp(address, "only:", 5), both = !strncmp(address, "both:", 5);
    if (only || both) address += 5;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
    if (!is_v4 && inet_pton(AF_INET6, address, &v6.sin6_addr) != 1) fail(address);
    int it = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM, 0);
    if (it < 0) fail("socket");
    if ((only || both) && setsockopt(it, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only)) fail("IPV6_V6ONLY");
    errno = EXDEV;
    if (bind(it, is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6, is_v4 ? sizeof v4 : sizeof v6)) fail(address);
    if (errno != EXDEV) fail("a bind that succeeded, and errno");
    if (listen(it, 8)) fail("listen");
    return it;
}

int main(int count, char **arguments) {
    struct pollfd polled[16] = {{.fd = STDIN_FILENO, .events = POLLIN}};
    char text[80];
    int sockets = 1;
    for (; sockets + 1 < count && sockets < 16; sockets++) {
        polled[sockets] = (struct pollfd){.fd = listening(arguments[sockets + 1], atoi(arguments[1])), .events = POLLIN};
        tell(polled[sockets].fd, text, sizeof text);
        fputs(text, stdout);
    }
    puts("ready");
    fflush(stdout);
    while (poll(polled, sockets, -1) > 0 && !polled[0].revents) {
        for (int i = 1; i < sockets; i++) {
            if (!polled[i].revents) continue;
            int connection = accept(polled[i].fd, NULL, NULL);
            if (connection < 0) fail("accept");
            tell(connection, text, sizeof text);
            if (write(connection, text, strlen(text)) < 0) perror("write");
            close(connection);
        }
    }
    return 0;
}
