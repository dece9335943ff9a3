"""Routes as an administrator makes them: a file, and `systemctl enable --now`."""

from .machine import Machine

PORT = 6080
"""Where routes listen: each boot of a machine has a network of its own, so that it is free."""


def write_route(machine: Machine, target: str, *lines: str, name: str = "vnc") -> None:
    """Writes a route that listens on PORT, unless a line says otherwise."""
    listens = [] if any(line.startswith("listen") for line in lines) else [f'listen = "{PORT}"']
    # Keys come before tables.
    text = "\n".join([f'target = "{target}"', *listens, *lines]) + "\n"
    machine.write(f"/etc/websockify/{name}.toml", text)


def enable(machine: Machine, name: str = "vnc") -> None:
    machine.run("systemctl", "enable", "--now", f"websockify@{name}.socket")


def service(name: str = "vnc") -> str:
    return f"websockify@{name}.service"
