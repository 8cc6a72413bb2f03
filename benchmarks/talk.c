/* Talks over a network inside a container, and prints how long that takes, in microseconds.
 *
 *   talk sink PORT                read all that comes, from one connection after the other
 *   talk send ADDRESS PORT MIB    send this number of MiB, and wait until the other side has read them
 *   talk ask NAME                 ask the first name server of /etc/resolv.conf for an IPv4 address
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char block[1 << 20];

static long microseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000L + now.tv_nsec / 1000;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static struct sockaddr_in place(const char *address, int port)
{
    struct sockaddr_in made = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (!inet_aton(address, &made.sin_addr))
        fail(address);
    return made;
}

static _Noreturn void sink(int port)
{
    struct sockaddr_in own = place("0.0.0.0", port);
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&own, sizeof own) || listen(listener, 16))
        fail("bind");
    for (;;) {
        int client = accept(listener, NULL, NULL);
        while (read(client, block, sizeof block) > 0)
            ;
        close(client);
    }
}

static int send_all(const char *address, int port, long mib)
{
    struct sockaddr_in other = place(address, port);
    int stream = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(stream, (void *)&other, sizeof other))
        fail("connect");
    long start = microseconds();
    for (long left = mib << 20; left > 0;) {
        ssize_t sent = write(stream, block, sizeof block);
        if (sent < 0)
            fail("write");
        left -= sent;
    }
    shutdown(stream, SHUT_WR);
    if (read(stream, block, 1))
        fail("read");
    printf("%ld\n", microseconds() - start);
    return 0;
}

static int ask(const char *name)
{
    unsigned char query[300] = {7, 7, 1, 0, 0, 1}, answer[512]; /* RFC 1035, section 4.1 */
    size_t length = strlen(name), size = 12 + 1 + length;
    char line[256], server[64] = "";
    if (length > 63)
        return 1;
    query[12] = length;
    memcpy(query + 13, name, length);
    memcpy(query + size, "\0\0\1\0\1", 5);
    mlockall(MCL_CURRENT); /* the file system of the container is not what is measured */
    long start = microseconds();
    FILE *file = fopen("/etc/resolv.conf", "r");
    while (file && fgets(line, sizeof line, file) && sscanf(line, "nameserver %63s", server) != 1)
        ;
    struct sockaddr_in other = place(server, 53);
    int one = socket(AF_INET, SOCK_DGRAM, 0);
    if (connect(one, (void *)&other, sizeof other) || send(one, query, size + 5, 0) < 0)
        fail("send");
    ssize_t received = recv(one, answer, sizeof answer, 0);
    long took = microseconds() - start;
    if (received < 12 || !answer[7])
        return 1;
    printf("%ld\n", took);
    return 0;
}

int main(int count, char **words)
{
    if (count == 3 && !strcmp(words[1], "sink"))
        sink(atoi(words[2]));
    if (count == 5 && !strcmp(words[1], "send"))
        return send_all(words[2], atoi(words[3]), atol(words[4]));
    if (count == 3 && !strcmp(words[1], "ask"))
        return ask(words[2]);
    return 2;
}
