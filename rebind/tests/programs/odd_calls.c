/* odd_calls PORT: calls bind() and getsockname() in every way that is right, nearly right or wrong, and prints what comes of
 * it. Whatever it binds to is loopback at PORT: so it must print the same whether or not PORT is moved. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int port;

static struct sockaddr_in ipv4(void) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static struct sockaddr_in6 ipv6(void) {
    return (struct sockaddr_in6){
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
}

/* A success leaves errno as it was. */
static void say(const char *what, long number, int result) {
    printf("%s %ld: %d %s\n", what, number, result, result || errno != EXDEV ? strerror(errno) : "errno kept");
}

static int try(const char *what, long number, int it, const void *address, socklen_t length) {
    errno = EXDEV;
    int result = bind(it, address, length);
    say(what, number, result);
    return result;
}

static int fresh(int family, int type) {
    int it = socket(family, type, 0);
    if (it < 0) {
        perror("socket");
        exit(1);
    }
    return it;
}

static void once(const char *what, long number, int family, int type, const void *address, socklen_t length) {
    int it = fresh(family, type);
    try(what, number, it, address, length);
    close(it);
}

static void lengths(void) {
    const unsigned odd[] = {64, 127, 128, 129, 4096, 1u << 31, ~0u};
    char room[4096] = {0};
    struct sockaddr_in v4 = ipv4();
    struct sockaddr_in6 v6 = ipv6();
    for (unsigned length = 0; length <= 30; length++) {
        memcpy(room, &v4, sizeof v4);
        once("IPv4, length", length, AF_INET, SOCK_STREAM, room, length);
        memset(room, 0, sizeof room);
        memcpy(room, &v6, sizeof v6);
        once("IPv6, length", length, AF_INET6, SOCK_STREAM, room, length);
        memset(room, 0, sizeof room);
    }
    for (unsigned i = 0; i < sizeof odd / sizeof *odd; i++) {
        memcpy(room, &v4, sizeof v4);
        once("IPv4, length", odd[i], AF_INET, SOCK_STREAM, room, odd[i]);
        memcpy(room, &v6, sizeof v6);
        once("IPv6, length", odd[i], AF_INET6, SOCK_STREAM, room, odd[i]);
        memset(room, 0, sizeof room);
    }
    once("null, length", 0, AF_INET, SOCK_STREAM, NULL, 0);
    once("null, length", 16, AF_INET, SOCK_STREAM, NULL, 16);
    once("null, length", 28, AF_INET6, SOCK_STREAM, NULL, 28);
    once("null, length", 4096, AF_INET, SOCK_STREAM, NULL, 4096);
    for (int at = 1; at < 8; at++) {
        memcpy(room + at, &v4, sizeof v4);
        once("not aligned", at, AF_INET, SOCK_STREAM, room + at, sizeof v4);
        memcpy(room + at, &v6, sizeof v6);
        once("not aligned", at, AF_INET6, SOCK_STREAM, room + at, sizeof v6);
    }
    /* Right at the end of what can be read. */
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(page + 4096, 4096, PROT_NONE);
    once("at the end", 16, AF_INET, SOCK_STREAM, memcpy(page + 4096 - sizeof v4, &v4, sizeof v4), sizeof v4);
    once("at the end", 24, AF_INET6, SOCK_STREAM, memcpy(page + 4096 - 24, &v6, 24), 24);
    once("at the end", 2, AF_INET, SOCK_STREAM, memcpy(page + 4096 - 2, &v4, 2), 2);
    once("at the end", 1, AF_INET, SOCK_STREAM, page + 4096 - 1, 1);
    munmap(page, 8192);
}

static void families(void) {
    struct sockaddr_in v4 = ipv4();
    struct sockaddr_in6 v6 = ipv6();
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int ends[2];
    once("IPv4's address for IPv6", 0, AF_INET6, SOCK_STREAM, &v4, sizeof v4);
    once("IPv6's address for IPv4", 0, AF_INET, SOCK_STREAM, &v6, sizeof v6);
    once("IPv4's address for a Unix socket", 0, AF_UNIX, SOCK_STREAM, &v4, sizeof v4);
    for (int family = 0; family < 64; family++) {
        v4.sin_family = v6.sin6_family = family;
        once("a foreign family", family, AF_INET, SOCK_STREAM, &v4, sizeof v4);
        once("a foreign family", family, AF_INET6, SOCK_STREAM, &v6, sizeof v6);
    }
    v4 = ipv4(), v6 = ipv6();
    snprintf(un.sun_path + 1, sizeof un.sun_path - 1, "rebind-%d", port);
    once("an abstract Unix address", 0, AF_UNIX, SOCK_STREAM, &un, sizeof un);
    once("a Unix address without a name", 0, AF_UNIX, SOCK_STREAM, &un, sizeof un.sun_family);
    if (pipe(ends)) exit(1);
    try("no socket", 0, ends[0], &v4, sizeof v4);
    try("no descriptor", 0, -1, &v4, sizeof v4);
    try("no descriptor", 1, 987654, &v6, sizeof v6);
    int only = 1, it = fresh(AF_INET6, SOCK_STREAM);
    setsockopt(it, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &v6.sin6_addr);
    try("a mapped address where only IPv6 is allowed", 0, it, &v6, sizeof v6);
    close(it);
}

