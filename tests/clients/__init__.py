"""Foreign WebSocket clients, none of them written here, talk through the proxy."""
