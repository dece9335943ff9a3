/* children PORT: binds PORT of loopback once more in every way in which a server comes to do so, and prints what comes of it: by
 * children, by a program that a child executes, after a close, beside connections that have just ended. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sockaddr_in address = {.sin_family = AF_INET};

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int bound(const char *what, int reuse) {
    int it = socket(AF_INET, SOCK_STREAM, 0);
    if (reuse && setsockopt(it, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse)) fail("SO_REUSEADDR");
    errno = 0;
    int result = bind(it, (struct sockaddr *)&address, sizeof address);
    struct sockaddr_in name = {0};
    socklen_t length = sizeof name;
    int error = errno;
    if (getsockname(it, (struct sockaddr *)&name, &length)) fail("getsockname");
    dprintf(STDOUT_FILENO, "%s: %d %s, port %s\n", what, result, strerror(error),
            name.sin_port == address.sin_port ? "as asked" : name.sin_port ? "another" : "none");
    return it;
}

static void await(pid_t child) {
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status) fail("a child");
}

static void bind_in_children(const char *program, const char *port) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        bound("a child", 0);
        _exit(0);
    }
    await(child);
    child = fork();
    if (child == 0) {
        execl(program, program, port, "executed", NULL);
        _exit(127);
    }
    await(child);
    /* A child that shares our memory, and must not leave anything behind in it. */
    child = vfork();
    if (child == 0) {
        int it = socket(AF_INET, SOCK_STREAM, 0);
        _exit(bind(it, (struct sockaddr *)&address, sizeof address) ? 1 : 0);
    }
    int status;
    if (waitpid(child, &status, 0) != child) fail("vfork");
    dprintf(STDOUT_FILENO, "a child in our memory: %d\n", WEXITSTATUS(status));
}

int main(int count, char **arguments) {
    if (count < 2) return 2;
    address.sin_port = htons(atoi(arguments[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (count > 2) {
        bound("a program that a child executes", 0);
        return 0;
    }
    bind_in_children(arguments[0], arguments[1]);
    int listener = bound("first, with reuse", 1);
    if (listen(listener, 8)) fail("listen");
    bind_in_children(arguments[0], arguments[1]);
    bound("while it listens", 0);
    bound("while it listens, with reuse", 1);

    /* Connects to itself where the listener really is, and ends first: the connection stays for a while as TIME_WAIT. */
    const char *real = getenv("REALLY_AT");
    struct sockaddr_in there = address;
    there.sin_port = htons(atoi(real ? real : arguments[1]));
    int client = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(client, (struct sockaddr *)&there, sizeof there)) fail("connect");
    int server = accept(listener, NULL, NULL);
    if (server < 0) fail("accept");
    close(server);
    if (read(client, &there, 1) != 0) fail("the end of the connection");
    close(client);
    close(listener);
    close(bound("after a connection", 0));
    close(bound("after a connection, with reuse", 1));
    return 0;
}