static void ask(const char *what, int it) {
    _Alignas(8) unsigned char room[140];
    for (socklen_t length = 0; length <= 130; length += length < 30 ? 1 : 25) {
        memset(room, 0xEE, sizeof room);
        socklen_t told = length;
        errno = EXDEV;
        int result = getsockname(it, (struct sockaddr *)(room + length % 3), &told);
        say(what, length, result);
        printf("    %u:", told);
        for (int i = 0; i < 36; i++) printf(" %02x", room[i]);
        puts("");
    }
    socklen_t length = sizeof room, negative = -1;
    struct sockaddr *good = (struct sockaddr *)room, *bad = (struct sockaddr *)1;
    void *fixed = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    errno = EXDEV, say(what, -1, getsockname(it, good, NULL));
    errno = EXDEV, say(what, -2, getsockname(it, good, (socklen_t *)1));
    errno = EXDEV, say(what, -3, getsockname(it, NULL, &length));
    errno = EXDEV, say(what, -4, getsockname(it, bad, &length));
    errno = EXDEV, say(what, -5, getsockname(it, fixed, &length));
    errno = EXDEV, say(what, -6, getsockname(it, good, fixed));
    errno = EXDEV, say(what, -7, getsockname(it, good, &negative));
    length = 0;
    errno = EXDEV, say(what, -8, getsockname(it, NULL, &length));
    printf("    %u\n", length);
    munmap(fixed, 4096);
}

static void names(void) {
    struct sockaddr_in v4 = ipv4();
    struct sockaddr_in6 v6 = ipv6();
    int it = fresh(AF_INET, SOCK_STREAM);
    ask("name of nothing", it);
    try("IPv4", 0, it, &v4, sizeof v4);
    ask("name of IPv4", it);
    try("again", 0, it, &v4, sizeof v4);
    close(it);
    it = fresh(AF_INET6, SOCK_STREAM);
    try("IPv6", 0, it, &v6, sizeof v6);
    ask("name of IPv6", it);
    close(it);
    it = fresh(AF_INET, SOCK_DGRAM);
    try("datagrams", 0, it, &v4, sizeof v4);
    ask("name of datagrams", it);
    close(it);
    it = fresh(AF_UNIX, SOCK_STREAM);
    ask("name of a Unix socket", it);
    close(it);
    ask("name of no socket", open("/dev/null", O_RDONLY));
    ask("name of no descriptor", -1);
}

static void twice(const char *option, int name, int first_listens) {
    struct sockaddr_in v4 = ipv4();
    int on = 1, sockets[2];
    for (int i = 0; i < 2; i++) {
        int before;
        socklen_t length = sizeof before;
        sockets[i] = fresh(AF_INET, SOCK_STREAM);
        if (name) setsockopt(sockets[i], SOL_SOCKET, name, &on, sizeof on);
        try(option, i, sockets[i], &v4, sizeof v4);
        getsockopt(sockets[i], SOL_SOCKET, SO_REUSEADDR, &before, &length);
        printf("    SO_REUSEADDR is %d\n", before);
        if (i >= first_listens) continue;
        errno = EXDEV, say("listen", i, listen(sockets[i], 1));
    }
    errno = EXDEV, say("listen", 1, listen(sockets[1], 1));
    close(sockets[0]);
    close(sockets[1]);
}

int main(int count, char **arguments) {
    if (count < 2) return 2;
    port = atoi(arguments[1]);
    lengths();
    families();
    names();
    for (int first_listens = 0; first_listens < 2; first_listens++) {
        twice("twice", 0, first_listens);
        twice("twice, SO_REUSEADDR", SO_REUSEADDR, first_listens);
        twice("twice, SO_REUSEPORT", SO_REUSEPORT, first_listens);
    }
    return 0;
}
