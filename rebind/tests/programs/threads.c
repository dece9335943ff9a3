/* threads PORT: many threads bind PORT at once, again and again, while one changes the environment. Prints how often a wildcard
 * became loopback and the name had PORT, and how often anything else came of it. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { THREADS = 16, ROUNDS = 500 };

static int port;
static atomic_int right, wrong, done;
static pthread_barrier_t start;

static void *binds(void *unused) {
    (void)unused;
    pthread_barrier_wait(&start);
    for (int round = 0; round < ROUNDS; round++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)}, name = {0};
        socklen_t length = sizeof name;
        int on = 1, it = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(it, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
        errno = EXDEV;
        int good = !bind(it, (struct sockaddr *)&address, sizeof address) &&
                   !getsockname(it, (struct sockaddr *)&name, &length) && errno == EXDEV &&
                   name.sin_port == address.sin_port && name.sin_addr.s_addr == htonl(INADDR_LOOPBACK);
        atomic_fetch_add(good ? &right : &wrong, 1);
        close(it);
    }
    atomic_fetch_add(&done, 1);
    return NULL;
}

int main(int count, char **arguments) {
    if (count < 2) return 2;
    port = atoi(arguments[1]);
    pthread_t threads[THREADS];
    pthread_barrier_init(&start, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, binds, NULL);
    pthread_barrier_wait(&start);
    for (int i = 0; atomic_load(&done) < THREADS; i++) {
        char text[40];
        snprintf(text, sizeof text, "%d=%d", i % 65535 + 1, port);
        setenv("REBIND_PORTS", text, 1);
        setenv(text, text, 1);
        unsetenv(text);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    printf("%d right, %d wrong\n", right, wrong);
    return 0;
}
