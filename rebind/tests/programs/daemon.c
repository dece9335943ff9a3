/* daemon PORT: becomes a daemon as the books say it: two forks, a session of its own, no environment, every descriptor closed;
 * and listens then, on IPv4 and IPv6 with one socket. Greets one client with the port that getsockname() tells, and ends. */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char **arguments) {
    if (count < 2) return 2;
    if (fork()) return 0;
    setsid();
    if (fork()) _exit(0);
    if (chdir("/") || clearenv()) _exit(1);
    for (int it = 0; it < 1024; it++) close(it);
    alarm(60); /* Whoever tests it may be gone. */
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(atoi(arguments[1]))};
    int off = 0, listener = socket(AF_INET6, SOCK_STREAM, 0);
    setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1)) _exit(1);
    int client = accept(listener, NULL, NULL);
    socklen_t length = sizeof address;
    if (getsockname(client, (struct sockaddr *)&address, &length)) _exit(1);
    dprintf(client, "port %d\n", ntohs(address.sin6_port));
    return 0;
}
