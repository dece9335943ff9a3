"""Routes with programs that systemd runs, and what is left of them."""

import subprocess
import tempfile
from pathlib import Path

from .machine import EVENT_SECONDS_MAX, Machine
from .network import receive
from .route import PORT, service

SERVER = "/usr/local/bin/server"
PROGRAM_PORT = 5901

# Says its process id to each client, and does what it is told.
SERVER_TEXT = """\
#!/usr/bin/python3
import os, signal, socket, sys, threading

port, options = int(sys.argv[1]), sys.argv[2:]
if "background" in options and os.fork():
    os._exit(0)
listener = socket.socket(socket.AF_INET6 if "ipv6" in options else socket.AF_INET)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if "ipv6" in options:
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
listener.bind(("", port))
listener.listen()
print("serving", flush=True)

def serve(client):
    with client:
        client.sendall(b"%8d" % os.getpid())
        while word := client.recv(100):
            verb, _, rest = word.decode().partition(" ")
            if verb == "exit":
                os._exit(int(rest))
            if verb == "allocate":
                try:
                    bytearray(int(rest))
                except MemoryError:
                    os.kill(os.getpid(), signal.SIGABRT)
            client.sendall(word)

while True:
    client, _ = listener.accept()
    threading.Thread(target=serve, args=(client,), daemon=True).start()
"""

# The same without a C library to preload anything into.
STATIC_TEXT = """\
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char **words) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(words[count - 1]))};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 5))
        return 1;
    for (;;) {
        int client = accept(listener, 0, 0);
        char text[100];
        int length = snprintf(text, sizeof text, "%8d", getpid());
        do {
            if (write(client, text, length) != length)
                break;
        } while ((length = read(client, text, sizeof text)) > 0);
        close(client);
    }
}
"""


def install_server(machine: Machine) -> None:
    machine.write(SERVER, SERVER_TEXT, mode=0o755)


def static_server() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        source, binary = Path(directory, "server.c"), Path(directory, "server")
        source.write_text(STATIC_TEXT)
        subprocess.run(["gcc", "-static", "-O1", "-o", binary, source], check=True)
        return binary.read_bytes()


def program_unit(name: str = "vnc") -> str:
    return f"websockify-program@{name}.service"


def write_program(
    machine: Machine, *lines: str, command: str | None = None, listen: int = PORT, name: str = "vnc"
) -> None:
    """Writes a route with a table [program], which the given lines complete."""
    command = command or f'["{SERVER}", "{PROGRAM_PORT}"]'
    text = [f'listen = "{listen}"', "[program]", f"command = {command}", *lines]
    if not any(line.startswith("port") for line in lines):
        text.append(f"port = {PROGRAM_PORT}")
    machine.write(f"/etc/websockify/{name}.toml", "\n".join(text) + "\n")


def ask(machine: Machine, port: int = PORT, word: bytes = b"") -> int:
    """The program's process id, as a client hears it. A word is sent, and its echo is not waited for."""
    with machine.network.websocket(port) as session:
        answer = int(receive(session, 8))
        if word:
            session.send(word)
            # The program ends, and the session with it.
            for _ in session:
                pass
        return answer


def kill(machine: Machine, *pids: int) -> None:
    """Kills them at once, and waits until the kernel has closed all that they had open: who comes meanwhile is cut off."""
    each = " ".join(str(pid) for pid in pids)
    script = f"kill -KILL {each}; for pid in {each}; do while kill -0 $pid 2>/dev/null; do :; done; done"
    machine.run("sh", "-c", script)


def processes(machine: Machine, unit: str) -> list[int]:
    """Who is in the unit's control group."""
    group = machine.show(unit, "ControlGroup")["ControlGroup"]
    if not group:
        return []
    found = machine.attempt("cat", f"/sys/fs/cgroup{group}/cgroup.procs").stdout
    return [int(line) for line in found.split()]


def servers(machine: Machine) -> list[int]:
    """All processes of the server, in whichever control group."""
    script = 'for p in /proc/[0-9]*; do tr "\\0" " " <$p/cmdline 2>/dev/null | '
    # Not itself, whose command has a bracket there.
    script += f'grep -q "[{SERVER[0]}]{SERVER[1:]}" && echo ${{p#/proc/}}; done; true'
    return [int(line) for line in machine.run("sh", "-c", script).split()]


def listening(machine: Machine) -> str:
    """What listens in the network that everybody sees."""
    return machine.network.run("ss", "--listening", "--numeric", "--tcp", "--no-header")


def wait_for_status(machine: Machine, words: str, name: str = "vnc") -> str:
    unit = machine.wait_for_unit(
        service(name), lambda unit: words in unit["StatusText"], timeout=EVENT_SECONDS_MAX
    )
    return unit["StatusText"]


def wait_until_gone(machine: Machine, unit: str) -> None:
    machine.wait_for_unit(unit, lambda shown: shown["ActiveState"] in ("inactive", "failed"))
    assert processes(machine, unit) == []
